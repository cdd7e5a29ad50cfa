//! Characters that do not show, gathered into runs and judged.

use crate::unicode::{CLASSES, Class, in_place, tag_text};

/// Characters in a row that do not show and are not all the same, from which
/// on they count as hidden text: eight of two kinds write one byte. Emoji and
/// writing systems need at most two, and e-mail padding repeats short groups
/// between spaces.
const HIDDEN_RUN: usize = 8;

/// Tags out of place that are still not hidden text: a flag emoji that was cut
/// in the middle leaves at most five letters and a cancel tag.
const STRAY_TAGS_MAX: usize = 6;

/// Characters of a run that are remembered, to show them.
const RUN_SHOWN_MAX: usize = 160;

/// Offsets reported for each class, and hidden runs reported for each text.
const PLACES_MAX: usize = 8;

/// A character that does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    code: u32,
    /// In bytes, from the start of the JSON text.
    offset: usize,
}

/// How many characters of a class there were, and the first few.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    count: usize,
    first: Vec<Place>,
}

/// A run long and varied enough to hold text.
#[derive(Clone, Debug, PartialEq, Eq)]
struct HiddenRun {
    offset: usize,
    length: usize,
    text: String,
}

/// What a text holds that does not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    tallies: [Tally; CLASSES.len()],
    hidden: Vec<HiddenRun>,
    hidden_count: usize,
    /// Characters among the tallies that are written as escapes inside a
    /// string, such as JSON in a text.
    nested: usize,
}

impl Report {
    /// Whether there is nothing to report.
    pub(crate) fn is_empty(&self) -> bool {
        self.total() == 0
    }

    /// Characters out of place.
    pub(crate) fn total(&self) -> usize {
        self.tallies.iter().map(|tally| tally.count).sum()
    }

    /// Whether text is hidden here, rather than a character gone astray.
    pub(crate) fn hides_text(&self) -> bool {
        self.hidden_count > 0 || self.count(Class::Tag) > STRAY_TAGS_MAX
    }

    /// Whether there is more than terminal colours and soft hyphens: what is
    /// shown may not be what is read.
    pub(crate) fn misleads(&self) -> bool {
        self.count(Class::Bidi) + self.count(Class::Tag) > 0
    }

    pub(crate) fn count(&self, class: Class) -> usize {
        self.tallies[class as usize].count
    }

    /// "3 zero-width, 1 tag": the classes in words.
    pub(crate) fn classes(&self) -> String {
        let found = CLASSES.iter().filter(|&&class| self.count(class) > 0);
        found.map(|&class| format!("{} {}", self.count(class), class.name())).collect::<Vec<_>>().join(", ")
    }

    /// Code points with byte offsets, and hidden text made visible.
    pub(crate) fn evidence(&self) -> String {
        let mut parts = Vec::new();
        for (class, tally) in CLASSES.iter().zip(&self.tallies).filter(|(_, tally)| tally.count > 0) {
            let places: Vec<String> = tally
                .first
                .iter()
                .map(|place| format!("U+{:04X} at byte {}", place.code, place.offset))
                .collect();
            let more = tally.count - tally.first.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            parts.push(format!("{}: {}{more}", class.name(), places.join(", ")));
        }
        for run in &self.hidden {
            let text = if run.text.is_empty() { String::new() } else { format!(" reads {:?}", run.text) };
            parts.push(format!("hidden run of {} characters at byte {}{text}", run.length, run.offset));
        }
        if self.nested > 0 {
            parts.push(format!("{} of them as escapes inside a string", self.nested));
        }
        parts.join("; ")
    }

    /// Takes over what escapes inside strings said. Controls there are left
    /// out: source code and patterns are full of `\u0000` and `\u001b`, and
    /// written out like this they do nothing. Tags count for runs only, since
    /// the source code of emoji libraries holds them in pieces.
    pub(crate) fn merge_nested(&mut self, nested: Report) {
        for (class, tally) in CLASSES.into_iter().zip(nested.tallies) {
            if class == Class::Control {
                continue;
            }
            self.nested += tally.count;
            let class = if class == Class::Tag { Class::ZeroWidth } else { class };
            let own = &mut self.tallies[class as usize];
            own.count += tally.count;
            own.first.extend(tally.first);
            own.first.truncate(PLACES_MAX);
        }
        self.hidden_count += nested.hidden_count;
        self.hidden.extend(nested.hidden);
        self.hidden.truncate(PLACES_MAX);
    }

    fn add(&mut self, class: Class, place: Place) {
        let tally = &mut self.tallies[class as usize];
        tally.count += 1;
        if tally.first.len() < PLACES_MAX {
            tally.first.push(place);
        }
    }

    fn add_hidden(&mut self, run: HiddenRun) {
        self.hidden_count += 1;
        if self.hidden.len() < PLACES_MAX {
            self.hidden.push(run);
        }
    }
}

/// Groups characters that do not show into runs and judges each with what
/// stands around it.
#[derive(Default)]
pub(crate) struct Runs {
    report: Report,
    /// What stands before the run; `None` at the start of a string.
    base: Option<u32>,
    run: Vec<u32>,
    /// Length of the run, of which `run` holds the beginning.
    length: usize,
    offset: usize,
    places: Vec<Place>,
    varied: bool,
}

impl Runs {
    /// The next code point, or `None` where a string begins or ends.
    #[inline]
    pub(crate) fn push(&mut self, code: Option<u32>, offset: usize) {
        let class = code.and_then(Class::of_code);
        if class.is_none() && self.length == 0 {
            self.base = code;
            return;
        }
        match (class, code) {
            (Some(Class::Control), Some(code)) => {
                self.close(Some(code));
                self.report.add(Class::Control, Place { code, offset });
                self.base = Some(code);
            }
            (Some(_), Some(code)) => self.extend(code, offset),
            _ => {
                self.close(code);
                self.base = code;
            }
        }
    }

    fn extend(&mut self, code: u32, offset: usize) {
        if self.length == 0 {
            self.offset = offset;
        }
        self.length += 1;
        self.varied |= self.run.first().is_some_and(|&first| first != code);
        if self.run.len() < RUN_SHOWN_MAX {
            self.run.push(code);
            self.places.push(Place { code, offset });
        } else if let Some(class) = Class::of_code(code) {
            // Too long for any place where it could belong.
            self.report.add(class, Place { code, offset });
        }
    }

    fn close(&mut self, next: Option<u32>) {
        if self.length == 0 {
            return;
        }
        if !in_place(self.base, &self.run, next) {
            for place in &self.places {
                let class = Class::of_code(place.code).expect("only such characters extend a run");
                self.report.add(class, *place);
            }
            if self.length >= HIDDEN_RUN && self.varied {
                let text = tag_text(&self.run);
                self.report.add_hidden(HiddenRun { offset: self.offset, length: self.length, text });
            }
        }
        self.run.clear();
        self.places.clear();
        self.length = 0;
        self.varied = false;
    }

    /// What there was.
    pub(crate) fn finish(mut self) -> Report {
        self.close(None);
        self.report
    }
}
