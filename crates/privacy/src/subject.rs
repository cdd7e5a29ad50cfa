//! Whom a record is about, and how that is found.

use std::borrow::Cow;
use std::fmt;

use crate::PrivacyError;
use crate::leaves;

/// Longest value that can name a subject, in bytes: an e-mail address has up to 254.
pub const SUBJECT_BYTES_MAX: usize = 256;

/// Subjects of one call. A call about more has none that could be told apart, and nothing of it is kept but sizes.
pub const SUBJECTS_MAX: usize = 16;

/// Longest word for a kind of subjects, in bytes.
const KIND_BYTES_MAX: usize = 32;

/// The kind of subjects that are callers.
pub const CALLER: &str = "agent";

/// A person, or whatever else records can be about: a kind, and what it is known by. Printed without the latter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    kind: String,
    value: String,
}

impl Subject {
    /// The subject of this kind that is known by this value.
    ///
    /// # Errors
    /// [`PrivacyError::NoSubject`].
    pub fn new(kind: &str, value: &str) -> Result<Self, PrivacyError> {
        let no = |why: &str| PrivacyError::NoSubject { why: why.to_owned() };
        if !is_kind(kind) {
            return Err(no(
                "a kind has up to 32 lower-case letters, digits and hyphens, and begins with a letter",
            ));
        }
        if value.is_empty() || value.len() > SUBJECT_BYTES_MAX {
            return Err(no("what it is known by has 1 to 256 bytes"));
        }
        Ok(Self { kind: kind.to_owned(), value: value.to_owned() })
    }

    /// Reads `KIND:VALUE`, like `patient:4711`; a SPIFFE id, `local-user` and `anonymous` are callers.
    ///
    /// # Errors
    /// [`PrivacyError::NoSubject`].
    pub fn parse(text: &str) -> Result<Self, PrivacyError> {
        if text.starts_with("spiffe://") || matches!(text, "local-user" | "anonymous") {
            return Self::new(CALLER, text);
        }
        let why = "write KIND:ID like patient:4711, or the SPIFFE id of an agent".to_owned();
        let (kind, value) = text.split_once(':').ok_or(PrivacyError::NoSubject { why })?;
        Self::new(kind, value)
    }

    /// The caller of this name; one with an over-long name is known by its beginning.
    #[must_use]
    pub fn caller(agent: &str) -> Self {
        let end = agent.floor_char_boundary(SUBJECT_BYTES_MAX);
        Self { kind: CALLER.to_owned(), value: agent[..end].to_owned() }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What it is known by: personal.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Subject({}:[redacted])", self.kind)
    }
}

/// Whether this word can name a kind of subjects.
#[must_use]
pub fn is_kind(word: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    word.len() <= KIND_BYTES_MAX
        && word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.bytes().all(fits)
}

/// Where a subject stands in calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The server; all where there is none.
    pub server: Option<String>,
    /// The tool or prompt; all where there is none.
    pub tool: Option<String>,
    /// What names it there.
    pub place: Place,
    /// What it names.
    pub kind: String,
}

/// What of a call names a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An argument, as keys from the outside in.
    Argument(Vec<String>),
    /// What stands in the URI of a resource behind these words, up to the next `/`, `?` or `#`.
    Uri(String),
}

/// What subjects are found in.
#[derive(Clone, Copy, Debug)]
pub struct Called<'a> {
    /// Who calls.
    pub agent: &'a str,
    /// The server.
    pub server: &'a str,
    /// The tool or prompt.
    pub name: &'a str,
    /// The arguments as JSON text.
    pub arguments: Option<&'a str>,
}

/// All rules of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// These rules.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self(rules)
    }

    /// Whom a call is about, each once, in the order of their kinds and values: those that rules find in its arguments, and
    /// where none is found the caller. None if there are more than [`SUBJECTS_MAX`], or one is named by something too long.
    #[must_use]
    pub fn find(&self, called: &Called<'_>) -> Option<Vec<Subject>> {
        let mut found = Vec::new();
        for rule in self.0.iter().filter(|rule| rule.fits(called)) {
            let path = match &rule.place {
                Place::Argument(path) => path,
                Place::Uri(begin) => {
                    let value = in_uri(called.name, begin).filter(|value| !value.is_empty());
                    found.extend(value.map(|value| Subject::new(&rule.kind, value)).transpose().ok()?);
                    continue;
                }
            };
            let arguments = called.arguments.unwrap_or_default();
            for raw in leaves::at(arguments, path, SUBJECTS_MAX) {
                let raw = raw.get();
                let value = match leaves::string(raw) {
                    Some(text) => text,
                    // A number is a name; that something is true, or nothing, is none.
                    None if !matches!(raw, "true" | "false" | "null") => raw.into(),
                    None => continue,
                };
                if !value.is_empty() {
                    found.push(Subject::new(&rule.kind, &value).ok()?);
                }
            }
        }
        found.sort();
        found.dedup();
        match found.len() {
            0 => Some(vec![Subject::caller(called.agent)]),
            1..=SUBJECTS_MAX => Some(found),
            _ => None,
        }
    }
}

impl Rule {
    fn fits(&self, called: &Called<'_>) -> bool {
        self.server.as_deref().is_none_or(|server| server == called.server)
            && self.tool.as_deref().is_none_or(|tool| tool == called.name)
    }
}

impl Rules {
    /// The name of what is called as a record shows it: in a URI the kind of a subject stands for what it is known by, and
    /// what is asked for behind `?` or `#` is left out.
    #[must_use]
    pub fn shown<'a>(&self, server: &str, name: &'a str) -> Cow<'a, str> {
        if !name.contains("://") {
            return name.into();
        }
        let mut shown = Cow::Borrowed(name);
        for rule in self.0.iter().filter(|rule| rule.server.as_deref().is_none_or(|own| own == server)) {
            if let Place::Uri(begin) = &rule.place
                && let Some(value) = in_uri(name, begin).filter(|value| !value.is_empty())
            {
                let rest = &name[begin.len() + value.len()..];
                shown = format!("{begin}{{{}}}{rest}", rule.kind).into();
                break;
            }
        }
        match shown.find(['?', '#']) {
            Some(end) => format!("{}{}…", &shown[..end], &shown[end..=end]).into(),
            None => shown,
        }
    }
}

/// What stands in a URI behind its beginning.
fn in_uri<'a>(uri: &'a str, begin: &str) -> Option<&'a str> {
    let rest = uri.strip_prefix(begin)?;
    Some(&rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_read_and_printed_without_what_they_are_known_by() {
        for (text, expected) in [
            ("patient:4711", Some(("patient", "4711"))),
            ("person:ann@example.org:x", Some(("person", "ann@example.org:x"))),
            ("spiffe://d/agent/a", Some(("agent", "spiffe://d/agent/a"))),
            ("local-user", Some(("agent", "local-user"))),
            ("4711", None),
            ("Patient:1", None),
            ("patient:", None),
            (":x", None),
        ] {
            let read = Subject::parse(text).ok();
            assert_eq!(read.as_ref().map(|subject| (subject.kind(), subject.value())), expected, "{text}");
            assert!(!format!("{read:?}").contains("4711"));
        }
        assert!(Subject::new("patient", &"x".repeat(SUBJECT_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn rules_find_whom_a_call_is_about() {
        let rule = |tool: Option<&str>, argument: &[&str], kind: &str| Rule {
            server: Some("ehr".to_owned()),
            tool: tool.map(str::to_owned),
            place: Place::Argument(argument.iter().map(|key| (*key).to_owned()).collect()),
            kind: kind.to_owned(),
        };
        let rules = Rules::new(vec![
            rule(None, &["patient_id"], "patient"),
            rule(Some("mail"), &["to", "address"], "person"),
        ]);
        let find = |server, name, arguments| {
            let called = Called { agent: "spiffe://d/agent/a", server, name, arguments: Some(arguments) };
            let found = rules.find(&called)?;
            Some(found.iter().map(|one| format!("{}:{}", one.kind, one.value)).collect::<Vec<_>>().join(" "))
        };
        let caller = Some("agent:spiffe://d/agent/a".to_owned());
        for (server, name, arguments, expected) in [
            ("ehr", "get", r#"{"patient_id":4711}"#, Some("patient:4711".to_owned())),
            ("ehr", "get", r#"{"patient_id":"4711"}"#, Some("patient:4711".to_owned())),
            (
                "ehr",
                "mail",
                r#"{"patient_id":["b","a","a"],"to":{"address":"x@y"}}"#,
                Some("patient:a patient:b person:x@y".to_owned()),
            ),
            ("ehr", "get", r#"{"to":{"address":"x@y"}}"#, caller.clone()),
            ("crm", "get", r#"{"patient_id":4711}"#, caller.clone()),
            ("ehr", "get", r#"{"patient_id":null}"#, caller.clone()),
            ("ehr", "get", "not JSON", caller),
        ] {
            assert_eq!(find(server, name, arguments), expected, "{arguments}");
        }
        let many =
            format!(r#"{{"patient_id":[{}]}}"#, (0..17).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
        assert_eq!(find("ehr", "get", &many), None);
        let long = format!(r#"{{"patient_id":"{}"}}"#, "x".repeat(SUBJECT_BYTES_MAX + 1));
        assert_eq!(find("ehr", "get", &long), None);
    }

    #[test]
    fn a_uri_is_shown_without_whom_it_names() {
        let place = Place::Uri("ehr://patient/".to_owned());
        let rules = Rules::new(vec![Rule { server: None, tool: None, place, kind: "patient".to_owned() }]);
        for (uri, shown, subject) in [
            ("ehr://patient/4711/labs", "ehr://patient/{patient}/labs", "4711"),
            ("ehr://patient/4711?from=2026", "ehr://patient/{patient}?…", "4711"),
            ("ehr://patient/", "ehr://patient/", AGENT),
            ("ehr://ward/7#bed", "ehr://ward/7#…", AGENT),
            ("get_patient?", "get_patient?", AGENT),
        ] {
            let called = Called { agent: AGENT, server: "ehr", name: uri, arguments: None };
            assert_eq!(rules.shown("ehr", uri), shown);
            assert_eq!(rules.find(&called).unwrap()[0].value(), subject);
        }
    }

    const AGENT: &str = "spiffe://d/agent/a";
}
