//! What is to change, for the person who decides: differences without secrets.

use lockgate_discover::secret::REDACTED;

use super::gateway::GatewayFile;
use super::{Edited, Left};
use crate::output::visible;

/// Lines around a change.
const CONTEXT: usize = 2;
/// Lines of both sides, multiplied, that are compared one by one; more is shown as one change.
const COMPARED_MAX: usize = 4_000_000;

pub(super) fn plan(edited: &[Edited], left: &[Left], gateway: &GatewayFile) -> String {
    let mut text = String::new();
    for one in edited {
        text.push_str(&format!("{} ({})\n", one.path.display(), one.client));
        text.push_str(&difference(&one.before, &one.after, &one.secrets));
        text.push('\n');
    }
    text.push_str(&self::left(left));
    text.push_str(&format!(
        "The servers go into {}, their credentials into the sealed store.\n",
        gateway.path().display()
    ));
    text
}

pub(super) fn left(left: &[Left]) -> String {
    let mut text = String::new();
    for one in left {
        let server = if one.server.is_empty() { "the file".to_owned() } else { visible(&one.server) };
        text.push_str(&format!(
            "left as it is: {server} ({}, {}): {}\n",
            one.client,
            one.file.display(),
            visible(&one.why)
        ));
    }
    text
}

/// Lines that go (-) and come (+), with some around them.
fn difference(before: &str, after: &str, secrets: &[String]) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let lines = compared(&old, &new);
    let near = |at: usize| {
        let from = at.saturating_sub(CONTEXT);
        lines[from..(at + CONTEXT + 1).min(lines.len())].iter().any(|(sign, _)| *sign != ' ')
    };
    let mut text = String::new();
    let mut gap = false;
    for (at, (sign, line)) in lines.iter().enumerate() {
        if !near(at) {
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) && !text.is_empty() {
            text.push_str("  …\n");
        }
        let hidden = secrets.iter().fold((*line).to_owned(), |line, secret| {
            let quoted = serde_json::Value::from(secret.as_str()).to_string();
            line.replace(quoted.trim_matches('"'), REDACTED).replace(secret.as_str(), REDACTED)
        });
        text.push_str(&format!("{sign} {}\n", visible(&hidden)));
    }
    text
}

/// The longest common sequence of lines, and what is around it.
fn compared<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let same = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - same;
    let end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(old, new)| old == new).count();
    let (from, to) = (&old[same..old.len() - end], &new[same..new.len() - end]);
    let mut lines: Vec<(char, &str)> = old[..same].iter().map(|line| (' ', *line)).collect();
    if from.len() * to.len() > COMPARED_MAX {
        lines.extend(from.iter().map(|line| ('-', *line)));
        lines.extend(to.iter().map(|line| ('+', *line)));
    } else {
        lines.extend(common(from, to));
    }
    lines.extend(old[old.len() - end..].iter().map(|line| (' ', *line)));
    lines
}

fn common<'a>(from: &[&'a str], to: &[&'a str]) -> Vec<(char, &'a str)> {
    let width = to.len() + 1;
    let mut length = vec![0_u32; (from.len() + 1) * width];
    for i in (0..from.len()).rev() {
        for j in (0..to.len()).rev() {
            length[i * width + j] = match from[i] == to[j] {
                true => length[(i + 1) * width + j + 1] + 1,
                false => length[(i + 1) * width + j].max(length[i * width + j + 1]),
            };
        }
    }
    let (mut i, mut j, mut lines) = (0, 0, Vec::new());
    while i < from.len() || j < to.len() {
        if i < from.len() && j < to.len() && from[i] == to[j] {
            lines.push((' ', from[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == to.len()
            || (i < from.len() && length[(i + 1) * width + j] >= length[i * width + j + 1])
        {
            lines.push(('-', from[i]));
            i += 1;
        } else {
            lines.push(('+', to[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_no_secret_and_moves_no_cursor() {
        let before = "{\n1\n2\n3\n\"env\": {\"K\": \"s3cret\\u{1b}\"},\n4\n}\n";
        let after = "{\n1\n2\n3\n4\n}\n";
        let text = difference(before, after, &["s3cret".to_owned()]);
        assert_eq!(text, "  2\n  3\n- \"env\": {\"K\": \"[redacted]\\u{1b}\"},\n  4\n  }\n");
        assert!(!difference("a\u{1b}[2J\n", "b\n", &[]).contains('\u{1b}'));
        assert_eq!(difference("a\nb\n", "a\nb\n", &[]), "");
    }
}
