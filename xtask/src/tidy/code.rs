//! Rust source without its comments and the insides of its literals, line for line, so that a rule
//! about code does not stumble over a text that only speaks of it.

/// `source` with every comment and every character inside a string, byte string or character
/// literal replaced by a space. Line breaks stay where they are.
pub(super) fn code(source: &str) -> String {
    let text: Vec<char> = source.chars().collect();
    let mut out = String::with_capacity(source.len());
    let mut at = 0;
    while at < text.len() {
        let end = match text[at] {
            '/' if text.get(at + 1) == Some(&'/') => line_comment(&text, at),
            '/' if text.get(at + 1) == Some(&'*') => block_comment(&text, at),
            '"' => string(&text, at),
            'r' if !continues_word(&text, at) => raw_string(&text, at).unwrap_or(at),
            '\'' => character(&text, at).unwrap_or(at),
            _ => at,
        };
        if end == at {
            out.push(text[at]);
            at += 1;
        } else {
            out.extend(text[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Whether the character before `at` is part of the same word; `br"…"` is no word.
fn continues_word(text: &[char], at: usize) -> bool {
    let Some(before) = at.checked_sub(1).map(|before| text[before]) else { return false };
    let byte_prefix = before == 'b' && !at.checked_sub(2).is_some_and(|two| is_word(text[two]));
    is_word(before) && !byte_prefix
}

/// Whether `c` can be part of an identifier.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn line_comment(text: &[char], from: usize) -> usize {
    text[from..].iter().position(|&c| c == '\n').map_or(text.len(), |length| from + length)
}

fn block_comment(text: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0_usize, from);
    while at < text.len() {
        match (text[at], text.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn string(text: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < text.len() && text[at] != '"' {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

fn raw_string(text: &[char], from: usize) -> Option<usize> {
    let hashes = text[from + 1..].iter().take_while(|&&c| c == '#').count();
    let open = from + 1 + hashes;
    if text.get(open) != Some(&'"') {
        return None;
    }
    let mut close = vec!['"'];
    close.resize(1 + hashes, '#');
    let body = &text[open + 1..];
    let length = body.windows(close.len()).position(|window| window == close);
    Some(length.map_or(text.len(), |length| open + 1 + length + close.len()))
}

/// The end of a character literal; a lifetime is none.
fn character(text: &[char], from: usize) -> Option<usize> {
    match (text.get(from + 1)?, text.get(from + 2)?) {
        ('\\', _) => {
            let rest = text.get(from + 3..)?;
            rest.iter().position(|&c| c == '\'').map(|length| from + 3 + length + 1)
        }
        (_, '\'') => Some(from + 3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_code_disappears_and_lines_stay() {
        for (source, kept) in [
            ("a // b\nc", "a\nc"),
            ("a /* b /* c\n */ d */ e", "a\n e"),
            (r#"f("b \" c", x)"#, "f(, x)"),
            (r##"f(r#"b " c"#, x)"##, "f(, x)"),
            ("let c = 'x'; let d = '\\n'; fn f<'a>() {}", "let c = ; let d = ; fn f<'a>() {}"),
            ("r\"raw\" br\"bytes\" b\"bytes\"", "b b"),
            ("let for_r = bar\"\";", "let for_r = bar;"),
            ("\"never closed", ""),
        ] {
            let squeeze = |text: &str| {
                let lines = text.lines().map(|line| {
                    line.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
                });
                lines.collect::<Vec<_>>().join("\n")
            };
            let code = code(source);
            assert_eq!(squeeze(&code).replace(' ', ""), squeeze(kept).replace(' ', ""), "{source}");
            assert_eq!(code.matches('\n').count(), source.matches('\n').count(), "{source}");
        }
    }
}
