//! Who is asked about, and which check failed.

use serde::{Deserialize, Serialize};

use super::Revocation;
use crate::{Caller, Principal};

/// Which of the checks on a caller failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// Its id.
    Agent,
    /// Its key.
    Key,
    /// A role that it has.
    Role,
    /// Its token.
    Token,
    /// Its certificate.
    Certificate,
}

impl Check {
    /// The stable code for `lockgate explain`.
    pub fn code(self) -> &'static str {
        match self {
            Check::Agent => "LG-I410",
            Check::Key => "LG-I411",
            Check::Role => "LG-I412",
            Check::Token => "LG-I413",
            Check::Certificate => "LG-I414",
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Check::Agent => "agent",
            Check::Key => "key",
            Check::Role => "role",
            Check::Token => "token",
            Check::Certificate => "certificate",
        }
    }
}

/// Who is asked about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject<'a> {
    /// Its id, as policies name it.
    pub agent: &'a str,
    /// Fingerprint of its key.
    pub key: Option<&'a str>,
    /// Serial number of its certificate.
    pub serial: Option<&'a str>,
    /// Id of its token.
    pub token: Option<&'a str>,
    /// Its roles, by registration and by policy.
    pub roles: &'a [String],
}

impl<'a> Subject<'a> {
    /// The caller of a link, with all roles that it has.
    pub fn of(caller: &'a Caller, roles: &'a [String]) -> Self {
        let (key, serial) = match caller.principal.as_ref() {
            Principal::Workload { key_fingerprint, serial, .. } => {
                (Some(key_fingerprint.as_str()), Some(serial.as_str()))
            }
            Principal::Bearer { key, .. } => (key.as_deref(), None),
            Principal::LocalUser { .. } | Principal::Anonymous => (None, None),
        };
        Self { agent: &caller.agent, key, serial, token: caller.token.as_deref(), roles }
    }
}

/// A caller that is revoked. What it shows may go to the caller; who revoked it and why is for records
/// ([`Revoked::revocation`]).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this {} is revoked", .check.noun())]
pub struct Revoked {
    /// Which check failed.
    pub check: Check,
    /// The revocation that covers it.
    pub revocation: Box<Revocation>,
}

impl Revoked {
    /// The stable code for `lockgate explain`; it says which check failed.
    pub fn code(&self) -> &'static str {
        self.check.code()
    }

    /// In full, for records and logs.
    pub fn in_full(&self) -> String {
        let Revocation { target, by, reason, .. } = &*self.revocation;
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        format!("{}: {self}: {target} was revoked by {by}{reason}", self.code())
    }
}
