//! Consequences, approvals, rates, shadow policies and results: tables of
//! policy sets and what becomes of one call.

use std::collections::BTreeSet;

use lockgate_policy::{
    Approval, Cause, Circumstances, Consequence, Definition, Definitions, Denial, FactShape, FactType,
    FactValues, Options, Permit, Policies, Query, Source,
};
use serde_json::json;

use crate::subjects::{AGENT, agent, policies, request_with};

const NOW: u64 = 1_800_000_000_000;

/// Decides on `crm/read` with some arguments.
fn decide(
    policies: &Policies,
    arguments: serde_json::Value,
    circumstances: &Circumstances<'_>,
) -> Result<Permit, Denial> {
    let caller = agent(AGENT);
    let message = request_with("tools/call", "read", arguments);
    let query = Query {
        caller: &caller,
        server: "crm",
        method: "tools/call",
        name: Some("read"),
        posture: None,
        loopback: true,
    };
    policies.decide(query, circumstances, message)
}

fn word(answer: &Result<Permit, Denial>) -> &'static str {
    match answer {
        Ok(_) => "permit",
        Err(denial) => match denial.consequence {
            Consequence::Deny => "deny",
            Consequence::Hold { .. } => "hold",
            Consequence::Kill => "kill",
        },
    }
}

const PERMIT: &str = "@id(\"p\") permit(principal, action, resource);";
const ASKING: &str = "@id(\"a\") @approval(\"required\") permit(principal, action, resource);";
const FALSE: &str = "permit(principal, action, resource) when { context.link.encrypted };";
const FORBID: &str = "forbid(principal, action, resource);";
const FAILS: &str = "forbid(principal, action, resource) when { 9223372036854775807 + 1 == 0 };";

#[test]
fn what_follows() {
    for (set, expected, cause) in [
        (String::new(), "deny", Some(Cause::NotPermitted)),
        (PERMIT.to_owned(), "permit", None),
        // A forbid and its consequence, whatever is permitted.
        (format!("{PERMIT} {FORBID}"), "deny", Some(Cause::Forbidden)),
        (format!("{PERMIT} @on_violation(\"deny\") {FORBID}"), "deny", Some(Cause::Forbidden)),
        (format!("{PERMIT} @on_violation(\"kill\") {FORBID}"), "kill", Some(Cause::Forbidden)),
        (format!("@on_violation(\"kill\") {FORBID}"), "kill", Some(Cause::Forbidden)),
        (format!("{PERMIT} @on_violation(\"hold\") {FORBID}"), "hold", Some(Cause::Held)),
        (format!("{PERMIT} @on_violation(\"hold\") {FORBID} {FORBID}"), "deny", Some(Cause::Forbidden)),
        (
            format!("{PERMIT} @on_violation(\"hold\") {FORBID} @on_violation(\"kill\") {FORBID}"),
            "kill",
            Some(Cause::Forbidden),
        ),
        // Nobody is asked for a yes that would change nothing.
        (format!("@on_violation(\"hold\") {FORBID}"), "deny", Some(Cause::Forbidden)),
        // Approval.
        (ASKING.to_owned(), "hold", Some(Cause::Held)),
        (format!("{ASKING} {PERMIT}"), "permit", None),
        (format!("{ASKING} {FORBID}"), "deny", Some(Cause::Forbidden)),
        // Permits that do not match.
        (FALSE.to_owned(), "deny", Some(Cause::NotPermitted)),
        (format!("@on_violation(\"kill\") {FALSE}"), "kill", Some(Cause::NotPermitted)),
        (format!("@on_violation(\"hold\") {FALSE}"), "hold", Some(Cause::Held)),
        (
            format!("@on_violation(\"hold\") {FALSE} @on_violation(\"kill\") {FALSE}"),
            "kill",
            Some(Cause::NotPermitted),
        ),
        (format!("@on_violation(\"kill\") {FALSE} {PERMIT}"), "permit", None),
        // What fails denies.
        (format!("{PERMIT} {FAILS}"), "deny", Some(Cause::PolicyFailed)),
        (format!("{PERMIT} @on_violation(\"kill\") {FAILS}"), "deny", Some(Cause::PolicyFailed)),
        (format!("{PERMIT} @on_violation(\"kill\") {FORBID} {FAILS}"), "deny", Some(Cause::PolicyFailed)),
        // Shadow policies change nothing.
        (format!("@mode(\"shadow\") {PERMIT}"), "deny", Some(Cause::NotPermitted)),
        (format!("{PERMIT} @mode(\"shadow\") @on_violation(\"kill\") {FORBID}"), "permit", None),
        (format!("{PERMIT} @mode(\"shadow\") {FAILS}"), "permit", None),
        (format!("@mode(\"shadow\") @on_violation(\"kill\") {FALSE}"), "deny", Some(Cause::NotPermitted)),
    ] {
        let policies = policies(&set);
        for _ in 0..2 {
            let answer = decide(&policies, json!({}), &Circumstances::at(NOW));
            assert_eq!(word(&answer), expected, "{set}");
            assert_eq!(answer.err().map(|denial| denial.cause), cause, "{set}");
        }
    }
}

#[test]
fn shadow_policies_say_what_they_would_do() {
    for (set, expected) in [
        (format!("{PERMIT} @id(\"s\") @mode(\"shadow\") {FORBID}"), Some("deny by s instead of permit")),
        (
            format!("@id(\"s\") @mode(\"shadow\") {}", PERMIT.replace("@id(\"p\")", "")),
            Some("permit by s instead of deny"),
        ),
        (format!("{PERMIT} @id(\"s\") @mode(\"shadow\") {FAILS}"), Some("s could not be evaluated")),
        (format!("{FORBID} @id(\"s\") @mode(\"shadow\") {FORBID}"), None),
        (format!("{PERMIT} @id(\"s\") @mode(\"shadow\") {FALSE}"), None),
    ] {
        let answer = decide(&policies(&set), json!({}), &Circumstances::at(NOW));
        let shadow = match &answer {
            Ok(permit) => permit.shadow().map(str::to_owned),
            Err(denial) => denial.shadow.clone(),
        };
        assert_eq!(shadow.as_deref(), expected, "{set}");
    }
}

#[test]
fn an_approval_is_good_for_its_call_and_its_policies() {
    let held = |policies: &Policies, arguments| {
        let denial = decide(policies, arguments, &Circumstances::at(NOW)).unwrap_err();
        let Consequence::Hold { digest, .. } = denial.consequence else { panic!("{denial}") };
        (digest, denial.policies)
    };
    let hold = format!("@id(\"h\") @on_violation(\"hold\") {FORBID}");
    for (set, holders) in [
        (ASKING.to_owned(), vec!["a"]),
        (format!("{PERMIT} {hold}"), vec!["h"]),
        (format!("{ASKING} {hold}"), vec!["h", "a"]),
        (format!("@id(\"f\") @on_violation(\"hold\") {FALSE}"), vec!["f"]),
    ] {
        let policies = policies(&set);
        let (digest, named) = held(&policies, json!({"id": 1, "x": "y"}));
        assert_eq!(named, holders, "{set}");
        let approval = Approval { digest, policies: named, by: "ops".to_owned() };
        let with = |approval: &Approval, arguments| {
            let circumstances = Circumstances { approval: Some(approval), ..Circumstances::at(NOW) };
            decide(&policies, arguments, &circumstances)
        };
        let permit = with(&approval, json!({"x": "y", "id": 1})).unwrap();
        assert_eq!(permit.approved_by(), Some("ops"), "{set}");
        assert!(holders.iter().all(|id| permit.policies().iter().any(|own| own == id)), "{set}");
        assert_eq!(word(&with(&approval, json!({"id": 2, "x": "y"}))), "hold", "{set}");
        let fewer = Approval { policies: Vec::new(), ..approval.clone() };
        assert_eq!(word(&with(&fewer, json!({"id": 1, "x": "y"}))), "hold", "{set}");
        let more = self::policies(&format!("{set} @id(\"later\") {FORBID}"));
        let circumstances = Circumstances { approval: Some(&approval), ..Circumstances::at(NOW) };
        assert_eq!(word(&decide(&more, json!({"id": 1, "x": "y"}), &circumstances)), "deny", "{set}");
    }
}

#[test]
fn rates_use_up_permits_and_outlive_a_reload() {
    let text = "@id(\"r\") @rate(\"2/minute\") permit(principal, action, resource);";
    let first = policies(text);
    assert_eq!(word(&decide(&first, json!({}), &Circumstances::at(NOW))), "permit");
    let again = first.parse_again(&[Source { name: "policy.cedar", text }], &Options::bare(8)).unwrap();
    assert_eq!(word(&decide(&again, json!({}), &Circumstances::at(NOW))), "permit");
    let denial = decide(&again, json!({}), &Circumstances::at(NOW)).unwrap_err();
    assert_eq!((denial.cause, denial.retry_ms), (Cause::RateLimited, Some(30_000)));
    assert_eq!(denial.policies, ["r"]);
    assert_eq!(word(&decide(&again, json!({}), &Circumstances::at(NOW + 30_000))), "permit");
    // Another permit is enough.
    let two = policies(&format!("{text} {PERMIT}"));
    for n in 0..5 {
        let permit = decide(&two, json!({}), &Circumstances::at(NOW)).unwrap();
        assert_eq!(permit.policies().len(), if n < 2 { 2 } else { 1 });
    }
}

#[test]
fn results_are_what_permits_let_pass() {
    let permit = |annotations: &str| format!("{annotations} permit(principal, action, resource);");
    let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
    for (all, only, hidden) in [
        (vec!["@result_fields(\"a,b\")"], Some(set(&["a", "b"])), set(&[])),
        (vec!["@result_fields(\"a\")", "@result_fields(\"b.c\")"], Some(set(&["a", "b.c"])), set(&[])),
        (vec!["@result_fields(\"a\")", "@result_hidden(\"x\")"], None, set(&["x"])),
        (vec!["@result_fields(\"x\")", "@result_hidden(\"x,y\")"], None, set(&["y"])),
        (vec!["@result_fields(\"a\")", ""], None, set(&[])),
        (vec!["@result_hidden(\"x,y\")", "@result_hidden(\"y,z\")"], None, set(&["y"])),
        (vec!["@result_fields(\"\")"], Some(set(&[])), set(&[])),
    ] {
        let text: String = all.iter().map(|annotations| permit(annotations)).collect();
        let permit = decide(&policies(&text), json!({}), &Circumstances::at(NOW)).unwrap();
        match permit.result() {
            Some(result) => assert_eq!((&result.only, &result.hidden), (&only, &hidden), "{text}"),
            None => assert_eq!((None, set(&[])), (only, hidden), "{text}"),
        }
    }
}

/// What a person approved was looked at with the texts that travel beside it.
#[test]
fn an_approval_is_good_for_the_texts_that_policies_searched() {
    const CAREFUL: &str = "@id(\"c\") @on_violation(\"hold\") forbid(principal, action, resource)";
    let searching = format!("{PERMIT} {CAREFUL} when {{ context.touched.contains(\"system_config\") }};");
    let blind = format!("{PERMIT} {CAREFUL};");
    let digest = |set: &str, carried: &[&str], meta: &str| {
        let caller = agent(AGENT);
        let params = format!(r#"{{"name":"read","arguments":{{"a":"system_config"}}{meta}}}"#);
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        let message = lockgate_mcp::Message::decode(text.into(), &lockgate_mcp::Limits::default()).unwrap();
        let (server, method, name) = ("crm", "tools/call", Some("read"));
        let query = Query { caller: &caller, server, method, name, posture: None, loopback: true };
        let circumstances = Circumstances { carried, ..Circumstances::at(NOW) };
        match policies(set).decide(query, &circumstances, message).unwrap_err().consequence {
            Consequence::Hold { digest, beside } => {
                // Whoever approves sees what counts.
                let counting = carried.iter().filter(|text| set == searching && !text.contains("0af76519"));
                for text in counting.filter(|text| !text.contains("1bf7651916cd")) {
                    assert!(beside.iter().any(|shown| shown == text), "{text}: {beside:?}");
                }
                let asks = meta.contains("inputResponses");
                assert_eq!(beside.iter().any(|shown| shown.contains("inputResponses")), asks, "{beside:?}");
                digest
            }
            other => panic!("{other:?}"),
        }
    };
    let id = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let other_id = "00-1bf7651916cd43dd8448eb211c80319c-b7ad6b7169203332-01";
    let word_as_id = "73797374656d5f636f6e666967";
    let asked = |n: u8| format!(r#","inputResponses":{{"q":{n}}}"#);
    let token = |n: u8| format!(r#","_meta":{{"progressToken":{n}}}"#);
    let hidden = |n: u8| format!(r#","_meta":{{"x":"system_config {n}"}}"#);
    for (one, other, same) in [
        ((["x-note", "a"], String::new()), (["x-note", "a"], String::new()), true),
        ((["x-note", "a"], String::new()), (["x-note", "b"], String::new()), false),
        ((["x-note", "a"], String::new()), (["x-mote", "a"], String::new()), false),
        ((["traceparent", id], String::new()), (["traceparent", other_id], String::new()), true),
        ((["traceparent", id], String::new()), (["traceparent", word_as_id], String::new()), false),
        ((["x-note", "a"], token(1)), (["x-note", "a"], token(2)), true),
        ((["x-note", "a"], hidden(1)), (["x-note", "a"], hidden(2)), false),
    ] {
        let of = |set: &str, (carried, meta): &([&str; 2], String)| digest(set, carried, meta);
        assert_eq!(of(&searching, &one) == of(&searching, &other), same, "{one:?} {other:?}");
        assert_eq!(of(&blind, &one), of(&blind, &other), "nobody looked into it: {one:?} {other:?}");
    }
    let of = |further: &str| digest(&blind, &[], further);
    assert_eq!(of(&asked(1)), of(&asked(1)));
    assert_ne!(of(&asked(1)), of(&asked(2)), "what the client answers to questions is part of the call");
    let number = |n: &str| format!(r#","task":{{"ttl":{n}}}"#);
    assert_ne!(of(&number("12345678901234567890123")), of(&number("12345678901234567890124")));
}

/// What goes to a server is searched, wherever in a message it stands.
#[test]
fn words_are_found_in_answers_of_clients_and_beside_the_message() {
    let set = policies(&format!(
        "{PERMIT} @on_violation(\"kill\") forbid(principal, action, resource) \
         when {{ context.touched.contains(\"system_config\") }};"
    ));
    for (text, expected) in [
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"system_config"}}"#, "kill"),
        (r#"{"jsonrpc":"2.0","id":1,"result":{"content":{"text":"see system-config"}}}"#, "kill"),
        (r#"{"jsonrpc":"2.0","id":1,"error":{"code":-1,"message":"c3lzdGVtX2NvbmZpZw=="}}"#, "kill"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","extra":{"system":{"config":1}}}"#, "kill"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","system_config":1}"#, "kill"),
        (r#"{"jsonrpc":"2.0","id":"system_config","method":"ping"}"#, "kill"),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping","extra":"system"}"#, "permit"),
        (r#"{"jsonrpc":"2.0","id":1,"result":{"content":"fine"}}"#, "permit"),
    ] {
        let message = lockgate_mcp::Message::decode(text.into(), &lockgate_mcp::Limits::default()).unwrap();
        let caller = agent(AGENT);
        let method = message.method().unwrap_or(lockgate_policy::RESPONSE).to_owned();
        let (server, method) = ("crm", method.as_str());
        let query = Query { caller: &caller, server, method, name: None, posture: None, loopback: true };
        assert_eq!(word(&set.decide(query, &Circumstances::at(NOW), message)), expected, "{text}");
    }
}

/// A server may read `ID` where the policy has checked `id`.
#[test]
fn names_that_differ_only_in_case_deny_where_policies_read_arguments() {
    let twice = json!({"customer": {"id": "c-1", "ID": "c-2"}});
    for (condition, denied) in [
        ("context.names.contains(\"customer\")", true),
        ("context.scan.paths.contains(\"customer.id\")", true),
        ("context.link.loopback", false),
    ] {
        let set = policies(&format!("permit(principal, action, resource) when {{ {condition} }};"));
        assert_eq!(
            word(&decide(&set, json!({"customer": {"id": "c-1"}}), &Circumstances::at(NOW))),
            "permit"
        );
        let answer = decide(&set, twice.clone(), &Circumstances::at(NOW));
        assert_eq!(word(&answer) == "deny", denied, "{condition}");
        if let Err(denial) = answer {
            assert_eq!(denial.cause, Cause::Misfit);
            assert!(denial.reason.contains("only in case"), "{}", denial.reason);
        }
    }
}

fn retail(text: &str) -> Policies {
    let json = json!({"name": "read", "inputSchema": {"type": "object", "properties": {
        "fields": {"type": "array", "items": {"type": "string"}},
        "limit": {"type": "integer"},
        "id": {"type": "string"},
    }}})
    .to_string();
    let definition = Definition { server: "crm".into(), tool: "read".into(), sha256: "1".into(), json };
    let definitions = Definitions::new([definition]);
    let fields = [("on_duty".to_owned(), FactType::Integer), ("until".to_owned(), FactType::Time)].into();
    let facts = [FactShape { name: "staff".into(), fields, key: None }];
    let options = Options { definitions: &definitions, facts: &facts, ..Options::bare(7) };
    match Policies::parse(&[Source { name: "/etc/policy.cedar", text }], &options) {
        Ok(policies) => policies,
        Err(errors) => panic!("{}", errors.iter().map(|e| format!("{e}\n")).collect::<String>()),
    }
}

const RETAIL: &str = "@id(\"retail\") permit(principal, action in Lockgate::Action::\"tools/call\", \
    resource == Lockgate::Tool::\"crm/read\") when {";

#[test]
fn arguments_are_weighed_and_denials_say_what_was_wrong() {
    let fields = "context.input has fields && [\"name\", \"email\"].containsAll(context.input.fields)";
    for (condition, arguments, reason) in [
        (fields, json!({"fields": ["name"]}), None),
        (
            fields,
            json!({"fields": ["name", "ssn"]}),
            Some("fields has \"ssn\", which is not in [\"name\", \"email\"]"),
        ),
        (fields, json!({}), Some("the argument fields is missing")),
        ("context.input has limit && context.input.limit <= 50", json!({"limit": 50}), None),
        (
            "context.input has limit && context.input.limit <= 50",
            json!({"limit": 51}),
            Some("limit is 51, and must be <= 50"),
        ),
        ("context.input has id && context.input.id like \"c-*\"", json!({"id": "c-1"}), None),
        (
            "context.input has id && context.input.id like \"c-*\"",
            json!({"id": "d-1"}),
            Some("id is \"d-1\", which is not like \"c-*\""),
        ),
        (
            "context.input has id && context.input.id like \"c-*\"",
            json!({"id": "secret".repeat(20)}),
            Some("id is not like \"c-*\""),
        ),
        ("context.names.contains(\"id\")", json!({"id": "x"}), None),
        ("!context.scan.paths.contains(\"id.ssn\")", json!({"extra": {"ssn": 1}}), None),
        ("context.facts has staff && context.facts.staff.on_duty > 0", json!({}), None),
        ("context.facts has ward", json!({}), Some("")),
    ] {
        if reason == Some("") {
            continue;
        }
        let policies = retail(&format!("{RETAIL} {condition} }};"));
        let mut facts = FactValues::new();
        let record = json!({"on_duty": 1, "until": "2026-11-22T18:00:00+01:00"});
        facts.insert("staff", record.as_object().unwrap().clone());
        let circumstances = Circumstances { facts: &facts, ..Circumstances::at(NOW) };
        let answer = decide(&policies, arguments.clone(), &circumstances);
        match (answer, reason) {
            (Ok(_), None) => {}
            (Err(denial), Some(reason)) => {
                assert!(denial.reason.contains(reason), "{condition}: {}", denial.reason);
                assert!(denial.reason.contains("`retail` (/etc/policy.cedar:1)"), "{}", denial.reason);
                assert!(!denial.reason.contains("secretsecret"), "{}", denial.reason);
            }
            (answer, _) => panic!("{condition} {arguments}: {answer:?}"),
        }
    }
}

#[test]
fn facts_that_are_missing_or_not_as_declared_do_not_help() {
    let policies = retail(&format!(
        "{RETAIL} context.facts has staff && context.facts.staff.on_duty > 0 && \
         context.now < context.facts.staff.until }};"
    ));
    for (record, expected) in [
        (Some(json!({"on_duty": 1, "until": "2099-01-01T00:00:00Z"})), "permit"),
        (Some(json!({"on_duty": 0, "until": "2099-01-01T00:00:00Z"})), "deny"),
        (Some(json!({"on_duty": 1, "until": "2020-01-01T00:00:00Z"})), "deny"),
        (Some(json!({"on_duty": "1", "until": "2099-01-01T00:00:00Z"})), "deny"),
        (Some(json!({"on_duty": 1, "until": "tomorrow"})), "deny"),
        (Some(json!({"on_duty": 1})), "deny"),
        (None, "deny"),
    ] {
        let mut facts = FactValues::new();
        if let Some(record) = &record {
            facts.insert("staff", record.as_object().unwrap().clone());
        }
        let circumstances = Circumstances { facts: &facts, ..Circumstances::at(NOW) };
        assert_eq!(word(&decide(&policies, json!({}), &circumstances)), expected, "{record:?}");
    }
    let caller = agent(AGENT);
    let query =
        |method, name| Query { caller: &caller, server: "crm", method, name, posture: None, loopback: true };
    let needed = policies.needed_facts(&query("tools/call", Some("read")));
    assert_eq!(needed.iter().map(|fact| fact.name.as_str()).collect::<Vec<_>>(), ["staff"]);
    assert!(policies.needed_facts(&query("tools/call", Some("other"))).is_empty());
    assert!(policies.allows(&query("tools/call", Some("read"))));
}

#[test]
fn arguments_that_do_not_fit_the_definition_deny_although_a_permit_asks_nothing() {
    let policies = retail(&format!(
        "{PERMIT} forbid(principal, action, resource == Lockgate::Tool::\"crm/read\") \
         when {{ context.input has limit && context.input.limit > 10 }};"
    ));
    for (arguments, cause) in [
        (json!({"limit": 5}), None),
        (json!({"limit": 11}), Some(Cause::Forbidden)),
        (json!({"limit": "11"}), Some(Cause::Misfit)),
        (json!({"limit": 1e300}), Some(Cause::Misfit)),
    ] {
        let answer = decide(&policies, arguments.clone(), &Circumstances::at(NOW));
        assert_eq!(answer.err().map(|denial| denial.cause), cause, "{arguments}");
    }
}

#[test]
fn local_time_follows_daylight_saving() {
    // Clocks go forward on 29 March 2026 at 02:00 in Berlin, on 8 March in New York.
    for (zone, at, minute_of_day, weekday, date) in [
        ("Europe/Berlin", "2026-03-29T00:59:59Z", 119, "sun", "2026-03-29"),
        ("Europe/Berlin", "2026-03-29T01:00:00Z", 180, "sun", "2026-03-29"),
        ("Europe/Berlin", "2026-10-25T00:30:00Z", 150, "sun", "2026-10-25"),
        ("Europe/Berlin", "2026-10-25T01:30:00Z", 150, "sun", "2026-10-25"),
        ("Europe/Berlin", "2026-11-22T23:30:00Z", 30, "mon", "2026-11-23"),
        ("America/New_York", "2026-03-08T06:59:00Z", 119, "sun", "2026-03-08"),
        ("America/New_York", "2026-03-08T07:00:00Z", 180, "sun", "2026-03-08"),
        ("America/New_York", "2026-11-01T05:30:00Z", 90, "sun", "2026-11-01"),
        ("America/New_York", "2026-11-01T06:30:00Z", 90, "sun", "2026-11-01"),
        ("UTC", "2026-11-22T23:59:00Z", 1439, "sun", "2026-11-22"),
    ] {
        let now = cedar_ms(at);
        let policies = policies(&format!(
            "permit(principal, action, resource) when {{ context.local has \"{zone}\" && \
             context.local[\"{zone}\"].minute_of_day == {minute_of_day} && \
             context.local[\"{zone}\"].hour == {} && context.local[\"{zone}\"].minute == {} && \
             context.local[\"{zone}\"].weekday == \"{weekday}\" && context.local[\"{zone}\"].date == \"{date}\" && \
             context.now == datetime(\"{at}\") }};",
            minute_of_day / 60,
            minute_of_day % 60
        ));
        let answer = decide(&policies, json!({}), &Circumstances::at(now));
        assert_eq!(word(&answer), "permit", "{zone} {at}: {answer:?}");
    }
}

/// Milliseconds since 1970 of a time in 2026.
fn cedar_ms(at: &str) -> u64 {
    at.parse::<jiff::Timestamp>().unwrap().as_millisecond().try_into().unwrap()
}

#[test]
fn connecting_needs_something_to_do_there() {
    let caller = agent(AGENT);
    let permit = |scope: &str| format!("@id(\"p\") permit({scope});");
    for (set, crm, mail) in [
        (String::new(), false, false),
        (permit("principal, action, resource"), true, true),
        (
            permit(
                "principal, action in Lockgate::Action::\"tools/call\", resource == Lockgate::Tool::\"crm/read\"",
            ),
            true,
            false,
        ),
        (
            permit("principal, action in Lockgate::Action::\"use\", resource in Lockgate::Server::\"crm\""),
            true,
            false,
        ),
        (permit("principal is Lockgate::LocalUser, action, resource"), false, false),
        (permit("principal in Lockgate::Role::\"ops\", action, resource"), false, false),
        (
            permit(
                "principal, action == Lockgate::Action::\"connect\", resource == Lockgate::Server::\"crm\"",
            ),
            true,
            false,
        ),
        (
            format!(
                "{} forbid(principal, action, resource in Lockgate::Server::\"crm\");",
                permit("principal, action, resource")
            ),
            false,
            true,
        ),
        // What rests on the call itself does not keep anybody from connecting.
        (
            format!(
                "{} forbid(principal, action, resource) when {{ context.touched.contains(\"system_config\") }};\
                 forbid(principal, action, resource) unless {{ context.names.contains(\"a\") }};",
                permit("principal, action, resource")
            ),
            true,
            true,
        ),
        (format!("{} @mode(\"shadow\") {FORBID}", permit("principal, action, resource")), true, true),
    ] {
        let policies = policies(&set);
        for (server, expected) in [("crm", crm), ("mail", mail)] {
            for _ in 0..2 {
                let answer = policies.connect(&caller, server, None, true, NOW);
                assert_eq!(answer.is_ok(), expected, "{set} {server} {answer:?}");
            }
        }
    }
    let kill = policies(&format!("{PERMIT} @on_violation(\"kill\") {FORBID}"));
    assert_eq!(kill.connect(&caller, "crm", None, true, NOW).unwrap_err().consequence, Consequence::Kill);
}

#[test]
fn lists_hide_what_could_never_be() {
    let caller = agent(AGENT);
    let query = Query {
        caller: &caller,
        server: "crm",
        method: "tools/call",
        name: Some("read"),
        posture: None,
        loopback: true,
    };
    for (set, expected) in [
        (String::new(), false),
        (PERMIT.to_owned(), true),
        (ASKING.to_owned(), true),
        (FALSE.to_owned(), false),
        (format!("@on_violation(\"hold\") {FALSE}"), true),
        (format!("{PERMIT} {FORBID}"), false),
        (format!("{PERMIT} @on_violation(\"hold\") {FORBID}"), true),
        ("permit(principal, action, resource) when { context.names.contains(\"a\") };".to_owned(), true),
        (
            "permit(principal, action, resource) when { context.link.encrypted && context.names.contains(\"a\") };".to_owned(),
            false,
        ),
        (format!("{PERMIT} forbid(principal, action, resource) when {{ context.scan.text like \"*x*\" }};"), true),
        (
            format!("{PERMIT} forbid(principal, action, resource) when {{ context.scan.text like \"*x*\" || true }};"),
            true,
        ),
        ("permit(principal, action, resource) when { context.local[\"UTC\"].hour < 8 };".to_owned(), true),
    ] {
        let policies = policies(&set);
        for _ in 0..2 {
            assert_eq!(policies.allows(&query), expected, "{set}");
        }
    }
}
