//! OSCAL 1.2.1: assessment results, and the component definition that they speak of.
//!
//! OSCAL (NIST, <https://pages.nist.gov/OSCAL/>) is what tools of auditors read. Observations say what records show;
//! findings stand only where a control had exceptions, since `satisfied` is not ours to say. There is no assessment plan and
//! no catalog to point at, so both references lead to resources of the document that say so.

use lockgate_crypto::digest::sha256;
use serde_json::{Value, json};

use crate::error::ReportError;
use crate::report::{Evidence, Judged, Report, Standing};
use crate::text::{hex, number, visible};

/// The version that both documents follow.
pub const OSCAL_VERSION: &str = "1.2.1";

/// Whose properties these are.
const NAMESPACE: &str = "urn:lockgate:oscal";

/// The assessment results.
///
/// # Errors
/// [`ReportError::SelfCheck`] when the document breaks a rule of OSCAL.
pub fn assessment_results(report: &Report) -> Result<String, ReportError> {
    let ids = Ids::of(report);
    let observations: Vec<Value> =
        report.controls.iter().map(|control| observation(report, control, &ids)).collect();
    let findings: Vec<Value> = report
        .controls
        .iter()
        .filter(|control| control.standing == Standing::Exceptions)
        .map(|control| finding(control, &ids))
        .collect();
    let controls: Vec<Value> =
        report.controls.iter().map(|control| json!({ "control-id": control.token })).collect();
    let mut result = json!({
        "uuid": ids.id("result"),
        "title": format!("{} for {}", report.title, report.period.text),
        "description": format!("{} {}", report.about, report.integrity.says()),
        "start": format!("{}T00:00:00Z", report.period.first),
        "end": format!("{}T23:59:59Z", report.period.last),
        "props": properties(&[
            ("records-in-period", &report.records.in_period.to_string()),
            ("log-verified-to", &report.integrity.to.to_string()),
            ("log-head-sha256", report.integrity.head_hash.as_deref().unwrap_or("none")),
        ]),
        "local-definitions": { "components": [component_in_place(report, &ids)] },
        "reviewed-controls": {
            "description": "Controls that records of a gateway speak of; ids are the framework's, in the form of OSCAL.",
            "control-selections": [{ "include-controls": controls }],
        },
        "observations": observations,
    });
    if !findings.is_empty() {
        result["findings"] = findings.into();
    }
    let document = json!({ "assessment-results": {
        "uuid": ids.id("assessment-results"),
        "metadata": metadata(report, "assessment results"),
        "import-ap": { "href": format!("#{}", ids.id("plan")) },
        "results": [result],
        "back-matter": { "resources": [
            { "uuid": ids.id("plan"), "title": "No assessment plan", "description": "Made by the machine out of its own log; nobody planned an assessment." },
            { "uuid": ids.id("evidence"), "title": "Records cited", "description": "The records that observations cite, whole, a line each.", "rlinks": [{ "href": "evidence.jsonl", "media-type": "application/jsonl" }] },
        ] },
    } });
    checked("OSCAL assessment results", &document)
}

/// The component definition.
///
/// # Errors
/// [`ReportError::SelfCheck`] when the document breaks a rule of OSCAL.
pub fn component_definition(report: &Report) -> Result<String, ReportError> {
    let ids = Ids::of(report);
    let requirements: Vec<Value> = report
        .controls
        .iter()
        .map(|control| {
            json!({
                "uuid": ids.id(&format!("requirement {}", control.token)),
                "control-id": control.token,
                "description": control.enforces,
                "props": properties(&[("framework-id", control.id)]),
                "remarks": format!("Cannot be known from the log: {}", control.cannot.join(" ")),
            })
        })
        .collect();
    let document = json!({ "component-definition": {
        "uuid": ids.id("component-definition"),
        "metadata": metadata(report, "component definition"),
        "components": [{
            "uuid": ids.id("component"),
            "type": "software",
            "title": "Lockgate",
            "description": "A gateway for the Model Context Protocol: post-quantum links, identity, policy, detection and an audit log.",
            "props": properties(&[("version", &report.background.version)]),
            "control-implementations": [{
                "uuid": ids.id("implementation"),
                "source": format!("#{}", ids.id("source")),
                "description": format!("What Lockgate does for controls of {}, in its own words.", report.title),
                "implemented-requirements": requirements,
            }],
        }],
        "back-matter": { "resources": [
            { "uuid": ids.id("source"), "title": report.title, "description": "Ids of controls only: the texts belong to their publisher." },
        ] },
    } });
    checked("OSCAL component definition", &document)
}

fn metadata(report: &Report, what: &str) -> Value {
    json!({
        "title": format!("Lockgate: {} of {} for {}", what, report.title, report.period.text),
        "last-modified": report.generated,
        "version": report.background.version,
        "oscal-version": OSCAL_VERSION,
    })
}

fn component_in_place(report: &Report, ids: &Ids) -> Value {
    let node = visible(&report.background.node, 120);
    json!({
        "uuid": ids.id("component"),
        "type": "software",
        "title": format!("Lockgate {}", report.background.version),
        "description": format!("The node {node} in the trust domain {}.", visible(&report.background.trust_domain, 120)),
        "status": { "state": "operational" },
    })
}

fn observation(report: &Report, control: &Judged, ids: &Ids) -> Value {
    let told = |all: &[Evidence]| {
        all.iter().map(|one| format!("{} {}", number(one.count), one.what)).collect::<Vec<_>>().join("; ")
    };
    let mut said = match control.evidence.is_empty() {
        true => "No evidence: no record of the period speaks of it.".to_owned(),
        false => format!("Records show: {}.", told(&control.evidence)),
    };
    if !control.exceptions.is_empty() {
        said.push_str(&format!(" Exceptions: {}.", told(&control.exceptions)));
    }
    for gap in &control.gaps {
        said.push_str(&format!(" Gap: {}", visible(&gap.what, 400)));
    }
    let mut observation = json!({
        "uuid": ids.id(&format!("observation {}", control.token)),
        "title": format!("{}: {}", control.id, control.standing.says()),
        "description": said,
        "props": properties(&[("control-id", &control.token), ("standing", standing(control.standing))]),
        "methods": ["EXAMINE"],
        "types": ["control-objective"],
        "origins": [{ "actors": [{ "type": "tool", "actor-uuid": ids.id("component") }] }],
        "collected": report.generated,
        "remarks": format!("Cannot be known from the log: {}", control.cannot.join(" ")),
    });
    let evidence: Vec<Value> =
        control.evidence.iter().chain(&control.exceptions).map(|one| relevant(report, one, ids)).collect();
    if !evidence.is_empty() {
        observation["relevant-evidence"] = evidence.into();
    }
    observation
}

fn relevant(report: &Report, one: &Evidence, ids: &Ids) -> Value {
    let samples: Vec<String> = one
        .records
        .iter()
        .map(|seq| match report.cited.get(seq) {
            Some(cited) => format!("{seq} (sha256 {})", cited.sha256),
            None => seq.to_string(),
        })
        .collect();
    json!({
        "href": format!("#{}", ids.id("evidence")),
        "description": format!("{} {}, from {} to {} UTC. Records to look at: {}.", number(one.count), one.what, one.first, one.last, samples.join(", ")),
        "props": properties(&[("signal", one.signal.id()), ("count", &one.count.to_string())]),
    })
}

fn finding(control: &Judged, ids: &Ids) -> Value {
    json!({
        "uuid": ids.id(&format!("finding {}", control.token)),
        "title": format!("{}: records with exceptions", control.id),
        "description": "Records of the period show where the control did not hold, or came close. Whether that is a failure is for the assessor to say.",
        "target": {
            "type": "objective-id",
            "target-id": control.token,
            "status": { "state": "not-satisfied", "reason": "other", "remarks": "Exceptions are in the related observation; a finding without exceptions is left out, since `satisfied` is not said by a log." },
        },
        "related-observations": [{ "observation-uuid": ids.id(&format!("observation {}", control.token)) }],
    })
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Enforced => "enforced",
        Standing::Exceptions => "exceptions",
        Standing::NoEvidence => "no-evidence",
    }
}

fn properties(all: &[(&str, &str)]) -> Value {
    let one =
        |(name, value): &(&str, &str)| json!({ "name": name, "ns": NAMESPACE, "value": visible(value, 200) });
    all.iter().map(one).collect()
}

/// Ids that are the same whenever the same report is made of the same log: 122 bits of SHA-256 in the form of a random
/// UUID (RFC 9562 version 4), which is what OSCAL takes.
struct Ids {
    seed: String,
}

impl Ids {
    fn of(report: &Report) -> Self {
        let head = report.integrity.head_hash.as_deref().unwrap_or("");
        let Report { framework, period, background, generated, .. } = report;
        let (node, domain) = (&background.node, &background.trust_domain);
        Self {
            seed: format!(
                "{framework}\n{}\n{}\n{node}\n{domain}\n{head}\n{generated}",
                period.first, period.last
            ),
        }
    }

    fn id(&self, what: &str) -> String {
        let mut bytes = sha256(format!("{}\n{what}", self.seed).as_bytes());
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let digits = hex(&bytes[..16]);
        [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..32]].join("-")
    }
}

/// The document as text, if it keeps the rules that OSCAL's schema has for what we write.
fn checked(document: &'static str, value: &Value) -> Result<String, ReportError> {
    let mut defined = Vec::new();
    let mut referred = Vec::new();
    let faults = walk("", value, &mut defined, &mut referred);
    let dangling = referred.iter().find(|id| !defined.contains(id)).map(|id| format!("{id} leads nowhere"));
    let mut sorted = defined.clone();
    sorted.sort();
    let twice =
        sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| format!("{} stands twice", pair[0]));
    match faults.into_iter().chain(dangling).chain(twice).next() {
        Some(why) => Err(ReportError::SelfCheck { document, why }),
        None => Ok(serde_json::to_string_pretty(value).expect("a JSON value always serialises") + "\n"),
    }
}

fn walk(place: &str, value: &Value, defined: &mut Vec<String>, referred: &mut Vec<String>) -> Option<String> {
    match value {
        Value::Array(all) if all.is_empty() => Some(format!("{place} is an empty list")),
        Value::Array(all) => all.iter().find_map(|one| walk(place, one, defined, referred)),
        Value::Object(all) if all.is_empty() => Some(format!("{place} is empty")),
        Value::Object(all) => all.iter().find_map(|(key, one)| {
            let inner = format!("{place}/{key}");
            match one {
                Value::String(text) => string(&inner, key, text, (defined, referred)),
                one => walk(&inner, one, defined, referred),
            }
        }),
        Value::String(_) => None,
        other => Some(format!("{place} is {other}, and OSCAL has only texts here")),
    }
}

fn string(
    place: &str,
    key: &str,
    text: &str,
    (defined, referred): (&mut Vec<String>, &mut Vec<String>),
) -> Option<String> {
    let fault = |why: &str| Some(format!("{place} is {text:?}: {why}"));
    if text.is_empty() {
        return fault("an empty text");
    }
    match key {
        "uuid" => defined.push(text.to_owned()),
        "actor-uuid" | "observation-uuid" => referred.push(text.to_owned()),
        _ => {}
    }
    if let Some(id) = text.strip_prefix('#').filter(|_| matches!(key, "href" | "source")) {
        referred.push(id.to_owned());
    }
    match key {
        "uuid" | "actor-uuid" | "observation-uuid" if !is_uuid(text) => fault("no UUID"),
        "control-id" | "target-id" | "name" if !is_token(text) => fault("no token"),
        "title" | "value" | "version"
            if text.chars().any(|c| matches!(c, '\n' | '\r')) || text.trim() != text =>
        {
            fault("not one line")
        }
        _ => None,
    }
}

fn is_uuid(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(n, byte)| match n {
            8 | 13 | 18 | 23 => *byte == b'-',
            14 => matches!(byte, b'4' | b'5'),
            19 => matches!(byte, b'8' | b'9' | b'a' | b'b'),
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_token(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_document_is_refused() {
        let id = "0d5c63aa-0000-4000-8000-000000000000";
        let fine = json!({ "a": { "uuid": id, "title": "x", "href": format!("#{id}") } });
        assert!(checked("test", &fine).is_ok());
        for broken in [
            json!({ "a": { "uuid": "0d5c63aa-0000-1000-8000-000000000000" } }),
            json!({ "a": [] }),
            json!({ "a": {} }),
            json!({ "a": null }),
            json!({ "a": 7 }),
            json!({ "a": { "title": "two\nlines" } }),
            json!({ "a": { "title": "" } }),
            json!({ "a": { "control-id": "164.312(a)" } }),
            json!({ "a": { "href": "#0d5c63aa-0000-4000-8000-000000000001" } }),
            json!({ "a": { "uuid": id }, "b": { "uuid": id } }),
        ] {
            assert!(checked("test", &broken).is_err(), "{broken}");
        }
    }
}
