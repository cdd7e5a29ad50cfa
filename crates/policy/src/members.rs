//! Who is in which role.

use lockgate_identity::Caller;

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

    /// The roles of a caller, by name: those of its registration and those of
    /// role files.
    pub(crate) fn of(&self, caller: &Caller) -> Vec<String> {
        let given = self.roles.iter().filter(|(_, members)| members.matches(caller)).map(|(name, _)| name);
        let mut roles: Vec<String> = caller.roles.iter().chain(given).cloned().collect();
        roles.sort_unstable();
        roles.dedup();
        roles
    }
}
