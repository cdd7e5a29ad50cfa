//! The limits of one listener. Each has a name, a unit and a reason.

use std::time::Duration;

/// What a [`Listener`](crate::Listener) and [`secure`](crate::secure) allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Links held at the same time, all peers together. At the aimed 40 KiB an idle link, the default
    /// bounds this listener to 400 MiB. Further links are accepted and closed at once, so that their
    /// owners see it instead of hanging in the kernel's queue.
    pub links_max: usize,
    /// Links held at the same time by one address: an IPv4 address or an IPv6 /64, the smallest block that
    /// one host controls. Loopback is bounded by `links_max` alone, since all local processes share it.
    pub links_per_ip_max: usize,
    /// Milliseconds from the accepted socket to the finished handshake, all flights together. A peer that
    /// dribbles its ClientHello holds a slot for no longer.
    pub handshake_ms_max: u64,
    /// Milliseconds that a refused peer gets to read its alert. Closing a socket that still holds unread
    /// bytes resets it, and the reset overtakes the alert.
    pub refusal_linger_ms_max: u64,
    /// Connections that the kernel queues before they are accepted.
    pub backlog: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            links_max: 10_000,
            links_per_ip_max: 1_024,
            handshake_ms_max: 10_000,
            refusal_linger_ms_max: 500,
            backlog: 1_024,
        }
    }
}

impl Limits {
    pub(crate) fn handshake_max(&self) -> Duration {
        Duration::from_millis(self.handshake_ms_max)
    }

    pub(crate) fn refusal_linger_max(&self) -> Duration {
        Duration::from_millis(self.refusal_linger_ms_max)
    }
}
