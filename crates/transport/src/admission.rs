//! Who may hold how many links: the count behind stage *accept*.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::limits::Limits;

/// Why a socket was closed right after it was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// All slots of the listener are taken.
    Links {
        /// The limit that was reached.
        links_max: usize,
    },
    /// All slots of this address are taken.
    Address {
        /// The limit that was reached.
        links_per_ip_max: usize,
    },
}

/// Counts live links, in total and by address.
#[derive(Debug)]
pub(crate) struct Admission {
    links_max: usize,
    links_per_ip_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One admitted link. Dropping it frees its place.
#[derive(Debug)]
pub(crate) struct Slot {
    admission: Arc<Admission>,
    block: IpAddr,
}

impl Admission {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            links_max: limits.links_max,
            links_per_ip_max: limits.links_per_ip_max,
            held: Mutex::default(),
        })
    }

    pub(crate) fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Slot, Full> {
        let block = block_of(peer);
        let mut held = self.held.lock();
        if held.total >= self.links_max {
            return Err(Full::Links { links_max: self.links_max });
        }
        let count = held.by_address.get(&block).copied().unwrap_or(0);
        if !block.is_loopback() && count >= self.links_per_ip_max {
            return Err(Full::Address { links_per_ip_max: self.links_per_ip_max });
        }
        held.total += 1;
        held.by_address.insert(block, count + 1);
        Ok(Slot { admission: Arc::clone(self), block })
    }

    pub(crate) fn total(&self) -> usize {
        self.held.lock().total
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut held = self.admission.held.lock();
        held.total -= 1;
        let count = held.by_address.get(&self.block).copied().unwrap_or(1);
        // The map holds live addresses only: a scan over many addresses leaves nothing behind.
        if count <= 1 {
            held.by_address.remove(&self.block);
        } else {
            held.by_address.insert(self.block, count - 1);
        }
    }
}

/// The address itself, or the /64 of an IPv6 address that is not loopback.
fn block_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(links_max: usize, links_per_ip_max: usize) -> Arc<Admission> {
        Admission::new(&Limits { links_max, links_per_ip_max, ..Limits::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_slot_is_freed_by_its_drop() {
        let admission = admission(2, 2);
        let first = admission.admit(ip("192.0.2.1")).unwrap();
        let _second = admission.admit(ip("192.0.2.2")).unwrap();
        assert_eq!(admission.admit(ip("192.0.2.3")).unwrap_err(), Full::Links { links_max: 2 });
        drop(first);
        let _third = admission.admit(ip("192.0.2.3")).unwrap();
        assert_eq!(admission.total(), 2);
        assert_eq!(admission.held.lock().by_address.len(), 2);
    }

    #[test]
    fn one_address_cannot_take_all() {
        let cases = [
            // first, second, whether both count as one holder
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "::ffff:192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("2001:db8::1", "2001:db8::ffff:1", true),
            ("2001:db8::1", "2001:db8:0:1::1", false),
            ("127.0.0.1", "127.0.0.1", false),
            ("::1", "::1", false),
        ];
        for (first, second, same) in cases {
            let admission = admission(10, 1);
            let _held = admission.admit(ip(first)).unwrap();
            let outcome = admission.admit(ip(second)).map(|_| ());
            let expected = if same { Err(Full::Address { links_per_ip_max: 1 }) } else { Ok(()) };
            assert_eq!(outcome, expected, "{first} then {second}");
        }
    }
}
