//! Results reduced to the fields that may pass.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use lockgate_mcp::project::{Fields, WITHHELD, project};
use lockgate_mcp::{Limits, Message};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn fields(only: Option<&[&str]>, hidden: &[&str]) -> Fields {
    Fields::new(only.map(|only| only.iter().copied()), hidden.iter().copied()).unwrap()
}

fn answer(result: &str) -> Message {
    let text = format!(r#"{{"jsonrpc":"2.0","id":"x","result":{result}}}"#);
    Message::decode(text.into(), &Limits::default()).unwrap()
}

fn projected(result: &str, fields: &Fields) -> String {
    let message = project(&answer(result), fields).message;
    assert_eq!(message.id_raw(), Some("\"x\""));
    let again = Message::decode(message.bytes().clone(), &Limits::default()).unwrap();
    assert_eq!(again.result_raw(), message.result_raw());
    message.result_raw().unwrap().to_owned()
}

const W: &str = r#"{"type":"text","text":"[withheld by policy]"}"#;

#[test]
fn only_what_is_named_passes() {
    let only = fields(Some(&["name", "address.city", "tags.k", "a.b"]), &[]);
    let cases = [
        (r#"{"structuredContent":{"name":"N","ssn":"1","address":{"city":"C","zip":1}}}"#,
         r#"{"structuredContent":{"name":"N","address":{"city":"C"}}}"#.to_owned()),
        (r#"{"structuredContent":{"name": {"any" : [1.0,{"ssn":1}]} , "tags":[{"k":1,"l":2},7,[{"k":2}]]}}"#,
         r#"{"structuredContent":{"name":{"any":[1.0,{"ssn":1}]},"tags":[{"k":1},[{"k":2}]]}}"#.to_owned()),
        (r#"{"structuredContent":{"a.b":1,"a":{"b":2,"c":3},"name2":1,"nam":1,"Name":1}}"#,
         r#"{"structuredContent":{"a.b":1,"a":{"b":2}}}"#.to_owned()),
        (r#"{"structuredContent":"secret","_meta":{"ssn":1},"more":"x","isError":false}"#, r#"{"isError":false}"#.to_owned()),
        (r#"{"structuredContent":[{"name":1,"x":2}]}"#, r#"{"structuredContent":[{"name":1}]}"#.to_owned()),
        (r#"{"content":[{"type":"text","text":"{\"name\":\"N\",\"ssn\":1}","_meta":{"ssn":1},"annotations":{}}]}"#,
         r#"{"content":[{"type":"text","text":"{\"name\":\"N\"}"}]}"#.to_owned()),
        (r#"{"content":[{"type":"text","text":"the ssn is 1"},{"type":"image","data":"AAAA","mimeType":"image/png"},{"type":"resource_link","uri":"x:ssn"}],"isError":true}"#,
         format!(r#"{{"content":[{W}],"isError":true}}"#)),
        (r#"{"content":[{"type":"resource","resource":{"uri":"u","text":"{\"name\":1}"}}]}"#, format!(r#"{{"content":[{W}]}}"#)),
        (r#"{"contents":[{"uri":"u","mimeType":"m","text":"[{\"name\":1,\"x\":2}]"},{"uri":"v","blob":"AAAA"}]}"#,
         r#"{"contents":[{"uri":"u","mimeType":"m","text":"[{\"name\":1}]"},{"uri":"withheld:","text":"[withheld by policy]"}]}"#.to_owned()),
        (r#"{"resultType":"task","task":{"taskId":"t","status":"working","statusMessage":"ssn 1"}}"#,
         r#"{"resultType":"task","task":{"taskId":"t","status":"working"}}"#.to_owned()),
        (r#"{"resultType":"input_required","inputRequests":{"a":{"params":{"message":"ssn 1"}}}}"#,
         format!(r#"{{"resultType":"complete","content":[{W}],"isError":true}}"#)),
        (r#"{"taskId":"t","status":"completed","statusMessage":"ssn 1","ttlMs":5,"x":"ssn","_meta":{"io.modelcontextprotocol/subscriptionId":7,"y":"ssn"},"result":{"structuredContent":{"name":1,"ssn":2}},"error":{"code":1,"message":"ssn"}}"#,
         r#"{"taskId":"t","status":"completed","ttlMs":5,"_meta":{"io.modelcontextprotocol/subscriptionId":7},"result":{"structuredContent":{"name":1}},"error":{"code":1,"message":"[withheld by policy]"}}"#.to_owned()),
        (r#"{"tasks":[{"taskId":"t","statusMessage":"ssn 1"},7],"nextCursor":"c","x":"ssn"}"#,
         r#"{"tasks":[{"taskId":"t"},{"taskId":"withheld","status":"working"}],"nextCursor":"c"}"#.to_owned()),
        (r#"{"contents":[],"ttlMs":9,"cacheScope":"public"}"#, r#"{"contents":[],"ttlMs":0,"cacheScope":"private"}"#.to_owned()),
        (r#"{"completion":{"values":["ssn 1"],"total":1}}"#, r#"{"completion":{"values":[],"hasMore":false}}"#.to_owned()),
        (
            r#"{"messages":[{"role":"user","content":{"type":"text","text":"{\"name\":1,\"x\":2}"},"y":1},{"role":"assistant","content":{"type":"text","text":"the ssn"}},{"role":"user","content":[{"type":"text","text":"ssn"}]}]}"#,
            format!(
                r#"{{"messages":[{{"role":"user","content":{{"type":"text","text":"{{\"name\":1}}"}}}},{{"role":"user","content":{W}}},{{"role":"user","content":[{W}]}}]}}"#
            ),
        ),
        // Readable in two ways.
        (r#"{"structuredContent":{"name":1,"name":2}}"#, "{}".to_owned()),
        (r#"{"content":[{"type":"text","text":"{\"name\":{\"a\":1,\"a\":2}}"}]}"#, format!(r#"{{"content":[{W}]}}"#)),
        (r#"{"content":{"type":"text"}}"#, format!(r#"{{"content":[{W}],"isError":true}}"#)),
        (r#""secret""#, format!(r#"{{"content":[{W}],"isError":true}}"#)),
    ];
    for (result, expected) in cases {
        assert_eq!(projected(result, &only), expected, "{result}");
    }
}

#[test]
fn what_is_hidden_is_gone_and_the_rest_stays() {
    let hidden = fields(None, &["ssn", "customer.card_number"]);
    let cases = [
        (
            r#"{"structuredContent":{"name":"N","ssn":"1","deep":[{"SSN":{"x":1},"y":1.50}]}}"#,
            r#"{"structuredContent":{"name":"N","deep":[{"y":1.50}]}}"#,
        ),
        (
            r#"{"structuredContent":{"\u0073sn":1,"s-s_n":2,"business_name":"b","customer":{"cardNumber":1,"x":2},"card_number":3,"customer.card_number":4}}"#,
            r#"{"structuredContent":{"business_name":"b","customer":{"x":2},"card_number":3}}"#,
        ),
        (
            r#"{"structuredContent":{"note":"his ssn is 1","ok":"fine"}}"#,
            r#"{"structuredContent":{"note":"[withheld by policy]","ok":"fine"}}"#,
        ),
        (
            r#"{"content":[{"type":"text","text":"{\"ssn\":1,\"x\":\"\\u00e9\"}","annotations":{"ssn":1,"p":1}}]}"#,
            r#"{"content":[{"type":"text","text":"{\"x\":\"\\u00e9\"}","annotations":{"p":1}}]}"#,
        ),
        (
            r#"{"content":[{"type":"text","text":"SSN: 1"},{"type":"text","text":"fine"},{"type":"image","data":"/9j/4AAQ","mimeType":"image/jpeg"}]}"#,
            r#"{"content":[{"type":"text","text":"[withheld by policy]"},{"type":"text","text":"fine"},{"type":"image","data":"/9j/4AAQ","mimeType":"image/jpeg"}]}"#,
        ),
        (
            r#"{"content":[{"type":"text","text":"{\"a\":1,\"a\":2,\"x\":3}"}]}"#,
            r#"{"content":[{"type":"text","text":"[withheld by policy]"}]}"#,
        ),
        // base64 of `{"ssn":1}`.
        (
            r#"{"content":[{"type":"resource","resource":{"uri":"u","blob":"eyJzc24iOjF9"}}]}"#,
            r#"{"content":[{"type":"text","text":"[withheld by policy]"}]}"#,
        ),
        (
            r#"{"content":[{"type":"resource","resource":{"uri":"u","text":"{\"ssn\":1,\"a\":2}"}}],"_meta":{"x":{"ssn":1},"y":2}}"#,
            r#"{"content":[{"type":"resource","resource":{"uri":"u","text":"{\"a\":2}"}}],"_meta":{"x":{},"y":2}}"#,
        ),
        (r#"{"structuredContent":{"ssn":1,"ssn":2}}"#, "{}"),
        (r#"{"content":[],"ssn":7}"#, r#"{"content":[]}"#),
        (
            r#"{"taskId":"t","statusMessage":"his ssn","result":{"content":[{"type":"text","text":"{\"ssn\":1,\"n\":1e5}"}]}}"#,
            r#"{"taskId":"t","statusMessage":"[withheld by policy]","result":{"content":[{"type":"text","text":"{\"n\":1e5}"}]}}"#,
        ),
    ];
    for (result, expected) in cases {
        assert_eq!(projected(result, &hidden), expected, "{result}");
    }
    let both = fields(Some(&["customer"]), &["ssn"]);
    assert_eq!(
        projected(r#"{"structuredContent":{"customer":{"ssn":1,"x":2},"y":3}}"#, &both),
        r#"{"structuredContent":{"customer":{"x":2}}}"#
    );
}

#[test]
fn numbers_order_and_bytes_of_what_stays_are_as_they_came() {
    let kept =
        r#"{"z":123456789012345678901234567890,"a":1.0,"m":1E+2,"b":-0.0,"c":"\u00e9\/","d":[ 1 , 2.50 ]}"#;
    let text = kept.replace('\\', "\\\\").replace('"', "\\\"");
    let whole = |row: &str, text: &str| {
        format!(r#"{{"structuredContent":{row},"content":[{{"type":"text","text":"{text}"}}]}}"#)
    };
    let more = |json: &str, member: &str| json.replacen('{', &format!("{{{member},"), 1);
    let result = whole(&more(kept, r#""ssn":1"#), &more(&text, r#"\"ssn\":1"#));
    let only = fields(Some(&["a", "b", "c", "d", "m", "z"]), &[]);
    for fields in [&only, &fields(None, &["ssn"])] {
        let got = projected(&result, fields).replace("[1,2.50]", "[ 1 , 2.50 ]");
        // Space within what is written anew means nothing; everything else is as it came.
        assert_eq!(got.replace(r"\/", "/"), whole(kept, &text).replace(r"\/", "/"));
    }
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let of = |levels| projected(&format!(r#"{{"structuredContent":{{"a":{}}}}}"#, deep(levels)), &only);
    assert!(of(60).contains(&deep(60)), "as deep as a message may be");
    let text = |levels| format!(r#"{{"content":[{{"type":"text","text":"{}"}}]}}"#, deep(levels));
    assert!(projected(&text(64), &fields(None, &["ssn"])).contains(&deep(64)));
    assert!(projected(&text(65), &fields(None, &["ssn"])).contains(WITHHELD), "nobody reads so deep alike");
}

#[test]
fn what_loses_nothing_keeps_its_bytes() {
    let raw = r#" { "jsonrpc" : "2.0", "id":1, "result" : { "content" : [ {"text":"a\/b", "type":"text"} ] , "x" : 1.0 } } "#;
    let message = Message::decode(raw.into(), &Limits::default()).unwrap();
    let same = project(&message, &fields(None, &["ssn"]));
    assert!(!same.reduced);
    assert_eq!(same.message.bytes(), message.bytes());
    let more = r#"{"jsonrpc":"2.0","id":1,"result":{},"leak":"ssn 1"}"#;
    let message = Message::decode(more.into(), &Limits::default()).unwrap();
    assert!(project(&message, &fields(None, &["ssn"])).message.text().ends_with(r#""result":{}}"#));
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":{"ssn":1}}"#;
    let message = Message::decode(request.into(), &Limits::default()).unwrap();
    assert_eq!(project(&message, &fields(Some(&[]), &[])).message.bytes(), message.bytes());
}

#[test]
fn errors_are_texts_too() {
    let raw = r#"{"jsonrpc":"2.0","id":null,"error":{"code":-5,"message":"the ssn is 1","data":{"ssn":1,"a":"b"}}}"#;
    let message = Message::decode(raw.into(), &Limits::default()).unwrap();
    for (fields, data) in
        [(fields(Some(&["name"]), &[]), ""), (fields(None, &["ssn"]), r#","data":{"a":"b"}"#)]
    {
        let projected = project(&message, &fields).message;
        let expected = format!(r#"{{"code":-5,"message":"{WITHHELD}"{data}}}"#);
        assert_eq!((projected.error_raw(), projected.error_code()), (Some(expected.as_str()), Some(-5)));
    }
}

#[test]
fn withholding_does_not_inflate() {
    let blocks = vec!["{}"; 10_000].join(",");
    let result = projected(&format!(r#"{{"content":[{blocks}]}}"#), &fields(Some(&["a"]), &[]));
    assert!(result.len() < 100, "{}", result.len());
}

/// A document in which each leaf is a number of its own.
fn document() -> impl Strategy<Value = Value> {
    let leaf = Just(json!("leaf"));
    let name = prop::sample::select(vec!["name", "ssn", "SSN", "a", "b", "x.ssn", "S_sn"]);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec((name.clone(), inner.clone()), 0..5).prop_map(|members| Value::Object(
                members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
            prop::collection::vec(inner, 0..4).prop_map(Value::Array),
        ]
    })
}

/// Numbers the leaves and sorts them by whether they may pass.
fn number(value: &mut Value, path: &str, hidden: bool, leaves: &mut Vec<(String, bool)>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| number(item, path, hidden, leaves)),
        Value::Object(members) => {
            for (name, value) in members {
                let is_hidden = matches!(name.as_str(), "ssn" | "SSN" | "x.ssn" | "S_sn");
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                number(value, &path, hidden || is_hidden, leaves);
            }
        }
        _ => {
            *value = json!(format!("leaf{:05}", leaves.len()));
            leaves.push((path.to_owned(), hidden));
        }
    }
}

proptest! {
    /// No hidden leaf survives and no other one is lost; under `only`, exactly the named ones survive.
    #[test]
    fn leaves_pass_as_they_may(document in document(), as_text in any::<bool>()) {
        let mut document = document;
        let mut leaves = Vec::new();
        number(&mut document, "", false, &mut leaves);
        let is_document = document.is_object() || document.is_array();
        let mut result = Map::new();
        if as_text {
            result.insert("content".into(), json!([{"type": "text", "text": document.to_string()}]));
        } else {
            result.insert("structuredContent".into(), document);
        }
        let result = Value::Object(result).to_string();
        let text = projected(&result, &fields(None, &["ssn"]));
        for (index, (_, hidden)) in leaves.iter().enumerate() {
            let there = text.contains(&format!("leaf{index:05}"));
            prop_assert_eq!(there, !hidden && (is_document || as_text), "{}", &text);
        }
        let text = projected(&result, &fields(Some(&["name", "a.b"]), &[]));
        for (index, (path, _)) in leaves.iter().enumerate() {
            let named = ["name", "a.b"].iter().any(|only| path == only || path.starts_with(&format!("{only}.")));
            prop_assert_eq!(text.contains(&format!("leaf{index:05}")), named, "{}", &text);
        }
    }

    /// Whatever the result is, the answer is a message of the same id.
    #[test]
    fn any_result_gives_a_message(result in "[\\[\\]{}\":,a-z0-9\\\\]{0,60}", text in "\\PC{0,60}") {
        let raw = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
        let block = json!({"content": [{"type": "text", "text": text}]});
        let other = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{block}}}"#);
        for raw in [raw, other] {
            let Ok(message) = Message::decode(raw.into(), &Limits::default()) else { continue };
            for fields in [fields(Some(&["a"]), &["b"]), fields(None, &["a", "b.c"])] {
                let projected = project(&message, &fields).message;
                let again = Message::decode(projected.bytes().clone(), &Limits::default()).unwrap();
                prop_assert_eq!(again.id_raw(), Some("1"));
            }
        }
    }
}
