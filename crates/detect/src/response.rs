//! What follows from a finding: the operator's rules, and what people chose not to hear of for a while.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::finding::{self, Finding, Severity};

/// Rules of one configuration. More than this no person oversees.
pub const RULES_MAX: usize = 256;

/// Suppressions in force at a time, for the same reason.
pub const SUPPRESSIONS_MAX: usize = 1_000;

/// Longest reason of a suppression, in bytes.
pub const REASON_BYTES_MAX: usize = 512;

/// Longest time that a suppression may last, in milliseconds: a year. What is to be silent for good is a rule.
pub const SUPPRESSION_MS_MAX: u64 = 366 * 24 * 3_600_000;

/// What follows from a finding, mildest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Response {
    /// It is recorded and shown.
    Observe,
    /// Besides, the model is told with the result.
    Warn,
    /// A call waits for a person; a definition is hidden until one approves it; an answer is withheld.
    Hold,
    /// A call is refused; a definition and an answer fare as with `Hold`.
    Deny,
    /// Besides, the caller is locked out. For a definition or an answer, which no caller wrote, it is `Deny`.
    Kill,
}

impl Response {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Response::Observe => "observe",
            Response::Warn => "warn",
            Response::Hold => "hold",
            Response::Deny => "deny",
            Response::Kill => "kill",
        }
    }
}

/// A word that names no response or severity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is none of {known}")]
pub struct UnknownWord {
    word: String,
    known: &'static str,
}

impl FromStr for Response {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        use Response::{Deny, Hold, Kill, Observe, Warn};
        let found = [Observe, Warn, Hold, Deny, Kill].into_iter().find(|response| response.name() == word);
        found.ok_or_else(|| UnknownWord { word: word.to_owned(), known: "observe, warn, hold, deny, kill" })
    }
}

impl FromStr for Severity {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        let found = [Severity::Low, Severity::Medium, Severity::High].into_iter().find(|s| s.name() == word);
        found.ok_or_else(|| UnknownWord { word: word.to_owned(), known: "low, medium, high" })
    }
}

/// One rule of the operator: what follows from findings that fit all that it names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Id of the finding; any without it.
    pub finding: Option<String>,
    /// Its severity; any without it.
    pub severity: Option<Severity>,
    /// A role that the caller has; any caller, and nobody too, without it.
    pub role: Option<String>,
    /// Id of the server that it is about; any without it.
    pub server: Option<String>,
    /// What follows.
    pub then: Response,
}

impl Rule {
    fn fits(&self, finding: &Finding, roles: &[String]) -> bool {
        self.finding.as_ref().is_none_or(|id| id == finding.id)
            && self.severity.is_none_or(|severity| severity == finding.severity)
            && self.server.as_ref().is_none_or(|server| *server == finding.server)
            && self.role.as_ref().is_none_or(|role| roles.contains(role))
    }
}

/// Something that a person does not want to hear of for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suppression {
    /// What it is taken back by.
    pub id: String,
    /// Id of the finding.
    pub finding: String,
    /// Id of the server; all without it.
    pub server: Option<String>,
    /// The tool or method; all without it.
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// Until when, in milliseconds since 1970.
    pub until_ms: u64,
}

impl Suppression {
    /// Whether it silences this finding at this moment.
    pub fn covers(&self, finding: &Finding, now_ms: u64) -> bool {
        now_ms < self.until_ms
            && self.finding == finding.id
            && self.server.as_ref().is_none_or(|server| *server == finding.server)
            && self.subject.as_ref().is_none_or(|subject| *subject == finding.subject)
    }
}

/// The operator's rules, the first that fits counts, and what holds where none does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Responses {
    /// In order.
    pub rules: Vec<Rule>,
    /// What is silent for a while.
    pub suppressions: Vec<Suppression>,
}

impl Responses {
    /// What follows from a finding about a caller with these roles; `None` if it is suppressed.
    pub fn to(&self, finding: &Finding, roles: &[String], now_ms: u64) -> Option<Response> {
        if self.suppressions.iter().any(|silent| silent.covers(finding, now_ms)) {
            return None;
        }
        let rule = self.rules.iter().find(|rule| rule.fits(finding, roles));
        Some(rule.map_or_else(|| by_default(finding), |rule| rule.then))
    }
}

/// What follows where no rule says otherwise. Only exact rules stop anything by themselves, and what says that a secret leaves.
fn by_default(finding: &Finding) -> Response {
    match finding.id {
        finding::SECRET => Response::Deny,
        finding::INVISIBLE | finding::CHANGED | finding::FOREIGN_NAME | finding::LOOK_ALIKE
            if finding.severity == Severity::High =>
        {
            Response::Hold
        }
        finding::HEADER | finding::HOST if finding.severity == Severity::High => Response::Hold,
        _ => Response::Observe,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(id: &'static str, severity: Severity) -> Finding {
        let text = |text: &str| text.to_owned();
        Finding { id, severity, server: text("s"), subject: text("t"), reason: text(""), evidence: text("") }
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let rule = |finding: Option<&str>, role: Option<&str>, then| Rule {
            finding: finding.map(str::to_owned),
            severity: None,
            role: role.map(str::to_owned),
            server: None,
            then,
        };
        let responses = Responses {
            rules: vec![
                rule(Some("LG-D005"), Some("support"), Response::Kill),
                rule(Some("LG-D005"), None, Response::Observe),
            ],
            suppressions: Vec::new(),
        };
        let found = finding("LG-D005", Severity::High);
        assert_eq!(responses.to(&found, &["support".to_owned()], 0), Some(Response::Kill));
        assert_eq!(responses.to(&found, &[], 0), Some(Response::Observe));
        assert_eq!(responses.to(&finding("LG-D008", Severity::High), &[], 0), Some(Response::Deny));
    }

    #[test]
    fn a_suppression_ends_and_covers_only_what_it_names() {
        let silent = Suppression {
            id: "1".into(),
            finding: "LG-D004".into(),
            server: Some("s".into()),
            subject: None,
            reason: "known".into(),
            by: "me".into(),
            since_ms: 0,
            until_ms: 10,
        };
        let responses = Responses { rules: Vec::new(), suppressions: vec![silent] };
        let found = finding("LG-D004", Severity::High);
        assert_eq!(responses.to(&found, &[], 9), None);
        assert_eq!(responses.to(&found, &[], 10), Some(Response::Hold));
        let other = Finding { server: "other".into(), ..found };
        assert_eq!(responses.to(&other, &[], 9), Some(Response::Hold));
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for word in ["observe", "warn", "hold", "deny", "kill"] {
            assert_eq!(word.parse::<Response>().unwrap().name(), word);
        }
        assert!("block".parse::<Response>().unwrap_err().to_string().contains("observe, warn"));
        assert_eq!("high".parse(), Ok(Severity::High));
    }
}
