//! The rules, each as the sentence that it tells a person.

use lockgate_mcp::headers::ParamHeaders;

use crate::{
    definition::{ChangeClass, Mentioned},
    diff::{Aspect, Change},
    finding::{
        CHANGED, ENDPOINT, FOREIGN_NAME, Finding, HEADER, HOST, INVISIBLE, LOOK_ALIKE, SECRET, Severity,
        shown,
    },
    report::Report,
    text,
};

/// Names shown in one reason; a person needs no more to see what it is about.
const SHOWN_MAX: usize = 8;

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
pub(crate) fn changed(server: &str, tool: &str, changes: &[Change], classes: &[ChangeClass]) -> Finding {
    let mut aspects: Vec<Aspect> = changes.iter().map(|change| change.aspect).collect();
    aspects.sort_unstable();
    aspects.dedup();
    let aspects: Vec<&str> = aspects.into_iter().map(Aspect::name).collect();
    let reason = format!(
        "the definition of tool {} changed since it was first seen ({}; {}); the tool is held until a \
         person approves the new definition",
        shown(tool),
        aspects.join(", "),
        classes.iter().map(|class| class.name()).collect::<Vec<_>>().join(", "),
    );
    let evidence: Vec<String> = changes.iter().map(ToString::to_string).collect();
    finding(CHANGED, Severity::High, server, tool, reason, evidence.join(", "))
}

/// LG-D004: a definition that names tools of other servers. High where its own words do not explain the name.
pub(crate) fn foreign_names(server: &str, tool: &str, names: &[Mentioned]) -> Option<Finding> {
    if names.is_empty() {
        return None;
    }
    let severity = match names.iter().any(|name| name.unexplained) {
        true => Severity::High,
        false => Severity::Low,
    };
    let said: Vec<String> = names
        .iter()
        .take(SHOWN_MAX)
        .map(|name| format!("{} of server {}", shown(&name.tool), shown(&name.owner)))
        .collect();
    let more = names.len().saturating_sub(SHOWN_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let reason = format!(
        "the definition of tool {} speaks of tools of other servers ({}{more}); a server that tells a model how to use \
         another's tools can steer it",
        shown(tool),
        said.join(", "),
    );
    Some(finding(FOREIGN_NAME, severity, server, tool, reason, format!("names {}", said.join(", "))))
}

/// LG-D004 in what a server says of itself: instructions, prompts, resources.
pub(crate) fn foreign_in_answer(server: &str, method: &str, names: &[Mentioned]) -> Option<Finding> {
    let first = names.first()?;
    let reason = format!(
        "what server {} says of itself in answer to {} speaks of {} of server {}; a server that tells a model how to use \
         another's tools can steer it",
        shown(server),
        shown(method),
        shown(&first.tool),
        shown(&first.owner),
    );
    let evidence: Vec<String> = names.iter().take(SHOWN_MAX).map(|name| shown(&name.tool)).collect();
    Some(finding(
        FOREIGN_NAME,
        Severity::Medium,
        server,
        method,
        reason,
        format!("names {}", evidence.join(", ")),
    ))
}

/// LG-D005: a name that looks like another that is pinned already, and is spelt otherwise.
pub(crate) fn look_alike(server: &str, tool: &str, others: &[(String, String)]) -> Option<Finding> {
    let (owner, name) = others.first()?;
    let reason = format!(
        "the name of tool {} looks like that of {} of server {}, and is another; a model or a person can take one for the other",
        escaped(tool),
        escaped(name),
        shown(owner),
    );
    let evidence = format!("{} looks like {}", escaped(tool), escaped(name));
    Some(finding(LOOK_ALIKE, Severity::High, server, tool, reason, evidence))
}

/// LG-D005: a newcomer under a name that agents use at another server.
pub(crate) fn same_name(server: &str, tool: &str, owners: &[String]) -> Option<Finding> {
    let owner = owners.first()?;
    let reason = format!(
        "a new tool is called {}, as is one of server {} that agents have used; calls that name no server may reach the wrong one",
        shown(tool),
        shown(owner),
    );
    let evidence = format!("also at {}", shown(owner));
    Some(finding(LOOK_ALIKE, Severity::Medium, server, tool, reason, evidence))
}

/// LG-D006: a server that is reached elsewhere than when its tools were trusted.
pub(crate) fn moved(server: &str, before: &str, now: &str) -> Finding {
    let reason = format!(
        "server {} is reached elsewhere than when its tools were trusted; whoever answers there now has that trust",
        shown(server),
    );
    finding(
        ENDPOINT,
        Severity::Medium,
        server,
        "",
        reason,
        format!("was {}, is {}", shown(before), shown(now)),
    )
}

/// LG-D007: hosts that a tool is not to lead to, in the arguments of a call or in what is answered.
pub(crate) fn hosts(
    about: (&str, &str),
    what: &str,
    hosts: &[String],
    severity: Severity,
) -> Option<Finding> {
    if hosts.is_empty() {
        return None;
    }
    let said: Vec<String> = hosts.iter().take(SHOWN_MAX).map(|host| shown(host)).collect();
    let reason = format!("{what} lead outside of the hosts that are named for {}", shown(about.1));
    Some(finding(HOST, severity, about.0, about.1, reason, said.join(", ")))
}

/// LG-D008: a credential that this node injects, where nobody should know it.
pub(crate) fn secret(about: (&str, &str), what: &str, name: &str) -> Finding {
    let reason = format!(
        "{what} {} hold a credential of the sealed store; only its own server is ever shown it, and no agent",
        shown(about.1)
    );
    finding(SECRET, Severity::High, about.0, about.1, reason, format!("the value of secret {}", shown(name)))
}

/// LG-D009: a definition whose claims on headers are invalid. Clients have to leave such a tool out.
pub(crate) fn headers(server: &str, tool: &str, raw: &str) -> Option<Finding> {
    let error = ParamHeaders::from_tool_raw(raw).err()?;
    let reason = format!(
        "the definition of tool {} claims headers in a way that the protocol forbids, so that what a header says and what \
         the call says can differ",
        shown(tool),
    );
    Some(finding(HEADER, Severity::Medium, server, tool, reason, crate::finding::escaped(&error.to_string())))
}

/// A name with everything but ASCII written out, so that letters that look alike are told apart.
fn escaped(name: &str) -> String {
    shown(name)
        .chars()
        .map(|c| if c.is_ascii() { c.to_string() } else { c.escape_unicode().to_string() })
        .collect()
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
        crate::server::TOOLS_PER_SERVER_MAX,
        crate::server::DEFINITION_BYTES_PER_SERVER_MAX >> 20,
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
