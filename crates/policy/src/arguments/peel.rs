//! What a text encodes.

use super::{fold::Role, needles::Search, walk};

/// Shortest stretch of text inside other decoded bytes that is looked into, in bytes. Random bytes are text for that
/// long once in 65,536 places, so that pictures and archives are not searched for three letters.
const STRETCH_BYTES_MIN: usize = 16;

/// Longest input of base64 that is decoded whole, in characters. Longer ones are if they begin as text, and else only
/// where they decode to mostly ASCII.
const WHOLE_CHARS_MAX: usize = 64;

/// How many more groups of ASCII than others make a stretch worth decoding.
const STRETCH_GROUPS_MIN: usize = 3;

/// Searches everything that `text` may encode, each as a text of the given layer.
pub(super) fn peel(text: &str, role: Role, search: &mut Search<'_>, layer: u8) {
    let bytes = text.as_bytes();
    if bytes.iter().any(|byte| matches!(byte, b'%' | b'&' | b'\\')) {
        let decoded = unescape(&entities(&percent(text)));
        if decoded != text && search.pay(decoded.len()) {
            search.text(&decoded, role, layer);
        }
    }
    let start = text.trim_ascii_start();
    if start.starts_with(['{', '[', '"']) && search.pay(start.len()) {
        walk::json(start, search, layer);
    }
    let shortest = search.needles().shortest();
    // Every byte takes more than one character of base64.
    if bytes.len() > shortest {
        base64(bytes, search, layer);
    }
    // Each letter of ASCII has a decimal digit in its hexadecimal form.
    if bytes.len() >= 2 * shortest && (!search.needles().ascii() || digits(bytes) >= shortest) {
        hexadecimal(bytes, search, layer);
    }
}

fn digits(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| byte.is_ascii_digit()).count()
}

/// Percent-encoding (RFC 3986), and `%u0073`, which some servers undo too.
fn percent(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let rest = &bytes[at + 1..];
        let unicode = || code_point(rest.strip_prefix(b"u").or(rest.strip_prefix(b"U"))?, 4);
        if byte != b'%' {
            out.push(byte);
            at += 1;
        } else if let Some(value) = hex_value(rest, 2) {
            out.push(value as u8);
            at += 3;
        } else if let Some(char) = unicode() {
            out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            at += 6;
        } else {
            out.push(byte);
            at += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Character references of HTML: numeric ones, and the named ones of the characters that names are joined with.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match entity(rest) {
            Some((char, length)) => {
                out.push(char);
                rest = &rest[length..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The reference at the start of `text` and its length. The semicolon may be missing, as browsers allow.
fn entity(text: &str) -> Option<(char, usize)> {
    const NAMED: [(&str, char); 12] = [
        ("amp", '&'),
        ("lt", '<'),
        ("gt", '>'),
        ("quot", '"'),
        ("apos", '\''),
        ("nbsp", ' '),
        ("lowbar", '_'),
        ("hyphen", '-'),
        ("dash", '-'),
        ("period", '.'),
        ("sol", '/'),
        ("shy", '\u{ad}'),
    ];
    let body = &text[1..];
    let semicolon = |length: usize| length + usize::from(text.as_bytes().get(length) == Some(&b';'));
    if let Some(number) = body.strip_prefix('#') {
        let (radix, prefix) = if number.starts_with(['x', 'X']) { (16, 1) } else { (10, 0) };
        let digits = &number[prefix..];
        let length = digits.bytes().take_while(|byte| char::from(*byte).is_digit(radix)).count();
        // Leading zeros may be many, the rest is at most seven digits.
        let value = u32::from_str_radix(&digits[..length], radix).ok()?;
        return Some((char::from_u32(value)?, semicolon(2 + prefix + length)));
    }
    let (name, char) = NAMED.iter().find(|(name, _)| body.starts_with(name))?;
    Some((*char, semicolon(1 + name.len())))
}

/// The escapes of JSON, JavaScript, C and Python: `\u0073`, `\u{73}`, `\U00000073`, `\x73`, `\163`, `\n`. An unpaired
/// surrogate is left out; a backslash before anything else stays.
pub(super) fn unescape(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(length) = bytes[at..].iter().position(|byte| *byte == b'\\') {
        out.push_str(&text[at..at + length]);
        at += length + 1;
        let (char, length) = escape(&bytes[at..]);
        match char {
            Escaped::Char(char) => out.push(char),
            Escaped::Nothing => {}
            Escaped::Literal => out.push('\\'),
        }
        at += length;
    }
    out.push_str(&text[at..]);
    out
}

enum Escaped {
    Char(char),
    Nothing,
    Literal,
}

/// What follows a backslash, and how many bytes of it were read; these are ASCII.
fn escape(rest: &[u8]) -> (Escaped, usize) {
    let code = |value: u32, length| (char::from_u32(value).map_or(Escaped::Nothing, Escaped::Char), length);
    let simple = |char| (Escaped::Char(char), 1);
    match rest {
        [b'u', b'{', digits @ ..] => {
            let length = digits.iter().take(9).take_while(|byte| byte.is_ascii_hexdigit()).count();
            match hex_value(digits, length) {
                Some(value) if digits.get(length) == Some(&b'}') => code(value, length + 3),
                _ => (Escaped::Literal, 0),
            }
        }
        [b'u', digits @ ..] => match hex_value(digits, 4) {
            Some(high @ 0xd800..=0xdbff) => match &digits[4..] {
                [b'\\', b'u', low @ ..] => match hex_value(low, 4) {
                    Some(low @ 0xdc00..=0xdfff) => {
                        code(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00), 11)
                    }
                    _ => (Escaped::Nothing, 5),
                },
                _ => (Escaped::Nothing, 5),
            },
            Some(value) => code(value, 5),
            None => (Escaped::Literal, 0),
        },
        [b'U', digits @ ..] => hex_value(digits, 8).map_or((Escaped::Literal, 0), |value| code(value, 9)),
        [b'x', digits @ ..] => hex_value(digits, 2).map_or((Escaped::Literal, 0), |value| code(value, 3)),
        [b'0'..=b'7', ..] => {
            let length = rest.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
            code(rest[..length].iter().fold(0, |value, digit| value * 8 + u32::from(digit - b'0')), length)
        }
        [b'n', ..] => simple('\n'),
        [b't', ..] => simple('\t'),
        [b'r', ..] => simple('\r'),
        [b'b', ..] => simple('\u{8}'),
        [b'f', ..] => simple('\u{c}'),
        [b'"', ..] => simple('"'),
        [b'/', ..] => simple('/'),
        [b'\\', ..] => simple('\\'),
        _ => (Escaped::Literal, 0),
    }
}

/// Exactly `length` hexadecimal digits.
fn hex_value(bytes: &[u8], length: usize) -> Option<u32> {
    let digits = bytes.get(..length).filter(|digits| !digits.is_empty())?;
    digits
        .iter()
        .try_fold(0u32, |value, digit| value.checked_mul(16)?.checked_add(char::from(*digit).to_digit(16)?))
}

fn code_point(bytes: &[u8], length: usize) -> Option<char> {
    hex_value(bytes, length).and_then(char::from_u32)
}

/// Base64 and base64url, padded or not, with line breaks or any other characters between, as lenient decoders read
/// it, and from each of the four places where it may begin.
fn base64(bytes: &[u8], search: &mut Search<'_>, layer: u8) {
    let sextets: Vec<u8> =
        bytes.iter().map(|byte| SEXTETS[usize::from(*byte)]).filter(|six| *six < 64).collect();
    if sextets.len() * 3 / 4 < search.needles().shortest() {
        return;
    }
    let (all, ascii) = (octets_of(sextets.len()), search.needles().ascii());
    for offset in 0..4 {
        let Some(sextets) = sextets.get(offset..) else { return };
        if sextets.len() <= WHOLE_CHARS_MAX || !ascii || begins_as_text(sextets) {
            decoded(&octets(sextets), all, search, layer);
            continue;
        }
        for stretch in stretches(sextets) {
            decoded(&octets(stretch), all, search, layer);
        }
    }
}

/// Whether the first bytes are UTF-8. Bytes that are none by intention are not for so long.
fn begins_as_text(sextets: &[u8]) -> bool {
    let first = octets(&sextets[..WHOLE_CHARS_MAX.min(sextets.len())]);
    std::str::from_utf8(&first).map_or_else(|error| error.error_len().is_none(), |_| true)
}

const SEXTETS: [u8; 256] = {
    let mut sextets = [64; 256];
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut at = 0;
    while at < 64 {
        sextets[alphabet[at as usize] as usize] = at;
        at += 1;
    }
    sextets[b'-' as usize] = 62;
    sextets[b'_' as usize] = 63;
    sextets
};

fn octets_of(sextets: usize) -> usize {
    sextets * 3 / 4
}

fn octets(sextets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets_of(sextets.len()) + 1);
    for group in sextets.chunks(4) {
        let bits =
            group.iter().fold(0u32, |bits, six| bits << 6 | u32::from(*six)) << (6 * (4 - group.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..group.len().max(1)]);
    }
    out
}

/// Where groups of four decode to ASCII more often than not, at least three more, and the group before, which may end
/// with a letter of the first word. In other text, one group in eight is ASCII.
fn stretches(sextets: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let (mut start, mut score, mut best) = (0, 0usize, 0usize);
    for (index, group) in sextets.chunks(4).enumerate() {
        let high = |at: usize, bit: u8| group.get(at).is_some_and(|six| six & bit != 0);
        if high(0, 32) || high(1, 8) || high(2, 2) {
            score = score.saturating_sub(1);
        } else {
            if score == 0 {
                (start, best) = (index.saturating_sub(1), 0);
            }
            score += 1;
            best = best.max(score);
        }
        if score == 0 && best >= STRETCH_GROUPS_MIN {
            found.push(&sextets[start * 4..(index * 4 + 4).min(sextets.len())]);
            best = 0;
        }
    }
    if best >= STRETCH_GROUPS_MIN {
        found.push(&sextets[start * 4..]);
    }
    found
}

/// Hexadecimal, with anything between the digits: `73 79`, `0x73,0x79`, `73:79`.
fn hexadecimal(bytes: &[u8], search: &mut Search<'_>, layer: u8) {
    let mut nibbles = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'0' && matches!(bytes.get(at + 1), Some(b'x' | b'X')) {
            at += 2;
            continue;
        }
        nibbles.extend(char::from(*byte).to_digit(16).map(|nibble| nibble as u8));
        at += 1;
    }
    for offset in 0..2 {
        let Some(nibbles) = nibbles.get(offset..) else { return };
        let octets: Vec<u8> = nibbles.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect();
        decoded(&octets, octets.len(), search, layer);
    }
}

/// Searches the text in decoded bytes: all of it if it is at least half of them, else stretches long enough not to
/// be chance.
fn decoded(octets: &[u8], of: usize, search: &mut Search<'_>, layer: u8) {
    if octets.len() < search.needles().shortest() || !search.pay(octets.len()) {
        return;
    }
    for chunk in octets.utf8_chunks() {
        let text = chunk.valid();
        let enough = text.len() >= STRETCH_BYTES_MIN || 2 * text.len() >= of;
        if enough && text.len() >= search.needles().shortest() {
            search.text(text, Role::Value, layer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_in_one_pass() {
        let cases = [
            (r"\u0073\x79\163\U00000074\u{65}m", "system"),
            (r"\ud83d\ude00|\ud83d|\ud83dx|\udc00", "😀||x|"),
            (r"C:\system\q\", r"C:\system\q\"),
            (r"\\n\n", "\\n\n"),
            (r"\u12|\x1|\u{}|\u{110000}|\U1", r"\u12|\x1|\u{}||\U1"),
            ("é\\u00e9é", "ééé"),
        ];
        for (text, expected) in cases {
            assert_eq!(unescape(text), expected, "{text}");
        }
    }

    #[test]
    fn percent_and_entities_are_undone() {
        assert_eq!(percent("%73%79%u0073%zz%7%"), "sys%zz%7%");
        assert_eq!(percent("%ff%c3%a9"), "\u{fffd}é");
        assert_eq!(
            entities("&#115;&#x79;&#X73&lowbar;x&amp;&bogus;&#;&#1114112;&"),
            "sys_x&&bogus;&#;&#1114112;&"
        );
    }

    #[test]
    fn base64_is_decoded_as_lenient_readers_do() {
        let sextets = |text: &str| -> Vec<u8> {
            text.bytes().map(|byte| SEXTETS[usize::from(byte)]).filter(|six| *six < 64).collect()
        };
        assert_eq!(octets(&sextets("c3lz\r\ndGVtX2Nv bmZpZw==")), b"system_config");
        assert_eq!(octets(&sextets("-_-_")), octets(&sextets("+/+/")));
        assert_eq!(octets(&sextets("c3k")), b"sy");
        assert_eq!(octets(&sextets("c")), b"");
        assert_eq!(octets(&[]), b"");
    }
}
