#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::*;
use crate::assemble::{Assembly, Seen};
use crate::config;
use crate::diff;
use crate::machine::{Machine, System};
use crate::map::{Authentication, Confidence, Map, Tls, Transport};
use crate::secret::{KEY_BYTES, Redactor};
use crate::tree::Limits;

const HOSTILE: &str = "evil\\\"]; } \u{1b}[2J<img src=x onerror=alert(1)>\u{202e}#quot;`";

fn map(servers: &str) -> Map {
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".cursor")).unwrap();
    std::fs::write(home.path().join(".cursor/mcp.json"), format!("{{\"mcpServers\": {servers}}}")).unwrap();
    let machine = Machine {
        system: System::Linux,
        home: home.path().into(),
        root: home.path().into(),
        variables: Default::default(),
    };
    let configs = config::scan(&machine, &[], &Limits::default(), &|_: &Path| ());
    let redactor = Redactor::new([1; KEY_BYTES]);
    let mut assembly = Assembly::new(&redactor);
    assembly.configs(&configs);
    assembly.seen(&Seen {
        url: "https://mcp.example/mcp".into(),
        transport: Transport::Http,
        confidence: Confidence::Confirmed,
        authentication: Authentication::None,
        tls: Some(Tls {
            protocol: Some("TLSv1.3".into()),
            group: Some("X25519".into()),
            cipher: Some("TLS13_AES_128_GCM_SHA256".into()),
            quantum_safe_key_exchange: Some(false),
            ..Tls::plain()
        }),
        name: Some(HOSTILE.into()),
        version: None,
        tools: Vec::new(),
    });
    assembly.finish(7, 1)
}

#[test]
fn foreign_names_break_no_drawing() {
    let servers = serde_json::json!({ HOSTILE: { "command": "npx", "args": ["-y", "p"], "env": { "API_TOKEN": "s3cretvalue" } } });
    let map = map(&servers.to_string());
    for text in [
        dot(&map),
        mermaid(&map),
        cyclonedx(&map, "2026-01-01T00:00:00Z", "1").to_string(),
        serde_json::to_string(&map).unwrap(),
    ] {
        assert!(!text.contains('\u{1b}') && !text.contains("s3cretvalue"), "{text}");
    }
    let mermaid = mermaid(&map);
    assert!(!mermaid.contains("<img") && !mermaid.contains('`'), "{mermaid}");
    for line in dot(&map).lines().filter(|line| line.contains("label=\"")) {
        // Between the quotes every quote and backslash is escaped.
        let mut inside = line.split_once("label=\"").unwrap().1.chars();
        let mut ended = false;
        while let Some(c) = inside.next() {
            match c {
                '\\' => drop(inside.next()),
                '"' => {
                    ended = true;
                    break;
                }
                _ => {}
            }
        }
        let rest: String = inside.collect();
        assert!(ended && rest.ends_with("];") && !rest.contains("evil"), "{line}");
    }
}

#[test]
fn a_diff_tells_what_is_new_gone_and_changed() {
    let old = map(r#"{"a":{"command":"npx","args":["a@1.0.0"]},"b":{"command":"b"}}"#);
    let new = map(
        r#"{"a":{"command":"npx","args":["a@1.0.0"],"disabled":true},"c":{"command":"npx","args":["c"]}}"#,
    );
    assert!(diff::between(&old, &old).is_empty());
    let diff = diff::between(&old, &new);
    let told: Vec<String> =
        diff.nodes.iter().map(|change| format!("{:?} {} {}", change.how, change.kind, change.name)).collect();
    assert!(
        told.contains(&"Added server c".to_owned()) && told.contains(&"Removed server b".to_owned()),
        "{told:?}"
    );
    assert!(told.contains(&"Changed server a".to_owned()), "{told:?}");
    assert_eq!(
        diff.found.iter().map(|finding| finding.id.as_str()).collect::<Vec<_>>(),
        ["unpinned-package"]
    );
}

#[test]
fn the_bill_of_materials_refers_to_what_is_there() {
    let bom = cyclonedx(&map(r#"{"a":{"command":"npx","args":["a@1.0.0"]}}"#), "2026-01-01T00:00:00Z", "1");
    let references = |list: &str| {
        bom[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|part| part["bom-ref"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let mut known = [references("components"), references("services"), vec!["machine".into()]].concat();
    let count = known.len();
    known.sort();
    known.dedup();
    assert_eq!(known.len(), count, "a reference stands twice");
    for dependency in bom["dependencies"].as_array().unwrap() {
        for to in dependency["dependsOn"].as_array().unwrap().iter().chain([&dependency["ref"]]) {
            assert!(known.contains(&to.as_str().unwrap().to_owned()), "{to} leads nowhere");
        }
    }
    assert!(references("components").iter().any(|id| id.starts_with("algorithm/")));
}
