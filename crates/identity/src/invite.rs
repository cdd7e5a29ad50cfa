//! Invites: one-time codes with which an agent enrols.
//!
//! A code is `lg1.` and base64url JSON: where to go, which authority to expect there (the
//! fingerprint of its bundle), and a secret of 256 bits. The gateway keeps only the secret's
//! SHA-256, bound to the agent's name and to an end. Whoever stores invites asks these pure rules;
//! that an invite is used once is up to the store's compare-and-swap.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate_crypto::{digest, random};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{rfc3339, unix_seconds};
use crate::{IdentityError, SpiffeId};

/// What every code starts with.
pub const PREFIX: &str = "lg1.";
/// Longest code that is read, in bytes.
pub const CODE_BYTES_MAX: usize = 4096;
/// Life of an invite unless asked otherwise: long enough to walk to the other machine.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Longest life of an invite: it is a password until it is used.
pub const LIFETIME_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Length of the secret in bytes.
const SECRET_BYTES: usize = 32;

/// The secret of an invite. Prints as `[redacted]`, is wiped when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<[u8; SECRET_BYTES]>);

impl Secret {
    fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        random::fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// Reads the base64url form.
    ///
    /// # Errors
    /// [`IdentityError::InviteCode`] if it is not one.
    pub fn parse(text: &str) -> Result<Self, IdentityError> {
        let refused = IdentityError::InviteCode { reason: "its secret is damaged" };
        let mut bytes = Zeroizing::new([0; SECRET_BYTES]);
        match URL_SAFE_NO_PAD.decode_slice(text, bytes.as_mut_slice()) {
            Ok(SECRET_BYTES) => Ok(Self(bytes)),
            _ => Err(refused),
        }
    }

    /// The base64url form, to be sent to the pinned gateway and nowhere else.
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.as_slice()))
    }

    /// What the gateway keeps: SHA-256, lower-case hexadecimal.
    pub fn hash(&self) -> String {
        digest::hex(&digest::sha256(self.0.as_slice()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What is handed to the agent's owner.
#[derive(Clone, Debug)]
pub struct Code {
    /// The gateway's URL.
    pub endpoint: String,
    /// Fingerprint of the authority's bundle, see [`crate::TrustBundle::fingerprint`].
    pub fingerprint: String,
    /// The secret that redeems the invite.
    pub secret: Secret,
}

#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    v: u8,
    endpoint: Cow<'a, str>,
    fingerprint: Cow<'a, str>,
    // Borrowed, so that no copy of the secret is left behind. It never needs a JSON escape.
    secret: &'a str,
}

impl Code {
    /// The code as text. Secret.
    pub fn reveal(&self) -> Zeroizing<String> {
        let secret = self.secret.reveal();
        let payload = Payload {
            v: 1,
            endpoint: Cow::Borrowed(&self.endpoint),
            fingerprint: Cow::Borrowed(&self.fingerprint),
            secret: &secret,
        };
        let json = Zeroizing::new(serde_json::to_vec(&payload).expect("texts are JSON"));
        let mut code = Zeroizing::new(String::with_capacity(PREFIX.len() + json.len() * 2));
        code.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(json.as_slice(), &mut code);
        code
    }
}

impl FromStr for Code {
    type Err = IdentityError;

    /// Reads a code; space around it is ignored.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |reason| IdentityError::InviteCode { reason };
        let text = text.trim();
        if text.len() > CODE_BYTES_MAX {
            return Err(fail("it is too long"));
        }
        let body = text.strip_prefix(PREFIX).ok_or_else(|| fail("it does not start with lg1."))?;
        let json = URL_SAFE_NO_PAD.decode(body).map(Zeroizing::new);
        let json = json.map_err(|_| fail("it is incomplete or has foreign characters in it"))?;
        let payload: Payload<'_> =
            serde_json::from_slice(&json).map_err(|_| fail("it is incomplete or damaged"))?;
        if payload.v != 1 {
            return Err(fail("it was made by another version of Lockgate"));
        }
        let hexadecimal = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
        if payload.fingerprint.len() != 64 || !hexadecimal(&payload.fingerprint) {
            return Err(fail("its fingerprint is damaged"));
        }
        Ok(Self {
            endpoint: payload.endpoint.into_owned(),
            fingerprint: payload.fingerprint.to_ascii_lowercase(),
            secret: Secret::parse(payload.secret)?,
        })
    }
}

/// An invite as the gateway keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// For whom, in the words of whoever invited.
    pub name: String,
    /// The id that the agent will get.
    pub id: SpiffeId,
    /// SHA-256 of the secret, lower-case hexadecimal; the key under which to store the invite.
    pub secret_sha256: String,
    /// When it ends, Unix seconds.
    pub expires_at_s: u64,
    /// When it was used, Unix seconds.
    pub used_at_s: Option<u64>,
    /// The key that redeemed it, or the last one that was renewed from that: SHA-256 of its subject public key info,
    /// lower-case hexadecimal. Whoever proves it may come again with the used invite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl Invite {
    /// Makes an invite for the agent `NAME` of a trust domain, and the code to hand over.
    ///
    /// # Errors
    /// [`IdentityError::SpiffeId`] if the name cannot be part of an id, [`IdentityError::Range`]
    /// if the lifetime is zero or longer than [`LIFETIME_MAX`].
    pub fn mint(
        bundle: &crate::TrustBundle,
        name: &str,
        endpoint: &str,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<(Code, Self), IdentityError> {
        let (found, max) = (lifetime.as_secs(), LIFETIME_MAX.as_secs());
        if !(1..=max).contains(&found) {
            return Err(IdentityError::Range {
                what: "the life of an invite in seconds",
                min: 1,
                max,
                found,
            });
        }
        let id = SpiffeId::agent(bundle.trust_domain(), name)?;
        let secret = Secret::generate();
        let invite = Self {
            name: name.to_owned(),
            id,
            secret_sha256: secret.hash(),
            expires_at_s: unix_seconds(now) + found,
            used_at_s: None,
            key: None,
        };
        let code =
            Code { endpoint: endpoint.to_owned(), fingerprint: bundle.fingerprint().to_owned(), secret };
        Ok((code, invite))
    }

    /// Whether it can still be redeemed.
    pub fn is_open(&self, now: SystemTime) -> bool {
        self.used_at_s.is_none() && unix_seconds(now) < self.expires_at_s
    }

    /// Whether this is its secret, and this key the one that it was used for.
    pub fn is_held_by(&self, secret: &Secret, key: &str) -> bool {
        self.secret_sha256 == secret.hash() && self.used_at_s.is_some() && self.key.as_deref() == Some(key)
    }

    /// When it ends.
    pub fn expires_at(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.expires_at_s)
    }
}

/// Redeems what was stored under [`Secret::hash`], if anything was. Answers the invite as used:
/// swap it in for the stored one before anything is issued, and treat a lost race as
/// [`IdentityError::InviteUsed`].
///
/// # Errors
/// [`IdentityError::InviteUnknown`], [`IdentityError::InviteUsed`] or
/// [`IdentityError::InviteExpired`].
pub fn redeem(stored: Option<&Invite>, secret: &Secret, now: SystemTime) -> Result<Invite, IdentityError> {
    let invite =
        stored.filter(|invite| invite.secret_sha256 == secret.hash()).ok_or(IdentityError::InviteUnknown)?;
    if let Some(used_at_s) = invite.used_at_s {
        let used_at = SystemTime::UNIX_EPOCH + Duration::from_secs(used_at_s);
        return Err(IdentityError::InviteUsed { used_at: rfc3339(used_at) });
    }
    if !invite.is_open(now) {
        return Err(IdentityError::InviteExpired { expired_at: rfc3339(invite.expires_at()) });
    }
    Ok(Invite { used_at_s: Some(unix_seconds(now)), ..invite.clone() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::tests::{now, ours};

    fn mint() -> (Code, Invite) {
        let (bundle, endpoint) = (ours(), "https://gw.example.org:8443");
        Invite::mint(bundle, "claude", endpoint, LIFETIME, now()).unwrap()
    }

    #[test]
    fn a_code_comes_back_as_it_was() {
        let (code, invite) = mint();
        let text = code.reveal();
        assert!(text.starts_with(PREFIX) && text.len() < 400);
        let read: Code = format!(" {}\n", text.as_str()).parse().unwrap();
        assert_eq!(read.endpoint, "https://gw.example.org:8443");
        assert_eq!(read.fingerprint, ours().fingerprint());
        assert_eq!(read.secret.hash(), invite.secret_sha256);
        assert_eq!(invite.id.to_string(), "spiffe://example.org/agent/claude");
    }

    #[test]
    fn what_is_stored_does_not_hold_the_secret() {
        let (code, invite) = mint();
        let stored = serde_json::to_string(&invite).unwrap();
        assert!(!stored.contains(code.secret.reveal().as_str()));
        assert!(!format!("{code:?}{invite:?}").contains(code.secret.reveal().as_str()));
        assert_eq!(serde_json::from_str::<Invite>(&stored).unwrap(), invite);
        assert_ne!(mint().1.secret_sha256, invite.secret_sha256);
    }

    #[test]
    fn an_invite_works_once_and_in_time() {
        let (code, invite) = mint();
        let redeem_at =
            |invite: Option<&Invite>, after: Duration| redeem(invite, &code.secret, now() + after);
        let (early, late) = (Duration::ZERO, LIFETIME);
        let used = redeem_at(Some(&invite), LIFETIME - Duration::from_secs(1)).unwrap();
        assert!(invite.is_open(now()) && !used.is_open(now()));

        let error = redeem_at(Some(&used), early).unwrap_err();
        assert!(matches!(error, IdentityError::InviteUsed { .. }), "{error}");
        assert!(error.to_string().contains("2026-11-22T12:14:59Z"), "{error}");
        let error = redeem_at(Some(&invite), late).unwrap_err();
        assert!(matches!(error, IdentityError::InviteExpired { .. }), "{error}");
        let error = redeem_at(Some(&used), late).unwrap_err();
        assert!(matches!(error, IdentityError::InviteUsed { .. }), "{error}");
        for unknown in [None, Some(&mint().1)] {
            let error = redeem_at(unknown, early).unwrap_err();
            assert!(matches!(error, IdentityError::InviteUnknown), "{error}");
        }
    }

    #[test]
    fn invites_have_a_valid_name_and_a_limited_life() {
        let bundle = ours();
        let mint = |name, life| Invite::mint(bundle, name, "https://x", life, now());
        mint("a", LIFETIME_MAX).unwrap();
        for (name, life) in [
            ("a", LIFETIME_MAX + Duration::from_secs(1)),
            ("a", Duration::ZERO),
            ("", LIFETIME),
            ("a b", LIFETIME),
            ("../node/x", LIFETIME),
        ] {
            assert!(mint(name, life).is_err(), "{name} {life:?}");
        }
    }

    #[test]
    fn damaged_codes_say_what_is_wrong() {
        let encode = |json: &str| format!("lg1.{}", URL_SAFE_NO_PAD.encode(json));
        let secret = URL_SAFE_NO_PAD.encode([7; 32]);
        let print = "ab".repeat(32);
        let json = |v: u8, print: &str, secret: &str| {
            encode(&format!(
                r#"{{"v":{v},"endpoint":"https://x","fingerprint":"{print}","secret":"{secret}"}}"#
            ))
        };
        json(1, &print, &secret).parse::<Code>().unwrap();
        for (text, reason) in [
            (String::new(), "start with"),
            ("lg2.abc".to_owned(), "start with"),
            ("lg1.".to_owned(), "incomplete"),
            ("lg1.*".to_owned(), "foreign characters"),
            (encode("{}"), "incomplete"),
            (json(2, &print, &secret), "version"),
            (json(1, "ab", &secret), "fingerprint"),
            (json(1, &"xy".repeat(32), &secret), "fingerprint"),
            (json(1, &print, &secret[1..]), "secret"),
            (json(1, &print, ""), "secret"),
            (json(1, &print, &secret.repeat(2)), "secret"),
            (format!("lg1.{}", "A".repeat(CODE_BYTES_MAX)), "too long"),
        ] {
            let error = text.parse::<Code>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text:.60}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_code_or_an_error(body in "\\PC{0,80}", json in "\\PC{0,80}") {
            prop_assert!(body.parse::<Code>().is_err());
            let prefixed = format!("lg1.{body}");
            prop_assert!(prefixed.parse::<Code>().is_err());
            let code = format!("lg1.{}", URL_SAFE_NO_PAD.encode(json));
            prop_assert!(code.parse::<Code>().is_err());
        }

        #[test]
        fn cutting_a_code_short_never_works(cut in 0usize..100) {
            let (code, _) = mint();
            let text = code.reveal();
            let end = cut * text.len() / 100;
            prop_assert!(text[..end].parse::<Code>().is_err());
        }
    }
}
