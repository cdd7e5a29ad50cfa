//! How strong an algorithm is, as far as one link can be compared with another.

use std::fmt;
use std::str::FromStr;

use lockgate_crypto::catalog::{self, Kind, Nature};
use serde::{Deserialize, Serialize};

/// How an algorithm stands against a quantum adversary, and its NIST security
/// category. In JSON and for people it reads `traditional`, `post-quantum 3` or
/// `hybrid 5`.
///
/// Levels are ordered in part only: a hybrid of category 3 and a pure
/// post-quantum algorithm of category 5 are each better in one respect, so that
/// neither is below the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Level {
    nature: Nature,
    nist: u8,
}

impl Level {
    /// What protects against no quantum adversary, and what the catalog does not
    /// know or no longer allows.
    pub const TRADITIONAL: Level = Level { nature: Nature::Traditional, nist: 0 };

    /// The level of the algorithm of this kind with this catalog id.
    #[must_use]
    pub fn of(kind: Kind, id: &str) -> Level {
        catalog::find(id)
            .filter(|row| row.kind == kind && row.is_usable() && row.is_quantum_safe())
            .map_or(Level::TRADITIONAL, |row| Level { nature: row.nature, nist: row.nist_level })
    }

    /// Whether a quantum adversary gains nothing decisive.
    #[must_use]
    pub fn is_quantum_safe(self) -> bool {
        self.nature >= Nature::PostQuantum
    }

    /// Whether this is worse than `other` in one respect and better in none.
    #[must_use]
    pub fn is_below(self, other: Level) -> bool {
        self != other && self.nature <= other.nature && self.nist <= other.nist
    }

    /// A total order for choosing what to show and what to keep.
    pub(super) fn rank(self) -> (Nature, u8) {
        (self.nature, self.nist)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nature {
            Nature::Traditional => f.write_str(TRADITIONAL),
            Nature::PostQuantum => write!(f, "{POST_QUANTUM} {}", self.nist),
            Nature::Hybrid => write!(f, "{HYBRID} {}", self.nist),
        }
    }
}

impl From<Level> for String {
    fn from(level: Level) -> Self {
        level.to_string()
    }
}

impl TryFrom<String> for Level {
    type Error = NotALevel;

    fn try_from(text: String) -> Result<Self, NotALevel> {
        text.parse()
    }
}

impl FromStr for Level {
    type Err = NotALevel;

    fn from_str(text: &str) -> Result<Self, NotALevel> {
        if text == TRADITIONAL {
            return Ok(Level::TRADITIONAL);
        }
        let (nature, nist) = text.split_once(' ').ok_or(NotALevel)?;
        let nature = match nature {
            POST_QUANTUM => Nature::PostQuantum,
            HYBRID => Nature::Hybrid,
            _ => return Err(NotALevel),
        };
        Ok(Level { nature, nist: nist.parse().map_err(|_| NotALevel)? })
    }
}

/// A text that names no level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no level: write `traditional`, or `post-quantum` or `hybrid` and a number, like `hybrid 3`")]
pub struct NotALevel;

const TRADITIONAL: &str = "traditional";
const POST_QUANTUM: &str = "post-quantum";
const HYBRID: &str = "hybrid";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_follow_the_catalog() {
        let table = [
            (Kind::Group, "X25519MLKEM768", "hybrid 3"),
            (Kind::Group, "SecP384r1MLKEM1024", "hybrid 5"),
            (Kind::Group, "MLKEM1024", "post-quantum 5"),
            (Kind::Group, "X25519", "traditional"),
            (Kind::Signature, "ML-DSA-65", "post-quantum 3"),
            (Kind::Signature, "ECDSA-P256-SHA256", "traditional"),
            // Of another kind, without code, or unknown.
            (Kind::Group, "ML-DSA-65", "traditional"),
            (Kind::Group, "HQC-192", "traditional"),
            (Kind::Group, "0x1a2b", "traditional"),
        ];
        for (kind, id, text) in table {
            let level = Level::of(kind, id);
            assert_eq!(level.to_string(), text, "{id}");
            assert_eq!(text.parse(), Ok(level));
        }
        for text in ["", "hybrid", "hybrid x", "hybrid 300", "pure 3", "traditional 0"] {
            assert_eq!(text.parse::<Level>(), Err(NotALevel), "{text:?}");
        }
    }

    #[test]
    fn below_is_a_strict_partial_order() {
        let natures = [Nature::Traditional, Nature::PostQuantum, Nature::Hybrid];
        let all: Vec<Level> =
            natures.into_iter().flat_map(|nature| [0, 1, 3, 5].map(|nist| Level { nature, nist })).collect();
        for &a in &all {
            assert!(!a.is_below(a));
            for &b in &all {
                assert!(!(a.is_below(b) && b.is_below(a)), "{a} {b}");
                for &c in &all {
                    assert!(!(a.is_below(b) && b.is_below(c)) || a.is_below(c), "{a} {b} {c}");
                }
            }
        }
        let level = |text: &str| text.parse::<Level>().unwrap();
        assert!(level("post-quantum 3").is_below(level("hybrid 3")));
        assert!(level("hybrid 3").is_below(level("hybrid 5")));
        assert!(Level::TRADITIONAL.is_below(level("post-quantum 1")));
        // Better in one respect each.
        assert!(!level("post-quantum 5").is_below(level("hybrid 3")));
        assert!(!level("hybrid 3").is_below(level("post-quantum 5")));
    }
}
