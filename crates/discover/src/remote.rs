//! JSON documents of services that are trusted by their certificates: the registry, and the API of a cluster. Read only.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use http::{Request, Uri};
use http_body_util::{BodyExt as _, Full};
use lockgate_identity::Leaf;
use lockgate_identity::verifier::ForeignRoots;
use lockgate_transport::http::{Limits, Pool, Target};
use lockgate_transport::{Dialer, Trust, dialer};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use zeroize::Zeroizing;

/// Bytes of one document; lists come in pages.
const DOCUMENT_BYTES_MAX: usize = 16 << 20;
/// Milliseconds for one document.
const ANSWER_MS_MAX: u64 = 15_000;

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address cannot be used.
    #[error("{0}")]
    Address(String),
    /// Nobody answers, or nobody who is believed.
    #[error("{0}")]
    Unreachable(String),
    /// It refuses.
    #[error("it answered {status} to {path}")]
    Refused {
        /// Status code.
        status: u16,
        /// What was asked for.
        path: String,
    },
    /// What came is not what was asked for.
    #[error("{0}")]
    Malformed(String),
}

/// How a service is reached.
pub struct Access {
    /// `https://HOST[:PORT][/PATH]`, or `http://` on loopback.
    pub base: String,
    /// Whom to believe; the system's roots unless given.
    pub roots: Option<ForeignRoots>,
    /// Who we are.
    pub leaf: Option<Leaf>,
    /// A token, which is sent over TLS alone.
    pub token: Option<Zeroizing<String>>,
}

/// Reads documents of one service.
pub struct Remote {
    pool: Pool,
    prefix: String,
    token: Option<HeaderValue>,
}

impl Remote {
    /// A reader for one service.
    ///
    /// # Errors
    /// [`RemoteError::Address`].
    pub fn new(access: Access) -> Result<Self, RemoteError> {
        let address = |why: String| RemoteError::Address(why);
        let uri: Uri = access.base.parse().map_err(|_| address(format!("\"{}\" is no URL", access.base)))?;
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let dialer = match uri.scheme_str() {
            Some("https") => tls(&access).map_err(address)?,
            Some("http") if crate::assemble::is_loopback(&access.base) && access.token.is_none() => {
                Dialer::plain(dialer::Limits::default())
            }
            _ => return Err(address(format!("{host} is reached by https:// only"))),
        };
        let target = Target::new(&uri, Arc::new(dialer)).map_err(|error| address(error.to_string()))?;
        let token = access.token.map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.trim()))
                .map_err(|_| address("the token has letters that no header can have".to_owned()))?;
            value.set_sensitive(true);
            Ok(value)
        });
        let prefix = uri.path().trim_end_matches('/').to_owned();
        let few = Limits { links_max: 2, idle_max: 1, ..Limits::default() };
        Ok(Self { pool: Pool::new(target, few), prefix, token: token.transpose()? })
    }

    /// One document.
    ///
    /// # Errors
    /// [`RemoteError`].
    pub async fn get(&self, path: &str) -> Result<Value, RemoteError> {
        let mut request = Request::new(Full::new(Bytes::new()));
        let uri = format!("{}{path}", self.prefix);
        *request.uri_mut() =
            uri.parse().map_err(|_| RemoteError::Address(format!("\"{uri}\" is no path")))?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("lockgate-discover"));
        if let Some(token) = &self.token {
            request.headers_mut().insert(AUTHORIZATION, token.clone());
        }
        let deadline = Instant::now() + Duration::from_millis(ANSWER_MS_MAX);
        let late = || RemoteError::Unreachable(format!("no answer within {ANSWER_MS_MAX} ms"));
        let answer = timeout_at(deadline, self.pool.request(request)).await.map_err(|_| late())?;
        let (parts, mut body) =
            answer.map_err(|error| RemoteError::Unreachable(error.to_string()))?.into_parts();
        if parts.status != http::StatusCode::OK {
            let path = path.split('?').next().unwrap_or_default().to_owned();
            return Err(RemoteError::Refused { status: parts.status.as_u16(), path });
        }
        let mut bytes = Vec::new();
        while let Some(frame) = timeout_at(deadline, body.frame()).await.map_err(|_| late())? {
            let frame = frame.map_err(|error| RemoteError::Unreachable(error.to_string()))?;
            let Ok(mut data) = frame.into_data() else { continue };
            if bytes.len() + data.remaining() > DOCUMENT_BYTES_MAX {
                return Err(RemoteError::Malformed(format!(
                    "a document of more than {DOCUMENT_BYTES_MAX} bytes"
                )));
            }
            bytes.extend_from_slice(&data.copy_to_bytes(data.remaining()));
        }
        serde_json::from_slice(&bytes).map_err(|error| RemoteError::Malformed(error.to_string()))
    }
}

fn tls(access: &Access) -> Result<Dialer, String> {
    let profile = lockgate_crypto::profile::find("pq-transition").map_err(|error| error.to_string())?;
    let suite = profile.compile(1).map_err(|error| error.to_string())?;
    let roots = match &access.roots {
        Some(roots) => roots.clone(),
        None => ForeignRoots::system().map_err(|error| error.to_string())?,
    };
    let trust = Trust::foreign(&roots);
    let dialer = Dialer::new(suite, access.leaf.as_ref(), trust, dialer::Limits::default());
    dialer.map_err(|error| error.to_string())
}
