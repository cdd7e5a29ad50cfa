//! Where the next certificate comes from.

use lockgate_transport::http::Pool;
use serde::{Deserialize, Serialize};

use crate::TunnelError;
use crate::service;

/// Issues certificates for an agent's new keys. The key stays here; only the request for its certificate travels.
pub trait Issue: Send + Sync {
    /// Gets a certificate (PEM) for a PKCS#10 request (RFC 2986, PEM). `pool` is the tunnel as it is now: while a
    /// link of the old cryptography is still up, it is the way to a certificate of the new one.
    ///
    /// # Errors
    /// [`TunnelError`]; [`TunnelError::is_temporary`] decides whether the same is asked again.
    fn issue(
        &self,
        pool: &Pool,
        request_pem: &str,
    ) -> impl Future<Output = Result<String, TunnelError>> + Send;
}

/// The gateway issues it, to whoever holds a link that proves the certificate of today.
#[derive(Debug, Clone, Copy, Default)]
pub struct Gateway;

/// A request for the next certificate, as `proxy::wellknown` reads it.
#[derive(Serialize)]
struct Renew<'a> {
    csr: &'a str,
}

/// What of the answer counts here: the id and the dates are read from the certificate itself, and the roots that come
/// with it are not trusted for coming with it.
#[derive(Deserialize)]
struct Renewed {
    certificate: String,
}

impl Issue for Gateway {
    async fn issue(&self, pool: &Pool, request_pem: &str) -> Result<String, TunnelError> {
        let request = service::post(service::RENEW, &Renew { csr: request_pem });
        let renewed: Renewed = service::ask_json(pool, request).await?;
        Ok(renewed.certificate)
    }
}
