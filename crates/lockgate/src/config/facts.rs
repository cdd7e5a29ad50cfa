//! `[[fact]]`: what policy is told of the world, and by whom.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::{Span, SpanRelativeTo};
use lockgate_crypto::{Profile, document};
use lockgate_facts::{
    AGENT, AS_OF, DEADLINE_MS_MAX, FACTS_MAX, FIELDS_MAX, FactShape, FactType, KEY_BYTES_MAX, MAX_AGE_MS_MAX,
    Template,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::nearest;
use super::settings::Resolver;
use super::{Config, foreign_profile};
use crate::diagnostic::Diagnostic;

/// Longest name of a fact or field, in bytes: it is a member of what policies read.
const NAME_BYTES_MAX: usize = 64;

/// Youngest age that can be a limit, in milliseconds: below it every call would ask anew.
const MAX_AGE_MS_MIN: u64 = 100;

/// What policy is told of the world. Without it, or when it is too old, a permit that needs it cannot match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fact {
    /// Name in policies: lower-case letters, digits and underscores.
    pub(crate) name: String,
    /// https://…, http://… on loopback, file:PATH, mcp:SERVER/TOOL, or push for statements that are signed and brought. {key} in a URL stands for the key.
    pub(crate) from: String,
    /// The argument of a call whose value selects the record, or agent for the caller. Without it there is one record for all calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// The fields of the record and their types. An answer without one of them, or with another type, is none.
    pub(crate) fields: BTreeMap<String, Field>,
    /// How old the record may be, like "60s" or "12h". It counts from the record's own as_of, else from when it was asked for or written.
    pub(crate) max_age: String,
    /// How long a call may wait for it, like "50ms".
    #[serde(default = "deadline")]
    pub(crate) deadline: String,
    /// PEM file with the roots that the certificate of an https:// URL must lead to, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<PathBuf>,
    /// Algorithms that the connection to an https:// URL may use.
    #[serde(default = "foreign_profile")]
    pub(crate) profile: String,
    /// PEM file with the public key that signs what is pushed, as `lockgate crypto keygen` makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) signer: Option<PathBuf>,
}

fn deadline() -> String {
    format!("{}ms", lockgate_facts::DEADLINE_MS_DEFAULT)
}

/// The type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Field {
    /// A text.
    Text,
    /// A whole number.
    Integer,
    /// True or false.
    Flag,
    /// A time of RFC 3339, with its zone.
    Time,
    /// A list of texts, without order.
    Texts,
}

impl Field {
    fn kind(self) -> FactType {
        match self {
            Self::Text => FactType::Text,
            Self::Integer => FactType::Integer,
            Self::Flag => FactType::Flag,
            Self::Time => FactType::Time,
            Self::Texts => FactType::Texts,
        }
    }
}

/// A fact that can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FactPlan {
    pub(crate) shape: Arc<FactShape>,
    pub(crate) from: FactSource,
    pub(crate) max_age_ms: u64,
    pub(crate) deadline_ms: u64,
}

/// Where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FactSource {
    File(PathBuf),
    Http { url: Template, roots: Option<PathBuf>, profile: &'static Profile },
    Mcp { server: String, tool: String },
    Push { signer: PathBuf, spki: Vec<u8> },
}

impl FactPlan {
    /// The profile of its connections, if it is reached by https.
    pub(crate) fn profile(&self) -> Option<&'static Profile> {
        match &self.from {
            FactSource::Http { url, profile, .. } if url.origin().scheme_str() == Some("https") => {
                Some(profile)
            }
            _ => None,
        }
    }

    /// The name of its connections among the upstreams: no server can have it.
    pub(crate) fn place(&self) -> String {
        format!("fact:{}", self.shape.name)
    }

    /// Files that decide who is believed.
    pub(crate) fn trusted(&self) -> Option<&PathBuf> {
        match &self.from {
            FactSource::Http { roots, .. } => roots.as_ref(),
            FactSource::Push { signer, .. } => Some(signer),
            FactSource::File(_) | FactSource::Mcp { .. } => None,
        }
    }
}

impl Resolver<'_> {
    pub(super) fn facts(&mut self, config: &Config) -> Option<Vec<FactPlan>> {
        if config.fact.len() > FACTS_MAX {
            let what = format!("there are {} facts", config.fact.len());
            self.problem("LG-C005", "fact", what, &format!("at most {FACTS_MAX} are possible"));
        }
        let mut plans = Vec::new();
        for (n, fact) in config.fact.iter().enumerate() {
            if let Some(first) = config.fact[..n].iter().position(|other| other.name == fact.name) {
                let place = self.place(&format!("fact.{first}.name")).unwrap_or_default();
                let what = format!("two facts are called \"{}\"; the other is at {place}", fact.name);
                self.problem("LG-C008", &format!("fact.{n}.name"), what, "give one of them another name");
            }
            plans.push(self.fact(&format!("fact.{n}"), fact, config));
        }
        plans.into_iter().collect()
    }

    fn fact(&mut self, path: &str, fact: &Fact, config: &Config) -> Option<FactPlan> {
        self.fact_names(path, fact);
        let max_age_ms =
            self.span(&format!("{path}.max_age"), &fact.max_age, (MAX_AGE_MS_MIN, MAX_AGE_MS_MAX));
        let deadline_ms = self.span(&format!("{path}.deadline"), &fact.deadline, (1, DEADLINE_MS_MAX));
        let from = self.fact_source(path, fact, config);
        if let Some(from) = &from {
            self.fact_keys_fit(path, fact, from);
        }
        let fields = fact.fields.iter().map(|(name, field)| (name.clone(), field.kind())).collect();
        let shape = Arc::new(FactShape { name: fact.name.clone(), fields, key: fact.key.clone() });
        Some(FactPlan { shape, from: from?, max_age_ms: max_age_ms?, deadline_ms: deadline_ms? })
    }

    fn fact_names(&mut self, path: &str, fact: &Fact) {
        let is_lower =
            |name: &str| name.starts_with(|c: char| c.is_ascii_lowercase()) && name == name.to_lowercase();
        if !is_word(&fact.name) || !is_lower(&fact.name) {
            let what = format!("\"{}\" is no name of a fact", fact.name);
            let hint = "write lower-case letters, digits and underscores, a letter first: on_duty";
            self.problem("LG-C007", &format!("{path}.name"), what, hint);
        }
        if fact.fields.is_empty() || fact.fields.len() > FIELDS_MAX {
            let what = format!("the fact \"{}\" has {} fields", fact.name, fact.fields.len());
            let hint = format!("name between 1 and {FIELDS_MAX}, like fields = {{ on_duty = \"integer\" }}");
            self.problem("LG-C007", &format!("{path}.fields"), what, &hint);
        }
        for name in fact.fields.keys() {
            let (what, hint) = match name.as_str() {
                AS_OF => (
                    format!("`{AS_OF}` is no field: with it a record says of when it is"),
                    "remove it; the age is checked anyway",
                ),
                name if !is_word(name) => (
                    format!("\"{name}\" is no name of a field"),
                    "write letters, digits and underscores, no digit first",
                ),
                _ => continue,
            };
            self.problem("LG-C007", &format!("{path}.fields.{name}"), what, hint);
        }
        if let Some(key) = &fact.key
            && (key.is_empty() || key.len() > KEY_BYTES_MAX || key.contains(char::is_control))
        {
            let what = "the key is no name of an argument".to_owned();
            let hint = format!("write the argument's name, or \"{AGENT}\" for whoever calls");
            self.problem("LG-C007", &format!("{path}.key"), what, &hint);
        }
    }

    fn fact_source(&mut self, path: &str, fact: &Fact, config: &Config) -> Option<FactSource> {
        let from = format!("{path}.from");
        match fact.from.split_once(':') {
            None if fact.from == "push" => self.pushed(path, fact),
            Some(("file", file)) if !file.is_empty() => Some(FactSource::File(self.base.join(file))),
            Some(("mcp", place)) => self.tool_of(&from, place, config),
            Some(("http" | "https", _)) => match Template::parse(&fact.from) {
                Ok(url) => Some(FactSource::Http {
                    url,
                    roots: fact.roots.as_ref().map(|roots| self.base.join(roots)),
                    profile: self.profile(&format!("{path}.profile"), &fact.profile)?,
                }),
                Err(why) => {
                    let what = format!("the fact \"{}\" cannot come from there", fact.name);
                    self.problem("LG-C007", &from, what, &why);
                    None
                }
            },
            _ => {
                let what = format!("\"{}\" is no place that a fact can come from", fact.from);
                let scheme = fact.from.split(':').next().unwrap_or_default();
                let near = nearest(scheme, ["https", "http", "file", "mcp", "push"].into_iter());
                let hint = "write https://HOST/PATH, file:PATH, mcp:SERVER/TOOL or push";
                let hint = near.map_or(hint.to_owned(), |near| format!("did you mean `{near}`? {hint}"));
                self.problem("LG-C007", &from, what, &hint);
                None
            }
        }
    }

    fn tool_of(&mut self, path: &str, place: &str, config: &Config) -> Option<FactSource> {
        let (server, tool) =
            place.split_once('/').filter(|(_, tool)| !tool.is_empty()).unwrap_or((place, ""));
        if tool.is_empty() {
            let what = format!("mcp:{place} names no tool");
            self.problem("LG-C007", path, what, "write mcp:SERVER/TOOL, like mcp:calendar/appointments");
            return None;
        }
        let names = || config.server.iter().map(|server| server.name.as_str());
        if !names().any(|name| name == server) {
            let hint = match nearest(server, names()) {
                Some(near) => format!("did you mean mcp:{near}/{tool}?"),
                None => format!("the servers are: {}", names().collect::<Vec<_>>().join(", ")),
            };
            self.problem("LG-C007", path, format!("no server is called \"{server}\""), &hint);
            return None;
        }
        Some(FactSource::Mcp { server: server.to_owned(), tool: tool.to_owned() })
    }

    fn pushed(&mut self, path: &str, fact: &Fact) -> Option<FactSource> {
        let Some(signer) = &fact.signer else {
            let what = format!("the fact \"{}\" is pushed, but nobody is named who signs it", fact.name);
            let hint = "add signer = \"FILE.pub\"; lockgate crypto keygen FILE makes a key";
            self.problem("LG-C006", path, what, hint);
            return None;
        };
        let signer = self.base.join(signer);
        let spki = std::fs::read_to_string(&signer)
            .map_err(|error| error.to_string())
            .and_then(|pem| document::public_key_from_pem(&pem).map_err(|error| error.to_string()));
        match spki {
            Ok(spki) => Some(FactSource::Push { signer, spki }),
            Err(why) => {
                let problem =
                    Diagnostic::new("LG-C009", format!("cannot use the public key {}", signer.display()))
                        .cause(why)
                        .hint("name the .pub file that lockgate crypto keygen made");
                let problem = self.placed(&format!("{path}.signer"), problem);
                self.problems.push(problem);
                None
            }
        }
    }

    /// A setting that cannot have an effect is a mistake of whoever wrote it.
    fn fact_keys_fit(&mut self, path: &str, fact: &Fact, from: &FactSource) {
        let url = match from {
            FactSource::Http { url, .. } => Some(url),
            _ => None,
        };
        let https = url.is_some_and(|url| url.origin().scheme_str() == Some("https"));
        let push = matches!(from, FactSource::Push { .. });
        for (key, given, fits, whose) in [
            ("roots", fact.roots.is_some(), https, "an https:// URL"),
            ("signer", fact.signer.is_some(), push, "a fact that is pushed"),
        ] {
            if given && !fits {
                let what = format!("`{key}` is for {whose}, and \"{}\" is none", fact.name);
                let hint = "remove the key, or change where the fact comes from";
                self.problem("LG-C007", &format!("{path}.{key}"), what, hint);
            }
        }
        match (url.map(Template::has_key), &fact.key) {
            (Some(true), None) => {
                let what = "the URL has a place for a key, but the fact has none".to_owned();
                let hint = "add key = \"ARGUMENT\": the argument of a call whose value selects the record";
                self.problem("LG-C007", &format!("{path}.from"), what, hint);
            }
            (Some(false), Some(key)) => {
                let what = format!("the record is selected by \"{key}\", but the URL does not ask for it");
                self.problem("LG-C007", &format!("{path}.from"), what, "write {key} in its path or query");
            }
            _ => {}
        }
    }

    fn span(&mut self, path: &str, text: &str, (least, most): (u64, u64)) -> Option<u64> {
        match span_ms(text) {
            Some(ms) if (least..=most).contains(&ms) => Some(ms),
            Some(_) => {
                let what = format!("\"{text}\" is too short or too long");
                self.problem("LG-C005", path, what, &format!("write something from {least} ms to {most} ms"));
                None
            }
            None => {
                let what = format!("\"{text}\" is no time span");
                self.problem("LG-C007", path, what, "write it like 50ms, 60s, 15m or 12h");
                None
            }
        }
    }
}

/// A name that can stand after a dot in a policy.
fn is_word(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Milliseconds as people write them.
fn span_ms(text: &str) -> Option<u64> {
    let span: Span = text.parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    u64::try_from(duration.as_millis()).ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans() {
        for (text, ms) in [
            ("50ms", Some(50)),
            ("60s", Some(60_000)),
            ("1m30s", Some(90_000)),
            ("12h", Some(43_200_000)),
            ("7d", Some(604_800_000)),
            ("", None),
            ("60", None),
            ("-5s", None),
            ("soon", None),
            ("P1D", None),
        ] {
            assert_eq!(span_ms(text), ms, "{text}");
        }
    }

    #[test]
    fn words() {
        for good in ["on_duty", "_a", "A1"] {
            assert!(is_word(good), "{good}");
        }
        for bad in ["", "1a", "a-b", "a.b", "ä", &"a".repeat(65)] {
            assert!(!is_word(bad), "{bad}");
        }
    }
}
