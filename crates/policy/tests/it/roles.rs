//! Role files and Cedar side by side, and what a reload keeps.

use std::collections::BTreeMap;

use lockgate_policy::{
    Cause, Circumstances, Consequence, Definition, Definitions, Options, Policies, Query, Source,
};
use serde_json::json;

use crate::subjects::{agent, request_with};

const ROLE: &str = r#"
[role]
name = "retail-bot"
agents = ["agent/retail-*"]

[[allow]]
id = "read-customer"
tools = ["crm/get_customer"]
arguments.fields = { only = ["name", "email"] }

[[never]]
touching = ["system_config"]
on_violation = "kill"

[end]
"#;

fn definitions() -> Definitions {
    let json = json!({"name": "get_customer", "inputSchema": {"type": "object", "properties": {
        "fields": {"type": "array", "items": {"type": "string"}},
    }}})
    .to_string();
    Definitions::new([Definition {
        server: "crm".into(),
        tool: "get_customer".into(),
        sha256: "1".into(),
        json,
    }])
}

fn load(definitions: &Definitions) -> Policies {
    let groups = BTreeMap::from([("money".to_owned(), vec!["billing".to_owned()])]);
    let options = Options { definitions, groups: &groups, trust_domain: "example.org", ..Options::bare(1) };
    let cedar = "// begin\n@id(\"no-money\") forbid(principal in Lockgate::Role::\"retail-bot\", action, \
                 resource in Lockgate::ServerGroup::\"money\");\n// end";
    let sources = [Source { name: "retail.toml", text: ROLE }, Source { name: "hard.cedar", text: cedar }];
    match Policies::parse(&sources, &options) {
        Ok(policies) => policies,
        Err(errors) => panic!("{}", errors.iter().map(|e| format!("{e}\n")).collect::<String>()),
    }
}

#[test]
fn the_retail_bot_reads_what_it_may() {
    // Known or not, the tool's arguments are held to the same.
    for definitions in [definitions(), Definitions::default()] {
        let policies = load(&definitions);
        assert_eq!(policies.warnings().is_empty(), !definitions.is_empty(), "{:?}", policies.warnings());
        let caller = agent("spiffe://example.org/agent/retail-7");
        assert_eq!(policies.roles(&caller), ["retail-bot"]);
        for (id, arguments, expected) in [
            ("retail-7", json!({"fields": ["email"]}), None),
            ("retail-7", json!({"fields": ["email", "ssn"]}), Some((Cause::NotPermitted, Consequence::Deny))),
            (
                "retail-7",
                json!({"fields": ["email"], "other": 1}),
                Some((Cause::NotPermitted, Consequence::Deny)),
            ),
            ("retail-7", json!({"fields": ["system_config"]}), Some((Cause::Forbidden, Consequence::Kill))),
            ("billing", json!({"fields": ["email"]}), Some((Cause::NotPermitted, Consequence::Deny))),
        ] {
            let caller = agent(&format!("spiffe://example.org/agent/{id}"));
            let message = request_with("tools/call", "get_customer", arguments.clone());
            let query = Query {
                caller: &caller,
                server: "crm",
                method: "tools/call",
                name: Some("get_customer"),
                posture: None,
                loopback: true,
            };
            let answer = policies.decide(query, &Circumstances::at(1_800_000_000_000), message);
            let found = answer.as_ref().err().map(|denial| (denial.cause, denial.consequence.clone()));
            assert_eq!(found, expected, "{arguments} {answer:?}");
        }
        let refused = policies.connect(&caller, "billing", None, true, 0).unwrap_err();
        assert_eq!(refused.policy.as_deref(), Some("no-money"));
        assert!(policies.connect(&caller, "crm", None, true, 0).is_ok());
    }
}

#[test]
fn a_denial_names_the_rule_and_the_clause() {
    let policies = load(&definitions());
    let caller = agent("spiffe://example.org/agent/retail-7");
    let message = request_with("tools/call", "get_customer", json!({"fields": ["ssn"]}));
    let query = Query {
        caller: &caller,
        server: "crm",
        method: "tools/call",
        name: Some("get_customer"),
        posture: None,
        loopback: false,
    };
    let denial = policies.decide(query, &Circumstances::at(0), message).unwrap_err();
    let wanted = "`retail-bot.read-customer` (retail.toml:6) would permit it, but its condition is not met: \
                  fields has \"ssn\", which is not in [\"name\", \"email\"]";
    assert!(denial.reason.contains(wanted), "{}", denial.reason);
}

#[test]
fn the_schema_can_be_read_whole() {
    let schema = load(&definitions()).schema();
    assert!(schema.contains("tools/call:crm/get_customer"), "{schema}");
    assert!(cedar_policy::Schema::from_cedarschema_str(&schema).is_ok(), "{schema}");
}
