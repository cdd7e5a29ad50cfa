//! Frameworks as data: which records back which control, and what is beyond every record.
//!
//! Ids are those of the frameworks. The words are ours: texts of AICPA and ISO are under copyright, and a mapping is our
//! judgement, not theirs.

use serde::Serialize;

use crate::error::ReportError;
use crate::frameworks::{gdpr, hipaa, iso27001, nis2, pci, quantum, soc2};
use crate::signal::Signal;

/// A framework and what of it the log can speak about.
#[derive(Debug)]
pub struct Framework {
    /// Its name on the command line.
    pub id: &'static str,
    /// Its name.
    pub title: &'static str,
    /// What the report is, in a sentence.
    pub about: &'static str,
    /// Controls that records back.
    pub controls: &'static [Control],
    /// What no record backs.
    pub beyond: &'static [Beyond],
    /// Further parts of the report.
    pub parts: &'static [Part],
}

/// A control.
#[derive(Debug)]
pub struct Control {
    /// The framework's id.
    pub id: &'static str,
    /// What it is about, in our words.
    pub about: &'static str,
    /// What Lockgate does for it.
    pub enforces: &'static str,
    /// Records that show it at work.
    pub shows: &'static [Signal],
    /// Records that show where it did not hold, or had to act.
    pub breaks: &'static [Signal],
    /// What may be missing.
    pub asks: &'static [Ask],
    /// What of it the log cannot know.
    pub cannot: &'static [&'static str],
}

/// Controls that Lockgate says nothing about.
#[derive(Debug, Serialize)]
pub struct Beyond {
    /// Their ids.
    pub ids: &'static str,
    /// Why not.
    pub why: &'static str,
}

/// What a control needs besides records of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ask {
    /// At least one record of this kind.
    Some(Signal),
    /// A listener takes calls without a proven identity.
    Identity,
    /// A listener's profile permits what a quantum adversary breaks.
    ClassicalListener,
    /// A server is reached through a network without protection, or with classical algorithms.
    Upstream,
    /// Answers leave before their record is on the disk.
    Durable,
    /// Values of arguments are recorded.
    Arguments,
    /// The country of a recipient is not known.
    Country,
    /// Permitted calls without a purpose that somebody wrote down.
    Purpose,
    /// Nothing outside of the log vouches for it.
    Anchor,
    /// The log reaches back this many days, which is less than the control needs.
    Retention(u16),
}

/// A part of a report beside its controls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Records of processing and transfers.
    Processing,
    /// What happened, with a clock of 72 hours.
    Timeline,
    /// Cryptography on the wire.
    Quantum,
}

/// All frameworks.
pub const ALL: [&Framework; 7] = [
    &soc2::FRAMEWORK,
    &gdpr::FRAMEWORK,
    &iso27001::FRAMEWORK,
    &hipaa::FRAMEWORK,
    &nis2::FRAMEWORK,
    &pci::FRAMEWORK,
    &quantum::FRAMEWORK,
];

impl Framework {
    /// The framework with this id.
    #[must_use]
    pub fn find(id: &str) -> Option<&'static Framework> {
        ALL.into_iter().find(|framework| framework.id == id)
    }

    pub(crate) fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}

impl Control {
    /// Its id as OSCAL writes ids: a token without brackets, after the framework's name.
    #[must_use]
    pub fn token(&self, framework: &Framework) -> String {
        let mut token = String::from(framework.id);
        token.push('-');
        for c in self.id.chars() {
            match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '.' => token.push(c.to_ascii_lowercase()),
                _ if token.ends_with('-') => {}
                _ => token.push('-'),
            }
        }
        token.trim_end_matches('-').to_owned()
    }
}

/// Refuses a table that claims a control without a record that backs it. Run by the tests, and before a report is made.
pub(crate) fn check(framework: &Framework) -> Result<(), ReportError> {
    let unbacked = framework.controls.iter().find(|control| control.shows.is_empty());
    match unbacked {
        None => Ok(()),
        Some(control) => Err(ReportError::SelfCheck {
            document: "mapping table",
            why: format!("{} {} is backed by no record", framework.id, control.id),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_control_is_claimed_without_records_and_each_stands_once() {
        for framework in ALL {
            check(framework).unwrap();
            let mut tokens = BTreeSet::new();
            for control in framework.controls {
                assert!(tokens.insert(control.token(framework)), "{} {} twice", framework.id, control.id);
                assert!(
                    !control.cannot.is_empty(),
                    "{} {} claims to know everything",
                    framework.id,
                    control.id
                );
                for text in [control.about, control.enforces].iter().chain(control.cannot) {
                    assert!(
                        text.ends_with('.') || *text == control.about,
                        "{} {}: {text}",
                        framework.id,
                        control.id
                    );
                }
                assert!(
                    control.shows.iter().all(|signal| !control.breaks.contains(signal)),
                    "{}",
                    control.id
                );
            }
            assert!(!framework.beyond.is_empty() && !framework.about.is_empty());
        }
    }
}
