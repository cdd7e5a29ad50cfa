//! The report as one page of HTML: no script, no network, and a style for paper.

mod chart;
mod controls;
mod page;
mod sections;
mod style;
#[cfg(test)]
mod tests;

use page::Page;

use crate::integrity::Verdict;
use crate::period::Period;
use crate::report::{Progress, Report, Standing};
use crate::text::number;

/// Nothing may be loaded, run or sent; the style sheet is the page's own.
const CONTENT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Writes the page.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut page = Page::new();
    page.with("html", &[("lang", "en")], |page| {
        page.with("head", &[], |page| head(page, report));
        page.with("body", &[], |page| {
            front(page, report);
            findings(page, report);
            sections::all(page, report);
            controls::all(page, report);
            sections::appendix(page, report);
        });
    });
    page.finish()
}

fn head(page: &mut Page, report: &Report) {
    page.void("meta", &[("charset", "utf-8")]);
    page.void("meta", &[("http-equiv", "Content-Security-Policy"), ("content", CONTENT_POLICY)]);
    page.void("meta", &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")]);
    page.void("meta", &[("name", "color-scheme"), ("content", "light")]);
    page.void("meta", &[("name", "robots"), ("content", "noindex")]);
    page.text_in(
        "title",
        "",
        &format!("{} · {} · {}", report.title, report.period.text, report.background.node),
    );
    page.style(style::CSS);
}

/// The days in words.
fn days(period: &Period) -> String {
    match period.first == period.last {
        true => period.first.strftime("%-d %B %Y").to_string(),
        false => format!("{} to {}", period.first.strftime("%-d %B %Y"), period.last.strftime("%-d %B %Y")),
    }
}

fn front(page: &mut Page, report: &Report) {
    page.with("header", &[], |page| {
        page.text_in("p", "kicker", &format!("Evidence report · {}", report.period.text));
        page.text_in("h1", "", report.title);
        page.text_in("p", "lead", report.about);
    });
    page.with("dl", &[("class", "facts")], |page| {
        let state = match report.progress {
            Progress::Over => "",
            Progress::Running => ", not over yet",
            Progress::Future => ", has not begun",
        };
        fact(page, "Period", &format!("{} (UTC){state}", days(&report.period)));
        fact(page, "Node", &format!("{} in {}", report.background.node, report.background.trust_domain));
        let records = &report.records;
        fact(
            page,
            "Records",
            &format!("{} in the period, {} read", number(records.in_period), number(records.in_log)),
        );
        let config = report.background.config.as_deref().unwrap_or("none was named; defaults");
        fact(page, "Configuration", config);
        fact(page, "Made", &format!("{} by Lockgate {}", report.generated, report.background.version));
    });
    seal(page, report);
    figures(page, report);
    page.text_in("p", "note",
        "This report does not say that a control is met. It says what records of the period show, where they show exceptions, \
         what is missing, and what a gateway’s log cannot know. Ids are those of the framework; the words, and the mapping from \
         records to controls, are Lockgate’s.");
}

fn fact(page: &mut Page, name: &str, value: &str) {
    page.text_in("dt", "", name);
    page.text_in("dd", "", value);
}

fn seal(page: &mut Page, report: &Report) {
    let integrity = &report.integrity;
    let class = if integrity.verdict == Verdict::Damaged { "seal broken" } else { "seal" };
    page.with("div", &[("class", class)], |page| {
        page.text_in("strong", "", &integrity.says());
        if let Some(hash) = &integrity.head_hash {
            page.with("p", &[("class", "note")], |page| {
                page.text(&format!("SHA-256 of record {}: ", number(integrity.to)));
                page.text_in("code", "", hash);
            });
        }
        if let Some(damage) = &integrity.damage {
            page.with("p", &[("class", "note")], |page| {
                page.text("Place: ");
                page.text_in("code", "", &damage.place);
            });
        }
        for anchor in &integrity.anchors {
            page.text_in("p", "note", anchor);
        }
        if integrity.verdict == Verdict::Whole {
            page.with("p", &[("class", "note")], |page| {
                page.text("Check it yourself: ");
                page.text_in("code", "", "lockgate audit verify");
                page.text(
                    ", then compare the hash, and any record of the appendix with its line in the log.",
                );
            });
        }
    });
}

fn figures(page: &mut Page, report: &Report) {
    let summary = &report.summary;
    page.with("div", &[("class", "figures")], |page| {
        for (count, what) in [
            (summary.enforced, "controls with evidence and no exception"),
            (summary.with_exceptions, "controls with exceptions"),
            (summary.without_evidence, "controls without evidence"),
            (summary.gaps, "gaps"),
            (summary.unknown, "limits of what can be known"),
        ] {
            page.with("div", &[], |page| {
                page.text_in("b", "", &count.to_string());
                page.text_in("span", "", what);
            });
        }
    });
}

fn findings(page: &mut Page, report: &Report) {
    page.with("h2", &[], |page| page.text("Exceptions"));
    if report.exceptions.is_empty() {
        page.text_in("p", "none", "No record of the period shows that a control did not hold.");
    } else {
        page.table("", &["What did not hold, or came close", "#Count", "Controls", "Records"], |page| {
            for exception in &report.exceptions {
                page.row(|page| {
                    page.text_in("td", "", &exception.what);
                    page.text_in("td", "n", &number(exception.count));
                    page.text_in("td", "", &exception.controls.join(", "));
                    references(page, &exception.records);
                });
            }
        });
    }
    page.with("h2", &[], |page| page.text("Gaps"));
    if report.gaps.is_empty() {
        page.text_in("p", "none", "Nothing is missing that log and configuration would show.");
        return;
    }
    page.table("pair", &["What is missing", "What would close it"], |page| {
        for gap in &report.gaps {
            page.row(|page| {
                page.text_in("td", "", &gap.what);
                page.text_in("td", "", &gap.fix);
            });
        }
    });
}

/// Numbers of records, each a link into the appendix.
fn references(page: &mut Page, records: &[u64]) {
    page.with("td", &[("class", "refs")], |page| {
        for (n, seq) in records.iter().enumerate() {
            if n > 0 {
                page.text(", ");
            }
            page.with("a", &[("href", &format!("#r{seq}"))], |page| page.text(&seq.to_string()));
        }
    });
}

/// A standing, told by a mark and in words.
fn standing(page: &mut Page, standing: Standing) {
    let (class, mark) = match standing {
        Standing::Enforced => ("standing", "●"),
        Standing::Exceptions => ("standing exceptions", "◐"),
        Standing::NoEvidence => ("standing none", "○"),
    };
    page.text_in("span", class, &format!("{mark} {}", standing.says()));
}
