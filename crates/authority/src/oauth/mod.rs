//! The token endpoint (RFC 6749, section 3.2): attestation, a certificate or another token become an access token of
//! minutes, for one resource, always bound to a key.
//!
//! Three grants, none with a secret:
//! - `urn:ietf:params:oauth:grant-type:jwt-bearer` (RFC 7523): a token of somebody whom the configuration trusts,
//! - `client_credentials` over a link that proved a certificate of ours (RFC 8705, section 2),
//! - `urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693): one of our tokens becomes a narrower one, for its
//!   holder, or for an agent that acts in its name.
//!
//! There are no refresh tokens: who needs another token shows its evidence again.

mod answer;
mod endpoint;
mod form;
mod grants;
mod metadata;
mod pace;

pub use answer::{Asked, Denied, Granted, Link};
pub use endpoint::{Parts, TokenEndpoint};
pub(crate) use form::encode;
pub use form::{FORM_BYTES_MAX, Form, FormError};
pub use metadata::{JWKS, METADATA, REVOKE, TOKEN};
pub use pace::{ASKS_PER_MINUTE_MAX, Pace};
