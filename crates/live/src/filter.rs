//! What of the events somebody wants to see.

use crate::event::{Event, Verdict, What};

/// Longest text of a filter in bytes.
const TEXT_BYTES_MAX: usize = 256;

/// Conditions that all must hold. Texts match a part of what they are compared with, whatever the case of its ASCII letters.
/// The default lets everything pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// A part of the agent's id.
    pub agent: Option<String>,
    /// The server's id, or a part of it.
    pub server: Option<String>,
    /// A part of the tool's, prompt's or resource's name.
    pub tool: Option<String>,
    /// One of these verdicts; only calls have one. Empty is any.
    pub verdicts: Vec<Verdict>,
    /// One of `call`, `link` and `note`. Empty is any.
    pub kinds: Vec<&'static str>,
}

/// What a filter cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilterError {
    /// There is no such verdict.
    Verdict(String),
    /// There is no such kind.
    Kind(String),
    /// A text is too long.
    Long,
}

impl std::fmt::Display for FilterError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = Verdict::ALL.map(Verdict::name).join(", ");
        match self {
            Self::Verdict(given) => write!(f, "`{given}` is no verdict; there are {names}"),
            Self::Kind(given) => write!(f, "`{given}` is no kind of event; there are call, link, note"),
            Self::Long => write!(f, "a text to filter by has {TEXT_BYTES_MAX} bytes at most"),
        }
    }
}

impl std::error::Error for FilterError {}

impl Filter {
    /// Only events of these verdicts, given as names between commas. `refused` is every refusal of this node.
    ///
    /// # Errors
    /// A name is none.
    pub fn verdicts(mut self, names: &str) -> Result<Self, FilterError> {
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let known = Verdict::ALL.into_iter().find(|verdict| verdict.name() == name);
            match known.ok_or_else(|| FilterError::Verdict(name.chars().take(32).collect()))? {
                Verdict::Refused => {
                    self.verdicts.extend(Verdict::ALL.into_iter().filter(|verdict| verdict.is_refusal()));
                }
                verdict => self.verdicts.push(verdict),
            }
        }
        Ok(self)
    }

    /// Only events of these kinds, given as names between commas.
    ///
    /// # Errors
    /// A name is none.
    pub fn kinds(mut self, names: &str) -> Result<Self, FilterError> {
        for name in names.split(',').filter(|name| !name.is_empty()) {
            let known = ["call", "link", "note"].into_iter().find(|kind| *kind == name);
            self.kinds.push(known.ok_or_else(|| FilterError::Kind(name.chars().take(32).collect()))?);
        }
        Ok(self)
    }

    /// The filter, if its texts are within bounds.
    ///
    /// # Errors
    /// [`FilterError::Long`].
    pub fn bounded(self) -> Result<Self, FilterError> {
        let texts = [&self.agent, &self.server, &self.tool];
        let is_long = texts.into_iter().flatten().any(|text| text.len() > TEXT_BYTES_MAX);
        if is_long { Err(FilterError::Long) } else { Ok(self) }
    }

    /// Whether `event` is wanted.
    pub fn passes(&self, event: &Event) -> bool {
        let (kind, agent, server, name, verdict) = match &event.what {
            What::Call(call) => {
                ("call", call.agent(), call.server.as_str(), call.name.as_deref(), Some(call.verdict))
            }
            What::Link(change) => ("link", change.link.agent.as_str(), "", None, None),
            What::Note(note) => (
                "note",
                note.agent.as_deref().unwrap_or_default(),
                note.server.as_deref().unwrap_or_default(),
                note.name.as_deref(),
                None,
            ),
        };
        (self.kinds.is_empty() || self.kinds.contains(&kind))
            && (self.verdicts.is_empty() || verdict.is_some_and(|verdict| self.verdicts.contains(&verdict)))
            && has(agent, self.agent.as_deref())
            && has(server, self.server.as_deref())
            && has(name.unwrap_or_default(), self.tool.as_deref())
    }
}

fn has(text: &str, part: Option<&str>) -> bool {
    let Some(part) = part.filter(|part| !part.is_empty()) else { return true };
    text.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::{Call, LinkFacts};

    fn call(verdict: Verdict) -> Event {
        let link = LinkFacts { agent: "spiffe://a/agent/Ann".into(), ..LinkFacts::default() };
        let call = Call {
            verdict,
            link: Arc::new(link),
            bearer: None,
            server: "crm".into(),
            method: "tools/call".into(),
            name: Some("pay".into()),
            duration_us: 1,
            stages: Default::default(),
            answered_us: None,
            stage: None,
            code: None,
            reason: None,
            hint: None,
            policies: Vec::new(),
            policy_generation: None,
            approval: None,
            shadow: None,
            findings: Vec::new(),
            bytes_in: None,
            bytes_out: None,
            trace: None,
        };
        Event { at_ms: 1, seq: None, what: What::Call(Box::new(call)) }
    }

    #[test]
    fn all_conditions_must_hold() {
        let text = |text: &str| Some(text.to_owned());
        let none = Filter::default();
        for (filter, passes) in [
            (none.clone(), true),
            (Filter { agent: text("ANN"), ..none.clone() }, true),
            (Filter { agent: text("bob"), ..none.clone() }, false),
            (Filter { agent: text("ann"), server: text("cr"), tool: text("pay"), ..none.clone() }, true),
            (Filter { agent: text("ann"), tool: text("payroll"), ..none.clone() }, false),
            (none.clone().verdicts("denied,held").unwrap(), true),
            (none.clone().verdicts("refused").unwrap(), true),
            (none.clone().verdicts("ok").unwrap(), false),
            (none.clone().kinds("link,note").unwrap(), false),
            (none.clone().kinds("call").unwrap(), true),
        ] {
            assert_eq!(filter.passes(&call(Verdict::Denied)), passes, "{filter:?}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let none = Filter::default();
        assert_eq!(none.clone().verdicts("good"), Err(FilterError::Verdict("good".into())));
        assert_eq!(none.clone().kinds("calls"), Err(FilterError::Kind("calls".into())));
        let long = Filter { agent: Some("x".repeat(TEXT_BYTES_MAX + 1)), ..none };
        assert_eq!(long.bounded(), Err(FilterError::Long));
    }
}
