//! The screen on calls.

use lockgate_detect::{Detector, Scene, Severity};

use crate::material::{call, observe, permit, tool};

#[test]
fn what_is_not_held_passes_with_the_message_it_was_permitted_for() {
    let detector = Detector::new(Vec::new());
    for raw in [
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        r#"{"jsonrpc":"2.0","id":2,"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"never_listed"}}"#,
    ] {
        let screened = detector.screen_call(permit("s", raw), &Scene::default()).unwrap();
        assert_eq!(screened.message().text(), raw);
        assert!(screened.findings().is_empty());
        let (permit, findings) = screened.into_parts();
        assert_eq!((permit.server(), findings.len()), ("s", 0));
    }
}

#[test]
fn a_prompt_of_the_name_of_a_held_tool_is_not_held() {
    let detector = Detector::new(Vec::new());
    observe(&detector, "s", &[&tool("t", "a\u{200b}")], 1);
    let prompt = r#"{"jsonrpc":"2.0","id":1,"method":"prompts/get","params":{"name":"t"}}"#;
    assert!(detector.screen_call(permit("s", prompt), &Scene::default()).is_ok());
    assert!(detector.screen_call(call("s", "t"), &Scene::default()).is_err());
}

#[test]
fn arguments_are_reported_and_never_held() {
    let hidden: String =
        "secret key".chars().map(|c| char::from_u32(0xE0000 + u32::from(c)).unwrap()).collect();
    let raw = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"t","arguments":{{"note":"hi{hidden}"}}}}}}"#
    );
    let screened = Detector::new(Vec::new()).screen_call(permit("s", &raw), &Scene::default()).unwrap();
    assert_eq!(screened.findings()[0].severity, Severity::Medium);
    assert!(screened.findings()[0].evidence.contains("secret key"));
    assert_eq!(screened.message().text(), raw);
}
