//! What a denial says of the clause that was not true: the same each time, whether it was worked out before or not.

use lockgate_policy::{
    Circumstances, Definition, Definitions, FactShape, FactType, FactValues, Options, Policies, Query, Source,
};
use serde_json::{Value, json};

use crate::subjects::{AGENT, agent, classical, request_with};

/// Conditions, what is called with, and what is said of it.
const CASES: [(&str, &str, &str); 28] = [
    ("when { context.link.quantum_safe }", "{}", ": link.quantum_safe is false"),
    (
        "when { context has input && context.input has flag && context.input.flag }",
        r#"{"flag": false}"#,
        ": flag is false",
    ),
    (
        "when { context has input && context.input has flag && !context.input.flag }",
        r#"{"flag": true}"#,
        ": flag is true",
    ),
    (
        "unless { context has input && context.input has flag && context.input.flag }",
        r#"{"flag": true}"#,
        ": not !((context has input) && (context.input has flag) && context.input.flag)",
    ),
    ("unless { context.link.resumed || !context.link.resumed }", "{}", ": not !(!context.link.resumed)"),
    ("when { context has input && context.input has count }", "{}", ": the argument count is missing"),
    (
        "when { context.facts has staff && context.facts.staff.on_duty > 0 }",
        "{}",
        ": facts.staff is not known, or its last news are too old",
    ),
    ("when { context.facts has ward && context.facts.ward.beds > 3 }", "{}", ": facts.ward.beds is not > 3"),
    (
        "when { context.facts has ward && context.facts.ward.name == \"east\" }",
        "{}",
        ": facts.ward.name is not == \"east\"",
    ),
    (
        "when { context has input && context.input has count && context.input.count == 7 }",
        r#"{"count": 8}"#,
        ": count is 8, and must be == 7",
    ),
    (
        "when { context has input && context.input has count && context.input.count != 8 }",
        r#"{"count": 8}"#,
        ": count is 8, and must be != 8",
    ),
    (
        "when { context has input && context.input has count && context.input.count < 7 }",
        r#"{"count": 8}"#,
        ": count is 8, and must be < 7",
    ),
    (
        "when { context has input && context.input has count && context.input.count >= 9 }",
        r#"{"count": 8}"#,
        ": count is 8, and must be >= 9",
    ),
    (
        "when { context has input && context.input has count && 9 <= context.input.count }",
        r#"{"count": 8}"#,
        ": not 9 <= context.input.count",
    ),
    (
        "when { context has input && context.input has count && context.input.count + 1 > 9 }",
        r#"{"count": 8}"#,
        ": not !((context.input.count + 1) <= 9)",
    ),
    (
        "when { context has input && context.input has count && context.input has other && \
         context.input.count == context.input.other }",
        r#"{"count": 8, "other": 9}"#,
        ": count is 8, and must be == context.input.other",
    ),
    (
        "when { context has input && context.input has name && context.input.name == \"x\" }",
        r#"{"name": "y"}"#,
        ": name is \"y\", and must be == \"x\"",
    ),
    (
        "when { context has input && context.input has name && context.input.name == \"x\" }",
        r#"{"name": "a name that is far too long to be repeated in a denial"}"#,
        ": name is not == \"x\"",
    ),
    (
        "when { context has input && context.input has name && context.input.name like \"a*\" }",
        r#"{"name": "y"}"#,
        ": name is \"y\", which is not like \"a*\"",
    ),
    (
        "when { context has input && context.input has name && [\"a\", \"b\"].contains(context.input.name) }",
        r#"{"name": "y"}"#,
        ": name is \"y\", which is not in [\"a\", \"b\"]",
    ),
    (
        "when { context has input && context.input has fields && [\"a\", \"b\"].containsAll(context.input.fields) }",
        r#"{"fields": ["a", "c"]}"#,
        ": fields has \"c\", which is not in [\"a\", \"b\"]",
    ),
    (
        "when { context has input && context.input has fields && [\"a\", \"b\"].containsAll(context.input.fields) }",
        r#"{"fields": ["a name that is far too long to be repeated in a denial"]}"#,
        ": fields has more than is in [\"a\", \"b\"]",
    ),
    (
        "when { context has input && context.input has fields && context.input.fields.contains(\"a\") }",
        r#"{"fields": ["b"]}"#,
        ": not context.input.fields.contains(\"a\")",
    ),
    (
        "when { context has input && context.input has fields && context.input.fields.containsAny([\"a\"]) }",
        r#"{"fields": ["b"]}"#,
        ": not context.input.fields.containsAny([\"a\"])",
    ),
    (
        "when { if context.link.resumed then true else false }",
        "{}",
        ": not if context.link.resumed then true else false",
    ),
    (
        "when { context.link.resumed || context.link.quantum_safe }",
        "{}",
        ": not context.link.resumed || context.link.quantum_safe",
    ),
    (
        "when { context.names.contains(\"count\") }",
        r#"{"name": "y"}"#,
        ": not context.names.contains(\"count\")",
    ),
    (
        "when { context.touched.contains(\"system_config\") }",
        r#"{"name": "y"}"#,
        ": not context.touched.contains(\"system_config\")",
    ),
];

fn load(condition: &str) -> Policies {
    let json = json!({"name": "get", "inputSchema": {"type": "object", "properties": {
        "flag": {"type": "boolean"}, "count": {"type": "integer"}, "other": {"type": "integer"},
        "name": {"type": "string"}, "fields": {"type": "array", "items": {"type": "string"}},
    }}});
    let json = json.to_string();
    let definition = Definition { server: "crm".into(), tool: "get".into(), sha256: "1".into(), json };
    let shape = |name: &str, fields: &[(&str, FactType)]| FactShape {
        name: name.to_owned(),
        fields: fields.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect(),
        key: None,
    };
    let facts = [
        shape("staff", &[("on_duty", FactType::Integer)]),
        shape("ward", &[("beds", FactType::Integer), ("name", FactType::Text)]),
    ];
    let definitions = Definitions::new([definition]);
    let options = Options { definitions: &definitions, facts: &facts, ..Options::bare(1) };
    let text =
        format!("@id(\"p\") permit(principal, action, resource == Lockgate::Tool::\"crm/get\") {condition};");
    Policies::parse(&[Source { name: "policy.cedar", text: &text }], &options)
        .unwrap_or_else(|errors| panic!("{condition}: {errors:?}"))
}

/// What is said after "its condition is not met".
fn said(policies: &Policies, arguments: &str) -> String {
    let (caller, link) = (agent(AGENT), classical());
    let arguments: Value = serde_json::from_str(arguments).unwrap();
    let message = request_with("tools/call", "get", arguments);
    let query = Query {
        caller: &caller,
        server: "crm",
        method: "tools/call",
        name: Some("get"),
        posture: Some(&link),
        loopback: false,
    };
    let mut facts = FactValues::new();
    facts.insert("ward", json!({"beds": 3, "name": "west"}).as_object().unwrap().clone());
    let circumstances = Circumstances { facts: &facts, ..Circumstances::at(0) };
    let denial = policies.decide(query, &circumstances, message).unwrap_err();
    let (_, said) = denial.reason.split_once("its condition is not met").expect("the permit is named");
    said.to_owned()
}

#[test]
fn the_clause_is_told_in_words() {
    let mut wrong = String::new();
    for (condition, arguments, wanted) in CASES {
        let policies = load(condition);
        let found = said(&policies, arguments);
        assert_eq!(said(&policies, arguments), found, "{condition}: another time");
        if found != wanted {
            wrong += &format!("{condition}\n  {arguments}\n  {found:?}\n");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
