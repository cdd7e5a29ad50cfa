//! One request to the API: its credential, its tries, its redirects.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use lockgate_identity::Caller;
use lockgate_openapi::Request as Planned;
use lockgate_transport::http::Body;
use tokio::time::{sleep, timeout_at};

use super::RestUpstream;
use crate::upstream::UpstreamError;
use crate::upstream::credential::Place;
use crate::upstream::http::unreachable;

/// Tries of one request, the first included.
const TRIES_MAX: u32 = 3;

/// Longest wait that an API can ask for (`Retry-After`), in seconds. Somebody waits for the answer.
const RETRY_AFTER_S_MAX: u64 = 10;

/// Wait before a second try that nobody asked for, in milliseconds; twice that before the third.
const BACKOFF_MS: u64 = 100;

/// Redirects of one request, each within the API.
const REDIRECTS_MAX: u32 = 3;

/// What came back.
pub(super) struct Answered {
    pub(super) status: u16,
    pub(super) media: String,
    pub(super) link: Option<String>,
    pub(super) body: Bytes,
}

impl RestUpstream {
    /// Sends a request, again where that is safe: one that certainly was not sent, and one whose method promises that twice is
    /// no more than once, when the connection broke or the API asked for another try.
    pub(super) async fn send(&self, planned: &Planned, caller: &Caller) -> Result<Answered, UpstreamError> {
        let deadline = self.deadline();
        let late = |_| UpstreamError::Timeout { what: "finish its answer", seconds: self.limits.call_s_max };
        timeout_at(deadline, self.tries(planned, caller, deadline)).await.map_err(late)?
    }

    async fn tries(
        &self,
        planned: &Planned,
        caller: &Caller,
        deadline: tokio::time::Instant,
    ) -> Result<Answered, UpstreamError> {
        let method = Method::from_bytes(planned.method.as_bytes())
            .map_err(|_| UpstreamError::Unsupported("the operation has a method that HTTP does not know"))?;
        let (is_repeatable, is_reading) = (method.is_idempotent(), method.is_safe());
        let base = self.http.endpoint().path().trim_end_matches('/').to_owned();
        let mut target = format!("{base}{}", planned.target);
        let (mut tried, mut redirected, mut renewed) = (1, 0, false);
        loop {
            let request = self.request(planned, (&method, &target), caller).await?;
            let first_byte =
                tokio::time::timeout(self.limits.first_byte(), self.http.pool().request(request));
            let answered = first_byte.await.map_err(|_| UpstreamError::Timeout {
                what: "begin its answer",
                seconds: self.limits.first_byte_s_max,
            })?;
            let response = match answered {
                Ok(response) => response,
                Err(error) => {
                    let again = tried < TRIES_MAX && (error.is_unsent() || is_repeatable);
                    let error = unreachable(error);
                    if !again || matches!(error, UpstreamError::CryptoRefused(_)) {
                        return Err(error);
                    }
                    sleep(Duration::from_millis(BACKOFF_MS << (tried - 1))).await;
                    tried += 1;
                    continue;
                }
            };
            if let Some(wait) = asked_to_wait(&response).filter(|_| is_repeatable && tried < TRIES_MAX) {
                sleep(wait).await;
                tried += 1;
                continue;
            }
            if response.status() == StatusCode::UNAUTHORIZED
                && let Some(credential) = self.http.credential().filter(|credential| credential.is_gotten())
            {
                credential.refused(caller);
                // The API has not acted on what it did not let in.
                if !std::mem::replace(&mut renewed, true) {
                    continue;
                }
            }
            if response.status().is_redirection()
                && is_reading
                && redirected < REDIRECTS_MAX
                && let Some(next) = self.within(&response, &base)
            {
                target = next;
                redirected += 1;
                continue;
            }
            return self.answered(response, deadline).await;
        }
    }

    async fn request(
        &self,
        planned: &Planned,
        (method, target): (&Method, &str),
        caller: &Caller,
    ) -> Result<Request<Full<Bytes>>, UpstreamError> {
        let malformed = || UpstreamError::Unsupported("the request cannot be written");
        let body = planned.body.as_ref().map_or_else(Bytes::new, |body| Bytes::copy_from_slice(body));
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        let mut target = target.to_owned();
        for (name, value) in &planned.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| malformed())?;
            request.headers_mut().append(name, HeaderValue::from_str(value).map_err(|_| malformed())?);
        }
        let agent = HeaderValue::from_static(concat!("lockgate/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert(header::USER_AGENT, agent);
        if let Some(credential) = self.http.credential() {
            let value = credential.value(caller).await?;
            match credential.place() {
                // In place of whatever an argument put there.
                Place::Header(name) => drop(request.headers_mut().insert(name.clone(), value)),
                Place::Query(name) => {
                    let separator = if target.contains('?') { '&' } else { '?' };
                    let value = value.to_str().map_err(|_| malformed())?;
                    target = format!("{target}{separator}{name}={}", encoded(value));
                }
                Place::Cookie(name) => {
                    let mut cookie = format!("{name}={}", encoded(value.to_str().map_err(|_| malformed())?));
                    if let Some(others) = request.headers().get(header::COOKIE).and_then(|v| v.to_str().ok())
                    {
                        cookie = format!("{others}; {cookie}");
                    }
                    let mut cookie = HeaderValue::from_str(&cookie).map_err(|_| malformed())?;
                    cookie.set_sensitive(true);
                    request.headers_mut().insert(header::COOKIE, cookie);
                }
            }
        }
        *request.uri_mut() = Uri::from(target.parse::<PathAndQuery>().map_err(|_| malformed())?);
        Ok(request)
    }

    /// Where a redirect leads, if that is within the API: what is elsewhere gets neither the credential nor the call.
    fn within(&self, response: &Response<Body>, base: &str) -> Option<String> {
        let location: Uri = response.headers().get(header::LOCATION)?.to_str().ok()?.parse().ok()?;
        let endpoint = self.http.endpoint();
        let port =
            |uri: &Uri| uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let same_origin = location.authority().is_none()
            || (location.scheme() == endpoint.scheme()
                && location.host() == endpoint.host()
                && port(&location) == port(endpoint));
        let below = location.path().strip_prefix(base).is_some_and(|rest| rest.starts_with('/'));
        let straight = !location.path().split('/').any(|segment| matches!(segment, "." | ".."));
        let target = location.path_and_query()?.as_str().to_owned();
        (same_origin && below && straight).then_some(target)
    }

    async fn answered(
        &self,
        response: Response<Body>,
        deadline: tokio::time::Instant,
    ) -> Result<Answered, UpstreamError> {
        let (parts, body) = response.into_parts();
        let text =
            |name: HeaderName| parts.headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        if text(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(UpstreamError::Malformed("it is compressed, which was not asked for".to_owned()));
        }
        let (media, link) = (text(header::CONTENT_TYPE).unwrap_or_default(), text(header::LINK));
        let body = self.http.collect(body, deadline).await?;
        Ok(Answered { status: parts.status.as_u16(), media, link, body })
    }
}

/// For how long an API asks to be left alone, if it does and the time is short.
fn asked_to_wait(response: &Response<Body>) -> Option<Duration> {
    if !matches!(response.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let seconds: u64 = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    (seconds <= RETRY_AFTER_S_MAX).then(|| Duration::from_secs(seconds))
}

/// A credential in a query or a cookie.
fn encoded(value: &str) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        match byte {
            b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
        text
    })
}
