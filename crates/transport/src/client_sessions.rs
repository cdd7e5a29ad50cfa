//! Resumable sessions of a dialer.

use std::collections::HashMap;
use std::sync::Arc;

use lockgate_crypto::Suite;
use parking_lot::Mutex;
use rustls::NamedGroup;
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;

/// What a dialer remembers of servers: tickets, and which group they chose.
#[derive(Debug)]
pub(crate) struct ClientSessions {
    tickets: Arc<ClientSessionMemoryCache>,
    servers_max: usize,
    hints: Mutex<HashMap<ServerName<'static>, NamedGroup>>,
    /// The groups worth a hint: the quantum-safe ones, or all if the profile has none of them.
    worth: Vec<NamedGroup>,
}

impl ClientSessions {
    /// Empty, for `servers_max` servers.
    pub(crate) fn new(suite: &Suite, servers_max: usize) -> Arc<Self> {
        let tickets = Arc::new(ClientSessionMemoryCache::new(servers_max));
        Arc::new(Self { tickets, servers_max, hints: Mutex::default(), worth: worth_a_hint(suite) })
    }

    /// The same tickets for another suite. Hints stay if its groups are the same ones in the same order; else
    /// each server is offered the preferred group first again.
    pub(crate) fn carried_to(&self, suite: &Suite, same_groups: bool) -> Arc<Self> {
        let hints = if same_groups { self.hints.lock().clone() } else { HashMap::new() };
        Arc::new(Self {
            tickets: Arc::clone(&self.tickets),
            servers_max: self.servers_max,
            hints: Mutex::new(hints),
            worth: worth_a_hint(suite),
        })
    }
}

fn worth_a_hint(suite: &Suite) -> Vec<NamedGroup> {
    let any = suite.groups().iter().any(|row| row.is_quantum_safe());
    let rows = suite.groups().iter().filter(|row| !any || row.is_quantum_safe());
    rows.filter_map(|row| row.code_point).map(NamedGroup::from).collect()
}

impl ClientSessionStore for ClientSessions {
    /// A server that once chose a traditional group is offered a post-quantum one first all the same: it may
    /// have learnt it since. What that costs is a hello retry with a server that has not.
    fn set_kx_hint(&self, server: ServerName<'static>, group: NamedGroup) {
        if !self.worth.contains(&group) {
            return;
        }
        let mut hints = self.hints.lock();
        if hints.len() >= self.servers_max && !hints.contains_key(&server) {
            hints.clear();
        }
        hints.insert(server, group);
    }

    fn kx_hint(&self, server: &ServerName<'_>) -> Option<NamedGroup> {
        self.hints.lock().get(&server.to_owned()).copied()
    }

    // TLS 1.2 is never spoken.
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, server: ServerName<'static>, ticket: Tls13ClientSessionValue) {
        self.tickets.insert_tls13_ticket(server, ticket);
    }

    fn take_tls13_ticket(&self, server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.tickets.take_tls13_ticket(server)
    }
}
