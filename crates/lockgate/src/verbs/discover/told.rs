//! Changes of the map, in words.

use lockgate_discover::diff::{Diff, How};
use serde_json::Value;

use crate::output::visible;

/// Letters of a value; more is in the JSON form.
const VALUE_LETTERS_MAX: usize = 60;

pub(super) fn diff(diff: &Diff) -> String {
    if diff.is_empty() {
        return "Nothing changed.\n".to_owned();
    }
    let mut text = String::new();
    for change in &diff.nodes {
        let sign = match change.how {
            How::Added => '+',
            How::Removed => '-',
            How::Changed => '~',
        };
        text.push_str(&format!("{sign} {} {}\n", change.kind, visible(&change.name)));
        for member in &change.members {
            text.push_str(&format!(
                "    {}: {} -> {}\n",
                visible(&member.name),
                value(&member.was),
                value(&member.is)
            ));
        }
    }
    for (sign, word, findings) in [('!', "new", &diff.found), (' ', "gone", &diff.mended)] {
        for finding in findings {
            text.push_str(&format!(
                "{sign} {word}: {} ({}): {}\n",
                finding.id,
                finding.code,
                visible(&finding.what)
            ));
        }
    }
    text
}

fn value(value: &Value) -> String {
    let text = visible(&value.to_string());
    match text.char_indices().nth(VALUE_LETTERS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
