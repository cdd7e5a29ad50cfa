//! Lists are filtered, renamed and joined without touching any other byte.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use bytes::Bytes;
use lockgate_mcp::{DecodeError, Limits, Message, list};
use proptest::prelude::*;

fn decode(text: &str) -> Message {
    Message::decode(Bytes::copy_from_slice(text.as_bytes()), &Limits::default())
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn tools(array: &str) -> Message {
    decode(&format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"vendor":1.0,"tools":{array},"nextCursor":"c"}},"x":0}}"#
    ))
}

fn array(message: &Message) -> &str {
    message.result_member_raw("tools").unwrap()
}

#[test]
fn items_are_found() {
    let message = tools(
        r#"[ {"name":"a","inputSchema":{"properties":{"name":{}}}} , {"x":[{"name":"no"}],"name":"\u0062"} ]"#,
    );
    let items = list::items(&message, "tools").unwrap();
    assert_eq!(items.iter().map(|item| &*item.name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(items[1].raw, r#"{"x":[{"name":"no"}],"name":"\u0062"}"#);
    assert!(list::items(&message, "prompts").unwrap().is_empty());
    let message = decode(
        r#"{"jsonrpc":"2.0","id":1,"result":{"resources":[{"name":"n","uri":"u:1"}],"resourceTemplates":[{"uriTemplate":"t:{x}"}]}}"#,
    );
    assert_eq!(list::items(&message, "resources").unwrap()[0].name, "u:1");
    assert_eq!(list::items(&message, "resourceTemplates").unwrap()[0].name, "t:{x}");
}

#[test]
fn items_that_cannot_be_judged_are_refused() {
    for bad in [
        r#"[{}]"#,
        r#"[{"name":1}]"#,
        r#"[{"name":"a","name":"b"}]"#,
        r#"[{"name":"a","Name":"b"}]"#,
        "[1]",
        "{}",
        r#"[{"name":"\ud800"}]"#,
    ] {
        assert!(list::items(&tools(bad), "tools").is_err(), "{bad}");
    }
    let error = list::items(&tools("[{}]"), "tools").unwrap_err();
    assert!(matches!(error, DecodeError::Nameless { member: "name", .. }));
}

#[test]
fn retain_keeps_all_other_bytes() {
    let message = tools(r#"[ {"name":"a"} ,{"name":"b"},  {"name":"c"} ]"#);
    for (keep, left) in [
        ("abc", r#"[ {"name":"a"} ,{"name":"b"},  {"name":"c"} ]"#),
        ("ab", r#"[ {"name":"a"} ,{"name":"b"} ]"#),
        ("ac", r#"[ {"name":"a"} ,{"name":"c"} ]"#),
        ("bc", r#"[ {"name":"b"},  {"name":"c"} ]"#),
        ("a", r#"[ {"name":"a"} ]"#),
        ("b", r#"[ {"name":"b"} ]"#),
        ("c", r#"[ {"name":"c"} ]"#),
        ("", "[  ]"),
    ] {
        let kept = list::retain(&message, "tools", |item| keep.contains(&*item.name)).unwrap();
        assert_eq!(array(&kept), left, "{keep}");
        assert_eq!(kept.text(), message.text().replace(array(&message), left));
        assert_eq!(kept.result_member_raw("nextCursor"), Some("\"c\""));
    }
}

#[test]
fn rename_and_append() {
    let message = tools(r#"[{"name":"a","title":"a"}, {"d":"name","name" : "b\n"}]"#);
    let renamed = list::rename(&message, "tools", |item| Some(format!("s_{}", item.name))).unwrap();
    assert_eq!(array(&renamed), r#"[{"name":"s_a","title":"a"}, {"d":"name","name" : "s_b\n"}]"#);
    let joined = list::append(&renamed, "tools", [r#"{"name":"t_a"}"#, r#"{"name":"t_b"}"#]).unwrap();
    let names: Vec<_> =
        list::items(&joined, "tools").unwrap().iter().map(|item| item.name.to_string()).collect();
    assert_eq!(names, ["s_a", "s_b\n", "t_a", "t_b"]);
    assert_eq!(array(&list::append(&tools("[ ]"), "tools", ["{}", "{}"]).unwrap()), "[{},{} ]");
    assert_eq!(list::append(&message, "tools", []).unwrap().text(), message.text());
    assert!(list::append(&message, "tools", ["{},{}"]).is_err());
}

#[test]
fn private_is_added_or_replaced() {
    for (before, after) in [
        (r#"{"tools":[]}"#, r#"{"cacheScope":"private","tools":[]}"#),
        (
            r#"{"ttlMs":5,"cacheScope":"public","tools":[]}"#,
            r#"{"ttlMs":5,"cacheScope":"private","tools":[]}"#,
        ),
        (r#"{"cacheScope":"private"}"#, r#"{"cacheScope":"private"}"#),
        ("{}", r#"{"cacheScope":"private"}"#),
        ("null", "null"),
    ] {
        let message = decode(&format!(r#"{{"jsonrpc":"2.0","id":1,"result":{before}}}"#));
        assert_eq!(list::mark_private(&message).result_raw(), Some(after));
    }
}

proptest! {
    /// Whatever is kept, the list holds exactly the raw items that were kept, in order.
    #[test]
    fn retain_any_subset(keep in prop::collection::vec(any::<bool>(), 0..12), space in "[ \n]{0,2}") {
        let written: Vec<_> = (0..keep.len()).map(|index| format!(r#"{{"name":"{index}","v":{index}.0}}"#)).collect();
        let message = tools(&format!("[{space}{}{space}]", written.join(&format!("{space},{space}"))));
        let mut flags = keep.iter();
        let kept = list::retain(&message, "tools", |_| *flags.next().unwrap()).unwrap();
        let kept = decode(kept.text());
        let left: Vec<_> = list::items(&kept, "tools").unwrap().iter().map(|item| item.raw.to_owned()).collect();
        let expected: Vec<_> = written.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(raw, _)| raw.clone()).collect();
        prop_assert_eq!(left, expected);
    }
}

#[test]
fn a_member_is_taken_out_of_some_items() {
    for (item, expected) in [
        (r#"{"name":"a","outputSchema":{"x":[1]},"z":1}"#, r#"{"name":"a","z":1}"#),
        (r#"{"outputSchema":{},"name":"a"}"#, r#"{"name":"a"}"#),
        (r#"{ "outputSchema" : {} , "name" : "a" }"#, r#"{"name" : "a" }"#),
        (r#"{"name":"a","outputSchema":null}"#, r#"{"name":"a"}"#),
        (r#"{"name":"a","\u006futputSchema":{}}"#, r#"{"name":"a"}"#),
        (r#"{"name":"a","x":{"outputSchema":{}}}"#, r#"{"name":"a","x":{"outputSchema":{}}}"#),
    ] {
        let other = r#"{"name":"b","outputSchema":{}}"#;
        let text =
            |item: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{item},{other}]}}}}"#);
        let message = Message::decode(text(item).into(), &Limits::default()).unwrap();
        let got = list::without(&message, "tools", "outputSchema", |item| item.name == "a").unwrap();
        assert_eq!(got.text(), text(expected));
    }
}
