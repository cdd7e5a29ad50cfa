//! Claims, read by their types: what is there and is of another type is an error, never absent.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::{CLOCK_SKEW, TokenRefused};
use crate::error::unix_seconds;

/// Longest text claim that is read, in bytes; a SPIFFE id has 2048 at most.
pub(crate) const CLAIM_BYTES_MAX: usize = 2048;
/// Most entries of `aud`.
const AUDIENCES_MAX: usize = 16;
/// Latest moment that is read: the end of the year 9999.
const LAST_S: u64 = 253_402_300_799;

/// The claims of a token that was verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claims<'c>(pub(crate) &'c Map<String, Value>);

/// When a token lives, Unix seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) issued_at: Option<u64>,
    pub(crate) expires_at: u64,
}

impl<'c> Claims<'c> {
    /// A text that must be there and not be empty.
    pub(crate) fn text(self, name: &'static str) -> Result<&'c str, TokenRefused> {
        self.text_if(name)?.ok_or(TokenRefused::claim(name, "is missing"))
    }

    /// A text that may be missing.
    pub(crate) fn text_if(self, name: &'static str) -> Result<Option<&'c str>, TokenRefused> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.is_empty() => Err(TokenRefused::claim(name, "is empty")),
            Some(Value::String(text)) if text.len() > CLAIM_BYTES_MAX => {
                Err(TokenRefused::claim(name, "is longer than 2048 bytes"))
            }
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(TokenRefused::claim(name, "is not text")),
        }
    }

    /// A moment in whole Unix seconds that must be there.
    pub(crate) fn seconds(self, name: &'static str) -> Result<u64, TokenRefused> {
        self.seconds_if(name)?.ok_or(TokenRefused::claim(name, "is missing"))
    }

    /// A moment that may be missing.
    pub(crate) fn seconds_if(self, name: &'static str) -> Result<Option<u64>, TokenRefused> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => {
                let seconds = value.as_u64().filter(|seconds| *seconds <= LAST_S);
                seconds.map(Some).ok_or(TokenRefused::claim(name, "is not a time in whole seconds"))
            }
        }
    }

    /// `aud`, as one text or a list of them (RFC 7519 section 4.1.3).
    pub(crate) fn audiences(self) -> Result<Vec<&'c str>, TokenRefused> {
        let refused = |why| TokenRefused::claim("aud", why);
        match self.0.get("aud") {
            Some(Value::String(_)) => Ok(vec![self.text("aud")?]),
            Some(Value::Array(entries)) if entries.is_empty() => Err(refused("is empty")),
            Some(Value::Array(entries)) if entries.len() > AUDIENCES_MAX => {
                Err(refused("has too many entries"))
            }
            Some(Value::Array(entries)) => {
                let texts = entries.iter().map(|entry| entry.as_str().ok_or(refused("is not text")));
                texts.collect()
            }
            Some(_) => Err(refused("is not text")),
            None => Err(refused("is missing")),
        }
    }

    /// An object that may be missing.
    pub(crate) fn object_if(
        self,
        name: &'static str,
    ) -> Result<Option<&'c Map<String, Value>>, TokenRefused> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Ok(Some(object)),
            Some(_) => Err(TokenRefused::claim(name, "is not an object")),
        }
    }

    /// Judges `exp`, `nbf` and `iat`. A token is over in the second in which it expires; it may begin
    /// up to `skew` ahead of our clock.
    pub(crate) fn times(self, now: SystemTime, skew: Duration) -> Result<Times, TokenRefused> {
        let (now, skew) = (unix_seconds(now), skew.as_secs());
        let expires_at = self.seconds("exp")?;
        let issued_at = self.seconds_if("iat")?;
        let begins = issued_at.max(self.seconds_if("nbf")?);
        if expires_at <= now {
            return Err(TokenRefused::Expired { exp: expires_at, ago_s: now - expires_at });
        }
        if let Some(begins) = begins.filter(|begins| *begins > now + skew) {
            return Err(TokenRefused::NotYetValid { in_s: begins - now });
        }
        if issued_at.is_some_and(|issued_at| issued_at >= expires_at) {
            return Err(TokenRefused::claim("exp", "is not after iat"));
        }
        Ok(Times { issued_at, expires_at })
    }
}

impl Times {
    /// Refuses a life longer than `max`, counted from its beginning or, if it says none, from now.
    pub(crate) fn at_most(self, max: Duration, now: SystemTime) -> Result<(), TokenRefused> {
        let begin = self.issued_at.unwrap_or(unix_seconds(now));
        let found_s = self.expires_at.saturating_sub(begin);
        let max_s = max.as_secs();
        if found_s > max_s {
            return Err(TokenRefused::LivesTooLong { found_s, max_s });
        }
        Ok(())
    }
}

/// How far a proof's `iat` may be from now: made up to a minute ago, by a clock up to half a minute ahead.
pub(crate) const PROOF_AGE_MAX: Duration = Duration::from_secs(60);

/// Judges the `iat` of a proof.
pub(crate) fn proof_time(claims: Claims<'_>, now: SystemTime) -> Result<u64, TokenRefused> {
    let (now, made) = (unix_seconds(now), claims.seconds("iat")?);
    let (off_s, max) = match made > now {
        true => (made - now, CLOCK_SKEW),
        false => (now - made, PROOF_AGE_MAX),
    };
    let max_s = max.as_secs();
    if off_s > max_s {
        return Err(TokenRefused::ProofTime { off_s, max_s });
    }
    Ok(made)
}
