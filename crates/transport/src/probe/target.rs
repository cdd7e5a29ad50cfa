//! The endpoint that is probed: connections to it, at a bounded rate, and raw questions.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::hello::Hello;
use super::wire::{Malformed, Parser, ServerAnswer};
use super::{Limits, ProbeError};

/// Times that a connection is tried again, with [`RETRY_MS`] in between: a busy server may refuse one.
const RETRIES_MAX: u32 = 2;
/// Milliseconds before a connection is tried again.
const RETRY_MS: u64 = 250;
/// Bytes that are read at once.
const READ_BYTES: usize = 4096;

/// One address of the endpoint.
pub(super) struct Target<'a> {
    pub(super) limits: &'a Limits,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) address: SocketAddr,
    /// For whom the handshakes are.
    pub(super) name: ServerName<'static>,
    pub(super) began: SystemTime,
    pub(super) since: Instant,
    /// Connections made.
    pub(super) connections: u32,
    /// When the next one may be made.
    next: Instant,
}

/// What came back after a raw hello.
#[derive(Debug)]
pub(super) enum Reply {
    Answer(ServerAnswer),
    /// The connection was closed or reset without an answer.
    Closed,
    /// Nothing came in time.
    Silent,
    Malformed(Malformed),
}

impl<'a> Target<'a> {
    /// Finds an address of `host` that takes connections; the probe stays with it.
    pub(super) async fn connect(
        host: &str,
        port: u16,
        name: ServerName<'static>,
        limits: &'a Limits,
    ) -> Result<Self, ProbeError> {
        let (began, since) = (SystemTime::now(), Instant::now());
        let limit = Duration::from_millis(limits.connect_ms_max);
        let unresolved = |source| ProbeError::Resolve { host: host.to_owned(), source };
        let addresses = timeout(limit, tokio::net::lookup_host((host, port))).await;
        let addresses = addresses.map_err(|_| unresolved(late()))?.map_err(unresolved)?;
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for address in addresses.take(ADDRESSES_MAX) {
            match open(address, limits).await {
                Ok(_) => {
                    let host = host.to_owned();
                    let (connections, next) = (1, Instant::now());
                    return Ok(Self { limits, host, port, address, name, began, since, connections, next });
                }
                Err(error) => last = error,
            }
        }
        Err(ProbeError::Connect { host: host.to_owned(), port, source: last })
    }

    /// The name for the server_name extension, which is for names alone (RFC 6066 section 3).
    pub(super) fn dns_name(&self) -> Option<String> {
        match &self.name {
            ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
            _ => None,
        }
    }

    /// A new connection, when its turn has come, and how long it took.
    pub(super) async fn open(&mut self) -> Result<(TcpStream, Duration), ProbeError> {
        let mut tries = 0;
        loop {
            if self.connections >= self.limits.connections_max {
                let connections_max = self.limits.connections_max;
                return Err(ProbeError::Connections { address: self.address, connections_max });
            }
            sleep_until(self.next).await;
            let began = Instant::now();
            self.next = began + Duration::from_secs(1) / self.limits.connections_per_s_max.max(1);
            self.connections += 1;
            match open(self.address, self.limits).await {
                Ok(stream) => return Ok((stream, began.elapsed())),
                Err(_) if tries < RETRIES_MAX => {
                    tries += 1;
                    self.next = Instant::now() + Duration::from_millis(RETRY_MS);
                }
                Err(source) => {
                    let after = self.connections - tries - 1;
                    return Err(ProbeError::Lost { address: self.address, after, source });
                }
            }
        }
    }

    /// Sends a hello and reads the answer.
    pub(super) async fn ask(&mut self, hello: &Hello) -> Result<Reply, ProbeError> {
        self.ask_in(&[&hello.to_record()]).await
    }

    /// Sends a hello in several segments, with a pause between them.
    pub(super) async fn ask_in(&mut self, segments: &[&[u8]]) -> Result<Reply, ProbeError> {
        let (mut stream, _) = self.open().await?;
        let limit = Duration::from_millis(self.limits.answer_ms_max);
        let pause = Duration::from_millis(self.limits.split_ms);
        let answer = async {
            for (at, segment) in segments.iter().enumerate() {
                if at > 0 {
                    tokio::time::sleep(pause).await;
                }
                stream.write_all(segment).await?;
            }
            read_answer(&mut stream).await
        };
        Ok(match timeout(limit, answer).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Reply::Closed,
            Err(_) => Reply::Silent,
        })
    }
}

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

async fn open(address: SocketAddr, limits: &Limits) -> io::Result<TcpStream> {
    let connect = timeout(Duration::from_millis(limits.connect_ms_max), TcpStream::connect(address));
    let stream = connect.await.map_err(|_| late())??;
    // The halves of a hello must go out as they are written.
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn late() -> io::Error {
    io::Error::from(io::ErrorKind::TimedOut)
}

async fn read_answer(stream: &mut TcpStream) -> io::Result<Reply> {
    let mut parser = Parser::new();
    let mut buffer = [0; READ_BYTES];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(Reply::Closed);
        }
        match parser.feed(&buffer[..count]) {
            Ok(None) => {}
            Ok(Some(answer)) => return Ok(Reply::Answer(answer)),
            Err(malformed) => return Ok(Reply::Malformed(malformed)),
        }
    }
}
