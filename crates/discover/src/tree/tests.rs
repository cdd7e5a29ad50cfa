#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn json(text: &str) -> Result<Node, Unreadable> {
    read(text, Format::Json, &Limits::default())
}

/// The tree as plain JSON, to compare.
fn plain(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => serde_json::from_str(number).unwrap_or_else(|_| number.clone().into()),
        Value::Text(text) => text.clone().into(),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(members) => {
            members.iter().map(|member| (member.name.clone(), plain(&member.node))).collect()
        }
    }
}

#[test]
fn json_with_what_editors_leave_in_it() {
    for (text, expected) in [
        ("{}", "{}"),
        ("", "{}"),
        ("\u{feff}{\"a\":1}", r#"{"a":1}"#),
        ("// one\n{ /* two */ \"a\" : [1, 2,], // three\n }", r#"{"a":[1,2]}"#),
        (r#"{"a":"\u00e9\n","b":null,"c":-1.5e3,}"#, r#"{"a":"é\n","b":null,"c":-1500.0}"#),
        ("{\"a\":\"tab\there\"}", r#"{"a":"tab\there"}"#),
        (r#"{"a":"// no comment /* */"}"#, r#"{"a":"// no comment /* */"}"#),
        (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
    ] {
        let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
        assert_eq!(plain(&json(text).unwrap()), expected, "{text}");
    }
}

#[test]
fn hostile_files_are_refused_with_their_line() {
    for (text, line) in [
        ("{", 1),
        ("{\"a\"}", 1),
        ("{\n\"a\":\n}", 3),
        ("{\"a\":1 \"b\":2}", 1),
        ("{\"a\": \"never closed}", 1),
        ("{\"a\": \"line\nbreak\"}", 1),
        ("{\"a\": /* never closed", 1),
        ("{\"a\": \"\\x\"}", 1),
        ("{} {}", 1),
        ("{\"a\": \"\\", 1),
        ("nul", 1),
        ("[1,,2]", 1),
    ] {
        match json(text) {
            Err(Unreadable::Syntax { line: found, .. }) => assert_eq!(found, line, "{text}"),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn what_is_too_much_is_not_read() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let many = format!("[{}0]", "0,".repeat(600_000));
    let lines = format!("a:\n{}", "  - b\n".repeat(100_000));
    let yaml_deep = format!("a: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    let toml_deep = format!("a = {}{}", "[".repeat(10_000), "]".repeat(10_000));
    let wide = format!("x = \"{}\"", "y".repeat(2 << 20));
    for (text, format) in [
        (deep, Format::Json),
        (many, Format::Json),
        (wide.clone(), Format::Toml),
        (wide, Format::Yaml),
        (yaml_deep, Format::Yaml),
        (toml_deep, Format::Toml),
    ] {
        assert!(read(&text, format, &Limits::default()).is_err());
    }
    let few = Limits { values_max: 1000, ..Limits::default() };
    assert!(matches!(read(&lines, Format::Yaml, &few), Err(Unreadable::TooMuch { name: "values_max", .. })));
}

#[test]
fn toml_and_yaml_give_the_same_tree() {
    let toml = "# c\n[mcp_servers.a]\ncommand = \"npx\"\nargs = [\"-y\", 'x']\nenabled = true\n[mcp_servers.a.env]\nK = \"v\"\n";
    let yaml = "mcp_servers:\n  a: # c\n    command: npx\n    args: [\"-y\", 'x']\n    enabled: true\n    env: {K: v}\n";
    let [toml, yaml] = [(toml, Format::Toml), (yaml, Format::Yaml)]
        .map(|(text, format)| plain(&read(text, format, &Limits::default()).unwrap()));
    assert_eq!(toml, yaml);
    assert_eq!(toml["mcp_servers"]["a"]["args"][0], "-y");
}

#[test]
fn yaml_does_not_grow_by_aliases_and_knows_its_places() {
    let bomb = "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n";
    let node = read(bomb, Format::Yaml, &Limits::default()).unwrap();
    assert_eq!(plain(&node), serde_json::json!({"a": ["x", "x"], "b": [null, null], "c": [null, null]}));
    let text = "ä: ö\nb: 'c'\nlist:\n  - one\n  - two\nend: 1\n";
    let node = read(text, Format::Yaml, &Limits::default()).unwrap();
    assert_eq!(&text[node.get("ä").unwrap().span.clone()], "ö");
    assert_eq!(&text[node.get("b").unwrap().span.clone()], "'c'");
    assert_eq!(&text[node.get("list").unwrap().span.clone()], "- one\n  - two");
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}") {
        for format in [Format::Json, Format::Toml, Format::Yaml] {
            if let Ok(node) = read(&text, format, &Limits::default()) {
                prop_assert!(node.span.end <= text.len());
            }
        }
    }

    #[test]
    fn json_is_read_as_serde_reads_it(text in "[\\[\\]{}:,\"a1 \\\\ntrue-]{0,40}") {
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text)
            && let Ok(node) = json(&text)
        {
            prop_assert_eq!(plain(&node).to_string().len(), value.to_string().len());
        } else {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_err() || json(&text).is_ok());
        }
    }
}
