//! Names of tools: what looks like one in a text, and what looks like another.

/// Shortest name that a text can be said to mention: shorter ones are words.
const NAME_CHARS_MIN: usize = 6;

/// Longest token that is looked at.
const NAME_BYTES_MAX: usize = 128;

/// What tools do. A name without one of these may be the name of a thing: `access_token`, `field_values`.
const VERBS: [&str; 72] = [
    "get", "list", "create", "update", "delete", "send", "post", "read", "write", "search", "query", "run",
    "exec", "execute", "add", "remove", "set", "call", "fetch", "move", "upload", "download", "make", "open",
    "close", "transfer", "pay", "find", "insert", "append", "edit", "copy", "drop", "alter", "trigger",
    "start", "stop", "publish", "submit", "reply", "forward", "invite", "grant", "revoke", "share", "export",
    "import", "load", "save", "book", "cancel", "order", "buy", "purchase", "browse", "navigate", "click",
    "approve", "assign", "merge", "push", "pull", "deploy", "restart", "install", "describe", "show",
    "lookup", "resolve", "rename", "print", "schedule",
];

/// Whether a token can only be the name of something in a program: long enough, and of several words that are joined.
pub(crate) fn is_name(token: &str) -> bool {
    if token.chars().count() < NAME_CHARS_MIN || token.len() > NAME_BYTES_MAX {
        return false;
    }
    let inner = token.trim_matches(['_', '-', '.']);
    let joined = inner.contains(['_', '-']);
    let bytes = inner.as_bytes();
    joined || bytes.windows(2).any(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
}

/// Whether a name says what is done.
pub(crate) fn has_verb(name: &str) -> bool {
    words(name).iter().any(|word| VERBS.contains(&word.as_str()))
}

/// The tokens of a text that are names by [`is_name`].
pub(crate) fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')))
        .map(|token| token.trim_matches(['_', '-']))
        .filter(|token| is_name(token))
}

/// The words that a name is made of, in lower case and without the s of a plural.
pub(crate) fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for c in name.chars() {
        let begins = before.is_lowercase() && c.is_uppercase() || before.is_numeric() != c.is_numeric();
        if !c.is_alphanumeric() || begins {
            words.extend(finished(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.extend(finished(&mut word));
    words
}

fn finished(word: &mut String) -> Option<String> {
    let mut word = std::mem::take(word);
    if word.len() > 3 && word.ends_with('s') {
        word.pop();
    }
    (!word.is_empty()).then_some(word)
}

/// What a name looks like to a reader: letters that are drawn alike are one letter (after the idea of UTS 39, section 4, for
/// the letters that imitate Latin). Two names with one skeleton can be taken for each other.
pub(crate) fn skeleton(name: &str) -> String {
    let mut skeleton = String::with_capacity(name.len());
    for c in name.chars().filter(|c| crate::unicode::Class::of(*c).is_none()) {
        match latin(c) {
            'I' | '1' | '|' => skeleton.push('l'),
            '0' => skeleton.push('O'),
            other => skeleton.push(other),
        }
    }
    skeleton.replace("rn", "m").replace("vv", "w")
}

/// The Latin letter, digit or mark that a character is drawn as; itself, if it is drawn as none.
pub(crate) fn latin(c: char) -> char {
    let code = u32::from(c);
    let from = |base: char, at: u32| char::from_u32(u32::from(base) + at).unwrap_or(c);
    match code {
        0x20..=0x7E => return c,
        // Fullwidth forms.
        0xFF01..=0xFF5E => return from('!', code - 0xFF01),
        // Mathematical alphabets: thirteen of 52 letters, then five of ten digits.
        0x1D400..=0x1D6A3 => {
            let at = (code - 0x1D400) % 52;
            return if at < 26 { from('A', at) } else { from('a', at - 26) };
        }
        0x1D7CE..=0x1D7FF => return from('0', (code - 0x1D7CE) % 10),
        0x24B6..=0x24CF => return from('A', code - 0x24B6),
        0x24D0..=0x24E9 => return from('a', code - 0x24D0),
        _ => {}
    }
    ALIKE.iter().find(|(latin, others)| *latin != c && others.contains(c)).map_or(c, |(latin, _)| *latin)
}

/// Letters of Cyrillic, Greek, Armenian and Latin itself that are drawn as an ASCII character.
const ALIKE: [(char, &str); 54] = [
    ('a', "аɑα"),
    ('b', "Ьƅ"),
    ('c', "сϲ"),
    ('d', "ԁɗ"),
    ('e', "еєҽ"),
    ('f', "ſƒ"),
    ('g', "ɡց"),
    ('h', "һհ"),
    ('i', "іıɩι"),
    ('j', "јϳ"),
    ('k', "κк"),
    ('l', "ӏǀ∣Ι"),
    ('m', "м"),
    ('n', "ոп"),
    ('o', "оοօσ"),
    ('p', "рρ"),
    ('q', "ԛգ"),
    ('r', "гᴦ"),
    ('s', "ѕꜱ"),
    ('t', "τт"),
    ('u', "υսц"),
    ('v', "νѵ"),
    ('w', "ѡԝω"),
    ('x', "хχ×"),
    ('y', "уγү"),
    ('z', "ᴢʐ"),
    ('A', "АΑ"),
    ('B', "ВΒ"),
    ('C', "СϹ"),
    ('D', "Ꭰ"),
    ('E', "ЕΕ"),
    ('F', "Ϝ"),
    ('G', "Ԍ"),
    ('H', "НΗ"),
    ('I', "І"),
    ('J', "Ј"),
    ('K', "КΚ"),
    ('L', "Ꮮ"),
    ('M', "МΜ"),
    ('N', "Ν"),
    ('O', "ОΟ"),
    ('P', "РΡ"),
    ('Q', "Ԛ"),
    ('R', "Ꭱ"),
    ('S', "Ѕ"),
    ('T', "ТΤ"),
    ('V', "Ѵ"),
    ('W', "Ԝ"),
    ('X', "ХΧ"),
    ('Y', "УΥ"),
    ('Z', "Ζ"),
    ('_', "＿‗"),
    ('-', "‐‑‒–−"),
    ('.', "․"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_words() {
        for (token, expected) in [
            ("send_email", true),
            ("get-library-docs", true),
            ("createTask", true),
            ("search", false),
            ("a_b", false),
            ("_search_", false),
            ("Important", false),
            ("HTTPS", false),
        ] {
            assert_eq!(is_name(token), expected, "{token}");
        }
        let found: Vec<&str> = mentioned("Before `send_email`, call (files.read-file)!").collect();
        assert_eq!(found, ["send_email", "read-file"]);
        assert_eq!(words("listGitHub_issues2"), ["list", "git", "hub", "issue", "2"]);
        assert!(has_verb("slack_post_message") && !has_verb("access_token"));
    }

    #[test]
    fn letters_that_look_alike_are_one() {
        for (one, other, alike) in [
            ("read_file", "rеad_file", true),
            ("read_file", "read_fi1e", true),
            ("read_file", "ｒead＿file", true),
            ("read_file", "𝐫ead_file", true),
            ("read_file", "read_\u{200b}file", true),
            ("modern_list", "modem_list", true),
            ("read_file", "read_files", false),
            ("read_file", "write_file", false),
        ] {
            assert_eq!(skeleton(one) == skeleton(other), alike, "{one} {other}");
        }
    }
}
