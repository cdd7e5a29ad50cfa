//! Typed reading of a TOML table, each mistake with its place.

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::report::{Report, did_you_mean};
use crate::error::Fault;

/// Entries of one list. A longer list is better said by a pattern or a group,
/// and each entry can become a policy of its own.
pub(super) const LIST_MAX: usize = 256;

/// Bytes of one text: ids, reasons, patterns. Texts are shown to people and to
/// models, and compared on each call.
pub(super) const TEXT_BYTES_MAX: usize = 1024;

/// A text and the byte offset where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text<'a> {
    pub(super) value: &'a str,
    pub(super) at: usize,
}

/// A value and the byte offset where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'a> {
    pub(super) value: &'a DeValue<'a>,
    pub(super) at: usize,
}

/// A key of a table with what it stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a str,
    /// Byte offset of the key.
    pub(super) at: usize,
    pub(super) value: Value<'a>,
}

/// One table of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section<'a> {
    table: &'a DeTable<'a>,
    /// Byte offset of its header, or of the key that opened it.
    pub(super) at: usize,
    pub(super) report: &'a Report<'a>,
}

impl<'a> Section<'a> {
    pub(super) fn new(table: &'a DeTable<'a>, at: usize, report: &'a Report<'a>) -> Self {
        Section { table, at, report }
    }

    /// Every key with its value, in reading order.
    pub(super) fn entries(&self) -> Vec<Entry<'a>> {
        let mut entries: Vec<Entry<'a>> = self.table.iter().map(|(key, value)| entry(key, value)).collect();
        entries.sort_by_key(|entry| entry.at);
        entries
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry<'a>> {
        self.table.iter().find(|(k, _)| k.get_ref() == key).map(|(key, value)| entry(key, value))
    }

    /// Notes each key that is not one of `known`.
    pub(super) fn refuse_others(&self, known: &[&str], place: &str) {
        for entry in self.entries() {
            if !known.contains(&entry.key) {
                let what = format!("{place} has no `{}`", shown(entry.key));
                self.report.say(entry.at, what, did_you_mean(entry.key, known.iter().copied()));
            }
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<Text<'a>> {
        let entry = self.get(key)?;
        self.as_text(key, entry.value)
    }

    /// A list of texts, or one text as a list of one. What is wrong is noted
    /// and left out; `None` if the key is missing.
    pub(super) fn texts(&self, key: &str) -> Option<Vec<Text<'a>>> {
        let entry = self.get(key)?;
        Some(self.values(key, entry.value).into_iter().filter_map(|value| self.as_text(key, value)).collect())
    }

    /// The values of a list, or one value as a list of one.
    pub(super) fn values(&self, key: &str, value: Value<'a>) -> Vec<Value<'a>> {
        let DeValue::Array(array) = value.value else { return vec![value] };
        if array.is_empty() {
            self.report.say(
                value.at,
                format!("`{key}` is an empty list"),
                "name at least one, or leave the line out",
            );
        }
        if array.len() > LIST_MAX {
            let what = format!("`{key}` has {} entries, the limit is {LIST_MAX}", array.len());
            self.report.say(value.at, what, "use a pattern, a group of servers, or several rules");
        }
        items(array).take(LIST_MAX).collect()
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        let entry = self.get(key)?;
        match entry.value.value {
            DeValue::Boolean(flag) => Some(*flag),
            other => {
                self.wrong_type(key, "true or false", other, entry.value.at);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn choice(&self, key: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        let found = words.iter().copied().find(|word| *word == text.value);
        if found.is_none() {
            let what = format!("`{key}` cannot be {:?}", shown(text.value));
            self.report.say(text.at, what, did_you_mean(text.value, words.iter().copied()));
        }
        found
    }

    pub(super) fn section(&self, key: &str) -> Option<Section<'a>> {
        let entry = self.get(key)?;
        match entry.value.value {
            DeValue::Table(table) => Some(Section::new(table, entry.value.at, self.report)),
            other => {
                self.wrong_type(key, "a table", other, entry.value.at);
                None
            }
        }
    }

    /// The tables of `[[key]]`.
    pub(super) fn sections(&self, key: &str) -> Vec<Section<'a>> {
        let Some(entry) = self.get(key) else { return Vec::new() };
        let DeValue::Array(array) = entry.value.value else {
            let hint = format!("begin each rule with a line of its own: [[{key}]]");
            self.report.say(entry.at, format!("`{key}` is not a list of rules"), hint);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items(array) {
            match item.value {
                DeValue::Table(table) => sections.push(Section::new(table, item.at, self.report)),
                other => self.wrong_type(key, "a table", other, item.at),
            }
        }
        sections
    }

    /// A value as a text without characters that deceive.
    pub(super) fn as_text(&self, key: &str, value: Value<'a>) -> Option<Text<'a>> {
        let DeValue::String(text) = value.value else {
            self.wrong_type(key, "a text in quotes", value.value, value.at);
            return None;
        };
        let text = Text { value: text.as_ref(), at: value.at };
        check_text(key, text, self.report).then_some(text)
    }

    pub(super) fn wrong_type(&self, key: &str, wanted: &str, found: &DeValue<'_>, at: usize) {
        let what = format!("`{}` must be {wanted}, not {}", shown(key), article(found.type_str()));
        self.report.say(at, what, "see the table of operators in docs/policy.md");
    }
}

fn entry<'a>(key: &'a Spanned<std::borrow::Cow<'a, str>>, value: &'a Spanned<DeValue<'a>>) -> Entry<'a> {
    Entry {
        key: key.get_ref(),
        at: key.span().start,
        value: Value { value: value.get_ref(), at: value.span().start },
    }
}

fn items<'a>(array: &'a DeArray<'a>) -> impl Iterator<Item = Value<'a>> {
    array.iter().map(|item| Value { value: item.get_ref(), at: item.span().start })
}

fn article(kind: &str) -> String {
    match kind {
        "integer" | "array" => format!("an {kind}"),
        _ => format!("a {kind}"),
    }
}

/// Notes a text that is empty, too long, or reads otherwise than it is.
fn check_text(key: &str, text: Text<'_>, report: &Report<'_>) -> bool {
    if text.value.trim().is_empty() {
        report.say(text.at, format!("`{}` is empty", shown(key)), "write something, or leave the line out");
        return false;
    }
    if text.value.len() > TEXT_BYTES_MAX {
        let what = format!("`{}` has {} bytes, the limit is {TEXT_BYTES_MAX}", shown(key), text.value.len());
        report.say(text.at, what, "make it shorter");
        return false;
    }
    if let Some(found) = text.value.chars().find(|&c| deceives(c)) {
        let what = format!("`{}` holds the invisible character U+{:04X}", shown(key), u32::from(found));
        report.fault(Fault::Deceptive, text.at, what, "write the text again without it");
        return false;
    }
    true
}

/// Controls, directional marks, zero-width characters and tags: nobody sees
/// them, and they change what a rule matches.
fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(u32::from(c),
            0xAD | 0x61C | 0x115F | 0x1160 | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E
            | 0x2060..=0x206F | 0x3164 | 0xFE00..=0xFE0F | 0xFEFF | 0xFFA0 | 0xFFF9..=0xFFFB
            | 0xE0000..=0xE0FFF)
}

/// A word of the file as an error message shows it: short, on one line.
pub(super) fn shown(word: &str) -> String {
    const SHOWN_MAX: usize = 80;
    let mut text: String = word.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if word.chars().count() > SHOWN_MAX {
        text.push('…');
    }
    text
}
