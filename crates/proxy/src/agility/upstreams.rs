//! Continuity of servers: the links that this node dials are watched as those that it accepts are. They are looked at
//! when the house is kept, off the way of a call.

use std::time::SystemTime;

use lockgate_audit::Outcome;
use lockgate_crypto::{Posture, Suite};
use lockgate_detect::links::{InForce as Lists, Seen};
use lockgate_transport::http::LinkStatus;

use crate::node::{Node, Server};
use crate::upstream::http::HttpUpstream;

impl Node {
    /// Takes up the connections to servers that were opened since the last look. A server that came back below what it
    /// is held to, where policy refuses that, gets no further call on such a connection.
    pub(crate) fn observe_upstreams(&self) {
        for server in self.servers() {
            let Some(http) = server.upstream.transport().http() else { continue };
            let Some(suite) = http.suite() else { continue };
            let fresh = server.fresh_links(http.links());
            let refused = fresh.iter().any(|link| {
                let posture = link.posture.as_deref();
                posture.is_some_and(|posture| self.observe_upstream(&server, link, posture, &suite))
            });
            if refused {
                leave(http);
            }
        }
    }

    /// Answers whether the connection is refused.
    fn observe_upstream(&self, server: &Server, link: &LinkStatus, posture: &Posture, suite: &Suite) -> bool {
        let name = format!("upstream:{}", server.id);
        let seen = Seen {
            peer: &name,
            address: link.peer.map(|peer| peer.ip()),
            listener: &name,
            posture,
            offered: None,
            in_force: Lists::of(suite),
            epoch: posture.epoch,
            now_ms: self.now_ms(),
        };
        let seen = self.agility.continuity.watch.observe(&seen);
        let outcome = if seen.refuse { Outcome::Refused } else { Outcome::Ok };
        for finding in &seen.findings {
            self.note_link_finding(finding, outcome);
        }
        self.agility.continuity.hold(seen.commitment);
        seen.refuse
    }
}

fn leave(http: &HttpUpstream) {
    http.retire();
    http.cut_retired();
}

impl Server {
    /// Those of `links` that were opened since this was asked last.
    fn fresh_links(&self, links: Vec<LinkStatus>) -> Vec<LinkStatus> {
        let mut seen = self.links_seen.lock();
        let fresh: Vec<_> = links.into_iter().filter(|link| link.opened > *seen).collect();
        *seen = fresh.iter().map(|link| link.opened).max().unwrap_or(*seen).max(*seen);
        fresh
    }
}

/// Before any link.
pub(crate) const NONE_SEEN: SystemTime = SystemTime::UNIX_EPOCH;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lockgate_transport::http::{Limits as PoolLimits, Pool, Target};
    use lockgate_transport::{Alpn, Dialer, dialer};

    use super::*;
    use crate::limits::Limits;
    use crate::upstream::{Transport, Upstream};

    fn link(opened_s: u64) -> LinkStatus {
        LinkStatus {
            id: opened_s,
            generation: 0,
            retired: false,
            peer: None,
            protocol: Alpn::H2,
            posture: None,
            opened: SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(opened_s),
            exchanges: 0,
        }
    }

    #[test]
    fn each_link_is_looked_at_once() {
        let uri: http::Uri = "http://127.0.0.1:1/mcp".parse().unwrap();
        let dialer = Arc::new(Dialer::plain(dialer::Limits::default()));
        let pool = Pool::new(Target::new(&uri, dialer).unwrap(), PoolLimits::default());
        let limits = Arc::new(Limits::default());
        let http = HttpUpstream::new(uri, pool, Arc::clone(&limits));
        assert!(http.suite().is_none(), "plain HTTP has no posture to hold anybody to");
        let server = Server::new("crm".to_owned(), Upstream::new(Transport::Http(http), limits));
        let fresh = |links: &[u64]| -> Vec<u64> {
            let links = links.iter().map(|opened| link(*opened)).collect();
            server.fresh_links(links).iter().map(|link| link.id).collect()
        };
        assert_eq!(fresh(&[1, 2]), [1, 2]);
        assert_eq!(fresh(&[2]), [0; 0]);
        assert_eq!(fresh(&[]), [0; 0]);
        assert_eq!(fresh(&[2, 3]), [3]);
    }
}
