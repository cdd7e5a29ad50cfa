//! Texts from outside: names, reasons and ids that a caller chose.

/// `text` with control and invisible characters written out, at most `chars_max` characters of it. What is cut says so.
#[must_use]
pub fn visible(text: &str, chars_max: usize) -> String {
    let mut shown = String::new();
    let mut used = 0;
    for (n, c) in text.chars().enumerate() {
        let written = if is_hidden(c) { c.escape_unicode().to_string() } else { c.to_string() };
        used += written.chars().count();
        if used > chars_max {
            let left = text.chars().count() - n;
            shown.push_str(&format!("… ({left} more)"));
            break;
        }
        shown.push_str(&written);
    }
    shown
}

/// What has no width, moves the cursor, or turns the direction of what follows.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// A number with thin groups of three, as people read it: 1,234,567.
#[must_use]
pub fn number(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share in per cent with one decimal. Less than all never reads as all, and more than nothing never as nothing.
#[must_use]
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let tenths = u128::from(part) * 1000 / u128::from(whole);
    match tenths {
        0 if part > 0 => "< 0.1 %".to_owned(),
        _ => format!("{}.{} %", tenths / 10, tenths % 10),
    }
}

/// The first few of a list, and how many more there are.
pub(crate) fn listed(names: &[String]) -> String {
    const FEW: usize = 3;
    let few: Vec<String> = names.iter().take(FEW).map(|name| visible(name, 60)).collect();
    match names.len().saturating_sub(FEW) {
        0 => few.join(", "),
        more => format!("{} and {more} more", few.join(", ")),
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_written_out_and_long_texts_cut() {
        assert_eq!(visible("a\u{1b}[2J\u{202e}b", 80), "a\\u{1b}[2J\\u{202e}b");
        assert_eq!(visible("abcdef", 4), "abcd… (2 more)");
        assert_eq!(visible("äöü", 3), "äöü");
        assert_eq!(visible("\u{1b}\u{1b}", 7), "\\u{1b}… (1 more)");
    }

    #[test]
    fn numbers_read_well_and_shares_do_not_flatter() {
        assert_eq!(
            [number(0), number(999), number(1_000), number(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(percent(9_999_999, 10_000_000), "99.9 %");
        assert_eq!([percent(1, 10_000_000), percent(0, 5), percent(5, 5)], ["< 0.1 %", "0.0 %", "100.0 %"]);
        assert_eq!(percent(0, 0), "–");
    }
}
