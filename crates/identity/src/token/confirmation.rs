//! What a token is bound to (`cnf`, RFC 7800), and whether that was met.

use std::fmt;

use lockgate_crypto::jose;
use serde_json::{Map, Value, json};

use super::TokenRefused;

/// Length of a SHA-256 digest in bytes.
const DIGEST_BYTES: usize = 32;
/// Members of `cnf`.
const CERTIFICATE: &str = "x5t#S256";
const KEY: &str = "jkt";
/// Ours: SHA-256 of what RFC 9266 exports from the connection.
const CONNECTION: &str = "tls_exporter#S256";

/// What must be proven by whoever uses a token. There is no "nothing".
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Confirmation {
    /// The private key of a certificate, in the handshake: SHA-256 of its DER (RFC 8705 section 3.1).
    Certificate([u8; DIGEST_BYTES]),
    /// A private key, by a proof with each request or once a connection: its thumbprint (RFC 9449 section 6.1).
    Key(String),
    /// To be on this connection: SHA-256 of its exporter value (RFC 9266).
    Connection([u8; DIGEST_BYTES]),
}

/// What is proven about the other end of a link, and about a request on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// SHA-256 of the DER of the certificate that the handshake proved.
    pub certificate_sha256: Option<[u8; DIGEST_BYTES]>,
    /// Thumbprint of the key that a proof was made with ([`super::dpop`], [`super::bind`]).
    pub key: Option<String>,
    /// SHA-256 of the connection's exporter value.
    pub connection_sha256: Option<[u8; DIGEST_BYTES]>,
}

impl fmt::Debug for Confirmation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(_) => f.write_str("Certificate"),
            Self::Key(thumbprint) => write!(f, "Key({thumbprint})"),
            Self::Connection(_) => f.write_str("Connection"),
        }
    }
}

impl Confirmation {
    /// Reads `cnf`: one member, of those that are known. Two would leave open which one counts.
    ///
    /// # Errors
    /// [`TokenRefused::Claim`].
    pub fn read(cnf: &Map<String, Value>) -> Result<Self, TokenRefused> {
        let refused = |why| TokenRefused::claim("cnf", why);
        let mut members = cnf.iter();
        let (Some((name, value)), None) = (members.next(), members.next()) else {
            return Err(refused("does not have exactly one member"));
        };
        let text = value.as_str().ok_or(refused("is not text"))?;
        let digest = jose::decode(text).and_then(|bytes| <[u8; DIGEST_BYTES]>::try_from(bytes).ok());
        let digest = digest.ok_or(refused("is not a SHA-256 digest in base64url"))?;
        match name.as_str() {
            CERTIFICATE => Ok(Self::Certificate(digest)),
            KEY => Ok(Self::Key(text.to_owned())),
            CONNECTION => Ok(Self::Connection(digest)),
            _ => Err(refused("names a way of binding that is not known here")),
        }
    }

    /// The value of `cnf`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Certificate(digest) => json!({ CERTIFICATE: jose::encode(digest) }),
            Self::Key(thumbprint) => json!({ KEY: thumbprint }),
            Self::Connection(digest) => json!({ CONNECTION: jose::encode(digest) }),
        }
    }

    /// Whether what is held is what the token is bound to.
    ///
    /// # Errors
    /// [`TokenRefused::OtherCertificate`], [`TokenRefused::NoProof`], [`TokenRefused::OtherKey`] or
    /// [`TokenRefused::OtherConnection`].
    pub fn check(&self, held: &Held) -> Result<(), TokenRefused> {
        let refused = match self {
            Self::Certificate(wanted) => {
                (held.certificate_sha256.as_ref() != Some(wanted)).then_some(TokenRefused::OtherCertificate)
            }
            Self::Key(wanted) => match &held.key {
                None => Some(TokenRefused::NoProof),
                Some(key) => (key != wanted).then_some(TokenRefused::OtherKey),
            },
            Self::Connection(wanted) => {
                (held.connection_sha256.as_ref() != Some(wanted)).then_some(TokenRefused::OtherConnection)
            }
        };
        refused.map_or(Ok(()), Err)
    }
}
