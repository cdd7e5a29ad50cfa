//! Who may do what, from end to end: the real binary, enrolled agents, tunnels, role files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "support/clinic.rs"]
mod clinic;
#[path = "support/house.rs"]
mod house;
mod support;

use house::{House, assistant, becomes, is_denied, zone_where_it_is};
use serde_json::json;
use support::{Running, call, initialize, shake_hands};

fn tools(agent: &mut Running, id: u64) -> Vec<String> {
    let listed = agent.ask(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/list", "params": {}}));
    let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

/// Story 1: a customer-service agent never reaches billing: not at connect, not in lists, not by a call.
#[test]
fn customer_service_never_reaches_billing() {
    let role = r#"
[role]
name = "customer-service"
agents = ["agent/service-*"]

[[allow]]
id = "everything"
servers = ["clinic", "billing"]

[[never]]
id = "billing"
servers = ["billing"]
"#;
    let house = House::open(&[("service", role)], "");
    let (_place, mut direct) = house.agent("service-1", &house.node.url("billing"), &[]);
    let refused = direct.ask(&initialize(1));
    assert!(is_denied(&refused), "{refused}");
    let called = direct.ask(&call(2, "get_customer", json!({"customer_id": "c-1"})));
    assert!(called.get("error").is_some(), "{called}");

    let (_other, mut all) = house.agent("service-2", &format!("{}/mcp", house.node.endpoint()), &[]);
    shake_hands(&mut all);
    let listed = tools(&mut all, 2);
    assert!(listed.iter().any(|tool| tool == "clinic_note"), "{listed:?}");
    assert!(listed.iter().all(|tool| !tool.starts_with("billing")), "{listed:?}");
    let called = all.ask(&call(3, "billing_get_customer", json!({"customer_id": "c-1"})));
    assert!(is_denied(&called), "{called}");
    assert!(all.ask(&call(4, "clinic_note", json!({"text": "x"}))).get("result").is_some());
    assert_eq!(house.billing.asked(), 0, "billing was asked");
    assert!(house.records().contains("customer-service.billing"), "{}", house.records());
}

const RETAIL: &str = r#"
[role]
name = "retail-bot"
agents = ["agent/retail-*"]

[[allow]]
id = "read-customer"
tools = ["clinic/get_customer"]
arguments.customer_id = { like = "c-*" }
arguments.fields = { only = ["name", "email"] }
result = { only = ["name", "email"] }
hint = "ask for name and email only"

[[allow]]
id = "note"
tools = ["clinic/note"]

[[never]]
id = "system-config"
servers = ["clinic"]
touching = ["system_config"]
on_violation = "kill"
"#;

/// Story 2: a retail bot reads an email; asking for more is denied with a hint; touching system_config ends it.
#[test]
fn a_retail_bot_reads_an_email_and_is_ended_by_system_config() {
    let house = House::open(&[("retail", RETAIL)], "");
    let url = house.node.url("clinic");
    let (_place, mut bot) = house.agent("retail-1", &url, &[]);
    shake_hands(&mut bot);
    assert_eq!(tools(&mut bot, 2), ["get_customer", "note"]);
    let read = bot.ask(&call(3, "get_customer", json!({"customer_id": "c-1", "fields": ["email"]})));
    assert_eq!(read["result"]["structuredContent"]["email"], "ada@example.org", "{read}");
    assert!(!read.to_string().contains("078-05"), "more came through than may: {read}");
    let more = bot.ask(&call(4, "get_customer", json!({"customer_id": "c-1", "fields": ["email", "ssn"]})));
    assert!(is_denied(&more) && more.to_string().contains("ask for name and email only"), "{more}");
    assert_eq!(house.clinic.calls().len(), 1);

    // Deep, and in base64: "please read SYSTEM_CONFIG".
    let hidden = json!({"text": "x", "tags": {"a": [{"b": "cGxlYXNlIHJlYWQgU1lTVEVNX0NPTkZJRw=="}]}});
    bot.say(&call(5, "note", hidden));
    let ended = bot.maybe_line().unwrap_or_default();
    assert!(!ended.contains("\"kept\""), "{ended}");
    assert_eq!(house.clinic.calls().len(), 1, "it came through");
    bot.try_say(&call(6, "note", json!({"text": "harmless"})));
    let after = bot.maybe_line().unwrap_or_default();
    assert!(!after.contains("\"kept\""), "the agent goes on: {after}");
    // Neither its key nor its name helps it, over a new link either.
    let (_again, mut again) = house.agent("retail-1", &url, &[]);
    again.try_say(&initialize(1));
    let opened = again.maybe_line().unwrap_or_default();
    assert!(!opened.contains("protocolVersion"), "{opened}");
    // Others of the role go on.
    let (_other, mut other) = house.agent("retail-2", &url, &[]);
    shake_hands(&mut other);
    assert!(other.ask(&call(2, "note", json!({"text": "fine"}))).get("result").is_some());
    assert_eq!(house.clinic.calls().len(), 2);
}

const CLINIC_FACTS: &str = r#"
[[fact]]
name = "appointment"
from = "file:appointments.json"
key = "patient"
fields = { patient = "text", start = "time", end = "time" }
max_age = "10m"
deadline = "5s"

[[fact]]
name = "staff"
from = "file:staff.json"
fields = { on_duty = "integer" }
max_age = "15s"
deadline = "5s"
"#;

/// Story 3: a record is read at 14:00 with an appointment and staff on duty, and not otherwise.
#[test]
fn a_record_is_read_by_day_with_an_appointment_and_staff() {
    let day = assistant("ward-day", &zone_where_it_is(14));
    let night = assistant("ward-night", &zone_where_it_is(2));
    let house = House::open(&[("day", &day), ("night", &night)], CLINIC_FACTS);
    let put = |name: &str, text: &str| {
        let path = house.folder.path().join(name);
        std::fs::write(path.with_extension("new"), text).unwrap();
        std::fs::rename(path.with_extension("new"), path).unwrap();
    };
    let all_day = r#"{"p-1": {"patient": "p-1", "start": "2020-01-01T00:00:00Z", "end": "2999-01-01T00:00:00Z"},
        "p-2": {"patient": "p-2", "start": "2020-01-01T00:00:00Z", "end": "2020-01-02T00:00:00Z"}}"#;
    put("appointments.json", all_day);
    put("staff.json", r#"{"on_duty": 2}"#);
    let url = house.node.url("clinic");
    let (_one, mut ward) = house.agent("ward-day", &url, &[]);
    let (_two, mut night) = house.agent("ward-night", &url, &[]);
    shake_hands(&mut ward);
    shake_hands(&mut night);
    let id = &mut 10;
    put("staff.json", r#"{"on_duty": 2}"#);
    becomes(&mut ward, id, "p-1", true);
    // At 02:00; over; none at all.
    becomes(&mut night, id, "p-1", false);
    becomes(&mut ward, id, "p-2", false);
    becomes(&mut ward, id, "p-3", false);
    // Nobody on duty.
    put("staff.json", r#"{"on_duty": 0}"#);
    becomes(&mut ward, id, "p-1", false);
    put("staff.json", r#"{"on_duty": 1}"#);
    becomes(&mut ward, id, "p-1", true);
    // The roster is not kept any more.
    becomes(&mut ward, id, "p-1", false);
    let stale = house.node.run(&["facts", "list"]).stdout;
    assert!(stale.contains("LG-F002"), "{stale}");
    put("staff.json", r#"{"on_duty": 1}"#);
    becomes(&mut ward, id, "p-1", true);
    // Somebody writes something else into it.
    put("staff.json", r#"{"on_duty": "many", "as_of": "2020-01-01T00:00:00Z"}"#);
    put("appointments.json", "{");
    becomes(&mut ward, id, "p-1", false);
    assert!(house.clinic.calls().iter().all(|call| call["arguments"]["patient"] == "p-1"));
}

/// Story 4: patient data flows over a quantum-safe link only.
#[test]
fn a_record_is_read_over_a_quantum_safe_link_only() {
    let role = r#"
[role]
name = "ward"
agents = ["agent/ward-*"]

[[allow]]
id = "read-record"
tools = ["clinic/read_record"]
link = { quantum_safe = true }

[[allow]]
id = "note"
tools = ["clinic/note"]
"#;
    let house = House::open(&[("ward", role)], "[node]\nprofile = \"pq-transition\"\nforeign = \"off\"");
    let url = house.node.url("clinic");
    let (_one, mut safe) = house.agent("ward-1", &url, &["--profile", "pq-transition"]);
    shake_hands(&mut safe);
    assert!(safe.ask(&call(2, "read_record", json!({"patient": "p-1"}))).get("result").is_some());
    // Without post-quantum key exchange the link goes on, as its profile says, and the records stop.
    let ban = |name: &str| house.node.run(&["crypto", "ban", name, "--reason", "a test", "--drain", "5s"]);
    for family in ["MLKEM768", "MLKEM1024"] {
        let banned = ban(family);
        assert_eq!(banned.code, 0, "{}", banned.stderr);
    }
    let id = &mut 10;
    becomes(&mut safe, id, "p-1", false);
    *id += 1;
    assert!(safe.ask(&call(*id, "note", json!({"text": "x"}))).get("result").is_some());
    let links = house.node.run(&["status", "--output", "json"]).json();
    assert!(links["links"].to_string().contains("\"quantum_safe\":false"), "{links:#}");
}

/// Story 5: in two roles, an agent gets no more than both allow where one of them says never.
#[test]
fn two_roles_are_no_more_than_both_allow() {
    let reader = r#"
[role]
name = "reader"
agents = ["agent/dual", "agent/single"]

[[allow]]
id = "all"
tools = ["clinic/*"]
"#;
    let careful = r#"
[role]
name = "careful"
agents = ["agent/dual"]

[[allow]]
id = "note"
tools = ["clinic/note"]

[[never]]
id = "records"
tools = ["clinic/read_record"]
"#;
    let house = House::open(&[("reader", reader), ("careful", careful)], "");
    let url = house.node.url("clinic");
    let (_one, mut single) = house.agent("single", &url, &[]);
    let (_two, mut dual) = house.agent("dual", &url, &[]);
    shake_hands(&mut single);
    shake_hands(&mut dual);
    assert!(single.ask(&call(2, "read_record", json!({"patient": "p-1"}))).get("result").is_some());
    let denied = dual.ask(&call(2, "read_record", json!({"patient": "p-1"})));
    assert!(is_denied(&denied) && denied.to_string().contains("careful.records"), "{denied}");
    assert!(!tools(&mut dual, 3).contains(&"read_record".to_owned()));
    assert!(dual.ask(&call(4, "note", json!({"text": "x"}))).get("result").is_some());
    assert!(dual.ask(&call(5, "get_customer", json!({"customer_id": "c-1"}))).get("result").is_some());
}
