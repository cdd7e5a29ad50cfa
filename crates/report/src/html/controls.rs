//! Control by control.

use super::page::Page;
use super::{references, standing};
use crate::report::{Evidence, Judged, Report};
use crate::text::number;

/// The overview, then each control.
pub(super) fn all(page: &mut Page, report: &Report) {
    page.with("h2", &[], |page| page.text("Controls"));
    page.table("", &["Id", "About", "Standing", "#Records", "#Exceptions", "#Gaps"], |page| {
        for control in &report.controls {
            let sum = |all: &[Evidence]| number(all.iter().map(|one| one.count).sum());
            page.row(|page| {
                page.with("td", &[("class", "k")], |page| {
                    page.with("a", &[("href", &format!("#{}", control.token))], |page| page.text(control.id));
                });
                page.text_in("td", "", control.about);
                page.with("td", &[], |page| standing(page, control.standing));
                page.text_in("td", "n", &sum(&control.evidence));
                page.text_in("td", "n", &sum(&control.exceptions));
                page.text_in("td", "n", &control.gaps.len().to_string());
            });
        }
    });
    report.controls.iter().for_each(|control| one(page, control));
    page.with("h2", &[], |page| page.text("Beyond this report"));
    page.text_in("p", "", "No record of Lockgate speaks of these. They need other evidence.");
    page.table("plain", &["Ids", "Why"], |page| {
        for beyond in report.beyond {
            page.row(|page| {
                page.text_in("td", "", beyond.ids);
                page.text_in("td", "", beyond.why);
            });
        }
    });
}

fn one(page: &mut Page, control: &Judged) {
    page.with("section", &[("class", "control"), ("id", &control.token)], |page| {
        page.with("header", &[], |page| {
            page.with("h3", &[], |page| {
                page.text_in("span", "id", control.id);
                page.text(control.about);
            });
            standing(page, control.standing);
        });
        page.text_in("p", "", control.enforces);
        if control.evidence.is_empty() {
            page.text_in("p", "none", "No evidence: no record of the period speaks of it.");
        } else {
            page.text_in("h4", "", "Evidence");
            evidence(page, &control.evidence);
        }
        if !control.evidence.is_empty() && !control.absent.is_empty() {
            page.text_in("p", "note", &format!("None in the period: {}.", control.absent.join("; ")));
        }
        if !control.exceptions.is_empty() {
            page.text_in("h4", "bad", "Exceptions");
            evidence(page, &control.exceptions);
        }
        if !control.gaps.is_empty() {
            page.text_in("h4", "", "Gaps");
            page.with("ul", &[], |page| {
                control.gaps.iter().for_each(|gap| page.text_in("li", "", &gap.what))
            });
        }
        page.text_in("h4", "", "Cannot be known from the log");
        page.with("ul", &[], |page| control.cannot.iter().for_each(|text| page.text_in("li", "", text)));
    });
}

/// Counts with the records to look at.
pub(super) fn evidence(page: &mut Page, all: &[Evidence]) {
    page.table("evidence", &["What was counted", "#Count", "First (UTC)", "Last (UTC)", "Records"], |page| {
        for one in all {
            page.row(|page| {
                page.with("td", &[], |page| {
                    page.text(one.what);
                    page.text_in("span", "note", one.backed_by);
                });
                page.text_in("td", "n", &number(one.count));
                page.text_in("td", "t", one.first.get(..16).unwrap_or(&one.first));
                page.text_in("td", "t", one.last.get(..16).unwrap_or(&one.last));
                references(page, &one.records);
            });
        }
    });
}
