//! Attestation of the process that started the one that asks: the MCP client behind `lockgate connect`.
//!
//! Coding agents start their MCP servers as children and talk to them over stdin and stdout. There the connector is
//! such a child, and who it acts for is its parent. The kernel says who that is; the child cannot choose it.

use std::os::fd::AsFd;

use tokio::sync::Semaphore;

use super::{Attestor, Evidence, Judged, Kind, Peer, process, procfs};
use crate::AuthorityError;

/// Pairs of processes that are looked at side by side.
const LOOKS_MAX: usize = 4;

/// Attests a process together with its parent.
#[derive(Debug)]
pub struct Parent {
    looks: Semaphore,
}

impl Default for Parent {
    fn default() -> Self {
        Self { looks: Semaphore::new(LOOKS_MAX) }
    }
}

impl Attestor for Parent {
    fn kind(&self) -> Kind {
        Kind::Parent
    }

    fn attest<'a>(&'a self, evidence: Evidence<'a>) -> Judged<'a> {
        Box::pin(async move {
            let Evidence::Process(peer) = evidence else { return Err(evidence.not_for(Kind::Parent)) };
            let child = process::look(&self.looks, Kind::Parent, &peer.pidfd).await?;
            process::same_as_connected(Kind::Parent, peer, &child)?;
            let parent = self.parent(peer, &child).await?;
            let mut attested = process::told(Kind::Parent, &child);
            attested.subject = format!("{}, started by process {}", attested.subject, parent.pid);
            parent.tell("parent", &mut attested);
            Ok(attested)
        })
    }
}

impl Parent {
    async fn parent(&self, peer: &Peer, child: &procfs::Facts) -> Result<procfs::Facts, AuthorityError> {
        let orphan = || {
            AuthorityError::refused(
                Kind::Parent,
                "parent",
                "whoever started it has ended: init is its parent",
            )
        };
        if child.parent <= 1 {
            return Err(orphan());
        }
        let unreadable = |source| AuthorityError::Io {
            action: "open",
            path: format!("/proc/{}", child.parent).into(),
            source,
        };
        let parent = procfs::open(child.parent).map_err(|_| orphan())?;
        // The descriptor was opened by a number. If that is still the child's parent, and the child lives, then the
        // number was not given to anybody else in between: a parent that ended would have been replaced by init.
        let still = procfs::parent_of(child.pid).map_err(|_| orphan())?;
        if still != child.parent || !procfs::lives(peer.pidfd.as_fd()).map_err(unreadable)? {
            return Err(orphan());
        }
        process::look(&self.looks, Kind::Parent, &parent).await
    }
}
