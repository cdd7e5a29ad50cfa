//! Asking issuers and API servers over HTTP: bounded in time and size, without redirects, and never in the clear but on
//! this machine itself.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use lockgate_transport::http::{Limits, Pool, Target};
use lockgate_transport::{Dialer, dialer};
use zeroize::Zeroizing;

use crate::AuthorityError;

/// Largest answer, in bytes: that of the largest JWK Set that is read.
const ANSWER_BYTES_MAX: usize = 512 << 10;
/// Longest wait for a whole answer, in seconds.
const ANSWER_S_MAX: u64 = 5;

/// How others are asked. Cheap to clone.
#[derive(Clone)]
pub struct Outside {
    tls: Option<Arc<Dialer>>,
    plain: Arc<Dialer>,
}

impl Outside {
    /// With a dialer for https, which knows whose certificates are trusted.
    pub fn new(tls: Arc<Dialer>) -> Self {
        Self { tls: Some(tls), plain: Arc::new(Dialer::plain(dialer::Limits::default())) }
    }

    /// For what is asked on this machine alone; https is refused.
    pub fn plain() -> Self {
        let plain = Arc::new(Dialer::plain(dialer::Limits::default()));
        Self { tls: None, plain }
    }

    /// A document.
    ///
    /// # Errors
    /// [`AuthorityError::Unreachable`].
    pub(super) async fn get(&self, uri: &Uri) -> Result<Bytes, AuthorityError> {
        self.succeed(uri, Method::GET, Bytes::new(), None).await
    }

    /// The answer to a form, whatever its status: a token endpoint says in its body why it refuses (RFC 6749, section 5.2).
    ///
    /// # Errors
    /// [`AuthorityError::Unreachable`].
    pub(crate) async fn form(&self, uri: &Uri, form: Bytes) -> Result<(StatusCode, Bytes), AuthorityError> {
        let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
        self.ask(uri, Method::POST, form, Some((kind, None))).await
    }

    /// The answer to a JSON document, with a token that permits to ask.
    ///
    /// # Errors
    /// [`AuthorityError::Unreachable`].
    pub(super) async fn post(
        &self,
        uri: &Uri,
        json: Bytes,
        bearer: &Zeroizing<String>,
    ) -> Result<Bytes, AuthorityError> {
        let kind = HeaderValue::from_static("application/json");
        self.succeed(uri, Method::POST, json, Some((kind, Some(bearer)))).await
    }

    /// The body of an answer that is one.
    async fn succeed(
        &self,
        uri: &Uri,
        method: Method,
        body: Bytes,
        sent: Option<(HeaderValue, Option<&Zeroizing<String>>)>,
    ) -> Result<Bytes, AuthorityError> {
        match self.ask(uri, method, body, sent).await? {
            (StatusCode::OK | StatusCode::CREATED, body) => Ok(body),
            (status, _) => Err(AuthorityError::Unreachable {
                what: uri.to_string(),
                cause: format!("it answered {status}"),
            }),
        }
    }

    /// Asks, with the type of what is sent, and the token by which it may be asked.
    async fn ask(
        &self,
        uri: &Uri,
        method: Method,
        body: Bytes,
        sent: Option<(HeaderValue, Option<&Zeroizing<String>>)>,
    ) -> Result<(StatusCode, Bytes), AuthorityError> {
        let unreachable = |cause: String| AuthorityError::Unreachable { what: uri.to_string(), cause };
        let asked = async {
            let target =
                Target::new(uri, self.dialer(uri)?).map_err(|error| unreachable(error.to_string()))?;
            let pool = Pool::new(target, Limits { links_max: 1, ..Limits::default() });
            let mut request = Request::new(Full::new(body));
            *request.method_mut() = method;
            *request.uri_mut() = uri.clone();
            let json = HeaderValue::from_static("application/json");
            request.headers_mut().insert(header::ACCEPT, json);
            let (kind, bearer) = sent.map_or((None, None), |(kind, bearer)| (Some(kind), bearer));
            if let Some(kind) = kind {
                request.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
            if let Some(bearer) = bearer {
                let value = Zeroizing::new(format!("Bearer {}", bearer.as_str()));
                let mut value = HeaderValue::from_str(&value).map_err(|_| {
                    unreachable("the token by which it is asked cannot stand in a header".to_owned())
                })?;
                value.set_sensitive(true);
                request.headers_mut().insert(header::AUTHORIZATION, value);
            }
            let response = pool.request(request).await.map_err(|error| unreachable(error.to_string()))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| unreachable(error.to_string()))?;
            Ok((status, body.to_bytes()))
        };
        let answer = tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), asked).await;
        answer.unwrap_or_else(|_| Err(unreachable(format!("no answer within {ANSWER_S_MAX} s"))))
    }

    fn dialer(&self, uri: &Uri) -> Result<Arc<Dialer>, AuthorityError> {
        match uri.scheme_str() {
            Some("https") => self.tls.clone().ok_or_else(|| AuthorityError::Unreachable {
                what: uri.to_string(),
                cause: "whoever is asked without TLS must not lead elsewhere".to_owned(),
            }),
            Some("http") if is_loopback(uri) => Ok(Arc::clone(&self.plain)),
            _ => Err(AuthorityError::Unreachable {
                what: uri.to_string(),
                cause: "only https is taken, and http on loopback addresses".to_owned(),
            }),
        }
    }
}

/// Whether a URL names an address of this machine; a name that only leads to one is not enough.
pub(super) fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
