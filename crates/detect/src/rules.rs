//! The two rules, each as the sentence that it tells a person.

use crate::{
    diff::{Aspect, Change},
    finding::{CHANGED, Finding, INVISIBLE, Severity, shown},
    report::Report,
    text,
};

/// LG-D001 on a tool definition: any character out of place that does not show.
/// None was found in 20,390 definitions presumed benign.
pub(crate) fn definition(server: &str, tool: &str, raw: &str) -> Option<Finding> {
    let report = text::scan(raw);
    if report.is_empty() {
        return None;
    }
    let reason = format!(
        "the definition of tool {} holds characters that do not show ({}); instructions can be \
         hidden in them, so the tool is held until a person approves it",
        shown(tool),
        report.classes(),
    );
    Some(finding(INVISIBLE, Severity::High, server, tool, reason, report.evidence()))
}

/// LG-D001 on what a server says, as in "answer to tools/call": hidden text is
/// of high severity and so withheld, single characters are told apart by what
/// they can do.
pub(crate) fn said(server: &str, subject: &str, what: &str, raw: &str) -> Option<Finding> {
    let report = text::scan(raw);
    if report.is_empty() {
        return None;
    }
    let classes = report.classes();
    let (severity, reason) = if report.hides_text() {
        let reason = format!(
            "the server's {what} holds text hidden in characters that do not show ({classes}); it is withheld"
        );
        (Severity::High, reason)
    } else {
        let reason = format!(
            "the server's {what} holds characters that do not show ({classes}), too few or too regular to hide text"
        );
        (passing_severity(&report), reason)
    };
    Some(finding(INVISIBLE, severity, server, subject, reason, report.evidence()))
}

/// LG-D001 on the arguments of a call: reported, never held.
pub(crate) fn arguments(server: &str, tool: &str, raw: &str) -> Option<Finding> {
    let report = text::scan(raw);
    if report.is_empty() {
        return None;
    }
    let reason =
        format!("the arguments for {} hold characters that do not show ({})", shown(tool), report.classes(),);
    Some(finding(INVISIBLE, passing_severity(&report), server, tool, reason, report.evidence()))
}

fn passing_severity(report: &Report) -> Severity {
    if report.hides_text() || report.misleads() { Severity::Medium } else { Severity::Low }
}

/// LG-D002: a definition that is not the pinned one. The reason tells the kind
/// of change only, because names of members are text of the server's choosing.
pub(crate) fn changed(server: &str, tool: &str, changes: &[Change]) -> Finding {
    let mut aspects: Vec<Aspect> = changes.iter().map(|change| change.aspect).collect();
    aspects.sort_unstable();
    aspects.dedup();
    let aspects: Vec<&str> = aspects.into_iter().map(Aspect::name).collect();
    let reason = format!(
        "the definition of tool {} changed since it was first seen ({}); the tool is held until a \
         person approves the new definition",
        shown(tool),
        aspects.join(", "),
    );
    let evidence: Vec<String> = changes.iter().map(ToString::to_string).collect();
    finding(CHANGED, Severity::High, server, tool, reason, evidence.join(", "))
}

/// LG-D002: a definition that has no single reading, so that no pin can hold it.
pub(crate) fn unreadable(server: &str, tool: &str) -> Finding {
    let reason = format!(
        "the definition of tool {} can be read in two ways (a member twice, or half a character), \
         so it cannot be pinned; the tool is held until its server mends it",
        shown(tool),
    );
    finding(CHANGED, Severity::High, server, tool, reason, String::new())
}

/// LG-D002: the server has more tools than are remembered.
pub(crate) fn too_many(server: &str, tool: &str) -> Finding {
    let reason = format!(
        "tool {} is held: its server has shown more than {} definitions or {} MiB of them, and no \
         more are pinned",
        shown(tool),
        crate::detector::TOOLS_PER_SERVER_MAX,
        crate::detector::DEFINITION_BYTES_PER_SERVER_MAX >> 20,
    );
    finding(CHANGED, Severity::High, server, tool, reason, String::new())
}

fn finding(
    id: &'static str,
    severity: Severity,
    server: &str,
    subject: &str,
    reason: String,
    evidence: String,
) -> Finding {
    Finding { id, severity, server: server.to_owned(), subject: subject.to_owned(), reason, evidence }
}
