//! The other end: what the command line asks a node with.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::{HeaderValue, Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use crate::api::{
    Approval, AuditFound, AuditQuestion, AuditTail, Certificate, Csr, Document, Draining, Invites, Links,
    MintedInvite, NewInvite, Pins, Reloaded, Status, SuppressRequest, SuppressionView, Threats, Upstreams,
};
use crate::fault::Fault;
use crate::guard::Token;

/// Largest answer in bytes: a thousand audit records, or the links of a busy node.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Longest wait for an answer. A reload compiles policies; everything else takes milliseconds.
const ANSWER_MAX: Duration = Duration::from_secs(20);

mod crypto;
mod enforcement;
mod facts;
mod live;
mod subjects;

pub use live::{Seen, Tap};

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("the node's admin interface at {addr} cannot be reached: {source}; is the node running?")]
    Unreachable {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// Something else than an admin interface listens there, or the node ended meanwhile.
    #[error("what answers at {addr} is not the admin interface of a node of this version: {cause}")]
    Foreign {
        /// The address.
        addr: SocketAddr,
        /// What is wrong with the answer.
        cause: String,
    },
    /// No answer came in time.
    #[error("the node's admin interface at {addr} did not answer within {answer_s_max} s")]
    Silent {
        /// The address.
        addr: SocketAddr,
        /// How long was waited, in seconds.
        answer_s_max: u64,
    },
    /// The node refuses, and says why.
    #[error("{0}")]
    Refused(Fault),
}

/// Asks the admin interface of a node. Every question uses its own connection.
#[derive(Clone, Debug)]
pub struct Client {
    addr: SocketAddr,
    token: Token,
    answer_max: Duration,
}

impl Client {
    /// A client for the interface at `addr`, with the token of that launch.
    pub fn new(addr: SocketAddr, token: Token) -> Self {
        Self { addr, token, answer_max: ANSWER_MAX }
    }

    /// Whether the node serves calls.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the reason when it does not.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.exchange(Method::GET, "/readyz", Bytes::new()).await.map(drop)
    }

    /// The node's figures as text.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let text = self.exchange(Method::GET, "/metrics", Bytes::new()).await?;
        String::from_utf8(text.into()).map_err(|error| self.foreign(&error))
    }

    /// The node at a glance.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// The live links.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn links(&self) -> Result<Links, ClientError> {
        self.get("/v1/links").await
    }

    /// The servers behind the node.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn upstreams(&self) -> Result<Upstreams, ClientError> {
        self.get("/v1/upstreams").await
    }

    /// Makes an invite.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn invite(&self, request: &NewInvite) -> Result<MintedInvite, ClientError> {
        self.post("/v1/invites", request).await
    }

    /// The invites that the node remembers.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn invites(&self) -> Result<Invites, ClientError> {
        self.get("/v1/invites").await
    }

    /// Makes an invite unusable.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn revoke_invite(&self, id: &str) -> Result<(), ClientError> {
        let path = format!("/v1/invites/{}", segment(id));
        self.exchange(Method::DELETE, &path, Bytes::new()).await.map(drop)
    }

    /// A certificate for this machine's own agent.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn enrol_local(&self, request: &Csr) -> Result<Certificate, ClientError> {
        self.post("/v1/enrol-local", request).await
    }

    /// Tool definitions that wait for an approval.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn threats(&self) -> Result<Threats, ClientError> {
        self.get("/v1/threats").await
    }

    /// Tool definitions that are trusted.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub async fn pins(&self) -> Result<Pins, ClientError> {
        self.get("/v1/pins").await
    }

    /// Trusts one of them from now on.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn approve_threat(&self, id: &str) -> Result<Approval, ClientError> {
        let path = format!("/v1/threats/{}/approve", segment(id));
        self.document(Method::POST, &path, Bytes::new()).await
    }

    /// Has detection be silent about a finding for a while.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn suppress(&self, request: &SuppressRequest) -> Result<SuppressionView, ClientError> {
        self.post("/v1/suppressions", request).await
    }

    /// Has it speak again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn unsuppress(&self, id: &str) -> Result<SuppressionView, ClientError> {
        let path = format!("/v1/suppressions/{}/lift", segment(id));
        self.document(Method::POST, &path, Bytes::new()).await
    }

    /// The newest `count` audit records.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn audit_tail(&self, count: usize) -> Result<AuditTail, ClientError> {
        self.get(&format!("/v1/audit/tail?n={count}")).await
    }

    /// Audit records that match, the newest first.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn audit_query(&self, question: &AuditQuestion) -> Result<AuditFound, ClientError> {
        let value = serde_json::to_value(question).expect("questions are plain data");
        let members = value.as_object().into_iter().flatten();
        let pairs = members.map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}={}", segment(text)),
            None => format!("{name}={value}"),
        });
        self.get(&format!("/v1/audit/query?{}", pairs.collect::<Vec<_>>().join("&"))).await
    }

    /// Makes the node read its configuration and policies again.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        self.document(Method::POST, "/v1/reload", Bytes::new()).await
    }

    /// Makes the node drain and end.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn drain(&self) -> Result<Draining, ClientError> {
        self.document(Method::POST, "/v1/drain", Bytes::new()).await
    }

    async fn get<T: Document + DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.document(Method::GET, path, Bytes::new()).await
    }

    async fn post<T: Document + DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).expect("requests are plain data");
        self.document(Method::POST, path, body.into()).await
    }

    async fn document<T: Document + DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        #[derive(Deserialize)]
        struct Head {
            schema: String,
        }
        let answer = self.exchange(method, path, body).await?;
        let head: Head = serde_json::from_slice(&answer).map_err(|error| self.foreign(&error))?;
        if head.schema != T::SCHEMA {
            let cause = format!("it speaks {}, this program reads {}", head.schema, T::SCHEMA);
            return Err(self.odd(cause));
        }
        serde_json::from_slice(&answer).map_err(|error| self.foreign(&error))
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, ClientError> {
        let answer = tokio::time::timeout(self.answer_max, self.ask(method, path, body)).await;
        let answer_s_max = self.answer_max.as_secs();
        let (status, body) = answer.map_err(|_| ClientError::Silent { addr: self.addr, answer_s_max })??;
        if status.is_success() {
            return Ok(body);
        }
        Err(match Fault::parse(status, &body) {
            Some(fault) => ClientError::Refused(fault),
            None => self.odd(format!("it answers {status}")),
        })
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), ClientError> {
        let unreachable = |source| ClientError::Unreachable { addr: self.addr, source };
        let stream = TcpStream::connect(self.addr).await.map_err(unreachable)?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| self.foreign(&error))?;
        let exchange = async {
            let response = sender.send_request(self.request(method, path, body)?).await;
            let response = response.map_err(|error| self.foreign(&error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok((status, body.map_err(|error| self.foreign(&*error))?.to_bytes()))
        };
        let mut exchange = std::pin::pin!(exchange);
        // The connection makes progress only while it is polled; when it ends first, the exchange knows how.
        tokio::select! {
            answer = &mut exchange => answer,
            _ = connection => exchange.await,
        }
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, ClientError> {
        let bearer = HeaderValue::try_from(format!("Bearer {}", self.token.reveal()));
        let mut bearer = bearer.map_err(|error| self.foreign(&error))?;
        bearer.set_sensitive(true);
        Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.addr.to_string())
            .header(header::AUTHORIZATION, bearer)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| self.foreign(&error))
    }

    fn foreign(&self, error: &dyn Error) -> ClientError {
        // hyper says what went wrong in the innermost error.
        let mut cause = vec![error.to_string()];
        let mut inner = error.source();
        while let Some(error) = inner {
            cause.push(error.to_string());
            inner = error.source();
        }
        self.odd(cause.join(": "))
    }

    fn odd(&self, cause: String) -> ClientError {
        ClientError::Foreign { addr: self.addr, cause }
    }
}

/// A text as one segment of a path (RFC 3986). Dots are encoded too, so that no id means another path.
fn segment(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
