//! Findings as SARIF 2.1.0 (OASIS), which code hosts show beside the lines that they are about.

use std::collections::BTreeSet;

use lockgate_crypto::digest;
use lockgate_detect::Severity;
use lockgate_detect::scan::{Located, Scanned};
use serde_json::{Value, json};

use crate::output::visible;
use crate::registry;

/// The log of one scan.
pub(super) fn log(scanned: &Scanned) -> Value {
    let ids: BTreeSet<&str> = scanned.findings.iter().map(|located| located.finding.id).collect();
    let rules: Vec<Value> = ids.iter().map(|id| rule(id)).collect();
    let index = |id: &str| ids.iter().position(|known| *known == id);
    let results: Vec<Value> =
        scanned.findings.iter().map(|located| result(located, index(located.finding.id))).collect();
    let complete = scanned.more == 0 && scanned.unread == 0;
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "lockgate",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "columnKind": "unicodeCodePoints",
            "invocations": [{ "executionSuccessful": complete }],
            "results": results,
        }],
    })
}

fn rule(id: &str) -> Value {
    let Some(entry) = registry::find(id) else { return json!({ "id": id }) };
    json!({
        "id": id,
        "shortDescription": { "text": entry.title },
        "fullDescription": { "text": entry.meaning },
        "help": { "text": entry.next.join("\n") },
    })
}

fn result(located: &Located, index: Option<usize>) -> Value {
    let finding = &located.finding;
    let level = match finding.severity {
        Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    };
    let mut text = visible(&finding.reason);
    if !finding.evidence.is_empty() {
        text.push_str(&format!(" ({})", visible(&finding.evidence)));
    }
    let mut physical = json!({ "artifactLocation": { "uri": uri(&located.place) } });
    if located.line > 0 {
        physical["region"] = json!({ "startLine": located.line });
    }
    let name = format!("{}/{}", visible(&finding.server), visible(&finding.subject));
    // The same finding of the same tool is the same alert, wherever in the file it stands.
    let print =
        digest::hex(&digest::sha256(format!("{}\n{name}\n{}", finding.id, finding.evidence).as_bytes()));
    let mut result = json!({
        "ruleId": finding.id,
        "level": level,
        "message": { "text": text },
        "locations": [{
            "physicalLocation": physical,
            "logicalLocations": [{ "fullyQualifiedName": name, "kind": "function" }],
        }],
        "partialFingerprints": { "definition/v1": print },
    });
    if let Some(index) = index {
        result["ruleIndex"] = index.into();
    }
    result
}

/// A path or target as a URI reference (RFC 3986).
fn uri(place: &str) -> String {
    if place.starts_with("http://") || place.starts_with("https://") {
        return visible(place);
    }
    let mut uri = String::new();
    for byte in place.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte))
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use lockgate_detect::scan::{Scan, read};

    use super::*;

    /// What SARIF 2.1.0 requires of a log (sections 3.13 to 3.28), as far as this one uses it.
    #[test]
    fn the_log_has_what_the_standard_requires() {
        let mut scan = Scan::default();
        scan.add("a b.json", "mail", read(r#"[{"name":"send_email"}]"#).unwrap());
        scan.add(
            "c.json",
            "x",
            read("[\n{\"name\":\"t\",\"description\":\"\\u001b[31m send_email first\"}]").unwrap(),
        );
        let log = log(&scan.finish());
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let results = run["results"].as_array().unwrap();
        assert!(results.len() >= 2, "{log}");
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
            assert!(["error", "warning", "note"].contains(&result["level"].as_str().unwrap()));
            assert!(!result["message"]["text"].as_str().unwrap().contains('\u{1b}'));
            let place = &result["locations"][0]["physicalLocation"];
            assert_eq!(
                (&place["artifactLocation"]["uri"], &place["region"]["startLine"]),
                (&"c.json".into(), &2.into())
            );
        }
        assert_eq!(uri("a b.json"), "a%20b.json");
    }
}
