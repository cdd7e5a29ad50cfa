//! Names, values and paths of a JSON text, without checking it.
//!
//! A message was checked before it came here; a text inside of it that merely looks like JSON was not, and a program
//! may be lenient. So this reads whatever is there: strings, words, and which brackets are open.

use std::borrow::Cow;

use super::{fold::Role, needles::Search, peel};

/// Deepest nesting that is followed. Messages have at most 64 levels; deeper text in a string is no document.
const DEPTH_MAX: usize = 512;

/// An open bracket.
struct Level {
    object: bool,
    /// How much of the path is above it.
    path: usize,
    steps: usize,
}

/// The steps to where the walk is, folded and joined.
#[derive(Default)]
struct Path {
    text: Vec<u8>,
    /// Where each step starts.
    steps: Vec<usize>,
}

impl Path {
    fn cut(&mut self, path: usize, steps: usize) {
        self.text.truncate(path);
        self.steps.truncate(steps);
    }

    /// Adds the text that was searched last, and looks for needles that end with it.
    fn push(&mut self, search: &mut Search<'_>) {
        let start = self.text.len();
        match search.step() {
            Some(step) => self.text.extend(step),
            // Longer than any needle, so that none can reach across it.
            None => self.text.push(super::fold::BREAK),
        }
        if self.text.len() == start {
            return;
        }
        self.steps.push(start);
        for start in self.steps.iter().rev() {
            let steps = &self.text[*start..];
            if steps.len() > search.needles().longest() {
                break;
            }
            search.exact(steps);
        }
    }
}

/// Searches a JSON text.
pub(super) fn json(text: &str, search: &mut Search<'_>, layer: u8) {
    let bytes = text.as_bytes();
    let mut levels: Vec<Level> = Vec::new();
    let mut path = Path::default();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if search.is_over() {
            return;
        }
        match byte {
            b'"' => {
                let end = string_end(bytes, at + 1);
                let inner = &text[at + 1..end];
                at = (end + 1).min(bytes.len());
                let plain = !inner.as_bytes().contains(&b'\\');
                let inner = if plain { Cow::Borrowed(inner) } else { Cow::Owned(peel::unescape(inner)) };
                let is_key = next(bytes, at) == Some(b':');
                token(&inner, is_key, &levels, &mut path, search, layer);
            }
            b'{' | b'[' => {
                if levels.len() == DEPTH_MAX {
                    return search.give_up();
                }
                let object = *byte == b'{';
                levels.push(Level { object, path: path.text.len(), steps: path.steps.len() });
                at += 1;
            }
            b'}' | b']' => {
                if let Some(level) = levels.pop() {
                    path.cut(level.path, level.steps);
                }
                at += 1;
            }
            b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => at += 1,
            _ => {
                let end = word_end(bytes, at + 1);
                token(&text[at..end], false, &levels, &mut path, search, layer);
                at = end;
            }
        }
    }
}

fn token(text: &str, is_key: bool, levels: &[Level], path: &mut Path, search: &mut Search<'_>, layer: u8) {
    let (object, above) =
        levels.last().map_or((false, (0, 0)), |level| (level.object, (level.path, level.steps)));
    if is_key && object {
        path.cut(above.0, above.1);
        search.text(text, Role::Key, layer);
        path.push(search);
        return;
    }
    let before = (path.text.len(), path.steps.len());
    search.text(text, Role::Value, layer);
    path.push(search);
    // Elements of a list are steps after each other, members are not.
    if object {
        path.cut(before.0, before.1);
    }
}

/// Where the string that begins at `at` ends: its closing quote, or the end of the text.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Where the number or word at `at` ends: always at ASCII, so between characters.
fn word_end(bytes: &[u8], at: usize) -> usize {
    let ends = |byte: &u8| {
        matches!(byte, b'"' | b'{' | b'[' | b'}' | b']' | b',' | b':' | b' ' | b'\t' | b'\n' | b'\r')
    };
    bytes[at..].iter().position(ends).map_or(bytes.len(), |length| at + length)
}

/// The next byte that is no white space.
fn next(bytes: &[u8], at: usize) -> Option<u8> {
    bytes[at..].iter().copied().find(|byte| !byte.is_ascii_whitespace())
}
