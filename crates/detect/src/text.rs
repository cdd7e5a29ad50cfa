//! Reading JSON text for characters that do not show.
//!
//! The text is valid JSON, so everything but ASCII, and every backslash, stands
//! inside a string: one walk over the bytes that undoes escapes sees every
//! string of every member, keys too, without a parser and without copying.
//! JSON inside a string (a tool that prints its structured result) hides its
//! escapes one level deeper; those are undone as well.
//!
//! Most answers are plain ASCII without such escapes. [`is_plain`] finds that
//! out at the speed of memory, and nothing else is read.

use std::sync::LazyLock;

use memchr::{memchr, memmem};

use crate::{
    report::{Report, Runs},
    unicode::Class,
};

/// Reads a JSON text.
pub(crate) fn scan(raw: &str) -> Report {
    if is_plain(raw) { Report::default() } else { read(raw) }
}

fn read(raw: &str) -> Report {
    static DEEPER: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(br"\\u"));
    let mut outer = Runs::default();
    let mut inner = DEEPER.find(raw.as_bytes()).map(|_| (Escapes::default(), Runs::default()));
    walk(raw, |code, offset| {
        outer.push(code, offset);
        if let Some((escapes, runs)) = &mut inner {
            escapes.push(code, offset, runs);
        }
    });
    let mut report = outer.finish();
    if let Some((_, runs)) = inner {
        report.merge_nested(runs.finish());
    }
    report
}

/// Whether a JSON text cannot hold anything that does not show: ASCII only, no
/// DEL, and none of the two escapes that could write such a character.
fn is_plain(raw: &str) -> bool {
    static ESCAPES: LazyLock<[memmem::Finder<'static>; 2]> =
        LazyLock::new(|| [memmem::Finder::new(br"\u"), memmem::Finder::new(br"\b")]);
    let bytes = raw.as_bytes();
    bytes.is_ascii()
        && memchr(0x7F, bytes).is_none()
        && ESCAPES.iter().all(|escape| escape.find(bytes).is_none())
}

/// Calls `each` with the code points of every string, escapes undone, and with
/// `None` at each quote that begins or ends a string. What stands between
/// strings is ASCII punctuation and passes as itself. Of a long stretch of
/// ordinary ASCII only the two ends are passed: the middle changes nothing.
fn walk(raw: &str, mut each: impl FnMut(Option<u32>, usize)) {
    let bytes = raw.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let stretch = bytes[at..].iter().take_while(|&&byte| ORDINARY[usize::from(byte)]).count();
        if stretch > 0 {
            let head = at..at + stretch.min(STRETCH_HEAD);
            let last = (at + stretch - 1).max(head.end)..at + stretch;
            head.chain(last).for_each(|at| each(Some(u32::from(bytes[at])), at));
            at += stretch;
            continue;
        }
        if !byte.is_ascii() {
            for c in raw[at..].chars().take_while(|c| !c.is_ascii()) {
                each(Some(u32::from(c)), at);
                at += c.len_utf8();
            }
            continue;
        }
        let (code, length) = match byte {
            b'"' => (None, 1),
            b'\\' => {
                let (code, length) = unescape(&bytes[at..]);
                (Some(code), length)
            }
            _ => (Some(u32::from(byte)), 1),
        };
        each(code, at);
        at += length;
    }
}

/// Bytes at the head of a stretch that are passed one by one: an escape inside
/// a string, `\uXXXX`, may end there.
const STRETCH_HEAD: usize = 6;

/// ASCII that shows and neither ends a string nor begins an escape.
const ORDINARY: [bool; 256] = {
    let mut ordinary = [false; 256];
    let mut byte = b' ';
    while byte < 0x7F {
        ordinary[byte as usize] = byte != b'"' && byte != b'\\';
        byte += 1;
    }
    ordinary
};

/// The code point of the escape that `bytes` begins with, and its length. Half
/// of a surrogate pair stands for itself.
fn unescape(bytes: &[u8]) -> (u32, usize) {
    let simple = |code: u8| (u32::from(code), 2);
    match bytes.get(1) {
        Some(b'b') => simple(0x08),
        Some(b'f') => simple(0x0C),
        Some(b'n') => simple(b'\n'),
        Some(b'r') => simple(b'\r'),
        Some(b't') => simple(b'\t'),
        Some(b'u') => match (unit(bytes), bytes.get(6..).and_then(unit)) {
            (Some(high @ 0xD800..=0xDBFF), Some(low @ 0xDC00..=0xDFFF)) => (pair(high, low), 12),
            (Some(code), _) => (code, 6),
            (None, _) => simple(b'u'),
        },
        Some(&other) if other.is_ascii() => simple(other),
        _ => (u32::from(b'\\'), 1),
    }
}

/// The UTF-16 unit of `\uXXXX` at the start of `bytes`.
fn unit(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(br"\u")?.get(..4)?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

fn pair(high: u32, low: u32) -> u32 {
    0x10000 + ((high - 0xD800) << 10 | (low - 0xDC00))
}

/// Undoes `\uXXXX` in text that has been unescaped already, whatever the number
/// of backslashes before the `u`, and hands on everything else as it is.
#[derive(Default)]
struct Escapes {
    backslashes: usize,
    /// Digits read of an escape, and their value.
    digits: Option<(u32, u32)>,
    high: Option<u32>,
    offset: usize,
}

impl Escapes {
    fn push(&mut self, code: Option<u32>, offset: usize, runs: &mut Runs) {
        let c = code.and_then(char::from_u32);
        if let Some((count, value)) = self.digits.take() {
            match c.and_then(|c| c.to_digit(16)) {
                Some(digit) if count == 3 => self.unit(value << 4 | digit, runs),
                Some(digit) => self.digits = Some((count + 1, value << 4 | digit)),
                None => self.visible(code, offset, runs),
            }
            return;
        }
        match c {
            Some('\\') => {
                if self.backslashes == 0 {
                    self.offset = offset;
                }
                self.backslashes += 1;
            }
            Some('u') if self.backslashes > 0 => {
                self.backslashes = 0;
                self.digits = Some((0, 0));
            }
            _ => self.visible(code, offset, runs),
        }
    }

    fn visible(&mut self, code: Option<u32>, offset: usize, runs: &mut Runs) {
        self.backslashes = 0;
        self.high = None;
        // Characters that are there already are the outer walk's business.
        let shows = code.filter(|&code| Class::of_code(code).is_none());
        if shows.is_some() || code.is_none() {
            runs.push(shows, offset);
        }
    }

    fn unit(&mut self, unit: u32, runs: &mut Runs) {
        match (self.high.take(), unit) {
            (_, 0xD800..=0xDBFF) => self.high = Some(unit),
            (Some(high), 0xDC00..=0xDFFF) => runs.push(Some(pair(high, unit)), self.offset),
            _ => runs.push(Some(unit), self.offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::unicode::CLASSES;

    #[test]
    fn escapes_are_undone_as_json_does() {
        for (raw, expected) in [
            (r#""a\nb\u0041\"\\""#, "a\nbA\"\\"),
            (r#""\ud83d\ude00\u00e9é😀""#, "😀éé😀"),
            (r#"{"k":["v",1.5]}"#, "{k:[v,1.5]}"),
            // The middle of a long stretch is left out.
            (r#""abcdefghijk""#, "abcdefk"),
        ] {
            let mut text = String::new();
            walk(raw, |code, _| text.extend(code.and_then(char::from_u32)));
            assert_eq!(text, expected, "{raw}");
        }
    }

    #[test]
    fn halves_of_pairs_are_controls() {
        for (raw, count) in
            [(r#""\ud83d""#, 1), (r#""\ude00\ud83d""#, 2), (r#""\ud83dx""#, 1), (r#""\ud83d\n""#, 1)]
        {
            let report = scan(raw);
            assert_eq!((report.count(Class::Control), report.total()), (count, count), "{raw}");
        }
    }

    #[test]
    fn long_runs_are_counted_whole_and_remembered_in_part() {
        let raw = format!("\"a{}\"", "\u{200b}\u{200c}".repeat(1_000));
        let report = scan(&raw);
        assert_eq!(report.total(), 2_000);
        assert!(report.evidence().contains("hidden run of 2000 characters at byte 2"));
        assert!(report.hides_text() && report.evidence().len() < 1_000, "{}", report.evidence());
    }

    proptest! {
        /// The short cut never hides anything that reading would find, and
        /// long stretches, whose middle is skipped, are read like short ones.
        #[test]
        fn short_cuts_lose_nothing(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "a", " ", "abcdefghijklmnop", r"\u200b", r"\\u200b", r"\\\\u200c", r"\b", r"\n", r"\\b",
                    "\u{7f}", "\u{200d}", "é", "0", "u200b", r"\\", r"\\udb40\\udc41", "b",
                ]),
                0..12,
            ),
        ) {
            let raw = format!("\"{}\"", pieces.concat());
            prop_assert!(!is_plain(&raw) || read(&raw).is_empty(), "{}", raw);
            // The same with every character told apart from its neighbours by
            // nothing: one by one through the two readers.
            let mut outer = Runs::default();
            let mut escapes = (Escapes::default(), Runs::default());
            let decoded: String = serde_json::from_str(&raw).expect("the pieces are JSON");
            outer.push(None, 0);
            escapes.0.push(None, 0, &mut escapes.1);
            for c in decoded.chars() {
                outer.push(Some(u32::from(c)), 0);
                escapes.0.push(Some(u32::from(c)), 0, &mut escapes.1);
            }
            outer.push(None, 0);
            escapes.0.push(None, 0, &mut escapes.1);
            let mut slow = outer.finish();
            slow.merge_nested(escapes.1.finish());
            let fast = scan(&raw);
            for class in CLASSES {
                prop_assert_eq!(fast.count(class), slow.count(class), "{} {:?}", raw, class);
            }
            prop_assert_eq!(fast.hides_text(), slow.hides_text());
        }

        /// Whatever the text, reading returns.
        #[test]
        fn any_text_is_read(raw in "(?s).*|[\\\\ud8c0-9\"]*") {
            scan(&raw);
        }
    }
}
