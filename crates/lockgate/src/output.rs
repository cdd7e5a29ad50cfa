//! Writing answers: tables for people, JSON with a named schema for programs.
//!
//! Data goes to stdout and everything else to stderr, so that a pipe carries data and nothing else.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::diagnostic::Failure;
use crate::exit::Exit;

/// Writes text to stdout. A reader that went away (`| head`) ends the process quietly, as it does other tools.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        if error.kind() != ErrorKind::BrokenPipe {
            eprintln!("error: cannot write to stdout: {error}");
        }
        std::process::exit(Exit::Negative as i32);
    }
}

/// Writes one JSON value on one line.
pub(crate) fn print_line(value: &impl Serialize) {
    let mut line = serde_json::to_string(value).expect("answers hold only strings, numbers, lists and maps");
    line.push('\n');
    print(&line);
}

/// Writes one JSON document: indented for a person at a terminal, on one line for a pipe.
pub(crate) fn print_document(value: &impl Serialize) {
    if io::stdout().is_terminal() {
        let text =
            serde_json::to_string_pretty(value).expect("answers hold only strings, numbers, lists and maps");
        print(&format!("{text}\n"));
    } else {
        print_line(value);
    }
}

/// Writes a failure to stderr.
pub(crate) fn print_failure(failure: &Failure, json: bool) {
    let mut err = io::stderr().lock();
    let text = if json { format!("{}\n", failure.json()) } else { failure.human() };
    // Without stderr there is nobody to tell; the exit code still does.
    let _ = err.write_all(text.as_bytes());
}

/// A table with aligned columns; no frame, so that it can be cut with the usual tools.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        Self { rows: vec![headings.iter().map(|heading| (*heading).to_owned()).collect()] }
    }

    /// Adds a row. Control characters of foreign text are made visible, so that nothing can move the cursor.
    pub(crate) fn row(&mut self, cells: &[&str]) {
        self.rows.push(cells.iter().map(|cell| visible(cell)).collect());
    }

    /// Whether there is nothing but headings.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    /// The table as text, with `indent` spaces before each line.
    pub(crate) fn render(&self, indent: usize) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|n| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(n))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = " ".repeat(indent);
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width - cell.chars().count() + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Control and invisible formatting characters as escapes; everything else as it is.
pub(crate) fn visible(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{2028}' | '\u{2029}' | '\u{2060}'..='\u{2064}' | '\u{fff9}'..='\u{fffb}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().map(|c| if hidden(c) { c.escape_unicode().to_string() } else { c.to_string() }).collect()
}

/// Bytes in the unit that reads best: `812 B`, `9.4 KiB`.
pub(crate) fn bytes(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let kib = count as f64 / 1024.0;
    match count {
        0..1024 => format!("{count} B"),
        1024..1_048_576 => format!("{kib:.1} KiB"),
        _ => format!("{:.1} MiB", kib / 1024.0),
    }
}

/// Folds a paragraph to `width` letters, each line after `indent` spaces.
pub(crate) fn fold(text: &str, indent: usize, width: usize) -> String {
    let mut folded = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > width {
            folded.push_str(&format!("{}{line}\n", " ".repeat(indent)));
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    folded.push_str(&format!("{}{line}\n", " ".repeat(indent)));
    folded
}

/// A list after its name, folded to `width` letters, its further lines below its first entry.
pub(crate) fn fold_list(name: &str, column: usize, items: &[impl AsRef<str>], width: usize) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    let folded = fold(&items.join(", "), column, width);
    let head = format!("  {name}");
    let gap = " ".repeat(column.saturating_sub(head.chars().count()));
    format!("{head}{gap}{}", folded.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_align_and_defuse() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row(&["a", "up"]);
        table.row(&["longer\u{1b}[2J", "down"]);
        assert_eq!(table.render(0), "NAME             STATE\na                up\nlonger\\u{1b}[2J  down\n");
    }

    #[test]
    fn units() {
        assert_eq!([bytes(812), bytes(9_626), bytes(3 << 20)], ["812 B", "9.4 KiB", "3.0 MiB"]);
    }

    #[test]
    fn lists_hang_below_their_first_entry() {
        let list = ["aaaa", "bbbb", "cccc"];
        assert_eq!(fold_list("of", 6, &list, 17), "  of  aaaa, bbbb,\n      cccc\n");
    }

    #[test]
    fn folds() {
        assert_eq!(fold("aa bb cc", 2, 7), "  aa bb\n  cc\n");
    }
}
