//! How often one peer may ask: each ask can cost a signature, a record and a question to somebody else's server.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Asks of one address in a minute. An agent needs one every few minutes; many may be behind one address.
pub const ASKS_PER_MINUTE_MAX: u32 = 120;
/// Addresses that are counted; beyond it those that are new are counted as one.
const PEERS_MAX: usize = 16_384;
const WINDOW: Duration = Duration::from_secs(60);

/// Counts asks by address.
#[derive(Debug, Default)]
pub struct Pace(Mutex<HashMap<Option<IpAddr>, (Instant, u32)>>);

impl Pace {
    /// Whether one more is fine now.
    pub fn admits(&self, peer: Option<IpAddr>) -> bool {
        self.admits_at(peer, Instant::now())
    }

    fn admits_at(&self, peer: Option<IpAddr>, now: Instant) -> bool {
        let mut counts = self.0.lock();
        let peer = peer.map(network);
        if counts.len() >= PEERS_MAX && !counts.contains_key(&peer) {
            counts.retain(|_, (since, _)| now.duration_since(*since) < WINDOW);
        }
        let peer = if counts.len() >= PEERS_MAX && !counts.contains_key(&peer) { None } else { peer };
        let (since, count) = counts.entry(peer).or_insert((now, 0));
        if now.duration_since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= ASKS_PER_MINUTE_MAX
    }
}

/// Whoever has one IPv6 address has the 2^64 beside it.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_minute_has_so_many_asks_for_each_network() {
        let (pace, now) = (Pace::default(), Instant::now());
        let ip = |text: &str| Some(text.parse().unwrap());
        for _ in 0..ASKS_PER_MINUTE_MAX {
            assert!(pace.admits_at(ip("2001:db8::1"), now));
        }
        assert!(!pace.admits_at(ip("2001:db8::2"), now));
        assert!(pace.admits_at(ip("192.0.2.1"), now));
        assert!(pace.admits_at(ip("2001:db8::1"), now + WINDOW));
    }

    #[test]
    fn more_addresses_than_are_counted_share_one_count() {
        let (pace, now) = (Pace::default(), Instant::now());
        for n in 0..u32::try_from(PEERS_MAX).unwrap() {
            pace.admits_at(Some(IpAddr::from((n + 1).to_be_bytes())), now);
        }
        let admitted =
            (0..1000u32).filter(|n| pace.admits_at(Some(IpAddr::from((0xf000_0000 + n).to_be_bytes())), now));
        assert_eq!(admitted.count(), ASKS_PER_MINUTE_MAX as usize);
    }
}
