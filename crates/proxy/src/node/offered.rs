//! Servers that come, change and go while the node runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockgate_mcp::{Limits, Message, list, reply};
use lockgate_store::StoreError;

use super::{Node, PINS, Server};
use crate::upstream::rest::Offer;

/// What became of the definitions of an offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Seen for the first time, and pinned.
    pub new: usize,
    /// Not what is pinned: hidden and refused until a person approves.
    pub held: usize,
}

impl Node {
    /// Serves `server` from now on, in place of another of its id. Calls under way end where they began.
    pub fn put_server(&self, server: Server) -> Arc<Server> {
        let server = Arc::new(server);
        self.servers.rcu(|servers| {
            let mut servers = BTreeMap::clone(servers);
            servers.insert(server.id.clone(), Arc::clone(&server));
            servers
        });
        server
    }

    /// Serves it no more. Calls under way end where they began.
    pub fn remove_server(&self, id: &str) {
        self.servers.rcu(|servers| {
            let mut servers = BTreeMap::clone(servers);
            servers.remove(id);
            servers
        });
    }

    /// Looks at the definitions of an API's offer before anybody lists them: those that are new are pinned, so that policy knows
    /// the types of their arguments, and those that changed are held at once. Of an offer that is searched, those are looked at
    /// that somebody has had on. Waits for the disk.
    ///
    /// # Errors
    /// What the store says; then nothing of the offer may be shown yet.
    pub fn observe_offer(&self, server: &Server, offer: &Offer) -> Result<Observed, StoreError> {
        let known = |name: &str| self.detector.definition(&server.id, name).is_some();
        let definitions: Vec<String> = match offer.is_searched() {
            false => offer.definitions().collect(),
            true => offer.named_definitions(known).collect(),
        };
        let bytes = reply::result("0", &format!("{{\"tools\":[{}]}}", definitions.join(",")));
        let limits = Limits { message_bytes_max: u32::MAX as usize, depth_max: 512, ..Limits::default() };
        let message = Message::decode(bytes, &limits).expect("definitions are written by ourselves");
        let items = list::items(&message, "tools").expect("definitions have names");
        server.learn(&items);
        let observed = self.detector.observe_tools(&server.id, &items, self.now_ms());
        let counted = Observed { new: observed.new_pins.len(), held: observed.held.len() };
        for pin in &observed.new_pins {
            self.store.put_json(PINS, &pin.key(), pin)?;
        }
        if counted != Observed::default() {
            self.definitions_changed.notify_one();
        }
        Ok(counted)
    }
}
