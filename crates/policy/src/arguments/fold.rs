//! Text reduced to what it says: small letters and digits.
//!
//! Case, accents, invisible characters, look-alikes and the marks that join words (`_`, `-`, `.`, `/` and their kin)
//! are folded away. White space and marks that part sentences stay as one space, so that "file system. Configure it"
//! never becomes `systemconfig`; in names, where they part nothing, they are folded away too.

use unicode_normalization::{UnicodeNormalization, char::is_combining_mark};

use super::confusables::imitated;

/// Stands for white space and for marks that part.
pub(super) const BREAK: u8 = b' ';

/// Whether white space parts words or is folded away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The name of a member.
    Key,
    /// Everything else.
    Value,
}

/// A folded text.
#[derive(Debug, Default)]
pub(super) struct Folded {
    /// Small letters and digits in UTF-8, and [`BREAK`].
    pub(super) text: Vec<u8>,
    /// For each byte, whether a word may begin there: after any mark, at a capital, between letters and digits.
    pub(super) starts: Vec<bool>,
    last: Last,
}

/// What came before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Last {
    #[default]
    Mark,
    Small,
    Capital,
    Digit,
}

/// What an ASCII character is to the fold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Digit,
    /// Joins words, or surrounds them.
    Joint,
    /// Parts words.
    Break,
    /// Seen by nobody.
    Invisible,
}

const CLASSES: [Class; 128] = {
    let mut classes = [Class::Joint; 128];
    let mut at = 0u8;
    while at < 128 {
        classes[at as usize] = match at {
            b'a'..=b'z' | b'A'..=b'Z' => Class::Letter,
            b'0'..=b'9' => Class::Digit,
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => Class::Break,
            b',' | b';' | b'=' | b'&' | b'|' | b'+' | b'<' | b'>' | b'!' | b'?' => Class::Break,
            b'@' | b'#' | b'$' | b'%' | b'^' | b'*' | b'~' => Class::Break,
            0..=0x1f | 0x7f => Class::Invisible,
            _ => Class::Joint,
        };
        at += 1;
    }
    classes
};

impl Folded {
    /// Folds `text` in place of what was there.
    pub(super) fn set(&mut self, text: &str, role: Role) {
        self.text.clear();
        self.starts.clear();
        self.last = Last::Mark;
        if text.is_ascii() {
            self.text.reserve(text.len());
            self.starts.reserve(text.len());
            text.bytes().for_each(|byte| self.ascii(byte, role));
        } else {
            text.nfkd().for_each(|char| self.char(char, role));
        }
    }

    fn ascii(&mut self, byte: u8, role: Role) {
        match CLASSES[usize::from(byte & 0x7f)] {
            Class::Letter => {
                let now = if byte.is_ascii_uppercase() { Last::Capital } else { Last::Small };
                self.push(byte.to_ascii_lowercase(), now);
            }
            Class::Digit => self.push(byte, Last::Digit),
            Class::Joint => self.last = Last::Mark,
            Class::Break => self.part(role),
            Class::Invisible => {}
        }
    }

    fn char(&mut self, char: char, role: Role) {
        if char.is_ascii() {
            return self.ascii(char as u8, role);
        }
        if is_invisible(char) {
            return;
        }
        if let Some(latin) = imitated(char) {
            let now = if char.is_uppercase() { Last::Capital } else { Last::Small };
            return latin.bytes().for_each(|byte| self.push(byte, now));
        }
        if char.is_whitespace() {
            return self.part(role);
        }
        if !char.is_alphanumeric() {
            self.last = Last::Mark;
            return;
        }
        let now = match char {
            _ if char.is_numeric() => Last::Digit,
            _ if char.is_uppercase() => Last::Capital,
            _ => Last::Small,
        };
        for small in char.to_lowercase() {
            if small.is_ascii() {
                self.push(small as u8, now);
                continue;
            }
            let mut utf8 = [0; 4];
            for (index, byte) in small.encode_utf8(&mut utf8).bytes().enumerate() {
                if index == 0 {
                    self.push(byte, now);
                } else {
                    self.text.push(byte);
                    self.starts.push(false);
                }
            }
        }
    }

    fn push(&mut self, byte: u8, now: Last) {
        let starts = match (self.last, now) {
            (Last::Mark, _) => true,
            (Last::Capital, Last::Small) => false,
            (before, now) => before != now,
        };
        self.text.push(byte);
        self.starts.push(starts);
        self.last = now;
    }

    fn part(&mut self, role: Role) {
        self.last = Last::Mark;
        if role == Role::Value && self.text.last().is_some_and(|last| *last != BREAK) {
            self.text.push(BREAK);
            self.starts.push(true);
        }
    }
}

/// Combining marks, controls, and what Unicode calls default ignorable: zero-width and bidirectional characters, the
/// soft hyphen, fillers, variation selectors and tags.
fn is_invisible(char: char) -> bool {
    is_combining_mark(char)
        || char.is_control()
        || matches!(char,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(text: &str, role: Role) -> String {
        let mut folded = Folded::default();
        folded.set(text, role);
        assert_eq!(folded.text.len(), folded.starts.len());
        String::from_utf8(folded.text).unwrap()
    }

    #[test]
    fn one_word_has_one_form() {
        for text in [
            "system_config",
            "System-Config",
            "systemConfig",
            "SYSTEM.CONFIG",
            "system/config",
            "[system][config]",
            "system::config",
            "ｓｙｓｔｅｍ＿ｃｏｎｆｉｇ",
            "ѕуѕtеm_cоnfіg",
            "sys\u{200b}tem\u{ad}_con\u{202e}fig",
            "s\u{301}ystem_co\u{308}nfig",
            "𝐬𝐲𝐬𝐭𝐞𝐦_𝒸ℴ𝓃𝒻𝒾ℊ",
            "ꜱʏꜱᴛᴇᴍ_ᴄᴏɴꜰɪɢ",
            "🅂🅈🅂🅃🄴🄼_🅒🅞🅝🅕🅘🅖",
            "sys\u{7}tem\0_config",
            "ſystem\u{2010}config",
        ] {
            assert_eq!(folded(text, Role::Value), "systemconfig", "{text:?}");
        }
        assert_eq!(folded("Straße ﬁn", Role::Value), "strasse fin");
        assert_eq!(folded("система", Role::Value), folded("СИСТЕМА", Role::Value));
    }

    #[test]
    fn sentences_part_words_and_names_do_not() {
        let text = "  the file system.\n Configure, it ";
        assert_eq!(folded(text, Role::Value), "the file system configure it ");
        assert_eq!(folded(text, Role::Key), "thefilesystemconfigureit");
    }

    #[test]
    fn words_begin_where_names_are_cut() {
        let starts = |text| {
            let mut folded = Folded::default();
            folded.set(text, Role::Value);
            folded.starts.iter().map(|start| if *start { '^' } else { '.' }).collect::<String>()
        };
        assert_eq!(starts("businessName"), "^.......^...");
        assert_eq!(starts("a_bc9d"), "^^.^^");
        assert_eq!(starts("XMLFile"), "^......");
        assert_eq!(starts("ab cd"), "^.^^.");
    }
}
