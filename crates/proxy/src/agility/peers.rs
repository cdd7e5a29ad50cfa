//! What each peer was last seen to offer, so that a change can be planned by what its peers can do.

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;

use lockgate_crypto::{Capabilities, Posture};
use lockgate_identity::Principal;
use lru::LruCache;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::link::LinkContext;
use crate::node::Node;

/// Peers that are remembered; the one not seen for longest makes room. As many as a listener has links by default.
pub const PEERS_MAX: usize = 10_000;

/// What a connector says of itself when it follows the notices. Nothing is decided by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Following {
    /// The profile that it dials by.
    pub profile: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its own name for itself, which tells it from others with the same identity.
    pub instance: Option<String>,
}

/// A peer, as it was last seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PeerView {
    /// Its id; `address:` and its address if it proved none.
    pub agent: String,
    /// The listener that it came to.
    pub listener: String,
    /// When its last link began, in milliseconds since the Unix epoch.
    pub last_seen_ms: u64,
    /// What it offered then; none if its session was resumed without telling.
    pub capabilities: Option<Capabilities>,
    /// What was negotiated then.
    pub posture: Option<Posture>,
    /// What it last said of itself, if it has followed the notices.
    pub following: Option<Following>,
    /// When the proof of its identity ends that it last showed, in milliseconds since the Unix epoch; none if it showed none.
    #[serde(default)]
    pub expires_at_ms: Option<u64>,
    /// SHA-256 of the key that it last proved, hexadecimal; none if it proved none.
    #[serde(default)]
    pub key_fingerprint: Option<String>,
    /// Its live links.
    pub live_links: usize,
}

/// Different offers that are kept once for all peers that make them: most clients are of a few kinds.
const KINDS_MAX: usize = 32;

/// The peers of a node.
pub(crate) struct Peers(Mutex<State>);

struct State {
    peers: LruCache<String, Peer>,
    /// The offers of late, the newest last.
    kinds: VecDeque<Arc<Capabilities>>,
}

struct Peer {
    listener: Arc<str>,
    last_seen_ms: u64,
    capabilities: Option<Arc<Capabilities>>,
    posture: Option<Arc<Posture>>,
    following: Option<Following>,
    principal: Arc<Principal>,
    expires_at_ms: Option<u64>,
}

impl Default for Peers {
    fn default() -> Self {
        let peers = LruCache::new(NonZeroUsize::new(PEERS_MAX).expect("peers are remembered"));
        Self(Mutex::new(State { peers, kinds: VecDeque::new() }))
    }
}

/// The name under which a link's peer is remembered.
pub(crate) fn name_of(link: &LinkContext) -> String {
    match (link.caller.principal.not_after(), link.peer) {
        (None, Some(peer)) if link.posture.is_some() => format!("address:{}", peer.ip()),
        _ => link.caller.agent.clone(),
    }
}

impl State {
    fn kind(&mut self, offered: Capabilities) -> Arc<Capabilities> {
        if let Some(known) = self.kinds.iter().find(|known| ***known == offered) {
            return known.clone();
        }
        if self.kinds.len() >= KINDS_MAX {
            self.kinds.pop_front();
        }
        let kind = Arc::new(offered);
        self.kinds.push_back(kind.clone());
        kind
    }
}

impl Peers {
    /// Notes a link that has begun.
    pub(crate) fn seen(&self, link: &LinkContext, offered: Option<Capabilities>) {
        let mut state = self.0.lock();
        let name = name_of(link);
        let offered = offered.map(|offered| state.kind(offered));
        let before = state.peers.pop(&name);
        let (known, following) = before.map_or((None, None), |peer| (peer.capabilities, peer.following));
        let peer = Peer {
            listener: link.listener.clone(),
            last_seen_ms: link.since_ms,
            capabilities: offered.or(known),
            posture: link.posture.clone(),
            following,
            principal: Arc::clone(&link.caller.principal),
            expires_at_ms: link.expires_at_ms(),
        };
        state.peers.put(name, peer);
    }

    /// Notes what a peer says of itself.
    pub(crate) fn follows(&self, link: &LinkContext, following: Following) {
        if let Some(peer) = self.0.lock().peers.get_mut(&name_of(link)) {
            peer.following = Some(following);
        }
    }

    pub(crate) fn forget(&self, agent: &str) -> bool {
        self.0.lock().peers.pop(agent).is_some()
    }

    fn view(&self, live: &HashMap<String, usize>) -> Vec<PeerView> {
        let state = self.0.lock();
        let view = |(name, peer): (&String, &Peer)| PeerView {
            agent: name.clone(),
            listener: peer.listener.to_string(),
            last_seen_ms: peer.last_seen_ms,
            capabilities: peer.capabilities.as_deref().cloned(),
            posture: peer.posture.as_deref().cloned(),
            following: peer.following.clone(),
            expires_at_ms: peer.expires_at_ms,
            key_fingerprint: match peer.principal.as_ref() {
                Principal::Workload { key_fingerprint, .. } => Some(key_fingerprint.clone()),
                // It has a link of its own only in the eyes of its calls.
                Principal::Bearer { .. } | Principal::LocalUser { .. } | Principal::Anonymous => None,
            },
            live_links: live.get(name).copied().unwrap_or_default(),
        };
        state.peers.iter().map(view).collect()
    }
}

impl Node {
    /// The peers that have had a link, the last seen first.
    pub fn peers(&self) -> Vec<PeerView> {
        let mut live = HashMap::new();
        for link in self.links.all() {
            *live.entry(name_of(&link)).or_default() += 1;
        }
        self.agility.peers.view(&live)
    }

    /// Forgets what was seen of a peer, and what it is held to for it. Whether anything was known.
    pub fn forget_peer(&self, agent: &str) -> bool {
        let seen = self.agility.peers.forget(agent);
        self.agility.continuity.forget(agent) || seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(group: usize) -> Capabilities {
        Capabilities { groups: vec![group.to_string()], ..Capabilities::default() }
    }

    #[test]
    fn the_same_offer_is_kept_once_and_not_for_ever() {
        let peers = Peers::default();
        let mut state = peers.0.lock();
        let first = state.kind(offer(0));
        assert!(Arc::ptr_eq(&first, &state.kind(offer(0))));
        (1..=KINDS_MAX).for_each(|group| drop(state.kind(offer(group))));
        assert_eq!(state.kinds.len(), KINDS_MAX);
        assert!(!Arc::ptr_eq(&first, &state.kind(offer(0))));
    }
}
