//! What the configuration says, as it is when the report is made. The log does not say what it was during the period.

use std::collections::BTreeMap;

use serde::Serialize;

/// Facts that do not come out of the log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Background {
    /// Name of the node.
    pub node: String,
    /// Its trust domain.
    pub trust_domain: String,
    /// Version of this program.
    pub version: String,
    /// The configuration file; none if the report was made without one.
    pub config: Option<String>,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// What is behind it.
    pub servers: Vec<Server>,
    /// Days on which something ends by itself.
    pub dates: Vec<Ending>,
    /// MCP methods whose answers wait until their record is on the disk.
    pub durable: Vec<String>,
    /// Whether records hold the values of arguments.
    pub records_arguments: bool,
    /// Why the policies could not be read, if so.
    pub policies_unread: Option<String>,
    /// Ids of policies, each with the reason that its author wrote.
    pub purposes: BTreeMap<String, String>,
}

/// A listener.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Listener {
    /// Its name in commands.
    pub name: String,
    /// Its profile, with the date.
    pub profile: String,
    /// What of that profile a quantum adversary breaks, by catalog id; empty if nothing.
    pub classical: Vec<String>,
    /// Whether calls are taken only from proven identities.
    pub identity_required: bool,
}

/// An MCP server: whoever runs it receives what calls carry.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Server {
    /// Its name in records.
    pub name: String,
    /// Host that is connected to; none for a process on this machine.
    pub host: Option<String>,
    /// How it is reached.
    pub reached: Reached,
    /// Groups by which policies name it.
    pub groups: Vec<String>,
    /// Country, if the configuration says one.
    pub country: Option<String>,
}

/// How a server is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    /// As a child process, over its standard input and output.
    #[default]
    Process,
    /// Over http, on this machine.
    Loopback,
    /// Over http, through a network: nothing protects it on the way.
    Plain,
    /// Over https, under a profile.
    Tls {
        /// Its name.
        profile: String,
        /// What of it a quantum adversary breaks.
        classical: Vec<String>,
    },
}

/// Something that ends on a day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Ending {
    /// The last day, RFC 3339 full-date.
    pub day: String,
    /// What ends, or from when on it is warned of.
    pub what: String,
    /// Who says so.
    pub source: String,
    /// What follows.
    pub then: String,
}
