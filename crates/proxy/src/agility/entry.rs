//! Links that come: entered and judged, or refused and recorded.

use std::net::SocketAddr;
use std::sync::Arc;

use lockgate_audit::{Kind, Outcome, Record};
use lockgate_crypto::digest::sha256;
use lockgate_identity::Caller;
use lockgate_transport::{Alpn, Link};
use tokio::time::Instant;

use crate::face::{Face, LinkRefused};
use crate::link::{LiveLink, NewLink, Proofs};
use crate::node::Node;
use crate::stage::Stage;

impl Node {
    /// Enters a link into the registry of live links, and judges it by what is in force.
    ///
    /// # Errors
    /// Why a peer that is known may not have such a link, or none any more.
    pub(crate) fn enter(
        self: &Arc<Self>,
        face: &Face,
        link: &Link,
        caller: Caller,
    ) -> Result<LiveLink, LinkRefused> {
        let posture = link.posture.clone();
        if let Some(posture) = &posture {
            self.metrics.handshake(posture);
            let (listener, agent, group) = (&face.name, &caller.agent, &posture.group);
            match posture.weakest() {
                None => {
                    tracing::debug!(target: "lockgate::secure", %listener, %agent, %group, "link secured")
                }
                Some(weakest) => tracing::warn!(
                    target: "lockgate::secure", %listener, %agent, %weakest,
                    "link admitted by its profile that a quantum computer could break"
                ),
            }
        }
        let live = self.links.enter(NewLink {
            listener: face.name.clone(),
            peer: link.evidence.peer,
            local: link.evidence.local,
            posture,
            caller,
            since_ms: self.now_ms(),
            hosts: face.hosts.clone(),
            origins: face.origins.clone(),
            identity_required: face.identity_required,
            multiplexes: link.alpn == Some(Alpn::H2),
        });
        let certificate_sha256 = link.evidence.peer_certificates.first().map(|leaf| sha256(leaf));
        // The link has just been made, so nobody has set them before.
        let _ = live.context.proofs.set(Proofs { certificate_sha256, exporter: link.exporter });
        // First entered, then judged: a change that comes in between finds it among the live links.
        self.check_revoked(&live.context)
            .map_err(|revoked| LinkRefused::Revoked { agent: live.context.caller.agent.clone(), revoked })?;
        if live.context.posture.is_some() {
            self.agility.peers.seen(&live.context, link.offered.clone());
        }
        self.judge_entering(&live.context)?;
        self.observe_link(&live.context, link.offered.as_ref())?;
        self.tell_link(&live.context);
        Ok(live)
    }

    /// Records a link that stage 2 or 3 refused; of many from one source, their number.
    pub(crate) fn record_refused_link(&self, face: &Face, peer: SocketAddr, refused: LinkRefused) {
        let stage = refused.stage();
        self.metrics.link_refused(stage, refused.label());
        tracing::warn!(target: "lockgate", stage = stage.name(), listener = %face.name, %peer, %refused, "link refused");
        if stage == Stage::Secure {
            self.observe_failure(face, peer.ip(), &refused);
        }
        let source = match &refused {
            LinkRefused::Peer(known) => known.agent.clone(),
            LinkRefused::Revoked { agent, .. } => agent.clone(),
            _ => peer.ip().to_string(),
        };
        self.tell_refused_link(face, peer, &source, &refused);
        let say = self.agility.refusals.count(&source, Instant::now());
        self.record_owed(say.owed);
        if !say.record {
            return;
        }
        let record = Record {
            stage: Some(stage.name().into()),
            peer: Some(peer.to_string().into()),
            reason: Some(refused.to_string().into()),
            ..Record::new(Kind::Refusal, Outcome::Refused)
        };
        match &refused {
            LinkRefused::Peer(known) => self.note(&known.describe(record)),
            LinkRefused::Revoked { agent, .. } => self.note(&Record { agent: Some(agent.into()), ..record }),
            _ => self.note(&record),
        }
    }

    /// Records how many refusals had no record of their own.
    pub(crate) fn record_owed(&self, owed: Vec<(String, u64)>) {
        for (source, count) in owed {
            let reason = format!("{count} more links from {source} were refused within a minute");
            self.note(&Record {
                peer: Some(source.into()),
                reason: Some(reason.into()),
                count: Some(count),
                ..Record::new(Kind::Refusal, Outcome::Refused)
            });
        }
    }
}
