//! Who is in which role.

use std::collections::BTreeMap;

use lockgate_identity::{Caller, Principal};

use crate::role;

/// The roles that role files give.
#[derive(Debug, Default)]
pub(crate) struct Members {
    roles: Vec<(String, role::Members)>,
}

impl Members {
    /// Adds a role and its members.
    pub(crate) fn add(&mut self, name: String, members: role::Members) {
        self.roles.push((name, members));
    }

    /// The roles of role files, each with its agents as they are written,
    /// sorted.
    pub(crate) fn written(&self) -> BTreeMap<String, Vec<String>> {
        self.roles.iter().map(|(name, members)| (name.clone(), members.written())).collect()
    }

    /// The roles of a caller, by name: those of its registration and those of
    /// role files. Who has no identity has no registration.
    pub(crate) fn of(&self, caller: &Caller) -> Vec<String> {
        let given = self.roles.iter().filter(|(_, members)| members.matches(caller)).map(|(name, _)| name);
        let registered = caller.roles.iter().filter(|_| !matches!(&*caller.principal, Principal::Anonymous));
        let mut roles: Vec<String> = registered.chain(given).cloned().collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }
}
