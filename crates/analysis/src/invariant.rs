//! Things that must never happen, in short forms or in Cedar.

use cedar_policy::{Effect, EntityUid, Policy, PolicyId};

use crate::call::whole_id;
use crate::clause::cedar_string;
use crate::error::AnalysisError;
use crate::forms;

/// Something that must never be permitted: a permit for exactly that.
#[derive(Clone, Debug, PartialEq)]
pub struct Invariant {
    /// As it was written.
    pub text: String,
    /// What it forbids, as a permit.
    pub probe: Policy,
    /// The agent that it names, by its whole id.
    pub agent: Option<String>,
    /// The text that calls must not touch.
    pub word: Option<String>,
}

impl Invariant {
    /// Reads a short form: `never-touch WORD`, `never WHO tool SERVER/TOOL`, `never WHO server SERVER`,
    /// `only WHO can SERVER/TOOL`.
    ///
    /// # Errors
    /// [`AnalysisError::Invariant`] with the forms.
    pub fn short(text: &str, trust_domain: &str) -> Result<Self, AnalysisError> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let (probe, agent, word) = match words.as_slice() {
            ["never-touch", word] => {
                // Needles are compared in lower case.
                let word = word.to_lowercase();
                // Whatever the method; but nothing is said yet when a link is made.
                let condition = format!(
                    "action != Lockgate::Action::\"connect\" && context.touched.contains({})",
                    cedar_string(&word)
                );
                (format!("permit(principal, action, resource) when {{ {condition} }};"), None, Some(word))
            }
            ["never", who, "tool", tool] => {
                let who = Who::read(who, trust_domain)?;
                let (action, resource) = target(tool)?;
                (format!("permit({}, {action}, {resource});", who.scope()), who.agent(), None)
            }
            ["never", who, "server", server] => {
                let who = Who::read(who, trust_domain)?;
                let resource = format!("resource in Lockgate::Server::{}", cedar_string(server));
                (format!("permit({}, action, {resource});", who.scope()), who.agent(), None)
            }
            ["only", who, "can", tool] => {
                let who = Who::read(who, trust_domain)?;
                let (action, resource) = target(tool)?;
                let is_them = who
                    .condition()
                    .ok_or_else(|| AnalysisError::invariant("`only anyone can` is true of everything"))?;
                (format!("permit(principal, {action}, {resource}) unless {{ {is_them} }};"), None, None)
            }
            _ => return Err(AnalysisError::invariant(format!("{text:?} is no invariant"))),
        };
        Ok(Invariant { text: text.to_owned(), probe: parse(&probe)?, agent, word })
    }

    /// Reads a Cedar permit for what must never be permitted.
    ///
    /// # Errors
    /// [`AnalysisError::Invariant`] if it is no single permit.
    pub fn cedar(text: &str) -> Result<Self, AnalysisError> {
        let probe = parse(text)?;
        if probe.effect() != Effect::Permit {
            return Err(AnalysisError::invariant("--never takes a permit for what must never be permitted"));
        }
        let call: EntityUid = "Lockgate::Action::\"tools/call\"".parse().expect("an id of Cedar");
        if forms::compares(&probe, &call)? {
            return Err(AnalysisError::invariant(
                "calls of tools are never the action \"tools/call\" itself, but in it: write action in …",
            ));
        }
        Ok(Invariant { text: text.trim().to_owned(), probe, agent: None, word: None })
    }
}

fn parse(text: &str) -> Result<Policy, AnalysisError> {
    Policy::parse(Some(PolicyId::new("invariant")), text).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        AnalysisError::invariant(format!("the invariant is not Cedar: {}", errors.join("; ")))
    })
}

/// Whom an invariant is about.
enum Who {
    Anyone,
    LocalUser,
    Anonymous,
    Agent(String),
    Role(String),
}

impl Who {
    fn read(text: &str, trust_domain: &str) -> Result<Self, AnalysisError> {
        Ok(match text {
            "anyone" | "anybody" => Who::Anyone,
            "anonymous" => Who::Anonymous,
            "local-user" => Who::LocalUser,
            role if role.starts_with("role/") => Who::Role(role["role/".len()..].to_owned()),
            agent if agent.contains('/') => Who::Agent(whole_id(agent, trust_domain)),
            other => {
                return Err(AnalysisError::invariant(format!(
                    "{other:?} is neither an agent nor a role; did you mean role/{other}?"
                )));
            }
        })
    }

    fn scope(&self) -> String {
        match self {
            Who::Anyone => "principal".to_owned(),
            Who::LocalUser => "principal is Lockgate::LocalUser".to_owned(),
            Who::Anonymous => "principal is Lockgate::Anonymous".to_owned(),
            Who::Agent(id) => format!("principal == Lockgate::Agent::{}", cedar_string(id)),
            Who::Role(name) => format!("principal in Lockgate::Role::{}", cedar_string(name)),
        }
    }

    fn condition(&self) -> Option<String> {
        match self {
            Who::Anyone => None,
            // Asked for its type first: two ids of different types are never compared.
            Who::Agent(id) => Some(format!(
                "principal is Lockgate::Agent && principal == Lockgate::Agent::{}",
                cedar_string(id)
            )),
            _ => Some(self.scope()),
        }
    }

    fn agent(&self) -> Option<String> {
        match self {
            Who::Agent(id) => Some(id.clone()),
            _ => None,
        }
    }
}

/// Action and resource of `SERVER/TOOL` or `SERVER/*`.
fn target(text: &str) -> Result<(String, String), AnalysisError> {
    let (server, tool) = text
        .split_once('/')
        .filter(|(server, tool)| !server.is_empty() && !tool.is_empty())
        .ok_or_else(|| AnalysisError::invariant(format!("{text:?} is not SERVER/TOOL")))?;
    let resource = match tool {
        "*" => format!("resource in Lockgate::Server::{}", cedar_string(server)),
        _ => format!("resource == Lockgate::Tool::{}", cedar_string(text)),
    };
    Ok(("action in Lockgate::Action::\"tools/call\"".to_owned(), resource))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms() {
        for text in [
            "never-touch system_config",
            "never agent/x tool billing/*",
            "never role/retail-bot tool crm/delete",
            "never anonymous server billing",
            "only role/ops can crm/delete",
            "only agent/x can crm/*",
        ] {
            let invariant = Invariant::short(text, "d.example").unwrap();
            assert_eq!(invariant.probe.effect(), Effect::Permit, "{text}");
        }
        let quoted = Invariant::short("never agent/x tool a\"b/*", "d.example").unwrap();
        assert!(quoted.probe.to_string().contains(r#"a\"b"#), "{}", quoted.probe);
        assert_eq!(quoted.agent.as_deref(), Some("spiffe://d.example/agent/x"));
    }

    #[test]
    fn what_is_no_invariant_is_refused_with_the_forms() {
        for text in
            ["", "always x", "never x tool a/b", "never anyone tool a", "only anyone can a/b", "never-touch"]
        {
            let error = Invariant::short(text, "d").unwrap_err();
            assert!(error.hint().unwrap().contains("never-touch"), "{text}");
        }
        assert!(Invariant::cedar("forbid(principal, action, resource);").is_err());
        assert!(Invariant::cedar("permit(principal").is_err());
    }
}
