//! The mapping tables, one file a framework.

pub(crate) mod gdpr;
pub(crate) mod hipaa;
pub(crate) mod iso27001;
pub(crate) mod nis2;
pub(crate) mod pci;
pub(crate) mod quantum;
pub(crate) mod soc2;

/// What no log of a gateway knows, whatever the framework.
pub(crate) const PEOPLE: &str = "Whether the people who approved, invited and revoked were entitled to.";
pub(crate) const AROUND: &str =
    "Traffic that goes around the gateway: nothing that never reached it left a record.";
pub(crate) const BEHIND: &str = "What a server does with what it was sent.";
pub(crate) const UPSTREAM: &str = "The cryptography between gateway and server: records tell of the caller's link, the configuration of the server's.";
