//! Asking a Kubernetes API server about a token (TokenReview, `authentication.k8s.io/v1`): it knows whether the pod and
//! the account that the token is bound to still exist.

use std::path::PathBuf;

use bytes::Bytes;
use http::Uri;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::tokens::{service_account, tell_account};
use super::{Attested, Kind, Outside};
use crate::AuthorityError;
use crate::error::shown;

const PATH: &str = "apis/authentication.k8s.io/v1/tokenreviews";
/// Where Kubernetes puts what a token is bound to.
const EXTRA: &str = "authentication.kubernetes.io/";
/// Longest token by which the server is asked, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// An API server that is asked.
pub struct Review {
    outside: Outside,
    uri: Uri,
    /// The token by which we may ask; the kubelet replaces it, so it is read each time.
    token: PathBuf,
}

impl Review {
    /// The server at a base URL.
    ///
    /// # Errors
    /// [`AuthorityError::Malformed`] if it is none.
    pub fn new(outside: Outside, api: &Uri, token: PathBuf) -> Result<Self, AuthorityError> {
        let uri = format!("{}/{PATH}", api.to_string().trim_end_matches('/'));
        let uri = uri.parse().map_err(|_| AuthorityError::Malformed(format!("{api} is no base URL")))?;
        Ok(Self { outside, uri, token })
    }

    pub(super) fn name(&self) -> String {
        self.uri.to_string()
    }

    pub(super) async fn attest(
        &self,
        issuer: &str,
        audience: &str,
        token: &str,
    ) -> Result<Attested, AuthorityError> {
        let bearer = tokio::fs::read_to_string(&self.token).await.map(Zeroizing::new);
        let bearer = bearer.map_err(|source| AuthorityError::Io {
            action: "read",
            path: self.token.clone(),
            source,
        })?;
        let bearer = Zeroizing::new(bearer.trim().to_owned());
        if bearer.len() > TOKEN_BYTES_MAX {
            let cause = "the token by which it is asked is too long".to_owned();
            return Err(AuthorityError::Unreachable { what: self.name(), cause });
        }
        let asked = json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": { "token": token, "audiences": [audience] },
        });
        let answer = self.outside.post(&self.uri, Bytes::from(asked.to_string()), &bearer).await?;
        let answer: Value = serde_json::from_slice(&answer).map_err(|error| AuthorityError::Unreachable {
            what: self.name(),
            cause: format!("its answer is no TokenReview: {error}"),
        })?;
        read(&answer, issuer, audience)
    }
}

fn read(answer: &Value, issuer: &str, audience: &str) -> Result<Attested, AuthorityError> {
    let refused = |check, found: String| AuthorityError::Refused { by: Kind::Kubernetes, check, found };
    let status = &answer["status"];
    if answer["kind"] != "TokenReview" {
        return Err(refused("review", "the API server answered with something else".to_owned()));
    }
    if status["authenticated"] != Value::Bool(true) {
        let why = shown(status["error"].as_str().unwrap_or("it is not authenticated"));
        return Err(refused("review", format!("the API server says: {why}")));
    }
    // A server that does not know of audiences answers yes without naming one (KEP-1205).
    let audiences = status["audiences"].as_array();
    if !audiences.is_some_and(|list| list.iter().any(|entry| entry == audience)) {
        return Err(refused("audience", format!("the API server does not say that it is for {audience}")));
    }
    let user = status["user"]["username"].as_str().unwrap_or_default();
    let Some((namespace, name)) = service_account(user) else {
        return Err(refused("subject", format!("{} is no service account", shown(user))));
    };
    let mut attested =
        Attested::new(Kind::Kubernetes, format!("service account {namespace}/{name} of {issuer}"));
    tell_account(&mut attested, issuer, namespace, name);
    let extra = &status["user"]["extra"];
    for (fact, key) in [("k8s:pod", "pod-name"), ("k8s:pod-uid", "pod-uid"), ("k8s:node", "node-name")] {
        match extra[format!("{EXTRA}{key}")].as_array().map(Vec::as_slice) {
            Some([Value::String(value)]) => attested.add(fact, value),
            // Two would leave open which one counts.
            Some([_, ..]) => return Err(refused("binding", format!("it names more than one {key}"))),
            _ => {}
        }
    }
    Ok(attested)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn good() -> Value {
        json!({
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "status": {
                "authenticated": true,
                "audiences": ["lockgate"],
                "user": {
                    "username": "system:serviceaccount:retail:bot",
                    "groups": ["system:serviceaccounts"],
                    "extra": {
                        "authentication.kubernetes.io/pod-name": ["bot-7f"],
                        "authentication.kubernetes.io/pod-uid": ["1-2-3"],
                        "authentication.kubernetes.io/node-name": ["n1"],
                    },
                },
            },
        })
    }

    #[test]
    fn a_good_answer_becomes_selectors() {
        let attested = read(&good(), "https://cluster", "lockgate").unwrap();
        let selectors: Vec<&str> = attested.selectors.iter().map(crate::Selector::as_str).collect();
        assert_eq!(
            selectors,
            [
                "k8s:issuer:https://cluster",
                "k8s:namespace:retail",
                "k8s:node:n1",
                "k8s:pod-uid:1-2-3",
                "k8s:pod:bot-7f",
                "k8s:serviceaccount:retail/bot",
            ]
        );
    }

    #[test]
    fn anything_else_is_refused_with_its_check() {
        let with = |pointer: &str, value: Value| {
            let mut answer = good();
            *answer.pointer_mut(pointer).unwrap() = value;
            answer
        };
        let pods = "/status/user/extra/authentication.kubernetes.io~1pod-name";
        for (answer, check) in [
            (json!({}), "review"),
            (json!(null), "review"),
            (json!([]), "review"),
            (with("/kind", json!("Status")), "review"),
            (with("/status", json!({})), "review"),
            (with("/status/authenticated", json!(false)), "review"),
            (with("/status/authenticated", json!("true")), "review"),
            (with("/status/audiences", json!([])), "audience"),
            (with("/status/audiences", json!(null)), "audience"),
            (with("/status/audiences", json!(["https://kubernetes.default.svc"])), "audience"),
            (with("/status/audiences", json!("lockgate")), "audience"),
            (with("/status/user/username", json!("admin")), "subject"),
            (with("/status/user/username", json!("system:serviceaccount:retail")), "subject"),
            (with("/status/user/username", json!("system:serviceaccount:retail:bot:x")), "subject"),
            (with("/status/user/username", json!("system:serviceaccount::bot")), "subject"),
            (with("/status/user/username", json!("system:serviceaccount:a/b:bot")), "subject"),
            (with(pods, json!(["a", "b"])), "binding"),
            (with(pods, json!([7])), "binding"),
        ] {
            match read(&answer, "https://cluster", "lockgate") {
                Err(AuthorityError::Refused { check: found, .. }) => assert_eq!(found, check, "{answer}"),
                other => panic!("{answer}: {other:?}"),
            }
        }
    }
}
