//! One public key as a JSON Web Key (RFC 7517).

use std::fmt;

use serde_json::{Map, Value, json};

use super::{decode, ecdsa, encode, name, rsa, strict};
use crate::catalog::{self, Algorithm};
use crate::digest::sha256;
use crate::{CryptoError, PrivateKey, verify};

/// Longest text of one key, in bytes. The largest, ML-DSA-87, takes 3.5 kB; some sets add
/// certificates.
pub const JWK_BYTES_MAX: usize = 16 * 1024;
/// Longest `kid`, in bytes: a thumbprint has 43, other issuers use UUIDs and digests.
pub const KID_BYTES_MAX: usize = 256;

const WHAT: &str = "JSON Web Key";
/// Members that hold what must stay secret (RFC 7518 section 6, RFC 9964 section 4).
const PRIVATE_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// The families of keys: the IANA registry of `kty`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// RFC 9964: the algorithm says all.
    Akp,
    /// RFC 7518 section 6.2.
    Ec,
    /// RFC 8037.
    Okp,
    /// RFC 7518 section 6.3.
    Rsa,
}

/// A family and, where it has one, a curve: with the algorithms and the length of the public key, or of
/// a coordinate, in bytes.
struct Shape {
    family: Family,
    kty: &'static str,
    crv: Option<&'static str>,
    algorithms: &'static [&'static str],
    bytes: usize,
}

const SHAPES: [Shape; 7] = [
    Shape { family: Family::Akp, kty: "AKP", crv: None, algorithms: &["ML-DSA-44"], bytes: 1312 },
    Shape { family: Family::Akp, kty: "AKP", crv: None, algorithms: &["ML-DSA-65"], bytes: 1952 },
    Shape { family: Family::Akp, kty: "AKP", crv: None, algorithms: &["ML-DSA-87"], bytes: 2592 },
    Shape { family: Family::Ec, kty: "EC", crv: Some("P-256"), algorithms: &["ES256"], bytes: 32 },
    Shape { family: Family::Ec, kty: "EC", crv: Some("P-384"), algorithms: &["ES384"], bytes: 48 },
    Shape { family: Family::Okp, kty: "OKP", crv: Some("Ed25519"), algorithms: &["EdDSA"], bytes: 32 },
    Shape { family: Family::Rsa, kty: "RSA", crv: None, algorithms: &["RS256", "PS256"], bytes: 0 },
];

impl Shape {
    fn rows(&self) -> impl Iterator<Item = &'static Algorithm> {
        self.algorithms.iter().filter_map(|name| catalog::by_jose_name(name))
    }

    fn of(algorithm: &Algorithm) -> Option<&'static Self> {
        SHAPES.iter().find(|shape| shape.rows().any(|row| row == algorithm))
    }
}

/// A public key that verifies signatures.
///
/// Two are equal if they are the same key, whatever they are called.
#[derive(Clone)]
pub struct Jwk {
    kid: Option<String>,
    shape: &'static Shape,
    /// What signatures by it may be; more than one only for RSA, whose keys do not say.
    algorithms: Vec<&'static Algorithm>,
    /// The bits of the public key, as in `SubjectPublicKeyInfo`.
    public: Vec<u8>,
}

impl PartialEq for Jwk {
    fn eq(&self, other: &Self) -> bool {
        self.public == other.public && self.algorithms == other.algorithms
    }
}

impl Eq for Jwk {}

impl fmt::Debug for Jwk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.algorithms.iter().map(|row| row.id).collect();
        write!(f, "Jwk({}, {:?})", names.join(" or "), self.kid)
    }
}

impl Jwk {
    /// Reads a key.
    ///
    /// # Errors
    /// As [`Jwk::from_members`]; [`CryptoError::MalformedKey`] for what is no JSON object, has a member
    /// twice or is longer than [`JWK_BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        if text.len() > JWK_BYTES_MAX {
            return Err(malformed("it is longer than 16 KiB"));
        }
        Self::from_members(&strict::object(text).map_err(|flaw| CryptoError::malformed(WHAT, flaw))?)
    }

    /// Reads the members of a key.
    ///
    /// # Errors
    /// [`CryptoError::MalformedKey`] for a key that is secret, not for verifying, or whose members do
    /// not fit each other; [`CryptoError::UnusableAlgorithm`] for a family, curve or algorithm that is
    /// not known here.
    pub fn from_members(members: &Map<String, Value>) -> Result<Self, CryptoError> {
        if PRIVATE_MEMBERS.iter().any(|member| members.contains_key(*member)) {
            return Err(malformed("it holds a private key; whoever published it must replace it"));
        }
        check_use(members)?;
        let kid = text(members, "kid")?.map(str::to_owned);
        if kid.as_ref().is_some_and(|kid| kid.is_empty() || kid.len() > KID_BYTES_MAX) {
            return Err(malformed("its kid is empty or too long"));
        }
        let (kty, crv, alg) = (text(members, "kty")?, text(members, "crv")?, text(members, "alg")?);
        let kty = kty.ok_or_else(|| malformed("it has no kty"))?;
        let stated = alg.map(super::by_name).transpose()?;
        let mut shapes = SHAPES.iter().filter(|shape| shape.kty == kty);
        let shape = shapes.find(|shape| match shape.family {
            Family::Akp => stated.is_some_and(|alg| shape.rows().any(|row| row == alg)),
            _ => shape.crv == crv,
        });
        let known = SHAPES.iter().any(|shape| shape.kty == kty);
        let shape = shape.ok_or_else(|| match (known, kty, crv) {
            (true, "AKP", _) => malformed("its alg is missing or does not fit its kty"),
            (true, _, Some(crv)) => CryptoError::unusable(&shown(crv), "no curve of that name is known here"),
            (true, ..) => malformed("its crv is missing"),
            _ => CryptoError::unusable(&shown(kty), "no kty of that name is known here"),
        })?;
        let algorithms: Vec<_> = shape.rows().filter(|row| stated.is_none_or(|alg| alg == *row)).collect();
        if algorithms.is_empty() {
            return Err(malformed("its alg does not fit its kty and crv"));
        }
        Ok(Self { kid, shape, algorithms, public: public_key(shape, members)? })
    }

    /// The public half of a private key, named by its thumbprint.
    ///
    /// # Errors
    /// As [`Jwk::from_spki`].
    pub fn of_private(key: &PrivateKey) -> Result<Self, CryptoError> {
        Self::from_spki(&key.spki_der())
    }

    /// The key in a DER `SubjectPublicKeyInfo`, named by its thumbprint.
    ///
    /// # Errors
    /// [`CryptoError::UnusableAlgorithm`] for an algorithm that has no name in JOSE, such as a
    /// composite; [`CryptoError::MalformedKey`] and [`CryptoError::UnsupportedKey`].
    pub fn from_spki(spki_der: &[u8]) -> Result<Self, CryptoError> {
        let (row, public) = verify::read_spki(spki_der)?;
        name(row)?;
        let shape = Shape::of(row).expect("each algorithm with a name has a shape, as a test says");
        let mut key = Self { kid: None, shape, algorithms: vec![row], public: public.to_vec() };
        if key.public_members().is_none() {
            return Err(malformed("the public key does not have the length of its algorithm"));
        }
        key.kid = Some(key.thumbprint());
        Ok(key)
    }

    /// What the key is called (RFC 7517 section 4.5).
    #[must_use]
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// What signatures by the key may be.
    #[must_use]
    pub fn algorithms(&self) -> &[&'static Algorithm] {
        &self.algorithms
    }

    /// Whether the key may be used with `algorithm`.
    #[must_use]
    pub fn fits(&self, algorithm: &Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// Verifies a signature in the form that JOSE has.
    ///
    /// # Errors
    /// [`CryptoError::UnusableAlgorithm`] if the key is for something else,
    /// [`CryptoError::BadSignature`].
    pub fn verify(
        &self,
        algorithm: &'static Algorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), CryptoError> {
        if !self.fits(algorithm) {
            return Err(CryptoError::unusable(algorithm.id, "the key is for another algorithm"));
        }
        let refused = || CryptoError::BadSignature { algorithm: algorithm.id };
        let converted = match ecdsa::width(algorithm) {
            Some(width) => Some(ecdsa::to_der(signature, width).ok_or_else(refused)?),
            None => None,
        };
        let signature = converted.as_deref().unwrap_or(signature);
        let verifier = verify::implementations(algorithm).first().ok_or_else(refused)?;
        verifier.verify_signature(&self.public, message, signature).map_err(|_| refused())
    }

    /// The thumbprint (RFC 7638, RFC 9964 section 6): SHA-256 over the members that make the key, in
    /// base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        // RFC 7638 wants the members sorted and nothing between them; none needs an escape.
        let mut members = self.public_members().expect("a key is made with a public key that fits");
        members.push(("kty", self.shape.kty.to_owned()));
        members.extend(self.shape.crv.map(|crv| ("crv", crv.to_owned())));
        if self.shape.family == Family::Akp {
            members.push(("alg", self.algorithms[0].jose[0].to_owned()));
        }
        members.sort_unstable();
        let members = members.iter().map(|(name, value)| format!("\"{name}\":\"{value}\""));
        let canonical = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        encode(&sha256(canonical.as_bytes()))
    }

    /// The key as JSON, with `use` and, where it has only one, `alg`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut key = json!({ "kty": self.shape.kty, "use": "sig" });
        let public = self.public_members().expect("a key is made with a public key that fits");
        for (name, value) in public {
            key[name] = value.into();
        }
        if let [algorithm] = self.algorithms.as_slice() {
            key["alg"] = algorithm.jose[0].into();
        }
        if let Some(crv) = self.shape.crv {
            key["crv"] = crv.into();
        }
        if let Some(kid) = &self.kid {
            key["kid"] = kid.as_str().into();
        }
        key
    }

    /// The members that hold the public key, in base64url; `None` if its length is not that of its shape.
    fn public_members(&self) -> Option<Vec<(&'static str, String)>> {
        let (shape, public) = (self.shape, self.public.as_slice());
        match shape.family {
            Family::Akp => (public.len() == shape.bytes).then(|| vec![("pub", encode(public))]),
            Family::Okp => (public.len() == shape.bytes).then(|| vec![("x", encode(public))]),
            Family::Ec => {
                let point = public.strip_prefix(&[UNCOMPRESSED])?;
                let (x, y) = point.split_at_checked(shape.bytes)?;
                (y.len() == shape.bytes).then(|| vec![("x", encode(x)), ("y", encode(y))])
            }
            Family::Rsa => {
                let (n, e) = rsa::numbers(public)?;
                Some(vec![("n", encode(&n)), ("e", encode(&e))])
            }
        }
    }
}

/// First byte of a point that is written with both coordinates (SEC 1 section 2.3.3).
const UNCOMPRESSED: u8 = 4;

/// The bits of the public key out of its members.
fn public_key(shape: &Shape, members: &Map<String, Value>) -> Result<Vec<u8>, CryptoError> {
    let bytes = |member: &'static str| -> Result<Vec<u8>, CryptoError> {
        let text = text(members, member)?;
        let text = text.ok_or_else(|| CryptoError::malformed(WHAT, format!("it has no {member}")))?;
        decode(text).ok_or_else(|| CryptoError::malformed(WHAT, format!("its {member} is not base64url")))
    };
    let sized = |member: &'static str| -> Result<Vec<u8>, CryptoError> {
        let bytes = bytes(member)?;
        let fits = bytes.len() == shape.bytes;
        let wrong = || CryptoError::malformed(WHAT, format!("its {member} has another length"));
        fits.then_some(bytes).ok_or_else(wrong)
    };
    match shape.family {
        Family::Akp => sized("pub"),
        Family::Okp => sized("x"),
        Family::Ec => Ok([vec![UNCOMPRESSED], sized("x")?, sized("y")?].concat()),
        Family::Rsa => rsa::public_key(&bytes("n")?, &bytes("e")?).map_err(malformed),
    }
}

/// A key that says what it is for is for verifying (RFC 7517 sections 4.2 and 4.3).
fn check_use(members: &Map<String, Value>) -> Result<(), CryptoError> {
    if text(members, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(malformed("its use is not sig"));
    }
    match members.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(ops)) if ops.iter().any(|op| op == "verify") => Ok(()),
        Some(_) => Err(malformed("its key_ops do not have verify")),
    }
}

/// A member that, if it is there, is text.
fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Result<Option<&'m str>, CryptoError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(CryptoError::malformed(WHAT, format!("its {name} is not text"))),
    }
}

/// Text of whoever published the key, short enough for a message.
fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

fn malformed(reason: &str) -> CryptoError {
    CryptoError::malformed(WHAT, reason)
}

#[cfg(test)]
pub(super) mod test_shapes {
    use super::*;

    /// Whether each algorithm that has a name in JOSE has one shape.
    pub(crate) fn cover(algorithm: &Algorithm) -> usize {
        SHAPES.iter().filter(|shape| shape.rows().any(|row| row == algorithm)).count()
    }
}
