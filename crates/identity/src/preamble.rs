//! What a file of roots says beside keys and certificates: the sequence of the bundle and the dates of a change of
//! roots.
//!
//! It is one line in front of the first PEM block. Readers of PEM pass over it (RFC 7468, section 2), so earlier
//! versions of Lockgate and other programs read these files as before. Only files of our own are asked for it: a
//! bundle from the network is pinned by its keys, which such a line is no part of.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::IdentityError;
use crate::error::unix_seconds;

/// What the line starts with.
const MARK: &str = "# lockgate.roots/1 ";

/// Sequence and dates of a set of roots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Preamble {
    /// Grows with every change of the roots; 0 if it is not known.
    pub(crate) sequence: u64,
    /// Of roots that are being changed; the others are not listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dates: Vec<RootDates>,
}

/// The dates of one root, in Unix seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootDates {
    /// SHA-256 of the root's subject public key info, lower-case hexadecimal.
    pub(crate) key: String,
    /// From when on the root issues. Only the authority itself asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) issues_from_s: Option<u64>,
    /// From when on nobody trusts the root any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) retire_at_s: Option<u64>,
}

impl Preamble {
    /// Reads the line, if the text starts with one.
    pub(crate) fn read(text: &str) -> Result<Option<Self>, IdentityError> {
        let Some(line) = text.strip_prefix(MARK) else {
            return Ok(None);
        };
        let damaged = |cause: String| IdentityError::Malformed { what: "the first line", cause };
        let line = line.lines().next().unwrap_or_default();
        let preamble: Self = serde_json::from_str(line).map_err(|error| damaged(error.to_string()))?;
        preamble.check().map_err(|cause| damaged(cause.to_owned()))?;
        Ok(Some(preamble))
    }

    /// Refuses dates beyond what a clock can say.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let dates = self.dates.iter().flat_map(|root| [root.issues_from_s, root.retire_at_s]);
        match dates.flatten().all(|seconds| moment(seconds).is_some()) {
            true => Ok(()),
            false => Err("it has a date beyond the calendar"),
        }
    }

    /// The line, with its end.
    pub(crate) fn line(&self) -> String {
        let json = serde_json::to_string(self).expect("numbers and texts are JSON");
        format!("{MARK}{json}\n")
    }

    /// From when on the root with this key issues, if a date was set.
    pub(crate) fn issues_from(&self, key: &str) -> Option<SystemTime> {
        self.of(key)?.issues_from_s.and_then(moment)
    }

    /// From when on the root with this key is not trusted, if a date was set.
    pub(crate) fn retire_at(&self, key: &str) -> Option<SystemTime> {
        self.of(key)?.retire_at_s.and_then(moment)
    }

    fn of(&self, key: &str) -> Option<&RootDates> {
        self.dates.iter().find(|root| root.key == key)
    }
}

/// A moment in whole seconds, as it is kept.
pub(crate) fn whole_seconds(time: SystemTime) -> SystemTime {
    moment(unix_seconds(time)).expect("the seconds of a moment are a moment")
}

/// The latest date that is taken: the end of the year 9999, where RFC 5280 stops too.
const LAST_S: u64 = 253_402_300_799;

fn moment(seconds: u64) -> Option<SystemTime> {
    (seconds <= LAST_S).then(|| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_comes_back_as_it_was() {
        let root = RootDates { key: "ab".repeat(32), issues_from_s: Some(7), retire_at_s: None };
        let preamble = Preamble { sequence: 9, dates: vec![root] };
        let text = format!("{}-----BEGIN CERTIFICATE-----\n", preamble.line());
        let read = Preamble::read(&text).unwrap().unwrap();
        assert_eq!(read, preamble);
        assert_eq!(read.issues_from(&"ab".repeat(32)), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7)));
        assert_eq!(read.retire_at(&"ab".repeat(32)), None);
        assert_eq!(Preamble::read("-----BEGIN CERTIFICATE-----\n").unwrap(), None);
    }

    #[test]
    fn a_damaged_line_is_an_error_and_not_an_empty_one() {
        let far = format!(r#"{{"sequence":1,"dates":[{{"key":"a","retire_at_s":{}}}]}}"#, LAST_S + 1);
        for body in ["", "{", "{}", r#"{"sequence":-1}"#, far.as_str()] {
            let error = Preamble::read(&format!("{MARK}{body}\n")).unwrap_err().to_string();
            assert!(error.contains("the first line"), "{body}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_line_or_an_error(body in "\\PC{0,80}") {
            let _ = Preamble::read(&format!("{MARK}{body}"));
        }
    }
}
