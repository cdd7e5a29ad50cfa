//! Words that must not be touched, found wherever they hide.
//!
//! A needle like `system_config` is found in names, values, paths and headers:
//!
//! | where | what counts |
//! |---|---|
//! | the name of a member | the needle anywhere in it, whatever joins the words: `System-Config`, `get_systemConfig2` |
//! | a value, a header | the same, but across white space and marks like `,` only if the value is nothing else |
//! | a path | the needle as whole steps: `{"system":{"config":1}}`, `{"system":"config"}`, `["system","config"]` |
//!
//! A needle of fewer than [`SUBSTRING_BYTES_MIN`] letters counts only as whole words, or `ssn` would be found in
//! `business_name`; a word also begins at a capital and between letters and digits.
//!
//! Each text is searched as it stands and, up to [`LAYERS_MAX`] layers deep, as what it encodes: percent, HTML
//! entities, backslash escapes, base64, base64url, hexadecimal, and JSON in a string. What takes more decoding than the
//! budget counts as touching every needle: who hides that much has something to hide.
//!
//! Not found: what no program undoes by itself (letters reversed, put together from two arguments, enciphered,
//! compressed). Against those a permit must say what arguments may be, not a `forbid` what they may not.

use std::collections::BTreeSet;

use super::{
    fold::{Folded, Role},
    walk,
};

/// Fewest letters and digits of a needle. Shorter ones are in everything.
pub const NEEDLE_CHARS_MIN: usize = 3;

/// Shorter needles, in bytes when folded, count as whole words only.
pub(super) const SUBSTRING_BYTES_MIN: usize = 8;

/// Encodings within encodings that are undone. Real programs undo two (a percent-encoded parameter that is base64).
pub(super) const LAYERS_MAX: u8 = 3;

/// Bytes that may be decoded for each byte that came. Honest input takes about four.
const DECODED_BYTES_PER_BYTE: usize = 8;

/// Bytes that may be decoded in any case, so that a short input may be wrapped in all layers.
const DECODED_BYTES_MIN: usize = 64 << 10;

/// A needle with too few letters and digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{needle:?} has fewer than {NEEDLE_CHARS_MIN} letters and digits, so it would be found everywhere")]
pub struct TooShort {
    /// As written.
    pub needle: String,
}

/// The words to look for, prepared. The cost of a search does not depend on their number.
#[derive(Debug, Default)]
pub struct Needles {
    list: Vec<Needle>,
    /// A bit for each hash of the first three bytes of a needle.
    heads: Box<[u64]>,
    /// Indices of needles by that hash, sorted.
    by_head: Vec<(u16, u32)>,
    longest: usize,
    shortest: usize,
    ascii: bool,
}

#[derive(Debug)]
struct Needle {
    written: String,
    folded: Vec<u8>,
}

impl Needles {
    /// Prepares needles; each is reported as it is written here.
    ///
    /// # Errors
    /// The first needle that is too short to be looked for.
    pub fn new<'w>(written: impl IntoIterator<Item = &'w str>) -> Result<Self, TooShort> {
        let mut list = Vec::new();
        for written in written.into_iter().collect::<BTreeSet<_>>() {
            let mut folded = Folded::default();
            folded.set(written, Role::Key);
            let folded = folded.text;
            let chars = folded.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
            if chars < NEEDLE_CHARS_MIN {
                return Err(TooShort { needle: written.to_owned() });
            }
            list.push(Needle { written: written.to_owned(), folded });
        }
        let mut heads = vec![0u64; 4096 / 64].into_boxed_slice();
        let mut by_head = Vec::with_capacity(list.len());
        for (needle, index) in list.iter().zip(0u32..) {
            let head = head(&needle.folded);
            heads[usize::from(head) / 64] |= 1 << (head % 64);
            by_head.push((head, index));
        }
        by_head.sort_unstable();
        let lengths = || list.iter().map(|needle| needle.folded.len());
        let (longest, shortest) = (lengths().max().unwrap_or(0), lengths().min().unwrap_or(0));
        let ascii = list.iter().all(|needle| needle.folded.is_ascii());
        Ok(Needles { list, heads, by_head, longest, shortest, ascii })
    }

    /// Whether there is nothing to look for.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// `context.touched`: the needles, as written, that occur in the arguments or in what is carried beside them
    /// (the texts of headers).
    ///
    /// Takes any text for the arguments, also what is no JSON; never fails.
    pub fn touched(&self, arguments_raw: Option<&str>, carried: &[&str]) -> BTreeSet<&str> {
        if self.list.is_empty() {
            return BTreeSet::new();
        }
        let bytes = arguments_raw.map_or(0, str::len) + carried.iter().map(|text| text.len()).sum::<usize>();
        let budget = bytes.saturating_mul(DECODED_BYTES_PER_BYTE).saturating_add(DECODED_BYTES_MIN);
        let mut search = Search::new(self, budget);
        if let Some(raw) = arguments_raw {
            walk::json(raw, &mut search, 0);
        }
        for text in carried {
            search.text(text, Role::Value, 0);
        }
        let everything = search.exhausted;
        let hit = self.list.iter().zip(&search.hits).filter(|(_, hit)| everything || **hit);
        hit.map(|(needle, _)| needle.written.as_str()).collect()
    }

    /// Length of the longest needle when folded, in bytes.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Length of the shortest needle when folded, in bytes.
    pub(super) fn shortest(&self) -> usize {
        self.shortest
    }

    /// Whether every needle is ASCII when folded.
    pub(super) fn ascii(&self) -> bool {
        self.ascii
    }

    /// The needles that may begin with these bytes.
    fn beginning(&self, bytes: &[u8]) -> impl Iterator<Item = (usize, &Needle)> {
        let head = head(bytes);
        let found = self.heads[usize::from(head) / 64] >> (head % 64) & 1 == 1;
        let from = if found { self.by_head.partition_point(|(other, _)| *other < head) } else { usize::MAX };
        let candidates = self.by_head.get(from..).unwrap_or_default();
        candidates
            .iter()
            .take_while(move |(other, _)| *other == head)
            .map(|(_, index)| (*index as usize, &self.list[*index as usize]))
    }
}

/// A hash of 12 bits of the first three bytes.
fn head(bytes: &[u8]) -> u16 {
    (u16::from(bytes[0]) ^ u16::from(bytes[1]) << 3 ^ u16::from(bytes[2]) << 6) & 0xfff
}

/// One search: what was found, and how much may still be decoded.
pub(super) struct Search<'n> {
    needles: &'n Needles,
    hits: Vec<bool>,
    missing: usize,
    left: usize,
    /// The budget is used up.
    exhausted: bool,
    folded: Folded,
}

impl<'n> Search<'n> {
    fn new(needles: &'n Needles, budget: usize) -> Self {
        let missing = needles.list.len();
        Search {
            needles,
            hits: vec![false; missing],
            missing,
            left: budget,
            exhausted: false,
            folded: Folded::default(),
        }
    }

    pub(super) fn needles(&self) -> &'n Needles {
        self.needles
    }

    /// Nothing more can be learned.
    pub(super) fn is_over(&self) -> bool {
        self.exhausted || self.missing == 0
    }

    /// Takes from the budget; false if it is used up.
    pub(super) fn pay(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => self.left = left,
            None => self.exhausted = true,
        }
        !self.exhausted
    }

    /// Gives the search up: everything counts as touched.
    pub(super) fn give_up(&mut self) {
        self.exhausted = true;
    }

    /// Looks into one text, and into what it encodes. The text as it stands is left in [`Search::step`].
    pub(super) fn text(&mut self, text: &str, role: Role, layer: u8) {
        if self.is_over() {
            return;
        }
        if layer < LAYERS_MAX {
            super::peel::peel(text, role, self, layer + 1);
        }
        // Last, so that it is this text that stands in `folded`.
        self.folded.set(text, role);
        self.find();
    }

    /// The last text without white space, to be a step of a path; `None` if it is longer than any needle.
    pub(super) fn step(&self) -> Option<impl Iterator<Item = u8>> {
        let bytes = self.folded.text.iter().copied().filter(|byte| *byte != super::fold::BREAK);
        // A text may have as many breaks as letters.
        (self.folded.text.len() <= 2 * self.needles.longest + 1).then_some(bytes)
    }

    fn find(&mut self) {
        let Folded { text, starts, .. } = &self.folded;
        let needles = self.needles;
        if text.len() < needles.shortest {
            return;
        }
        for at in 0..=text.len() - NEEDLE_CHARS_MIN {
            for (index, needle) in needles.beginning(&text[at..]) {
                let end = at + needle.folded.len();
                let whole = || starts[at] && starts.get(end).is_none_or(|start| *start);
                if text[at..].starts_with(&needle.folded)
                    && (needle.folded.len() >= SUBSTRING_BYTES_MIN || whole())
                    && !std::mem::replace(&mut self.hits[index], true)
                {
                    self.missing -= 1;
                }
            }
        }
    }

    /// Looks for a needle that is exactly these bytes.
    pub(super) fn exact(&mut self, folded: &[u8]) {
        if folded.len() < self.needles.shortest || folded.len() > self.needles.longest {
            return;
        }
        for (index, needle) in self.needles.beginning(folded) {
            if needle.folded == folded && !std::mem::replace(&mut self.hits[index], true) {
                self.missing -= 1;
            }
        }
    }
}
