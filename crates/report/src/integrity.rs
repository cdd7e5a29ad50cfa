//! What checking the log gave, before anything was read from it.

use lockgate_audit::AuditError;
use serde::Serialize;

use crate::text::visible;

/// How the log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every record is what was written.
    Whole,
    /// Some place does not hold.
    Damaged,
    /// There is no record.
    Empty,
}

/// The result of the check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Integrity {
    /// How the log stands.
    pub verdict: Verdict,
    /// Records that were checked, from the beginning of the log, and hold.
    pub records: u64,
    /// Number of the first one that is still there.
    pub from: u64,
    /// Number up to which the log holds. Records behind it prove nothing.
    pub to: u64,
    /// SHA-256 of the line of that record; none in a damaged log.
    pub head_hash: Option<String>,
    /// Number up to which the log vouches that nothing was cut off its end; none: it does not.
    pub end_known_to: Option<u64>,
    /// Bytes at the end that are no whole record.
    pub torn_bytes: u64,
    /// The first place that does not hold.
    pub damage: Option<Damage>,
    /// The checkpoints that vouch for it, in a line each, with the keys that signed them where these were checked; empty if
    /// nothing of it is signed.
    pub anchors: Vec<String>,
}

/// A place at which the log is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// File and line.
    pub place: String,
    /// Number that the record there has or should have.
    pub seq: u64,
    /// What is wrong.
    pub what: String,
}

/// Stands before the names of keys.
const SIGNED_BY: &str = ", signed by ";

/// A month of the log in a line.
fn anchor(shard: &lockgate_audit::ShardReport) -> String {
    let signed = match shard.signed_by.as_slice() {
        [] => String::new(),
        names => format!("{SIGNED_BY}{}", visible(&names.join(" and "), 300)),
    };
    let at = shard.time_s.and_then(|time| i64::try_from(time).ok()?.checked_mul(1000));
    let at = at.map_or_else(String::new, |ms| format!(" at {}", crate::moment(ms)));
    format!(
        "{}: records {} to {}, {} leaves, root {}{signed}{at}",
        visible(&shard.origin, 200),
        shard.first,
        shard.last,
        shard.size,
        shard.root
    )
}

impl Integrity {
    /// Out of what [`lockgate_audit::verify_with`] said.
    ///
    /// # Errors
    /// The error, if it says that the log could not be read rather than that it is damaged.
    pub fn of(checked: Result<lockgate_audit::Report, AuditError>) -> Result<Self, AuditError> {
        let empty = Self {
            verdict: Verdict::Empty,
            records: 0,
            from: 1,
            to: 0,
            head_hash: None,
            end_known_to: None,
            torn_bytes: 0,
            damage: None,
            anchors: Vec::new(),
        };
        match checked {
            Ok(report) => Ok(match (&report.first, &report.last) {
                (Some(first), Some(last)) => Self {
                    verdict: Verdict::Whole,
                    records: report.records,
                    from: first.seq,
                    to: last.seq,
                    head_hash: Some(report.head_hash.clone()),
                    end_known_to: report.end_known_to,
                    torn_bytes: report.torn_bytes,
                    anchors: report.shards.iter().map(anchor).collect(),
                    ..empty
                },
                _ => empty,
            }),
            Err(AuditError::Broken(found)) => Ok(Self {
                verdict: Verdict::Damaged,
                to: found.seq.saturating_sub(1),
                damage: Some(Damage {
                    place: visible(&format!("{}:{}", found.file.display(), found.line), 300),
                    seq: found.seq,
                    what: visible(&found.what.to_string(), 300),
                }),
                ..empty
            }),
            Err(error) => Err(error),
        }
    }

    /// Whether the newest checkpoint was found to be signed by a key that was trusted.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.anchors.last().is_some_and(|last| last.contains(SIGNED_BY))
    }

    /// Says that the log was not the same when it was read after the check.
    pub fn changed_meanwhile(&mut self, at: u64) {
        self.verdict = Verdict::Damaged;
        self.damage = Some(Damage {
            place: "the log".to_owned(),
            seq: at,
            what: "the log was changed between its check and its reading".to_owned(),
        });
    }

    /// In a sentence.
    #[must_use]
    pub fn says(&self) -> String {
        match (self.verdict, &self.damage) {
            (Verdict::Damaged, Some(damage)) => format!(
                "The log is damaged at record {}: {}. What stands behind it proves nothing.",
                damage.seq, damage.what
            ),
            (Verdict::Empty, _) => "The log holds no record.".to_owned(),
            _ => format!("The log was verified from record {} to record {}.", self.from, self.to),
        }
    }
}
