//! Other policies come into force: what is open is judged again.
//!
//! Calls are decided on one by one, so nothing has to be done for those to come. What outlives a decision does: links of
//! callers whose role was revoked, sessions and streams to servers that their caller may not reach any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lockgate_policy::Policies;

use crate::link::LinkContext;
use crate::node::Node;
use crate::permit::{allows, may_connect};

impl Node {
    /// Puts policies in force, and ends what they do not let go on.
    pub fn put_policies(&self, policies: Policies) {
        self.policies.store(Arc::new(policies));
        let links = self.links.all();
        for link in &links {
            // Roles may be other ones now.
            link.in_order.store(0, Ordering::Relaxed);
        }
        self.cut_revoked(None);
        for link in &links {
            for server in self.servers().filter(|server| !may_connect(self, link, &server.id)) {
                self.sessions.end_at(link.party(), &server.id);
            }
        }
        // Streams judge themselves.
        self.policy_changes.send_modify(|count| *count += 1);
    }

    /// Whether a stream of `link` from `servers` may go on, which listens to these methods, and names where they have any.
    pub(crate) fn may_go_on(
        &self,
        link: &LinkContext,
        servers: &[String],
        listened: &[(String, Option<String>)],
    ) -> bool {
        let policies = self.policies.load();
        servers.iter().all(|server| {
            let listens = |(method, name): &(String, Option<String>)| {
                allows(&policies, link, (server, method, name.as_deref()))
            };
            may_connect(self, link, server) && listened.iter().all(listens)
        })
    }
}
