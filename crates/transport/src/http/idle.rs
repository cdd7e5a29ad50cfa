//! Connections at rest, and when they are closed.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use hyper::client::conn::{http1, http2};
use tokio::time::Instant;

use super::RequestBody;
use super::lease::{Lease, Sender};
use super::live::{Exchange, Live};

/// How soon connections are looked at again that are shared, and so may be in use past their time.
const BUSY_LOOK: Duration = Duration::from_secs(1);

/// What of a pool's connections can take a request now.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Connections of an older generation are not used again.
    pub(super) generation: u64,
    /// The last generation that was given out; one that is being opened is ahead of the one in use.
    announced: u64,
    /// HTTP/1.1, the last used at the end: it is the least likely to have been closed by the server.
    alone: Vec<Alone>,
    shared: Vec<Shared>,
}

#[derive(Debug)]
struct Alone {
    sender: http1::SendRequest<RequestBody>,
    live: Arc<Live>,
    until: Instant,
}

#[derive(Debug)]
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    live: Arc<Live>,
    until: Instant,
}

impl Shelf {
    /// Takes a connection that can carry a request at once.
    pub(super) fn take(&mut self, streams_max: usize) -> Option<Lease> {
        self.shared.retain(|shared| !shared.sender.is_closed());
        let mut shared = self.shared.iter();
        if let Some(shared) = shared.find(|shared| shared.live.exchanges() < streams_max) {
            return Some(Lease {
                sender: Sender::Shared(shared.sender.clone()),
                exchange: Exchange::begin(Arc::clone(&shared.live)),
                reused: true,
            });
        }
        let now = Instant::now();
        while let Some(alone) = self.alone.pop() {
            if alone.sender.is_ready() && alone.until > now {
                return Some(Lease {
                    sender: Sender::Alone(alone.sender),
                    exchange: Exchange::begin(alone.live),
                    reused: true,
                });
            }
        }
        None
    }

    /// Puts an HTTP/1.1 connection back; the oldest goes if there are more than `idle_max`.
    pub(super) fn put_alone(
        &mut self,
        sender: http1::SendRequest<RequestBody>,
        live: Arc<Live>,
        until: Instant,
        idle_max: usize,
    ) {
        if live.generation != self.generation || idle_max == 0 {
            return;
        }
        if self.alone.len() >= idle_max {
            self.alone.remove(0);
        }
        self.alone.push(Alone { sender, live, until });
    }

    /// Registers an HTTP/2 connection, or moves its end after an exchange.
    pub(super) fn put_shared(
        &mut self,
        sender: http2::SendRequest<RequestBody>,
        live: Arc<Live>,
        until: Instant,
    ) {
        if live.generation != self.generation {
            return;
        }
        match self.shared.iter_mut().find(|shared| shared.live.id == live.id) {
            Some(shared) => shared.until = until,
            None => self.shared.push(Shared { sender, live, until }),
        }
    }

    /// Uses an HTTP/2 connection no more whose server has announced to leave.
    pub(super) fn forget(&mut self, id: u64) {
        self.shared.retain(|shared| shared.live.id != id);
    }

    /// Closes what has rested for too long, and tells when to look again.
    pub(super) fn purge(&mut self) -> Option<Instant> {
        let now = Instant::now();
        self.alone.retain(|alone| alone.until > now && !alone.sender.is_closed());
        self.shared.retain(|shared| {
            let busy = shared.live.exchanges() > 0;
            (busy || shared.until > now) && !shared.sender.is_closed()
        });
        let alone = self.alone.iter().map(|alone| alone.until);
        // One that is busy is looked at again as well: an exchange that is given up puts nothing back.
        let shared = self.shared.iter().map(|shared| shared.until.max(now + BUSY_LOOK));
        alone.chain(shared).min()
    }

    /// The number of a generation to come.
    pub(super) fn announce(&mut self) -> u64 {
        self.announced += 1;
        self.announced
    }

    /// Forgets all connections: they close when their exchanges end.
    pub(super) fn retire(&mut self) {
        let generation = self.announce();
        self.advance(generation);
    }

    /// Puts the first connection of a generation in the place of all older ones. If that generation has been
    /// retired meanwhile, so is the connection.
    pub(super) fn replace(&mut self, sender: Sender, live: Arc<Live>, until: Instant, idle_max: usize) {
        if live.generation < self.generation {
            return;
        }
        self.advance(live.generation);
        match sender {
            Sender::Alone(sender) => self.put_alone(sender, live, until, idle_max),
            Sender::Shared(sender) => self.put_shared(sender, live, until),
        }
    }

    fn advance(&mut self, generation: u64) {
        self.generation = generation;
        self.alone.clear();
        self.shared.clear();
    }
}

/// How long a connection may rest: `idle_max`, or less if the server says so by `Keep-Alive:
/// timeout=SECONDS`. A second before that the server may be closing it already, and a request would be lost.
pub(super) fn rest(headers: &HeaderMap, idle_max: Duration) -> Duration {
    let timeout = headers.get("keep-alive").and_then(|value| {
        let mut parameters = value.to_str().ok()?.split(',');
        parameters.find_map(|parameter| parameter.trim().strip_prefix("timeout=")?.parse().ok())
    });
    timeout.map_or(idle_max, |seconds: u64| idle_max.min(Duration::from_secs(seconds.saturating_sub(1))))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_server_may_shorten_the_rest() {
        let cases = [
            (None, 60),
            (Some("timeout=5"), 4),
            (Some("max=100, timeout=5"), 4),
            (Some("timeout=5, max=100"), 4),
            (Some("timeout=600"), 60),
            (Some("timeout=0"), 0),
            (Some("timeout=soon"), 60),
            (Some("timeout=99999999999999999999999"), 60),
        ];
        for (value, seconds) in cases {
            let mut headers = HeaderMap::new();
            if let Some(value) = value {
                headers.insert("keep-alive", HeaderValue::from_static(value));
            }
            assert_eq!(rest(&headers, Duration::from_secs(60)).as_secs(), seconds, "{value:?}");
        }
    }
}
