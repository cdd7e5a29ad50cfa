//! `[[audit.subject]]`: whom calls are about, and where that stands in them.

use lockgate_privacy::{CALLER, Place, Retention, Rule, Rules, is_kind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Config;
use super::settings::Resolver;

/// Most rules: each call looks at all of them.
const RULES_MAX: usize = 256;

/// Longest path or beginning of a URI, in bytes.
const PLACE_BYTES_MAX: usize = 256;

/// Code of everything that is wrong here.
const CODE: &str = "LG-C023";

/// Where calls name a person, or whatever else can be erased. Without any, records are about their callers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SubjectPlace {
    /// What is named, in a word, like patient. Places of the same kind name the same subjects.
    pub(crate) kind: String,
    /// The argument that names it, like patient_id or customer.id; each element, where it is a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) argument: Option<String>,
    /// How URIs of resources begin that name it next, like ehr://patient/.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) uri: Option<String>,
    /// The server; all of them without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
    /// The tool or prompt; all of them without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tool: Option<String>,
}

/// For how many months what is kept, by class; without a number for ever. A month is over when that many whole months followed it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RetentionMonths {
    /// Content that policy has kept: its keys are destroyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1200))]
    pub(crate) content: Option<u32>,
    /// Calls, refusals and streams: the keys of their pseudonyms and tags are destroyed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1200))]
    pub(crate) calls: Option<u32>,
    /// Links that opened and closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1200))]
    pub(crate) links: Option<u32>,
    /// Certificates, invites, tokens and revocations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1200))]
    pub(crate) identities: Option<u32>,
    /// Changes of policy and cryptography.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1200))]
    pub(crate) changes: Option<u32>,
    /// Findings and alerts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1200))]
    pub(crate) findings: Option<u32>,
    /// The node's life, receipts of erasures and holds among it. The records of a month go when each class of it is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1200))]
    pub(crate) node: Option<u32>,
}

impl RetentionMonths {
    /// Whether nothing is said.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The months of each class.
    pub(crate) fn months(&self) -> Retention {
        let Self { content, calls, links, identities, changes, findings, node } = self.clone();
        Retention { content, calls, others: vec![links, identities, changes, findings, node] }
    }
}

impl Resolver<'_> {
    /// Reads all of them; problems are collected.
    pub(super) fn subjects(&mut self, config: &Config) -> Rules {
        let places = &config.audit.subject;
        if places.len() > RULES_MAX {
            let what = format!("there are more than {RULES_MAX} [[audit.subject]]");
            self.problem(CODE, "audit.subject", what, "leave server and tool out where all name it alike");
        }
        let rules =
            places.iter().enumerate().filter_map(|(n, place)| self.subject(config, n, place)).collect();
        Rules::new(rules)
    }

    fn subject(&mut self, config: &Config, n: usize, place: &SubjectPlace) -> Option<Rule> {
        let path = format!("audit.subject.{n}");
        let SubjectPlace { kind, argument, uri, server, tool } = place;
        if !is_kind(kind) || kind == CALLER {
            let what = format!("{kind:?} is no kind of subjects");
            let hint = "up to 32 lower-case letters, digits and hyphens; \"agent\" is the caller's";
            self.problem(CODE, &format!("{path}.kind"), what, hint);
        }
        if let Some(name) = server.as_ref().filter(|name| config.server.iter().all(|one| one.name != **name))
        {
            let known: Vec<&str> = config.server.iter().map(|one| one.name.as_str()).collect();
            let hint = format!("the servers are: {}", known.join(", "));
            self.problem(CODE, &format!("{path}.server"), format!("there is no server \"{name}\""), &hint);
        }
        let found = match (argument, uri) {
            (Some(argument), None) => {
                let keys: Vec<String> = argument.split('.').map(str::to_owned).collect();
                let fits = argument.len() <= PLACE_BYTES_MAX && keys.iter().all(|key| !key.is_empty());
                fits.then_some(Place::Argument(keys))
            }
            (None, Some(uri)) => {
                let fits = uri.len() <= PLACE_BYTES_MAX && uri.contains("://") && tool.is_none();
                fits.then(|| Place::Uri(uri.clone()))
            }
            _ => None,
        };
        if found.is_none() {
            let hint = "write argument = \"patient_id\", or uri = \"ehr://patient/\" without a tool";
            self.problem(CODE, &path, "an [[audit.subject]] names no place in calls".to_owned(), hint);
        }
        Some(Rule { server: server.clone(), tool: tool.clone(), place: found?, kind: kind.clone() })
    }
}
