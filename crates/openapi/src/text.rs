//! Text of a document on its way to people and models: bounded, and without what neither can see.

/// Whether a character shows nothing, turns the line around, or moves a terminal's cursor.
fn is_hidden(c: char) -> bool {
    let n = u32::from(c);
    c.is_control()
        || matches!(n,
            0xAD | 0x61C | 0x180E | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0xFE00..=0xFE0F | 0xFEFF
            | 0xFFF0..=0xFFFB | 0xE0000..=0xE0FFF)
}

/// How many characters of `text` nobody sees, line ends and tabs aside.
pub(crate) fn hidden(text: &str) -> usize {
    text.chars().filter(|c| is_hidden(*c) && !matches!(c, '\n' | '\r' | '\t')).count()
}

/// `text` in one line without hidden characters, at most `chars_max` characters long; an ellipsis says that it was cut.
pub(crate) fn clean(text: &str, chars_max: usize) -> String {
    let mut cleaned = String::new();
    let (mut chars, mut gap) = (0, false);
    for c in text.chars() {
        if c.is_whitespace() || matches!(c, '\u{2028}' | '\u{2029}') {
            gap = !cleaned.is_empty();
            continue;
        }
        if is_hidden(c) {
            continue;
        }
        if chars + usize::from(gap) + 1 > chars_max {
            while cleaned.chars().count() + 1 > chars_max && cleaned.pop().is_some() {}
            cleaned.push('…');
            return cleaned;
        }
        if gap {
            cleaned.push(' ');
            chars += 1;
            gap = false;
        }
        cleaned.push(c);
        chars += 1;
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hidden_characters_and_line_ends_go() {
        for (text, cleaned) in [
            ("Lists\n\n  pets.\u{1b}[31m\u{202e}", "Lists pets.[31m"),
            ("a\u{e0041}\u{200b}b\u{feff}", "ab"),
            ("", ""),
            (" \t x ", "x"),
            ("äöü €", "äöü €"),
        ] {
            assert_eq!(clean(text, 100), cleaned);
        }
        assert_eq!(clean("abcdef", 3), "ab…");
        assert_eq!(clean("ab cd", 3), "ab…");
        assert_eq!(hidden("a\u{200b}\n\u{1b}"), 2);
    }

    proptest! {
        #[test]
        fn nothing_hidden_stays_and_the_length_holds(text in any::<String>(), max in 1_usize..50) {
            let cleaned = clean(&text, max);
            prop_assert!(cleaned.chars().count() <= max, "{cleaned:?}");
            prop_assert_eq!(cleaned.chars().filter(|c| is_hidden(*c)).count(), 0);
        }
    }
}
