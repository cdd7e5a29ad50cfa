//! Credentials for servers by OAuth 2 client credentials (RFC 6749, section 4.4): one token for this node, kept for two thirds of
//! its life.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Uri};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::attest::Outside;
use crate::exchange::granted;
use crate::oauth::encode;

/// Pause after an answer without a token, in milliseconds: an authorization server that is down gets no storm.
const REST_MS: u64 = 1_000;

/// A client of an authorization server, and what it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientPlan {
    /// What the authorization server knows the client by.
    pub id: String,
    /// Its token endpoint.
    pub token_endpoint: Uri,
    /// What of scopes is asked for; nothing in particular if empty.
    pub scope: String,
    /// The server that the token is for (RFC 8707), if that is to be said.
    pub resource: Option<String>,
}

/// Gets tokens for a client, and keeps the one it got.
pub struct ClientGrant {
    plan: ClientPlan,
    outside: Outside,
    held: Mutex<Option<Held>>,
    /// Held by who asks: those who come meanwhile wait, and use what came.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
enum Held {
    Token { value: HeaderValue, renew_at: SystemTime, until: SystemTime },
    Failed { cause: String, until: SystemTime },
}

impl ClientGrant {
    /// For one server.
    pub fn new(plan: ClientPlan, outside: Outside) -> Self {
        Self { plan, outside, held: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// The value of `Authorization`: what is held, until two thirds of its life; then another, and the old one for as long as
    /// none is to be had. `secret` opens the client's secret, when it is needed.
    ///
    /// # Errors
    /// Why there is none, for the operator. Neither token nor secret is in it.
    pub async fn value(
        &self,
        secret: impl FnOnce() -> Result<Zeroizing<String>, String>,
    ) -> Result<HeaderValue, String> {
        if let Some(known) = self.known() {
            return known;
        }
        let _turn = self.turn.lock().await;
        if let Some(known) = self.known() {
            return known;
        }
        let asked = match secret() {
            Ok(secret) => self.ask(&secret).await,
            Err(cause) => Err(cause),
        };
        let now = SystemTime::now();
        let mut held = self.held.lock();
        match asked {
            Ok((value, life)) => {
                *held = Some(Held::Token {
                    value: value.clone(),
                    renew_at: now + life * 2 / 3,
                    until: now + life,
                });
                Ok(value)
            }
            Err(cause) => match &*held {
                Some(Held::Token { value, until, .. }) if *until > now => {
                    tracing::warn!(endpoint = %self.plan.token_endpoint, %cause, "a credential could not be renewed yet");
                    Ok(value.clone())
                }
                _ => {
                    let until = now + Duration::from_millis(REST_MS);
                    *held = Some(Held::Failed { cause: cause.clone(), until });
                    Err(cause)
                }
            },
        }
    }

    /// The server did not take it: it is not shown again.
    pub fn forget(&self) {
        *self.held.lock() = None;
    }

    fn known(&self) -> Option<Result<HeaderValue, String>> {
        let now = SystemTime::now();
        match &*self.held.lock() {
            Some(Held::Token { value, renew_at, .. }) if *renew_at > now => Some(Ok(value.clone())),
            Some(Held::Failed { cause, until }) if *until > now => Some(Err(cause.clone())),
            _ => None,
        }
    }

    async fn ask(&self, secret: &str) -> Result<(HeaderValue, Duration), String> {
        let ClientPlan { id, token_endpoint, scope, resource } = &self.plan;
        let mut fields =
            vec![("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret)];
        if !scope.is_empty() {
            fields.push(("scope", scope));
        }
        fields.extend(resource.as_deref().map(|resource| ("resource", resource)));
        // With room from the start, so that no copy of the secret is left behind.
        let mut form = Zeroizing::new(String::with_capacity(16 << 10));
        for (n, (name, value)) in fields.into_iter().enumerate() {
            form.push_str(if n > 0 { "&" } else { "" });
            form.push_str(name);
            form.push('=');
            encode(value, &mut form);
        }
        let answered = self.outside.form(token_endpoint, Bytes::from(form.as_bytes().to_vec())).await;
        let (status, body) = answered.map_err(|error| error.to_string())?;
        let answer: Map<String, Value> = serde_json::from_slice(&body)
            .map_err(|_| format!("{token_endpoint} answered {status}, and no JSON object"))?;
        granted(status, &answer).map_err(|why| format!("{token_endpoint} {why}"))
    }
}
