//! What a server says of its own accord, under the rules for its results.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use lockgate_mcp::project::{Fields, said};
use lockgate_mcp::{Limits, Message};
use proptest::prelude::*;

fn fields(only: Option<&[&str]>, hidden: &[&str]) -> Fields {
    Fields::new(only.map(|only| only.iter().copied()), hidden.iter().copied()).unwrap()
}

fn message(method: &str, params: &str, id: &str) -> Message {
    let text = format!(r#"{{"jsonrpc":"2.0",{id}"method":"{method}","params":{params}}}"#);
    Message::decode(text.into(), &Limits::default()).unwrap()
}

/// The params that pass; none if the message does not.
fn passed(message: &Message, fields: &Fields) -> Option<String> {
    let passed = said(message, fields)?.message;
    assert_eq!((passed.kind(), passed.method()), (message.kind(), message.method()));
    assert_eq!(passed.id_raw(), message.id_raw());
    Some(passed.params_raw().unwrap().to_owned())
}

#[test]
fn notifications_keep_what_is_of_the_protocol() {
    let only = fields(Some(&["name"]), &[]);
    for (method, params, expected) in [
        (
            "progress",
            r#"{"progressToken":"t","progress":1.50,"total":2,"message":"ssn 1","x":1}"#,
            Some(r#"{"progressToken":"t","progress":1.50,"total":2}"#),
        ),
        ("progress", r#"{"progressToken":1,"progress":"ssn 1"}"#, Some(r#"{"progressToken":1}"#)),
        (
            "message",
            r#"{"level":"info","logger":"ssn 1","data":{"ssn":1}}"#,
            Some(r#"{"level":"info","data":"[withheld by policy]"}"#),
        ),
        ("cancelled", r#"{"requestId":7,"reason":"ssn 1"}"#, Some(r#"{"requestId":7}"#)),
        ("resources/updated", r#"{"uri":"file:///a","title":"ssn 1"}"#, Some(r#"{"uri":"file:///a"}"#)),
        ("tools/list_changed", r#"{"why":"ssn 1"}"#, Some("{}")),
        (
            "tools/list_changed",
            r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":3,"why":"ssn 1"}}"#,
            Some(r#"{"_meta":{"io.modelcontextprotocol/subscriptionId":3}}"#),
        ),
        (
            "subscriptions/acknowledged",
            r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["file:///a",{"ssn":1}],"n":"ssn"}}"#,
            Some(r#"{"notifications":{"toolsListChanged":true,"resourceSubscriptions":["file:///a"]}}"#),
        ),
        (
            "tasks/status",
            r#"{"taskId":"t","status":"working","statusMessage":"ssn 1","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t","x":"ssn"}}}"#,
            Some(
                r#"{"taskId":"t","status":"working","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"t"}}}"#,
            ),
        ),
        (
            "tasks",
            r#"{"taskId":"t","status":"completed","result":{"structuredContent":{"name":1,"ssn":2}}}"#,
            Some(r#"{"taskId":"t","status":"completed","result":{"structuredContent":{"name":1}}}"#),
        ),
        ("tasks/status", r#"{"statusMessage":"ssn 1"}"#, None),
        ("of/a/vendor", r#"{"x":1}"#, None),
    ] {
        let message = message(&format!("notifications/{method}"), params, "");
        assert_eq!(passed(&message, &only).as_deref(), expected, "{method} {params}");
    }
}

#[test]
fn what_is_hidden_is_not_said_beside() {
    let hidden = fields(None, &["ssn"]);
    for (method, params, expected) in [
        (
            "progress",
            r#"{"progressToken":"t","progress":1,"message":"his SSN is 1"}"#,
            Some(r#"{"progressToken":"t","progress":1,"message":"[withheld by policy]"}"#),
        ),
        ("progress", r#"{ "progress" : 1.0 }"#, Some(r#"{ "progress" : 1.0 }"#)),
        ("message", r#"{"data":{"a":1,"ssn":2}}"#, Some(r#"{"data":{"a":1}}"#)),
        ("message", r#"{"data":{"a":1,"a":2}}"#, None),
        ("ssn_is_1", "{}", None),
    ] {
        let message = message(&format!("notifications/{method}"), params, "");
        assert_eq!(passed(&message, &hidden).as_deref(), expected, "{method} {params}");
    }
}

#[test]
fn questions_pass_whole_or_not_at_all() {
    let (only, hidden) = (fields(Some(&["name"]), &[]), fields(None, &["ssn"]));
    let asks = r#"{"messages":[{"role":"user","content":{"type":"text","text":"what of"}}]}"#;
    for (method, params, id, by_only, by_hidden) in [
        ("ping", "{}", "7", true, true),
        ("ping", r#"{"why":"his ssn"}"#, "7", false, false),
        ("roots/list", r#"{"_meta":{"progressToken":1}}"#, "\"a\"", true, true),
        ("sampling/createMessage", asks, "7", false, true),
        ("elicitation/create", r#"{"message":"is his ssn 1?"}"#, "7", false, false),
        ("ping", "{}", "\"his ssn is 1\"", true, false),
    ] {
        let message = message(method, params, &format!("\"id\":{id},"));
        for (fields, passes) in [(&only, by_only), (&hidden, by_hidden)] {
            let passed = said(&message, fields);
            assert_eq!(passed.is_some(), passes, "{method} {params}");
            assert!(passed.is_none_or(|passed| passed.message.bytes() == message.bytes()));
        }
    }
}

#[test]
fn members_beside_the_message_do_not_pass() {
    let raw = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progress":1},"leak":"x"}"#;
    let message = Message::decode(raw.into(), &Limits::default()).unwrap();
    for fields in [fields(Some(&["name"]), &[]), fields(None, &["ssn"])] {
        assert!(!said(&message, &fields).unwrap().message.text().contains("leak"));
    }
    assert_eq!(said(&message, &Fields::default()).unwrap().message.text(), raw);
}

proptest! {
    /// Whatever is said, no word of it is in what passes under `only`, and what passes is a message.
    #[test]
    fn no_free_text_survives(method in prop::sample::select(vec![
            "progress", "message", "cancelled", "tools/list_changed", "tasks/status", "tasks", "x",
            "subscriptions/acknowledged", "elicitation/complete"]),
        name in prop::sample::select(vec!["message", "data", "reason", "statusMessage", "_meta", "notifications", "progress", "x", "error", "task"]),
        wrapped in 0..4usize) {
        const SECRET: &str = "what nobody may read, which is a sentence and longer than any word of the protocol would ever be, because words are short and this is not one of them";
        let text = format!("\"{SECRET}\"");
        let value = [text.clone(), format!("[{text}]"), format!(r#"{{"message":{text}}}"#), format!(r#"{{"x":{{"y":{text}}}}}"#)];
        let params = format!(r#"{{"taskId":"t","{name}":{}}}"#, value[wrapped]);
        let text = format!(r#"{{"jsonrpc":"2.0","method":"notifications/{method}","params":{params}}}"#);
        let Ok(message) = Message::decode(text.into(), &Limits::default()) else { return Ok(()) };
        if let Some(passed) = said(&message, &fields(Some(&["name"]), &[])) {
            prop_assert!(!passed.message.text().contains("nobody"), "{}", passed.message.text());
            Message::decode(passed.message.bytes().clone(), &Limits::default()).unwrap();
        }
    }
}
