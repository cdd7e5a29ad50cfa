//! What a person reads on the terminal.

use std::path::Path;

use lockgate_report::{Progress, Report, number};

use crate::output::{Table, visible};

/// Exceptions and gaps that the terminal shows; the page has all.
const SHOWN_MAX: usize = 12;

/// The findings in short, and where the rest is.
pub(super) fn human(report: &Report, out: &Path, page: &str) -> String {
    let summary = &report.summary;
    let mut facts = Table::new(&["", ""]);
    let state = match report.progress {
        Progress::Over => "",
        Progress::Running => " (not over yet)",
        Progress::Future => " (has not begun)",
    };
    facts.row(&["period", &format!("{} to {}, UTC{state}", report.period.first, report.period.last)]);
    facts.row(&["log", &report.integrity.says()]);
    if let Some(hash) = &report.integrity.head_hash {
        facts.row(&["head hash", hash]);
    }
    facts.row(&["records", &format!("{} in the period", number(report.records.in_period))]);
    facts.row(&[
        "controls",
        &format!(
            "{} with evidence and no exception, {} with exceptions, {} without evidence",
            summary.enforced, summary.with_exceptions, summary.without_evidence
        ),
    ]);
    let table = facts.render(2);
    let facts = table.split_once('\n').map_or("", |(_, rest)| rest);
    let mut text = format!("{}\n{facts}", report.title);
    if !report.exceptions.is_empty() {
        text.push_str("\nExceptions\n");
        for exception in report.exceptions.iter().take(SHOWN_MAX) {
            let first =
                exception.records.first().map_or_else(String::new, |seq| format!(" (first: record {seq})"));
            text.push_str(&format!(
                "  {:>9}  {}{first}\n",
                number(exception.count),
                visible(&exception.what)
            ));
        }
        more(&mut text, report.exceptions.len());
    }
    if !report.gaps.is_empty() {
        text.push_str("\nGaps\n");
        for gap in report.gaps.iter().take(SHOWN_MAX) {
            text.push_str(&format!("  {}\n      → {}\n", visible(&gap.what), visible(&gap.fix)));
        }
        more(&mut text, report.gaps.len());
    }
    text.push_str(&format!(
        "\nThe log cannot know {} things that the report names: people, premises, what servers do, what goes around the gateway.\n\
         Written: {}, with {} records as evidence.\n",
        summary.unknown,
        visible(&out.join(page).display().to_string()),
        number(report.cited.len() as u64),
    ));
    text
}

fn more(text: &mut String, all: usize) {
    if all > SHOWN_MAX {
        text.push_str(&format!("  and {} more, in the report\n", all - SHOWN_MAX));
    }
}
