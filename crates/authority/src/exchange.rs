//! Credentials for servers by exchange: a caller's identity becomes a token of the server's own authorization server.
//!
//! The token that a client showed to us is never passed on. What is exchanged is a statement of ours about the caller, of one
//! minute and for that authorization server alone: as the subject of a token exchange (RFC 8693), or as the grant itself
//! (RFC 7523, section 2.1). This node proves itself by an assertion of the same kind (RFC 7523, section 2.2); so there is no
//! secret to keep. Both are verified with the keys that the node publishes.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, Uri};
use lockgate_identity::SpiffeId;
use lockgate_identity::token::{Assertion, TOKEN_BYTES_MAX, TokenIssuer};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::attest::{Outside, named_at};
use crate::error::shown;
use crate::oauth::encode;

/// Most callers whose tokens are kept for one server.
const HELD_MAX: usize = 4096;
/// Longest that a token is used, in seconds, whatever its issuer says: who is thrown out over there is out after that.
const LIFE_S_MAX: u64 = 3600;
/// What a token lives whose issuer does not say, in seconds.
const LIFE_S_UNSAID: u64 = 60;
/// Pause after an exchange that failed, for the same caller, in milliseconds: an authorization server that is down gets no storm.
const REST_MS: u64 = 1_000;
/// How long the place of the token endpoint is believed, in seconds.
const PLACE_S_MAX: u64 = 600;
/// Exchanges that run side by side for one server.
const TURNS: usize = 16;

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// How the caller's identity is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExchangeGrant {
    /// As the subject of a token exchange (RFC 8693).
    TokenExchange,
    /// As an authorization grant (RFC 7523, section 2.1).
    JwtBearer,
}

impl ExchangeGrant {
    fn name(self) -> &'static str {
        match self {
            Self::TokenExchange => "urn:ietf:params:oauth:grant-type:token-exchange",
            Self::JwtBearer => "urn:ietf:params:oauth:grant-type:jwt-bearer",
        }
    }
}

/// Where tokens for a server come from, and what they are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExchangePlan {
    /// The authorization server, exactly as its metadata says it.
    pub issuer: String,
    /// Its token endpoint; found in its metadata unless named.
    pub token_endpoint: Option<Uri>,
    /// What it knows this node by.
    pub client_id: String,
    /// How the caller's identity is shown.
    pub grant: ExchangeGrant,
    /// The server, as the authorization server knows it (RFC 8707).
    pub resource: String,
    /// What of scopes is asked for; nothing in particular if empty.
    pub scope: String,
}

/// For whom a token is wanted.
#[derive(Clone, Debug)]
pub struct OnBehalf {
    /// In whose name the call is made.
    pub subject: SpiffeId,
    /// Who acts for it, the nearest first.
    pub actors: Vec<SpiffeId>,
}

impl OnBehalf {
    fn key(&self) -> String {
        let names: Vec<&str> = self.actors.iter().chain([&self.subject]).map(SpiffeId::as_str).collect();
        names.join(" ")
    }
}

/// Exchanges for one server, and keeps what it got.
pub struct Exchanger {
    plan: ExchangePlan,
    outside: Outside,
    signer: Arc<TokenIssuer>,
    place: Mutex<Option<(Uri, SystemTime)>>,
    held: Mutex<HashMap<String, Held>>,
    /// Held by who exchanges: those who come meanwhile for the same caller wait, and use what came.
    turns: [tokio::sync::Mutex<()>; TURNS],
    hashing: RandomState,
}

/// What is known for a caller.
#[derive(Clone)]
enum Held {
    Token { value: HeaderValue, renew_at: SystemTime, until: SystemTime },
    Failed { cause: String, until: SystemTime },
}

impl Held {
    fn until(&self) -> SystemTime {
        match self {
            Self::Token { until, .. } | Self::Failed { until, .. } => *until,
        }
    }
}

impl Exchanger {
    /// For one server.
    pub fn new(plan: ExchangePlan, outside: Outside, signer: Arc<TokenIssuer>) -> Self {
        let turns = std::array::from_fn(|_| tokio::sync::Mutex::default());
        let (place, held, hashing) = (Mutex::default(), Mutex::default(), RandomState::new());
        Self { plan, outside, signer, place, held, turns, hashing }
    }

    /// The value of `Authorization` for a caller: what is held, until two thirds of its life; then another, and the old one for
    /// as long as none is to be had.
    ///
    /// # Errors
    /// Why there is none, for the operator. No token is in it.
    pub async fn value(&self, whom: &OnBehalf) -> Result<HeaderValue, String> {
        let key = whom.key();
        if let Some(known) = self.known(&key) {
            return known;
        }
        let turn = usize::try_from(self.hashing.hash_one(&key)).unwrap_or_default() % TURNS;
        let _turn = self.turns[turn].lock().await;
        if let Some(known) = self.known(&key) {
            return known;
        }
        let exchanged = self.exchange(whom).await;
        let now = SystemTime::now();
        let mut held = self.held.lock();
        match exchanged {
            Ok((value, life)) => {
                let (renew_at, until) = (now + life * 2 / 3, now + life);
                make_room(&mut held, now);
                held.insert(key, Held::Token { value: value.clone(), renew_at, until });
                Ok(value)
            }
            Err(cause) => match held.get(&key) {
                Some(Held::Token { value, until, .. }) if *until > now => {
                    tracing::warn!(issuer = %self.plan.issuer, %cause, "a credential could not be renewed yet");
                    Ok(value.clone())
                }
                _ => {
                    make_room(&mut held, now);
                    let until = now + Duration::from_millis(REST_MS);
                    held.insert(key, Held::Failed { cause: cause.clone(), until });
                    Err(cause)
                }
            },
        }
    }

    /// The server did not take what it was shown for a caller: it is not shown again.
    pub fn forget(&self, whom: &OnBehalf) {
        self.held.lock().remove(&whom.key());
    }

    fn known(&self, key: &str) -> Option<Result<HeaderValue, String>> {
        let now = SystemTime::now();
        match self.held.lock().get(key)? {
            Held::Token { value, renew_at, .. } if *renew_at > now => Some(Ok(value.clone())),
            Held::Failed { cause, until } if *until > now => Some(Err(cause.clone())),
            _ => None,
        }
    }

    async fn exchange(&self, whom: &OnBehalf) -> Result<(HeaderValue, Duration), String> {
        let endpoint = self.endpoint().await?;
        let form = self.form(whom)?;
        let answered = self.outside.form(&endpoint, Bytes::from(form.as_bytes().to_vec())).await;
        let (status, body) = answered.map_err(|error| error.to_string())?;
        let answer: Map<String, Value> = serde_json::from_slice(&body)
            .map_err(|_| format!("{endpoint} answered {status}, and no JSON object"))?;
        granted(status, &answer).map_err(|why| format!("{} {why}", self.plan.issuer))
    }

    /// The token endpoint.
    async fn endpoint(&self) -> Result<Uri, String> {
        if let Some(named) = &self.plan.token_endpoint {
            return Ok(named.clone());
        }
        let now = SystemTime::now();
        if let Some((uri, until)) = &*self.place.lock()
            && *until > now
        {
            return Ok(uri.clone());
        }
        let found = named_at(&self.outside, &self.plan.issuer, "token_endpoint").await;
        let found = found.map_err(|error| error.to_string())?;
        *self.place.lock() = Some((found.clone(), now + Duration::from_secs(PLACE_S_MAX)));
        Ok(found)
    }

    /// The request (RFC 8693, section 2.1; RFC 7523, sections 2.1 and 2.2). Secret for a minute.
    fn form(&self, whom: &OnBehalf) -> Result<Zeroizing<String>, String> {
        let ExchangePlan { issuer, client_id, grant, resource, scope, .. } = &self.plan;
        let now = SystemTime::now();
        let assert = |issuer_name: &str, subject: &str, actors: &[SpiffeId]| {
            let assertion = Assertion { issuer: issuer_name, subject, actors, audience: issuer };
            self.signer.assert(&assertion, now).map_err(|error| error.to_string())
        };
        let client = assert(client_id, client_id, &[])?;
        let subject = assert(self.signer.issuer(), whom.subject.as_str(), &whom.actors)?;
        let mut fields = vec![
            ("grant_type", grant.name()),
            ("client_id", client_id.as_str()),
            ("client_assertion_type", ASSERTION_TYPE),
            ("client_assertion", client.as_str()),
            ("resource", resource.as_str()),
        ];
        match grant {
            ExchangeGrant::JwtBearer => fields.push(("assertion", subject.as_str())),
            ExchangeGrant::TokenExchange => fields.extend([
                ("subject_token", subject.as_str()),
                ("subject_token_type", JWT),
                ("requested_token_type", ACCESS_TOKEN),
            ]),
        }
        if !scope.is_empty() {
            fields.push(("scope", scope.as_str()));
        }
        let mut form = Zeroizing::new(String::with_capacity(16 << 10));
        for (n, (name, value)) in fields.into_iter().enumerate() {
            if n > 0 {
                form.push('&');
            }
            form.push_str(name);
            form.push('=');
            encode(value, &mut form);
        }
        Ok(form)
    }
}

/// Drops what is over, and if that is not enough what ends first.
fn make_room(held: &mut HashMap<String, Held>, now: SystemTime) {
    if held.len() < HELD_MAX {
        return;
    }
    held.retain(|_, held| held.until() > now);
    while held.len() >= HELD_MAX {
        let first = held.iter().min_by_key(|(_, held)| held.until()).map(|(key, _)| key.clone());
        first.and_then(|key| held.remove(&key));
    }
}

/// The token in an answer, and for how long it is used.
pub(crate) fn granted(
    status: StatusCode,
    answer: &Map<String, Value>,
) -> Result<(HeaderValue, Duration), String> {
    let text = |name: &str| answer.get(name).and_then(Value::as_str);
    if status != StatusCode::OK {
        let error = text("error").unwrap_or("no reason");
        let more = text("error_description").unwrap_or_default();
        return Err(format!("gave no token ({status}): {} {}", shown(error), shown(more)));
    }
    let token_type = text("token_type").unwrap_or_default();
    if !token_type.eq_ignore_ascii_case("Bearer") {
        let found = shown(token_type);
        return Err(format!("gave a token of the type {found}, which this node cannot show to the server"));
    }
    if let Some(issued) = text("issued_token_type").filter(|issued| ![ACCESS_TOKEN, JWT].contains(issued)) {
        return Err(format!("gave a {} where an access token was asked for", shown(issued)));
    }
    let token = text("access_token").unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if token.is_empty() || token.len() > TOKEN_BYTES_MAX || !token.bytes().all(plain) {
        return Err("gave an access token that no header can carry".to_owned());
    }
    let life_s = match answer.get("expires_in") {
        None => LIFE_S_UNSAID,
        Some(life) => life.as_u64().ok_or("gave a token whose expires_in is no number of seconds")?,
    };
    if life_s == 0 {
        return Err("gave a token that is over".to_owned());
    }
    let value = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&value).map_err(|_| "gave a token that no header can carry")?;
    value.set_sensitive(true);
    Ok((value, Duration::from_secs(life_s.min(LIFE_S_MAX))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_a_token_or_a_reason() {
        let good = json!({"access_token": "a.b-c", "token_type": "bearer", "expires_in": 120});
        let with = |name: &str, value: Value| {
            let mut answer = good.as_object().unwrap().clone();
            answer.insert(name.to_owned(), value);
            granted(StatusCode::OK, &answer)
        };
        let (value, life) = with("scope", json!("x")).unwrap();
        assert_eq!((value.as_bytes(), life.as_secs()), (b"Bearer a.b-c".as_slice(), 120));
        assert!(value.is_sensitive());
        assert_eq!(with("expires_in", json!(90_000)).unwrap().1.as_secs(), LIFE_S_MAX);
        for (name, value) in [
            ("access_token", json!("")),
            ("access_token", json!("a b")),
            ("access_token", json!("a\r\nx: y")),
            ("access_token", json!(1)),
            ("access_token", json!("a".repeat(TOKEN_BYTES_MAX + 1))),
            ("token_type", json!("DPoP")),
            ("token_type", Value::Null),
            ("issued_token_type", json!("urn:ietf:params:oauth:token-type:refresh_token")),
            ("expires_in", json!("120")),
            ("expires_in", json!(-1)),
            ("expires_in", json!(0)),
        ] {
            assert!(with(name, value.clone()).is_err(), "{name}: {value}");
        }
        let refused = json!({"error": "invalid_client", "error_description": "who\u{7}?"});
        let why = granted(StatusCode::UNAUTHORIZED, refused.as_object().unwrap()).unwrap_err();
        assert!(why.contains("invalid_client") && !why.contains('\u{7}'), "{why}");
    }

    #[test]
    fn room_is_made_for_the_newest() {
        let now = SystemTime::now();
        let mut held = HashMap::new();
        for n in 0..HELD_MAX {
            let until = now + Duration::from_secs(n as u64);
            held.insert(n.to_string(), Held::Failed { cause: String::new(), until });
        }
        make_room(&mut held, now);
        assert!(held.len() < HELD_MAX && !held.contains_key("0") && held.contains_key("4095"));
    }
}
