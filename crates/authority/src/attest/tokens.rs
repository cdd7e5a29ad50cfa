//! Attestation by a signed token (JWT) of somebody whom the configuration trusts: an OIDC issuer, a Kubernetes cluster, or
//! another SPIFFE trust domain. Which one a token is for is found by its `iss`, exactly; a token is shown to nobody else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_crypto::Algorithm;
use lockgate_identity::SpiffeId;
use lockgate_identity::token::{ForeignClaims, ForeignIssuer, unverified_issuer};
use parking_lot::RwLock;
use serde_json::Value;

use super::keys::Keys;
use super::review::Review;
use super::{Attested, Attestor, Evidence, Judged, Kind};
use crate::AuthorityError;
use crate::error::shown;

/// Most entries of a claim that is a list, and become selectors.
const ENTRIES_MAX: usize = 64;

/// What tokens may be signed with now; asked at each token, since bans change it.
pub type Algorithms = Arc<dyn Fn() -> Vec<&'static Algorithm> + Send + Sync>;

/// One issuer whose tokens are taken.
pub struct Trusted {
    /// Exactly what `iss` says.
    pub issuer: String,
    /// What `aud` must hold.
    pub audience: String,
    /// How its tokens are judged.
    pub judge: Judge,
}

/// How tokens are judged.
pub enum Judge {
    /// With keys; these claims become selectors.
    Oidc(Arc<Keys>, Vec<String>),
    /// With keys; the claims are those of a Kubernetes service account.
    Cluster(Arc<Keys>),
    /// By the API server of the cluster.
    Review(Review),
    /// With keys; the subject is a SPIFFE id of this trust domain.
    Spiffe(Arc<Keys>, String),
}

impl Judge {
    /// What the claims of a token say that was verified already, with these keys.
    ///
    /// # Errors
    /// [`AuthorityError::Refused`] with the check that failed; always for an API server, which has to be asked itself.
    pub fn read(&self, claims: &ForeignClaims) -> Result<Attested, AuthorityError> {
        match self {
            Judge::Oidc(_, names) => Ok(oidc(claims, names)),
            Judge::Cluster(_) => cluster(claims),
            Judge::Spiffe(_, domain) => spiffe(claims, domain),
            Judge::Review(_) => {
                let found = "only the API server can judge it";
                Err(AuthorityError::refused(Kind::Kubernetes, "review", found))
            }
        }
    }

    /// The keys with which its tokens are verified; none where an API server is asked.
    pub fn keys(&self) -> Option<&Arc<Keys>> {
        match self {
            Judge::Oidc(keys, _) | Judge::Cluster(keys) | Judge::Spiffe(keys, _) => Some(keys),
            Judge::Review(_) => None,
        }
    }
}

/// Attests holders of tokens, of all issuers. Whose they are can be changed while tokens are judged.
pub struct Tokens {
    issuers: RwLock<Arc<HashMap<String, Arc<Trusted>>>>,
    algorithms: Algorithms,
}

fn by_name(issuers: Vec<Arc<Trusted>>) -> Arc<HashMap<String, Arc<Trusted>>> {
    Arc::new(issuers.into_iter().map(|trusted| (trusted.issuer.clone(), trusted)).collect())
}

impl Tokens {
    /// Of these issuers; of two with one name the later counts, which the configuration refuses.
    pub fn new(issuers: Vec<Arc<Trusted>>, algorithms: Algorithms) -> Self {
        Self { issuers: RwLock::new(by_name(issuers)), algorithms }
    }

    /// Takes tokens of these issuers from now on.
    pub fn replace(&self, issuers: Vec<Arc<Trusted>>) {
        *self.issuers.write() = by_name(issuers);
    }

    /// The issuer of this name.
    pub fn issuer(&self, name: &str) -> Option<Arc<Trusted>> {
        self.issuers.read().get(name).cloned()
    }
}

impl Trusted {
    async fn attest(&self, token: &str, algorithms: &Algorithms) -> Result<Attested, AuthorityError> {
        let foreign = || ForeignIssuer::new(&self.issuer, &self.audience, algorithms());
        match &self.judge {
            Judge::Review(review) => review.attest(&self.issuer, &self.audience, token).await,
            Judge::Oidc(keys, _) | Judge::Cluster(keys) | Judge::Spiffe(keys, _) => {
                self.judge.read(&keys.verify(&foreign(), token).await?)
            }
        }
    }
}

impl Attestor for Tokens {
    fn kind(&self) -> Kind {
        Kind::Oidc
    }

    fn attest<'a>(&'a self, evidence: Evidence<'a>) -> Judged<'a> {
        Box::pin(async move {
            let Evidence::Token(token) = evidence else { return Err(evidence.not_for(Kind::Oidc)) };
            let refused = |check, found: String| AuthorityError::Refused { by: Kind::Oidc, check, found };
            let issuer =
                unverified_issuer(token).map_err(|error| refused(error.check(), error.to_string()))?;
            match self.issuer(&issuer) {
                Some(trusted) => trusted.attest(token, &self.algorithms).await,
                None => Err(refused("issuer", format!("nobody trusts {} here", shown(&issuer)))),
            }
        })
    }
}

fn attested(by: Kind, claims: &ForeignClaims) -> Attested {
    let subject = format!("{} of {}", shown(&claims.subject), claims.issuer);
    let not_after = SystemTime::UNIX_EPOCH + Duration::from_secs(claims.expires_at);
    Attested { not_after: Some(not_after), ..Attested::new(by, subject) }
}

fn oidc(claims: &ForeignClaims, wanted: &[String]) -> Attested {
    let mut attested = attested(Kind::Oidc, claims);
    attested.add("oidc:iss", &claims.issuer);
    attested.add("oidc:sub", &claims.subject);
    for name in wanted.iter().filter(|name| !matches!(name.as_str(), "iss" | "sub")) {
        match claims.members().get(name) {
            Some(Value::Array(entries)) => {
                let texts = entries.iter().take(ENTRIES_MAX).filter_map(plain);
                texts.for_each(|text| attested.add(&format!("oidc:{name}"), &text));
            }
            Some(value) => {
                if let Some(text) = plain(value) {
                    attested.add(&format!("oidc:{name}"), &text);
                }
            }
            None => {}
        }
    }
    attested
}

/// A value that is one word in each way of writing it: texts, whole numbers, flags.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Number(number) => number.as_i64().map(|number| number.to_string()),
        _ => None,
    }
}

/// The claims that Kubernetes puts into bound tokens, under `kubernetes.io`.
fn cluster(claims: &ForeignClaims) -> Result<Attested, AuthorityError> {
    let refused = |found: &str| Err(AuthorityError::refused(Kind::Kubernetes, "claims", found));
    let bound = &claims.members()["kubernetes.io"];
    let account = (bound["namespace"].as_str(), bound["serviceaccount"]["name"].as_str());
    let Some((namespace, name)) = service_account(&claims.subject) else {
        return refused("its subject is no service account");
    };
    if account != (Some(namespace), Some(name)) {
        return refused("its subject and its kubernetes.io claim name different service accounts");
    }
    let mut attested = attested(Kind::Kubernetes, claims);
    tell_account(&mut attested, &claims.issuer, namespace, name);
    for (fact, value) in [
        ("k8s:pod", &bound["pod"]["name"]),
        ("k8s:pod-uid", &bound["pod"]["uid"]),
        ("k8s:node", &bound["node"]["name"]),
    ] {
        if let Some(text) = value.as_str() {
            attested.add(fact, text);
        }
    }
    attested.notes.push("the keys say that the token was issued, not that its pod still lives".to_owned());
    Ok(attested)
}

/// Namespace and name of `system:serviceaccount:NAMESPACE:NAME`.
pub(super) fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    // As the API server names objects (RFC 1123, with dots in names).
    let plain = |text: &str| {
        !text.is_empty()
            && text.len() <= 253
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.'))
    };
    (plain(namespace) && plain(name)).then_some((namespace, name))
}

pub(super) fn tell_account(attested: &mut Attested, issuer: &str, namespace: &str, name: &str) {
    attested.add("k8s:issuer", issuer);
    attested.add("k8s:namespace", namespace);
    attested.add("k8s:serviceaccount", &format!("{namespace}/{name}"));
}

fn spiffe(claims: &ForeignClaims, domain: &str) -> Result<Attested, AuthorityError> {
    let id = SpiffeId::parse(&claims.subject)
        .map_err(|error| AuthorityError::refused(Kind::Spiffe, "subject", error.to_string()))?;
    if id.trust_domain() != domain {
        let found = format!("{id} is not of the trust domain {domain}, whose keys signed it");
        return Err(AuthorityError::refused(Kind::Spiffe, "trust domain", found));
    }
    let mut attested = attested(Kind::Spiffe, claims);
    attested.add("spiffe:id", id.as_str());
    attested.add("spiffe:trust-domain", domain);
    Ok(attested)
}
