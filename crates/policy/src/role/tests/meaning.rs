//! Compiled files pass strict validation and decide as they read.

use cedar_policy::{
    Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, Schema, ValidationMode, Validator,
};
use serde_json::{Value, json};

use super::*;

const SCHEMA: &str = r#"
namespace Lockgate {
  entity Role;
  entity Agent in [Role] = { trust_domain: String, path: String, role: String };
  entity LocalUser in [Role];
  entity Anonymous enum ["anonymous"];
  entity ServerGroup;
  entity Server in [ServerGroup] = { name: String };
  entity Tool in [Server] = { server: String, name: String };
  entity Resource in [Server] = { server: String, name: String };
  entity Prompt in [Server] = { server: String, name: String };
  type Link = { encrypted: Bool, quantum_safe: Bool, quantum_safe_group: Bool, group: String,
    peer_signature: String, own_signature: String, profile: String, resumed: Bool, loopback: Bool };
  type Local = { hour: Long, minute: Long, minute_of_day: Long, weekday: String, date: String };
  type Locals = { "UTC": Local, "Europe/Berlin": Local };
  type Facts = { appointment?: { patient: String, start: datetime, end: datetime },
    staff?: { on_duty: Long, names: Set<String> }, incident?: { open: Bool } };
  type Scan = { keys: Set<String>, paths: Set<String>, text: String };
  type Call = { link: Link, method: String, now: datetime, local: Locals, facts: Facts };
  action session; action list; action use;
  action initialize, connect in [session] appliesTo { principal: [Agent, LocalUser, Anonymous], resource: [Server], context: Call };
  action "tools/list" in [list] appliesTo { principal: [Agent, LocalUser, Anonymous], resource: [Server], context: Call };
  action other appliesTo { principal: [Agent, LocalUser, Anonymous], resource: [Server], context: Call };
  action "resources/read", "resources/subscribe", "resources/unsubscribe" in [use] appliesTo {
    principal: [Agent, LocalUser, Anonymous], resource: [Resource], context: Call };
  action "prompts/get" in [use] appliesTo { principal: [Agent, LocalUser, Anonymous], resource: [Prompt], context: Call };
  action "tools/call" in [use] appliesTo { principal: [Agent, LocalUser, Anonymous], resource: [Tool],
    context: { link: Link, method: String, now: datetime, local: Locals, facts: Facts,
      names: Set<String>, scan: Scan, touched: Set<String> } };
  action "tools/call:crm/get_customer" in ["tools/call"] appliesTo { principal: [Agent, LocalUser, Anonymous], resource: [Tool],
    context: { link: Link, method: String, now: datetime, local: Locals, facts: Facts,
      names: Set<String>, scan: Scan, touched: Set<String>,
      input?: { customer_id: String, fields?: Set<String>, limit?: Long } } };
  action "tools/call:crm/pay" in ["tools/call"] appliesTo { principal: [Agent, LocalUser, Anonymous], resource: [Tool],
    context: { link: Link, method: String, now: datetime, local: Locals, facts: Facts,
      names: Set<String>, scan: Scan, touched: Set<String>,
      input?: { amount: decimal, currency?: String, urgent?: Bool, customer?: { id?: String, ssn?: String } } } };
  action "tools/call:ehr/read_record" in ["tools/call"] appliesTo { principal: [Agent, LocalUser, Anonymous], resource: [Tool],
    context: { link: Link, method: String, now: datetime, local: Locals, facts: Facts,
      names: Set<String>, scan: Scan, touched: Set<String>, input?: { patient: String } } };
}
"#;

fn schema() -> Schema {
    Schema::from_cedarschema_str(SCHEMA).expect("test schema").0
}

/// The policies, validated strictly, without a policy that can never apply.
fn policies(text: &str) -> PolicySet {
    let compiled = compiled(text).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"));
    let all: String = compiled.statements.iter().map(|statement| statement.cedar.as_str()).collect();
    let set: PolicySet = all.parse().unwrap_or_else(|error| panic!("{all}\n{error:?}"));
    let result = Validator::new(schema()).validate(&set, ValidationMode::Strict);
    let errors: Vec<String> = result.validation_errors().map(ToString::to_string).collect();
    let warnings: Vec<String> = result.validation_warnings().map(ToString::to_string).collect();
    assert!(errors.is_empty() && warnings.is_empty(), "{all}\n{errors:#?}\n{warnings:#?}");
    set
}

/// A call: tool or method, with what is changed in its context.
struct Call<'a> {
    action: &'a str,
    resource: &'a str,
    context: Value,
}

fn tool<'a>(name: &'a str, input: Value) -> Call<'a> {
    let mut call = Call { action: "", resource: name, context: circumstances() };
    let names: Vec<String> = input.as_object().expect("an object").keys().cloned().collect();
    let mut paths = Vec::new();
    walk("", &input, &mut paths);
    let context = call.context.as_object_mut().expect("an object");
    context.insert("names".to_owned(), json!(names));
    context.insert("scan".to_owned(), json!({"keys": names, "paths": paths, "text": ""}));
    context.insert("touched".to_owned(), json!([]));
    context.insert("input".to_owned(), input);
    call
}

fn walk(above: &str, value: &Value, paths: &mut Vec<String>) {
    for (name, inner) in value.as_object().into_iter().flatten() {
        if name.starts_with("__") {
            continue;
        }
        let path =
            if above.is_empty() { name.to_lowercase() } else { format!("{above}.{}", name.to_lowercase()) };
        walk(&path, inner, paths);
        paths.push(path);
    }
}

fn on<'a>(action: &'a str, server: &'a str) -> Call<'a> {
    Call { action, resource: server, context: circumstances() }
}

/// Monday, 14:00 in Berlin, over a quantum-safe link, without facts.
fn circumstances() -> Value {
    json!({
        "link": {"encrypted": true, "quantum_safe": true, "quantum_safe_group": true, "group": "none",
            "peer_signature": "none", "own_signature": "none", "profile": "pq-hybrid@20261122",
            "resumed": false, "loopback": false},
        "method": "tools/call",
        "now": {"__extn": {"fn": "datetime", "arg": "2026-11-23T13:00:00Z"}},
        "local": {"UTC": local(13 * 60, "mon"), "Europe/Berlin": local(14 * 60, "mon")},
        "facts": {},
    })
}

fn local(minute: u16, weekday: &str) -> Value {
    json!({"hour": minute / 60, "minute": minute % 60, "minute_of_day": minute, "weekday": weekday, "date": "2026-11-23"})
}

impl Call<'_> {
    fn with(mut self, path: &str, value: Value) -> Self {
        *self.context.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
        self
    }

    fn at(self, minute: u16, weekday: &str) -> Self {
        self.with("/local/Europe~1Berlin", local(minute, weekday))
    }

    fn fact(mut self, name: &str, value: Value) -> Self {
        self.context["facts"][name] = value;
        self
    }

    fn touching(self, needle: &str) -> Self {
        self.with("/touched", json!([needle]))
    }
}

fn uid(kind: &str, id: &str) -> EntityUid {
    let id = cedar_policy::EntityId::new(id);
    EntityUid::from_type_name_and_id(format!("Lockgate::{kind}").parse().expect("a type"), id)
}

fn entities() -> Entities {
    let entity = |kind: &str, id: &str, attrs: Value, parents: &[(&str, &str)]| {
        let parents: Vec<Value> =
            parents.iter().map(|(kind, id)| json!({"type": format!("Lockgate::{kind}"), "id": id})).collect();
        json!({"uid": {"type": format!("Lockgate::{kind}"), "id": id}, "attrs": attrs, "parents": parents})
    };
    let named = |name: &str| json!({"server": name.split('/').next(), "name": name.split_once('/').expect("named").1});
    let agent = json!({"trust_domain": "example.org", "path": "/agent/a", "role": "agent"});
    let mut all = vec![
        entity("Agent", "a", agent.clone(), &[("Role", "r")]),
        entity("Agent", "stranger", agent, &[]),
        entity("Role", "r", json!({}), &[]),
        entity("ServerGroup", "internal", json!({}), &[]),
    ];
    for server in ["crm", "ehr", "billing"] {
        all.push(entity("Server", server, json!({"name": server}), &[("ServerGroup", "internal")]));
    }
    for tool in ["crm/get_customer", "crm/pay", "crm/get_news", "ehr/read_record", "billing/pay"] {
        all.push(entity("Tool", tool, named(tool), &[("Server", tool.split('/').next().expect("server"))]));
    }
    for uri in ["crm/file:///reports/a", "crm/file:///reports/../secret", "crm/file:///secret"] {
        all.push(entity("Resource", uri, named(uri), &[("Server", "crm")]));
    }
    Entities::from_json_value(Value::Array(all), Some(&schema())).expect("test entities")
}

fn decides(policies: &PolicySet, agent: &str, call: Call<'_>) -> bool {
    let schema = schema();
    let (action, kind) = match call.action {
        "" => {
            let own = uid("Action", &format!("tools/call:{}", call.resource));
            let known = schema.actions().any(|action| *action == own);
            (if known { own } else { uid("Action", "tools/call") }, "Tool")
        }
        "resources/read" => (uid("Action", call.action), "Resource"),
        action => (uid("Action", action), "Server"),
    };
    let mut value = call.context;
    decimals(&mut value);
    if !action.to_string().contains("tools/call:") {
        value.as_object_mut().expect("an object").remove("input");
    }
    let context = Context::from_json_value(value, Some((&schema, &action))).expect("context fits");
    let request = Request::new(uid("Agent", agent), action, uid(kind, call.resource), context, Some(&schema));
    let answer = Authorizer::new().is_authorized(&request.expect("request fits"), policies, &entities());
    let failed: Vec<String> = answer.diagnostics().errors().map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{failed:?}");
    answer.decision() == Decision::Allow
}

/// Numbers with a point become decimals, as the gateway maps them.
fn decimals(value: &mut Value) {
    match value {
        Value::Number(n) if n.is_f64() => {
            *value =
                json!({"__extn": {"fn": "decimal", "arg": format!("{:.4}", n.as_f64().expect("a float"))}});
        }
        Value::Array(items) => items.iter_mut().for_each(decimals),
        Value::Object(members) => members.values_mut().for_each(decimals),
        _ => {}
    }
}

/// Each rule with calls, and whether each is allowed.
fn table(rules: &str, calls: Vec<(Call<'_>, bool)>) {
    let policies = policies(&file(rules));
    for (n, (call, expected)) in calls.into_iter().enumerate() {
        let shown = format!("{} {} {}", call.action, call.resource, call.context);
        assert_eq!(decides(&policies, "a", call), expected, "call {n} of {rules}\n{shown}");
    }
}

#[test]
fn a_minimal_file_opens_lists_and_calls_and_nothing_else() {
    let policies = policies(&file("[[allow]]\ntools = [\"crm/get_customer\"]"));
    let call = || tool("crm/get_customer", json!({"customer_id": "c-1"}));
    assert!(decides(&policies, "a", call()));
    assert!(!decides(&policies, "stranger", call()));
    for (call, expected) in [
        (on("connect", "crm"), true),
        (on("initialize", "crm"), true),
        (on("tools/list", "crm"), true),
        (on("connect", "billing"), false),
        (on("tools/list", "ehr"), false),
        (on("other", "crm"), false),
        (tool("crm/pay", json!({"amount": 1.0})), false),
        (tool("billing/pay", json!({})), false),
    ] {
        assert_eq!(decides(&policies, "a", call), expected);
    }
}

#[test]
fn targets() {
    table(
        "[[allow]]\nservers = [\"crm\"]\nmethods = [\"tools/list\"]",
        vec![
            (on("tools/list", "crm"), true),
            (on("connect", "crm"), true),
            (tool("crm/get_news", json!({})), false),
        ],
    );
    table(
        "[[allow]]\ngroups = [\"internal\"]\n[[never]]\ntools = [\"*/pa*\"]",
        vec![
            (tool("crm/get_news", json!({})), true),
            (tool("ehr/read_record", json!({"patient": "p"})), true),
            (tool("crm/pay", json!({"amount": 1.0})), false),
            (tool("billing/pay", json!({})), false),
            (on("other", "crm"), false),
        ],
    );
    table(
        "[[allow]]\ntools = [\"crm/get_*\", \"ehr/*\"]\n[[allow]]\nresources = [\"crm/file:///reports/*\"]",
        vec![
            (tool("crm/get_news", json!({})), true),
            (tool("crm/pay", json!({"amount": 1.0})), false),
            (tool("ehr/read_record", json!({"patient": "p"})), true),
            (on("resources/read", "crm/file:///reports/a"), true),
            (on("resources/read", "crm/file:///reports/../secret"), false),
            (on("resources/read", "crm/file:///secret"), false),
        ],
    );
    table(
        "[[allow]]\nservers = [\"*\"]\n[[never]]\nservers = [\"billing\"]",
        vec![
            (tool("crm/get_news", json!({})), true),
            (tool("billing/pay", json!({})), false),
            (on("connect", "billing"), false),
            (on("tools/list", "billing"), false),
            (on("other", "billing"), false),
        ],
    );
}

#[test]
fn arguments_of_a_tool() {
    let get = |input: Value| tool("crm/get_customer", input);
    table(
        "[[allow]]\ntools = [\"crm/get_customer\"]\narguments.fields = { only = [\"name\", \"email\"] }\n\
         arguments.customer_id = { like = \"c-*\" }\narguments.limit = { min = 1, max = 50, optional = true }",
        vec![
            (get(json!({"customer_id": "c-1", "fields": ["email"]})), true),
            (get(json!({"customer_id": "c-1", "fields": []})), true),
            (get(json!({"customer_id": "c-1", "fields": ["email", "ssn"]})), false),
            (get(json!({"customer_id": "c-1"})), false),
            (get(json!({"customer_id": "d-1", "fields": ["email"]})), false),
            (get(json!({"customer_id": "c-1", "fields": ["email"], "limit": 50})), true),
            (get(json!({"customer_id": "c-1", "fields": ["email"], "limit": 51})), false),
            (get(json!({"customer_id": "c-1", "fields": ["email"], "limit": 0})), false),
        ],
    );
    table(
        "[[allow]]\ntools = [\"crm/get_customer\"]\n[[never]]\ntools = [\"crm/get_customer\"]\n\
         arguments.fields = { includes = [\"ssn\"] }",
        vec![
            (get(json!({"customer_id": "c"})), true),
            (get(json!({"customer_id": "c", "fields": ["name"]})), true),
            (get(json!({"customer_id": "c", "fields": ["name", "ssn"]})), false),
        ],
    );
    table(
        "[[allow]]\ntools = [\"crm/get_customer\"]\narguments.customer_id = { one_of = [\"a\", \"b\"] }\nothers = \"allow\"",
        vec![(get(json!({"customer_id": "a", "limit": 9})), true), (get(json!({"customer_id": "c"})), false)],
    );
    table(
        "[[allow]]\ntools = [\"crm/get_customer\"]\narguments.limit = { absent = true }",
        vec![(get(json!({"customer_id": "a"})), true), (get(json!({"customer_id": "a", "limit": 1})), false)],
    );
    table(
        "[[allow]]\ntools = [\"crm/get_customer\"]\narguments.customer_id = { inside = \"/srv/a\" }",
        vec![
            (get(json!({"customer_id": "/srv/a"})), true),
            (get(json!({"customer_id": "/srv/a/b"})), true),
            (get(json!({"customer_id": "/srv/ab"})), false),
            (get(json!({"customer_id": "/srv/a/../b"})), false),
            (get(json!({"customer_id": "/srv/a/%2e%2e/b"})), false),
            (get(json!({"customer_id": "/srv/a\\..\\b"})), false),
        ],
    );
}

#[test]
fn numbers_flags_and_nested_arguments() {
    let pay = |input: Value| tool("crm/pay", input);
    table(
        "[[allow]]\ntools = [\"crm/pay\"]\narguments.amount = { min = 0.01, max = 100 }\narguments.currency = \"EUR\"\n\
         arguments.urgent = { is = false, optional = true }",
        vec![
            (pay(json!({"amount": 100.0, "currency": "EUR"})), true),
            (pay(json!({"amount": 100.0001, "currency": "EUR"})), false),
            (pay(json!({"amount": 0.0, "currency": "EUR"})), false),
            (pay(json!({"amount": 1.0, "currency": "USD"})), false),
            (pay(json!({"amount": 1.0})), false),
            (pay(json!({"amount": 1.0, "currency": "EUR", "urgent": false})), true),
            (pay(json!({"amount": 1.0, "currency": "EUR", "urgent": true})), false),
        ],
    );
    table(
        "[[allow]]\ntools = [\"crm/pay\"]\narguments.amount = { any = true }\narguments.\"customer.id\" = { starts_with = \"c*\" }",
        vec![
            (pay(json!({"amount": 1.0, "customer": {"id": "c*1"}})), true),
            (pay(json!({"amount": 1.0, "customer": {"id": "cx1"}})), false),
            (pay(json!({"amount": 1.0, "customer": {"id": "c*1", "ssn": "1"}})), false),
            (pay(json!({"amount": 1.0, "customer": {}})), false),
            (pay(json!({"amount": 1.0})), false),
        ],
    );
    table(
        "[[allow]]\ntools = [\"crm/pay\"]\n[[never]]\ntools = [\"crm/pay\"]\narguments.\"customer.ssn\" = { required = true }",
        vec![
            (pay(json!({"amount": 1.0, "customer": {"id": "1"}})), true),
            (pay(json!({"amount": 1.0, "customer": {"ssn": "1"}})), false),
        ],
    );
}

#[test]
fn hours_and_days() {
    let news = |minute: u16, day: &'static str| tool("crm/get_news", json!({})).at(minute, day);
    table(
        "[[allow]]\ntools = [\"crm/get_news\"]\nhours = [\"08:00-12:00\", \"13:00-18:00\"]\ndays = \"mon-fri\"",
        vec![
            (news(8 * 60, "mon"), true),
            (news(8 * 60 - 1, "mon"), false),
            (news(12 * 60 + 30, "mon"), false),
            (news(18 * 60 - 1, "fri"), true),
            (news(18 * 60, "fri"), false),
            (news(14 * 60, "sat"), false),
        ],
    );
    // Friday night ends on Saturday morning.
    table(
        "[[allow]]\ntools = [\"crm/get_news\"]\nhours = \"22:00-06:00\"\ndays = [\"fri\", \"sun\"]",
        vec![
            (news(22 * 60, "fri"), true),
            (news(60, "fri"), false),
            (news(60, "sat"), true),
            (news(22 * 60, "sat"), false),
            (news(6 * 60, "sat"), false),
            (news(60, "mon"), true),
            (news(12 * 60, "sun"), false),
        ],
    );
    table(
        "[[allow]]\ntools = [\"crm/get_news\"]\n[[never]]\nservers = [\"crm\"]\nhours = \"22:00-06:00\"",
        vec![(news(12 * 60, "mon"), true), (news(23 * 60, "mon"), false), (news(60, "mon"), false)],
    );
    // Another zone than the role's.
    table(
        "[[allow]]\ntools = [\"crm/get_news\"]\nhours = \"13:00-14:00\"\nzone = \"UTC\"",
        vec![(news(14 * 60, "mon"), true)],
    );
}

#[test]
fn facts_must_be_there_to_allow_and_to_spare() {
    let read = |patient: &str| tool("ehr/read_record", json!({"patient": patient}));
    let time = |text: &str| json!({"__extn": {"fn": "datetime", "arg": text}});
    let visit = |patient: &str| json!({"patient": patient, "start": time("2026-11-23T12:30:00Z"), "end": time("2026-11-23T13:30:00Z")});
    let over =
        json!({"patient": "p", "start": time("2026-11-23T12:00:00Z"), "end": time("2026-11-23T13:00:00Z")});
    let staff = |n: i64| json!({"on_duty": n, "names": ["p", "q"]});
    table(
        "[[allow]]\ntools = [\"ehr/read_record\"]\n\
         facts.appointment = { patient = { is_argument = \"patient\" }, start = { before = \"now\" }, end = { after = \"now\" } }\n\
         facts.staff.on_duty = { min = 1 }\nfacts.staff.names = { includes_argument = \"patient\" }",
        vec![
            (read("p").fact("appointment", visit("p")).fact("staff", staff(1)), true),
            (read("p").fact("appointment", visit("q")).fact("staff", staff(1)), false),
            (read("p").fact("appointment", over).fact("staff", staff(1)), false),
            (read("p").fact("appointment", visit("p")).fact("staff", staff(0)), false),
            (read("p").fact("appointment", visit("p")), false),
            (read("p").fact("staff", staff(1)), false),
            (read("x").fact("appointment", visit("x")).fact("staff", staff(1)), false),
        ],
    );
    table(
        "[[allow]]\nservers = [\"crm\"]\n[[never]]\nfacts.incident.open = true",
        vec![
            (tool("crm/get_news", json!({})).fact("incident", json!({"open": false})), true),
            (tool("crm/get_news", json!({})).fact("incident", json!({"open": true})), false),
            (tool("crm/get_news", json!({})), false),
            (on("connect", "crm"), true),
        ],
    );
}

#[test]
fn links_and_what_is_touched() {
    let news = || tool("crm/get_news", json!({}));
    table(
        "[[allow]]\ntools = [\"crm/get_news\"]\nlink = { quantum_safe = true, profile = [\"pq-hybrid\", \"cnsa2\"] }",
        vec![
            (news(), true),
            (news().with("/link/quantum_safe", json!(false)), false),
            (news().with("/link/profile", json!("pq-hybrid-x@1")), false),
            (news().with("/link/profile", json!("cnsa2@20261122")), true),
        ],
    );
    table(
        "[[allow]]\nservers = [\"crm\"]\n[[never]]\ntouching = [\"system_config\", \"shadow\"]\non_violation = \"kill\"\n\
         [[never]]\nlink = { encrypted = false, loopback = false }",
        vec![
            (news(), true),
            (news().touching("shadow"), false),
            (news().with("/link/encrypted", json!(false)), false),
            (on("connect", "crm").with("/link/encrypted", json!(false)), false),
        ],
    );
}

#[test]
fn everyone_is_everyone() {
    let text = "[everyone]\nname = \"rails\"\n[[never]]\ntouching = \"system_config\"\n[end]\n";
    let rails = compiled(text).expect("well-formed");
    assert!(rails.members.is_none());
    let role = file("[[allow]]\nservers = [\"*\"]");
    let both: String = [compiled(&role).expect("well-formed"), rails]
        .iter()
        .flat_map(|compiled| compiled.statements.iter().map(|statement| statement.cedar.clone()))
        .collect();
    let both: PolicySet = both.parse().expect("Cedar");
    assert!(decides(&both, "a", tool("crm/get_news", json!({}))));
    assert!(!decides(&both, "a", tool("crm/get_news", json!({})).touching("system_config")));
}
