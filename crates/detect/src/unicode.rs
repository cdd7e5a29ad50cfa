//! Which characters do not show, and where they may stand all the same.
//!
//! Rates on 20,390 tool definitions of 2,859 servers, presumed benign: no
//! control, zero-width, bidirectional, tag or filler character at all, and 113
//! definitions with variation selectors, all of them behind an emoji. The
//! places listed in [`in_place`] are those where writing systems and emoji need
//! such a character; elsewhere it serves nobody who reads.

/// A kind of character that does not show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// C0 and C1 controls without tab, line feed, carriage return and form
    /// feed; DEL; halves of surrogate pairs. ESC starts terminal commands.
    Control,
    /// Joiners, spaces of no width, soft hyphens, invisible operators.
    ZeroWidth,
    /// Marks, embeddings, overrides and isolates that reorder what is shown.
    Bidi,
    /// Plane 14 tags: a copy of ASCII that does not show.
    Tag,
    /// Variation selectors: 256 of them, enough to write bytes.
    Variation,
    /// Letters that are blank by definition.
    Filler,
}

/// All classes, in the order of their numbers.
pub(crate) const CLASSES: [Class; 6] =
    [Class::Control, Class::ZeroWidth, Class::Bidi, Class::Tag, Class::Variation, Class::Filler];

const ZERO_WIDTH_SPACE: u32 = 0x200B;
const ZERO_WIDTH_NON_JOINER: u32 = 0x200C;
const ZERO_WIDTH_JOINER: u32 = 0x200D;
const BYTE_ORDER_MARK: u32 = 0xFEFF;
const EMOJI_PRESENTATION: u32 = 0xFE0F;
const BLACK_FLAG: u32 = 0x1F3F4;
const CANCEL_TAG: u32 = 0xE007F;

/// The three flags that Unicode writes with tags: England, Scotland, Wales.
const TAG_FLAGS: [&str; 3] = ["gbeng", "gbsct", "gbwls"];

impl Class {
    /// The class of a code point (surrogates included); `None` if it shows or is ordinary layout.
    #[inline]
    pub(crate) fn of_code(code: u32) -> Option<Class> {
        match code {
            // First, since most text that is not ASCII is here: Han, Hangul.
            0x3165..=0xD7FF => None,
            0x09 | 0x0A | 0x0C | 0x0D => None,
            0x00..=0x1F | 0x7F..=0x9F | 0xD800..=0xDFFF => Some(Class::Control),
            0x20..=0x7E => None,
            0x00AD | 0x034F | 0x180E | 0x200B..=0x200D | 0x2060..=0x2065 | 0x206A..=0x206F => {
                Some(Class::ZeroWidth)
            }
            0xFEFF | 0xFFF0..=0xFFFB | 0x1BCA0..=0x1BCA3 | 0x1D173..=0x1D17A => Some(Class::ZeroWidth),
            0x061C | 0x200E | 0x200F | 0x202A..=0x202E | 0x2066..=0x2069 => Some(Class::Bidi),
            0xFE00..=0xFE0F | 0xE0100..=0xE01EF | 0x180B..=0x180D | 0x180F => Some(Class::Variation),
            0xE0000..=0xE0FFF => Some(Class::Tag),
            0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x2800 | 0x3164 | 0xFFA0 => Some(Class::Filler),
            _ => None,
        }
    }

    /// The class of a character.
    pub(crate) fn of(c: char) -> Option<Class> {
        Class::of_code(u32::from(c))
    }

    /// For readers.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Class::Control => "control",
            Class::ZeroWidth => "zero-width",
            Class::Bidi => "bidirectional",
            Class::Tag => "tag",
            Class::Variation => "variation selector",
            Class::Filler => "blank letter",
        }
    }
}

/// Whether a whole run of characters that do not show is where a reader's
/// language or emoji needs it. `base` is what stands before it and `next` what
/// comes after, `None` at the ends of a string.
pub(crate) fn in_place(base: Option<u32>, run: &[u32], next: Option<u32>) -> bool {
    match (base, run) {
        // A byte order mark at the start of a file.
        (None, [BYTE_ORDER_MARK]) => true,
        (Some(base), [selector]) if Class::of_code(*selector) == Some(Class::Variation) => {
            takes_selector(base, *selector)
        }
        // ❤️‍🔥 is heart, selector, joiner, fire.
        (Some(base), [EMOJI_PRESENTATION, ZERO_WIDTH_JOINER] | [ZERO_WIDTH_JOINER])
            if is_pictograph(base) =>
        {
            next.is_some_and(is_pictograph)
        }
        (Some(base), [ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER]) => is_joining_script(base),
        (Some(base), [ZERO_WIDTH_SPACE]) => is_unspaced_script(base),
        (Some(BLACK_FLAG), tags @ [.., CANCEL_TAG]) => {
            let letters = tag_text(&tags[..tags.len() - 1]);
            TAG_FLAGS.contains(&letters.as_str())
        }
        _ => false,
    }
}

/// The ASCII that tags stand for, tags without any left out.
pub(crate) fn tag_text(run: &[u32]) -> String {
    run.iter()
        .filter_map(|&code| code.checked_sub(0xE0000))
        .filter(|ascii| (0x20..0x7F).contains(ascii))
        .filter_map(char::from_u32)
        .collect()
}

fn takes_selector(base: u32, selector: u32) -> bool {
    match (base, selector) {
        // Ideographs have their own 240; nothing else has.
        (_, 0xE0100..) => {
            matches!(base, 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF)
        }
        (_, 0x180B..=0x180F) => matches!(base, 0x1800..=0x18AF),
        // Keycaps: 1️⃣ is digit, selector, enclosing key.
        (0x23 | 0x2A | 0x30..=0x39, _) => true,
        _ => base >= 0xA1,
    }
}

fn is_pictograph(code: u32) -> bool {
    matches!(code, 0xA9 | 0xAE | 0x2010..=0x2BFF | 0x3030..=0x303D | 0x3297..=0x3299 | 0x1F000..=0x1FAFF)
}

/// Scripts whose letters change shape with their neighbours: Arabic and its
/// relatives, and the scripts of India and its neighbours.
fn is_joining_script(code: u32) -> bool {
    matches!(code, 0x0600..=0x08FF | 0x0900..=0x0DFF | 0x0F00..=0x109F | 0x1780..=0x18AF
        | 0xA840..=0xA87F | 0xA8E0..=0xA8FF | 0xFB50..=0xFDFF | 0xFE70..=0xFEFC | 0x11000..=0x11FFF)
}

/// Scripts without spaces between words, where U+200B says where a line may end.
fn is_unspaced_script(code: u32) -> bool {
    matches!(code, 0x0E00..=0x0EFF | 0x0F00..=0x109F | 0x1780..=0x17FF | 0x1950..=0x19FF)
}
