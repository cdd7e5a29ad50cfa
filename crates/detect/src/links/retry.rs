//! LG-D011: a handshake that failed with post-quantum groups on offer, and then
//! one without them.
//!
//! TLS 1.3 binds what was offered to the transcript, so a list cannot be shortened
//! on the way. What remains is to make the good handshake fail and to wait for a
//! client that tries again with less.

use std::net::{IpAddr, Ipv6Addr};

use lru::LruCache;

use super::offer::Offer;
use super::{ADDRESS_PREFIX, Failed, LinkFinding, PEERS_MAX, RETRIED_WITHOUT, Seen};
use crate::Severity;
use crate::finding::shown;

/// For how long after a failure one without post-quantum groups counts as its
/// repetition, in milliseconds.
const WINDOW_MS: u64 = 120_000;

/// Handshakes that failed with post-quantum groups on offer, by where they came
/// from and the listener.
#[derive(Debug)]
pub(super) struct Failures {
    last: LruCache<(IpAddr, String), Failure>,
}

#[derive(Debug)]
struct Failure {
    at_ms: u64,
    offer: Option<Offer>,
}

/// A handshake after a failed one.
struct Attempt<'a> {
    who: String,
    address: IpAddr,
    listener: &'a str,
    offer: Option<Offer>,
    now_ms: u64,
    ended: &'static str,
}

impl Failures {
    pub(super) fn new() -> Self {
        Failures { last: LruCache::sparse(PEERS_MAX) }
    }

    pub(super) fn failed(&mut self, failed: &Failed<'_>) -> Option<LinkFinding> {
        let &Failed { address, listener, offered, quantum_safe_offered, now_ms } = failed;
        let offer = offered.map(Offer::new);
        if quantum_safe_offered {
            self.last.put((place(address), listener.to_owned()), Failure { at_ms: now_ms, offer });
            return None;
        }
        let who = format!("{ADDRESS_PREFIX}{address}");
        self.after(Attempt { who, address, listener, offer, now_ms, ended: "failed too" })
    }

    pub(super) fn linked(&mut self, seen: &Seen<'_>) -> Option<LinkFinding> {
        let &Seen { address, listener, now_ms, .. } = seen;
        let address = address?;
        let offer = seen.offered.map(Offer::new);
        let quantum_safe = match &offer {
            Some(offer) => offer.has_quantum_safe_group(),
            None => seen.has_quantum_safe_group(),
        };
        if quantum_safe {
            self.recovered(address, listener, offer.as_ref());
            return None;
        }
        let who = seen.peer.to_owned();
        self.after(Attempt { who, address, listener, offer, now_ms, ended: "succeeded" })
    }

    /// The same client came back with all that it had: the failure was none of
    /// this kind.
    fn recovered(&mut self, address: IpAddr, listener: &str, offer: Option<&Offer>) {
        let key = (place(address), listener.to_owned());
        if self.last.peek(&key).is_some_and(|failure| failure.offer.as_ref() == offer) {
            self.last.pop(&key);
        }
    }

    fn after(&mut self, attempt: Attempt<'_>) -> Option<LinkFinding> {
        let Attempt { who, address, listener, offer, now_ms, ended } = attempt;
        let failure = self.last.pop(&(place(address), listener.to_owned()))?;
        let after_ms = now_ms.saturating_sub(failure.at_ms);
        if after_ms > WINDOW_MS {
            return None;
        }
        // Several clients may stand behind an address. One that differs in nothing
        // but its groups is most likely the same.
        let same = matches!((&failure.offer, &offer), (Some(a), Some(b)) if a.same_but_groups(b));
        let severity = if same { Severity::Medium } else { Severity::Low };
        let client =
            if same { "the same client, by all else that it offered" } else { "perhaps another client" };
        let reason = format!(
            "a handshake from {address} failed with post-quantum groups on offer, and then one without them \
             {ended}. Look for what stands between and cannot carry a large ClientHello, or does not want to.",
        );
        let evidence = format!("{} on {}, {after_ms} ms later; {client}", shown(&who), shown(listener));
        let listener = listener.to_owned();
        Some(LinkFinding { id: RETRIED_WITHOUT, severity, peer: who, listener, reason, evidence })
    }
}

/// Where an address is: the address itself, or the /64 of an IPv6 address, within
/// which a client chooses freely.
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
