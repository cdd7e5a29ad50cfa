//! Scopes (RFC 6749 section 3.3): a set of words.

use std::collections::BTreeSet;
use std::fmt;

use super::TokenRefused;

/// Longest `scope`, in bytes.
pub const SCOPE_BYTES_MAX: usize = 2048;
/// Most scopes of a token.
pub const SCOPES_MAX: usize = 64;

/// What a token may be used for, as far as its issuer limits it. Policy decides in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(BTreeSet<String>);

impl Scope {
    /// Reads words that are parted by one space each.
    ///
    /// # Errors
    /// [`TokenRefused::Claim`] for too many, for one twice, and for characters that RFC 6749 does not
    /// allow.
    pub fn parse(text: &str) -> Result<Self, TokenRefused> {
        let refused = |why| TokenRefused::claim("scope", why);
        if text.len() > SCOPE_BYTES_MAX {
            return Err(refused("is longer than 2048 bytes"));
        }
        if text.is_empty() {
            return Ok(Self::default());
        }
        let mut words = BTreeSet::new();
        for word in text.split(' ') {
            let allowed = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
            if word.is_empty() || !word.bytes().all(allowed) {
                return Err(refused("is not words with one space between them"));
            }
            if !words.insert(word.to_owned()) {
                return Err(refused("has a word twice"));
            }
            if words.len() > SCOPES_MAX {
                return Err(refused("has more than 64 words"));
            }
        }
        Ok(Self(words))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one word is there.
    #[must_use]
    pub fn has(&self, word: &str) -> bool {
        self.0.contains(word)
    }

    /// The words, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Refuses if anything of `needed` is missing, and names all that is needed, so that a client asks
    /// once (MCP authorization, scope challenge).
    ///
    /// # Errors
    /// [`TokenRefused::Scope`].
    pub fn covers(&self, needed: &Self) -> Result<(), TokenRefused> {
        match needed.0.is_subset(&self.0) {
            true => Ok(()),
            false => Err(TokenRefused::Scope { needed: needed.to_string() }),
        }
    }

    /// What is in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    /// What is in both: what a token may have that was exchanged for another.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.0.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{word}")?;
        }
        Ok(())
    }
}
