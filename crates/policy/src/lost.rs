//! Prohibitions that one set had and the next has not.
//!
//! A role file that is removed takes its never rules along, and nothing in what is left says so. Whoever takes up a new set
//! asks here what is gone, and tells.

use std::{collections::HashSet, sync::Arc};

use serde_json::Value;

use crate::{Policies, inspect::Placed, rule::Rule, terms::Violation};

/// A prohibition that is in force no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its id.
    pub id: String,
    /// Where it stood.
    pub place: String,
    /// Scope, conditions and consequence: what makes it the same under another id.
    says: String,
}

impl Policies {
    /// The prohibitions of this set that are not in force in `next`, in reading order. One that stands under another id
    /// or in another file is not lost; one with the same id that says something else was changed by somebody, and is not
    /// lost either, unless what stands under its id was there before, too, as when rules without ids move up.
    pub fn lost_in(&self, next: &Policies) -> Vec<Lost> {
        let kept: HashSet<_> = next.in_force().map(|rule| Arc::as_ptr(&rule.known)).collect();
        let gone: Vec<&Rule> =
            self.in_force().filter(|rule| !kept.contains(&Arc::as_ptr(&rule.known))).collect();
        if gone.is_empty() {
            return Vec::new();
        }
        let before: HashSet<String> = self.in_force().map(says).collect();
        let now: HashSet<String> = next.in_force().map(says).collect();
        let edited: HashSet<&str> =
            next.in_force().filter(|rule| !before.contains(&says(rule))).map(Rule::id).collect();
        gone.into_iter()
            .map(|rule| Lost { id: rule.id().to_owned(), place: place(rule), says: says(rule) })
            .filter(|lost| !now.contains(&lost.says) && !edited.contains(lost.id.as_str()))
            .collect()
    }

    /// Whether a prohibition that was lost is in force again.
    pub fn has_again(&self, lost: &Lost) -> bool {
        self.in_force().any(|rule| says(rule) == lost.says)
    }

    fn in_force(&self) -> impl Iterator<Item = &Rule> {
        self.index().rules().iter().filter(|rule| !rule.is_permit() && !rule.terms().shadow)
    }
}

fn place(rule: &Rule) -> String {
    Placed { policy: &rule.policy, file: &rule.file, line: rule.line }.place()
}

fn says(rule: &Rule) -> String {
    let consequence = match rule.violation() {
        Violation::Hold => "hold",
        Violation::Deny => "deny",
        Violation::Kill => "kill",
    };
    match rule.policy.to_json() {
        Ok(Value::Object(mut json)) => {
            json.remove("annotations");
            format!("{consequence} {}", Value::Object(json))
        }
        _ => format!("{consequence} {}", rule.policy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Source};

    const FREEZE: &str = "[[never]]\nservers = [\"billing\"]\n";
    const SECRETS: &str = "[[never]]\ntouching = [\"system_config\"]\non_violation = \"kill\"\n";

    fn role(rules: &str) -> String {
        format!("[everyone]\nname = \"rails\"\n{rules}\n[end]\n")
    }

    fn lost(before: &str, after: Option<&str>) -> String {
        let before = role(before);
        let parse = |sources: &[Source<'_>]| {
            Policies::parse(sources, &Options::bare(1)).unwrap_or_else(|errors| panic!("{errors:#?}"))
        };
        let old = parse(&[Source { name: "a.toml", text: &before }]);
        let after = after.map(role);
        let after: Vec<Source<'_>> = after.iter().map(|text| Source { name: "b.toml", text }).collect();
        let new = old.parse_again(&after, &Options::bare(2)).unwrap_or_else(|errors| panic!("{errors:#?}"));
        let lost = old.lost_in(&new);
        assert!(lost.iter().all(|one| old.has_again(one) && !new.has_again(one)));
        lost.iter().map(|one| format!("{} {}", one.id, one.place)).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_is_gone_is_named() {
        let both = format!("{FREEZE}{SECRETS}");
        let weaker = SECRETS.replace("kill", "hold");
        let named = SECRETS.replace("[[never]]", "[[never]]\nid = \"secrets\"");
        let tried = SECRETS.replace("[[never]]", "[[never]]\nmode = \"shadow\"");
        for (before, after, expected) in [
            (SECRETS, Some(SECRETS), ""),
            (SECRETS, None, "rails.never-1 a.toml:3"),
            (SECRETS, Some(""), "rails.never-1 a.toml:3"),
            // Moved, or under another name.
            (SECRETS, Some(&both), ""),
            (SECRETS, Some(&named), ""),
            // What was the second is the first now, and nothing is under the old id that was not there.
            (&both, Some(SECRETS), "rails.never-1 a.toml:3"),
            (&both, Some(FREEZE), "rails.never-2 a.toml:5"),
            // Somebody changed it.
            (SECRETS, Some(&weaker), ""),
            (SECRETS, Some(&tried), "rails.never-1 a.toml:3"),
        ] {
            assert_eq!(lost(before, after), expected, "{before}{after:?}");
        }
    }
}
