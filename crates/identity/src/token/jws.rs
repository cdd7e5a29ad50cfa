//! The strict reader of compact JWS (RFC 7515 section 7.1), and its writer.
//!
//! It reads a closed profile: three parts in canonical base64url, a header that is one JSON object with no member
//! twice, an algorithm out of a list, and none of the members by which a token could choose its own key or change
//! how it is read (RFC 8725).

use lockgate_crypto::jose::{self, Jwk, strict};
use lockgate_crypto::{Algorithm, PrivateKey};
use serde_json::{Map, Value};

use super::{TOKEN_BYTES_MAX, TokenRefused};
use crate::IdentityError;
use crate::error::quoted;

/// Members with which a token would bring its own key, point to one, or change how it is read.
const REFUSED_MEMBERS: [&str; 9] = ["crit", "b64", "jku", "x5u", "x5c", "jwk", "zip", "enc", "p2c"];

/// Whether the header may bring a key along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnKey {
    /// No: the key is one of the issuer's.
    Refused,
    /// It must: a proof is signed with the key that it shows (RFC 9449 section 4.2).
    Required,
}

/// A token that is taken apart. Nothing in it is true until [`Compact::verified`] was asked.
#[derive(Debug)]
pub struct Compact<'t> {
    /// What the header says and the list allows.
    pub algorithm: &'static Algorithm,
    /// Name of the key.
    pub kid: Option<String>,
    /// Kind of token, as written.
    pub typ: Option<String>,
    /// The key in the header; only with [`OwnKey::Required`].
    pub key: Option<Jwk>,
    signed: &'t str,
    payload: &'t str,
    signature: Vec<u8>,
}

impl<'t> Compact<'t> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`TokenRefused`]: for what is no compact JWS, for a header with more than it may have, and for
    /// an algorithm that is not in `allowed`.
    pub fn read(
        token: &'t str,
        allowed: &[&'static Algorithm],
        own_key: OwnKey,
    ) -> Result<Self, TokenRefused> {
        let (header, rest) = split(token)?;
        let (payload, signature) = rest;
        let header = object("the header", header)?;
        let member = REFUSED_MEMBERS.iter().find(|member| header.contains_key(**member));
        match (member, own_key) {
            (Some(&"jwk"), OwnKey::Required) => {
                let other =
                    REFUSED_MEMBERS.iter().find(|name| **name != "jwk" && header.contains_key(**name));
                if let Some(member) = other {
                    return Err(TokenRefused::Header { member });
                }
            }
            (Some(member), _) => return Err(TokenRefused::Header { member }),
            (None, _) => {}
        }
        let algorithm = algorithm(&header, allowed)?;
        let key = match own_key {
            OwnKey::Refused => None,
            OwnKey::Required => Some(shown_key(&header, algorithm)?),
        };
        let signature = jose::decode(signature)
            .filter(|signature| !signature.is_empty())
            .ok_or_else(|| TokenRefused::malformed("the signature", "it is not base64url"))?;
        Ok(Self {
            algorithm,
            kid: text(&header, "kid")?,
            typ: text(&header, "typ")?,
            key,
            signed: &token[..token.len() - rest.1.len() - 1],
            payload,
            signature,
        })
    }

    /// Refuses a token of another kind. `application/` may be left out, and case does not count (RFC
    /// 7515 section 4.1.9).
    ///
    /// # Errors
    /// [`TokenRefused::Type`].
    pub fn of_type(&self, wanted: &'static str) -> Result<(), TokenRefused> {
        let typ = self.typ.as_deref().unwrap_or_default();
        if is_type(typ, wanted) {
            return Ok(());
        }
        Err(TokenRefused::Type { wanted, found: quoted(typ) })
    }

    /// The claims, if `key` signed them.
    ///
    /// # Errors
    /// [`TokenRefused::KeyMismatch`], [`TokenRefused::Signature`], and [`TokenRefused::Malformed`] for
    /// claims that are no object or have a member twice.
    pub fn verified(&self, key: &Jwk) -> Result<Map<String, Value>, TokenRefused> {
        if !key.fits(self.algorithm) {
            let kid = quoted(key.kid().unwrap_or_default());
            return Err(TokenRefused::KeyMismatch { kid, algorithm: self.algorithm.id });
        }
        key.verify(self.algorithm, self.signed.as_bytes(), &self.signature)
            .map_err(|_| TokenRefused::Signature)?;
        object("the claims", self.payload)
    }
}

/// Whether a `typ` says `wanted`.
pub(crate) fn is_type(typ: &str, wanted: &str) -> bool {
    const PREFIX: &str = "application/";
    let bare = match typ.get(..PREFIX.len()) {
        Some(start) if start.eq_ignore_ascii_case(PREFIX) => &typ[PREFIX.len()..],
        _ => typ,
    };
    bare.eq_ignore_ascii_case(wanted)
}

/// Signs claims. The header has `alg`, `typ` and, of the key, its name or all of it.
///
/// # Errors
/// [`IdentityError::Crypto`] for a key that has no name in JOSE.
pub fn sign(
    key: &PrivateKey,
    typ: &str,
    own_key: OwnKey,
    claims: &Map<String, Value>,
) -> Result<String, IdentityError> {
    let public = Jwk::of_private(key)?;
    let mut header = Map::new();
    header.insert("typ".to_owned(), typ.into());
    header.insert("alg".to_owned(), jose::name(key.algorithm())?.into());
    match own_key {
        OwnKey::Required => {
            let mut public = public.to_json();
            // RFC 9449 wants the public members; a name is none of them.
            if let Some(members) = public.as_object_mut() {
                members.retain(|name, _| !["kid", "use"].contains(&name.as_str()));
            }
            header.insert("jwk".to_owned(), public);
        }
        OwnKey::Refused => {
            header.insert("kid".to_owned(), public.thumbprint().into());
        }
    }
    let [header, claims] = [&header, claims].map(|part| {
        let json = serde_json::to_vec(part).expect("a map of JSON values is JSON");
        jose::encode(&json)
    });
    let mut token = format!("{header}.{claims}");
    let signature = jose::sign(key, token.as_bytes())?;
    token.push('.');
    token.push_str(&jose::encode(&signature));
    Ok(token)
}

/// Header, and payload with signature.
fn split(token: &str) -> Result<(&str, (&str, &str)), TokenRefused> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenRefused::TooLong { what: "the token", max: TOKEN_BYTES_MAX });
    }
    let mut parts = token.split('.');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(header), Some(payload), Some(signature), None) => Ok((header, (payload, signature))),
        _ => Err(TokenRefused::malformed("the token", "it does not have three parts")),
    }
}

fn object(part: &'static str, text: &str) -> Result<Map<String, Value>, TokenRefused> {
    let json = jose::decode(text).and_then(|bytes| String::from_utf8(bytes).ok());
    let json = json.ok_or_else(|| TokenRefused::malformed(part, "it is not base64url of UTF-8"))?;
    strict::object(&json).map_err(|flaw| TokenRefused::malformed(part, flaw))
}

/// A member of the header that, if it is there, is text of reasonable length.
fn text(header: &Map<String, Value>, name: &'static str) -> Result<Option<String>, TokenRefused> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if text.len() <= jose::KID_BYTES_MAX => Ok(Some(text.clone())),
        Some(_) => Err(TokenRefused::malformed("the header", format!("its {name} is not short text"))),
    }
}

fn algorithm(
    header: &Map<String, Value>,
    allowed: &[&'static Algorithm],
) -> Result<&'static Algorithm, TokenRefused> {
    let named = text(header, "alg")?;
    let named = named.ok_or_else(|| TokenRefused::malformed("the header", "it has no alg"))?;
    if jose::means_unsigned(&named) {
        return Err(TokenRefused::Unsigned);
    }
    if jose::means_shared_secret(&named) {
        return Err(TokenRefused::SharedSecret { found: quoted(&named) });
    }
    let found = jose::by_name(&named).ok().filter(|algorithm| allowed.contains(algorithm));
    found.ok_or_else(|| TokenRefused::Algorithm {
        found: quoted(&named),
        allowed: allowed.iter().map(|row| row.id).collect::<Vec<_>>().join(", "),
    })
}

fn shown_key(header: &Map<String, Value>, algorithm: &'static Algorithm) -> Result<Jwk, TokenRefused> {
    let Some(Value::Object(members)) = header.get("jwk") else {
        return Err(TokenRefused::malformed("the header", "it shows no key (jwk)"));
    };
    let key = Jwk::from_members(members)
        .map_err(|error| TokenRefused::malformed("the key in the header", error))?;
    if !key.fits(algorithm) {
        let kid = quoted(key.kid().unwrap_or_default());
        return Err(TokenRefused::KeyMismatch { kid, algorithm: algorithm.id });
    }
    Ok(key)
}
