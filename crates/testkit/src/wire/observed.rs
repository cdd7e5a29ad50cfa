//! What the server saw, for `/observed`.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tokio::sync::watch;

use super::http::Request;

/// Requests kept; later ones are only counted, so that a load test cannot fill the memory.
const REQUESTS_KEPT_MAX: usize = 10_000;
/// Bytes of a body that are shown; its length is always exact.
const BODY_BYTES_SHOWN_MAX: usize = 256 * 1024;

/// One request, as it came.
#[derive(Clone, Serialize)]
struct Seen {
    request: u64,
    connection: u64,
    at_unix_ms: u64,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    body_bytes: usize,
}

/// A client that went away before its answer was complete.
#[derive(Clone, Serialize)]
struct Gone {
    request: u64,
    at_unix_ms: u64,
    after_ms: u64,
}

#[derive(Clone, Default, Serialize)]
struct Log {
    schema: &'static str,
    request_count: u64,
    requests: Vec<Seen>,
    disconnects: Vec<Gone>,
}

/// The list that `/observed` shows.
pub(super) struct Observed {
    log: Mutex<Log>,
    changed: watch::Sender<()>,
}

/// The number and the arrival of a request, needed to tell later that its client went away.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    request: u64,
    arrived: Instant,
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Observed {
    /// An empty list.
    pub(super) fn new() -> Self {
        let log = Log { schema: "lockgate.observed/1", ..Log::default() };
        Self { log: Mutex::new(log), changed: watch::Sender::new(()) }
    }

    fn edit<T>(&self, edit: impl FnOnce(&mut Log) -> T) -> T {
        let outcome = edit(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.send_replace(());
        outcome
    }

    /// Notes a request.
    pub(super) fn seen(&self, connection: u64, request: &Request) -> Ticket {
        let shown = &request.body[..request.body.len().min(BODY_BYTES_SHOWN_MAX)];
        let body = String::from_utf8_lossy(shown).into_owned();
        let number = self.edit(|log| {
            let number = log.request_count;
            log.request_count += 1;
            if log.requests.len() < REQUESTS_KEPT_MAX {
                log.requests.push(Seen {
                    request: number,
                    connection,
                    at_unix_ms: unix_ms(),
                    method: request.method.clone(),
                    target: request.target.clone(),
                    headers: request.headers.clone(),
                    body,
                    body_bytes: request.body.len(),
                });
            }
            number
        });
        Ticket { request: number, arrived: Instant::now() }
    }

    /// Notes that the client of `ticket` did not wait for the end of its answer.
    pub(super) fn gone(&self, ticket: Ticket) {
        let after_ms = u64::try_from(ticket.arrived.elapsed().as_millis()).unwrap_or(u64::MAX);
        let gone = Gone { request: ticket.request, at_unix_ms: unix_ms(), after_ms };
        self.edit(|log| log.disconnects.push(gone));
    }

    /// Clears the list.
    pub(super) fn forget(&self) {
        self.edit(|log| {
            (log.request_count, log.requests, log.disconnects) = Default::default();
        });
    }

    /// The list as JSON, once it holds that many requests and disconnects, or after `wait`.
    pub(super) async fn report(&self, requests: u64, disconnects: u64, wait: Duration) -> String {
        let mut changes = self.changed.subscribe();
        let enough = async {
            loop {
                changes.mark_unchanged();
                let reached = {
                    let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.request_count >= requests && log.disconnects.len() as u64 >= disconnects
                };
                if reached || changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // Too late is an answer too: the report shows what there is.
        let _ = tokio::time::timeout(wait, enough).await;
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_string(&*log).expect("a log of strings and numbers is JSON")
    }
}
