//! The parts of a document: tables, texts and dates, and a list of what is wrong with them.

use jiff::civil::Date;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{DocumentErrors, Problem, shown};

/// Enough to mend a file by; a file with more is not a document at all.
const PROBLEMS_MAX: usize = 100;
/// Longest purpose or reason, bytes.
const TEXT_BYTES_MAX: usize = 512;
/// Dates before this year are mistakes, and after the other have more than four digits.
const YEARS: std::ops::RangeInclusive<i16> = 2000..=9999;

pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// A table and the byte at which it begins.
#[derive(Clone, Copy)]
pub(super) struct Table<'t, 'a> {
    pub(super) members: &'t DeTable<'a>,
    pub(super) at: usize,
    /// How messages name it.
    pub(super) what: &'static str,
}

impl<'t, 'a> Table<'t, 'a> {
    pub(super) fn get(self, key: &str) -> Option<&'t Value<'a>> {
        self.members.get(key)
    }
}

/// A value and the byte at which it stands.
pub(super) type At<T> = (T, usize);

pub(super) struct Reader {
    /// With the byte at which each stands.
    pub(super) problems: Vec<At<String>>,
}

impl Reader {
    pub(super) fn problem(&mut self, at: usize, message: impl Into<String>) {
        self.problems.push((message.into(), at));
    }

    /// In the order of the file, with line and column.
    pub(super) fn finish(mut self, text: &str) -> DocumentErrors {
        self.problems.sort_by_key(|problem| problem.1);
        self.problems.dedup();
        self.problems.truncate(PROBLEMS_MAX);
        let problems = self.problems.into_iter().map(|(message, at)| {
            let before = &text[..text.floor_char_boundary(at)];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
            Problem { line, column, message }
        });
        DocumentErrors(problems.collect())
    }

    pub(super) fn known(&mut self, table: Table<'_, '_>, keys: &[&str]) {
        for (key, _) in table.members.iter().filter(|(key, _)| !keys.contains(&&**key.get_ref())) {
            let message =
                format!("{} has no key \"{}\"; it has {}", table.what, shown(key.get_ref()), keys.join(", "));
            self.problem(key.span().start, message);
        }
    }

    /// The tables of a list of tables.
    pub(super) fn tables<'t, 'a>(
        &mut self,
        root: Table<'t, 'a>,
        key: &str,
        what: &'static str,
        most: usize,
    ) -> Vec<Table<'t, 'a>> {
        let Some(value) = root.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            self.problem(value.span().start, format!("write {what}, once for each"));
            return Vec::new();
        };
        if items.len() > most {
            self.problem(value.span().start, format!("there are more than {most} of {what}"));
            return Vec::new();
        }
        let mut tables = Vec::new();
        for item in items {
            let at = item.span().start;
            match item.get_ref() {
                DeValue::Table(members) => tables.push(Table { members, at, what }),
                _ => self.problem(at, format!("write {what}, once for each")),
            }
        }
        tables
    }

    /// A text that must be there.
    pub(super) fn text(&mut self, table: Table<'_, '_>, key: &str) -> Option<At<String>> {
        let Some(value) = table.get(key) else {
            self.problem(table.at, format!("{} has no {key}", table.what));
            return None;
        };
        let at = value.span().start;
        match value.get_ref().as_str() {
            Some("") => self.problem(at, format!("{key} is empty")),
            Some(text) if text.len() > TEXT_BYTES_MAX => {
                self.problem(at, format!("{key} has more than {TEXT_BYTES_MAX} bytes"));
            }
            Some(text) if text.chars().any(char::is_control) => {
                self.problem(at, format!("{key} has control characters"));
            }
            Some(text) => return Some((text.to_owned(), at)),
            None => self.problem(at, format!("{key} is a text in quotes")),
        }
        None
    }

    pub(super) fn optional_text(&mut self, table: Table<'_, '_>, key: &str) -> Option<String> {
        table.get(key)?;
        self.text(table, key).map(|(text, _)| text)
    }

    pub(super) fn flag(&mut self, table: Table<'_, '_>, key: &str) -> bool {
        let Some(value) = table.get(key) else { return false };
        value.get_ref().as_bool().unwrap_or_else(|| {
            self.problem(value.span().start, format!("{key} is true or false"));
            false
        })
    }

    /// A date, in quotes or without.
    pub(super) fn date(&mut self, table: Table<'_, '_>, key: &str) -> Option<At<Date>> {
        let value = table.get(key)?;
        let text = match value.get_ref() {
            DeValue::Datetime(date) => date.to_string(),
            DeValue::String(text) => text.to_string(),
            _ => String::new(),
        };
        // Ten characters, so that no time of day follows.
        let date = Some(&text).filter(|text| text.len() == 10).and_then(|text| text.parse::<Date>().ok());
        let date = date.filter(|date| YEARS.contains(&date.year()));
        let at = value.span().start;
        if date.is_none() {
            self.problem(at, format!("{key} is a date like 2030-12-31"));
        }
        date.map(|date| (date, at))
    }
}
