use super::{super::*, shape};

#[test]
fn each_type_has_its_cedar_type() {
    let cases = [
        (r#"{"type":"string"}"#, "String"),
        (r#"{"type":"string","enum":["a","b"]}"#, "String"),
        (r#"{"enum":["a","b"]}"#, "String"),
        (r#"{"const":true}"#, "Bool"),
        (r#"{"enum":[1,2]}"#, "Long"),
        (r#"{"const":1.5}"#, "decimal"),
        (r#"{"type":"boolean"}"#, "Bool"),
        (r#"{"type":"integer"}"#, "Long"),
        (r#"{"type":"number"}"#, "decimal"),
        (r#"{"type":["integer","number"]}"#, "decimal"),
        (r#"{"type":"array","items":{"type":"string"}}"#, "Set<String>"),
        (r#"{"items":{"type":"array","items":{"type":"integer"}}}"#, "Set<Set<Long>>"),
        (r#"{"type":"object","properties":{"b":{"type":"string"}},"required":["b"]}"#, r#"{"b": String}"#),
        (r#"{"properties":{"b":{"type":"string"}}}"#, r#"{"b"?: String}"#),
        (r##"{"$ref":"#/$defs/d"}"##, r#"{"x"?: Long}"#),
        (r##"{"allOf":[{"$ref":"#/$defs/d"}]}"##, r#"{"x"?: Long}"#),
        (r#"{"type":"object","additionalProperties":false}"#, "{}"),
    ];
    for (schema, expected) in cases {
        let shape = shape(&format!(
            r#"{{"type":"object","required":["a"],"properties":{{"a":{schema}}},"$defs":{{"d":{{"properties":{{"x":{{"type":"integer"}}}}}}}}}}"#
        ));
        assert_eq!(shape.cedar_type(), format!(r#"{{"a": {expected}}}"#), "{schema}");
        assert_eq!(shape.unmapped(), [], "{schema}");
    }
}

#[test]
fn what_may_be_null_is_optional() {
    for schema in [
        r#"{"type":["string","null"]}"#,
        r#"{"anyOf":[{"type":"string"},{"type":"null"}]}"#,
        r#"{"oneOf":[{"const":null},{"type":"string"}]}"#,
        r#"{"enum":["a",null]}"#,
    ] {
        let shape = shape(&format!(r#"{{"type":"object","required":["a"],"properties":{{"a":{schema}}}}}"#));
        assert_eq!(shape.cedar_type(), r#"{"a"?: String}"#, "{schema}");
        assert!(Arguments::read(Some(r#"{"a":null}"#)).unwrap().to_record(Some(&shape)).is_ok());
        assert_eq!(
            Arguments::read(Some("{}")).unwrap().to_record(Some(&shape)).unwrap_err(),
            Misfit::Missing { path: "a".into() }
        );
    }
}

#[test]
fn what_cedar_cannot_express_is_left_out_and_said() {
    let cases = [
        ("{}", Why::Untyped),
        ("true", Why::Untyped),
        ("7", Why::Malformed),
        (r#"{"type":"file"}"#, Why::Malformed),
        (r#"{"type":["string","integer"]}"#, Why::Union),
        (r#"{"anyOf":[{"type":"string"},{"type":"integer"}]}"#, Why::Union),
        (r#"{"enum":["a",1]}"#, Why::Union),
        (r#"{"allOf":[{"type":"string"},{"maxLength":3}]}"#, Why::Union),
        (r#"{"type":"null"}"#, Why::Untyped),
        (r#"{"type":"object"}"#, Why::Map),
        (r#"{"type":"object","additionalProperties":{"type":"string"}}"#, Why::Map),
        (r#"{"type":"array"}"#, Why::Untyped),
        (r#"{"type":"array","prefixItems":[{"type":"string"}]}"#, Why::Tuple),
        (r#"{"type":"array","items":[{"type":"string"}]}"#, Why::Tuple),
        (r#"{"type":"array","items":{"type":["string","null"]}}"#, Why::NullItems),
        (r#"{"type":"array","items":{"properties":{"x":{}}}}"#, Why::PartialItems),
        (r##"{"$ref":"#"}"##, Why::Recursive),
        (r##"{"$ref":"#/$defs/loop"}"##, Why::Recursive),
        (r##"{"$ref":"#/$defs/none"}"##, Why::Reference),
        (r#"{"$ref":"https://example.org/schema"}"#, Why::Reference),
        (r#"{"$ref":1}"#, Why::Malformed),
        (r#"{"properties":1}"#, Why::Malformed),
    ];
    for (schema, why) in cases {
        let shape = shape(&format!(
            r##"{{"type":"object","properties":{{"a":{schema},"b":{{"type":"string"}}}},"$defs":{{"loop":{{"$ref":"#/$defs/loop"}}}}}}"##
        ));
        assert_eq!(shape.cedar_type(), r#"{"b"?: String}"#, "{schema}");
        assert_eq!(shape.unmapped(), [Unmapped { path: "a".into(), why }], "{schema}");
        assert_eq!(shape.names().collect::<Vec<_>>(), ["a", "b"]);
    }
}

#[test]
fn a_root_that_is_no_record_declares_nothing() {
    for (schema, unmapped) in [
        (r#"{"type":"object"}"#, 0),
        ("{}", 1),
        (r#"{"type":"string"}"#, 1),
        (r#"{"type":"object","additionalProperties":{"type":"string"}}"#, 1),
        (r#"{"anyOf":[{"type":"object"},{"type":"string"}]}"#, 1),
    ] {
        let shape = shape(schema);
        assert_eq!((shape.cedar_type().as_str(), shape.unmapped().len()), ("{}", unmapped), "{schema}");
    }
    assert_eq!(Shape::read("{}"), Err(ShapeError::NoSchema));
    assert!(matches!(Shape::read(r#"{"inputSchema":{"a":1,"a":2}}"#), Err(ShapeError::Unreadable(_))));
    assert!(matches!(Shape::read(&" ".repeat(300_000)), Err(ShapeError::TooLarge(300_000))));
}

#[test]
fn hostile_names_stay_names() {
    let name = "a\": String}}; entity Evil; \n//\\ \u{202e}é";
    let schema = serde_json::json!({"type": "object", "properties": {name: {"type": "string"}, "": {"type": "string"}}});
    let shape = shape(&schema.to_string());
    let text = format!("type T = {};", shape.cedar_type());
    let (schema, _) = cedar_policy::SchemaFragment::from_cedarschema_str(&text).expect(&text);
    let json = schema.to_json_value().unwrap();
    let types = &json[""]["commonTypes"];
    assert_eq!(types.as_object().unwrap().len(), 1);
    assert!(types["T"]["attributes"].get(name).is_some(), "{json}");
}

#[test]
fn references_cannot_multiply() {
    // Each level names the next one twice: 2^20 attributes if followed.
    let mut defs = String::new();
    for level in 0..20 {
        let next = level + 1;
        defs += &format!(
            r##""d{level}":{{"properties":{{"l":{{"$ref":"#/$defs/d{next}"}},"r":{{"$ref":"#/$defs/d{next}"}}}}}},"##
        );
    }
    let shape = shape(&format!(
        r##"{{"type":"object","properties":{{"a":{{"$ref":"#/$defs/d0"}}}},"$defs":{{{defs}"d20":{{"type":"string"}}}}}}"##
    ));
    assert!(shape.cedar_type().len() < 20_000);
    assert!(shape.unmapped().len() <= 512 && !shape.unmapped().is_empty());

    let wide: Vec<String> = (0..600).map(|n| format!(r#""p{n}":{{"type":"string"}}"#)).collect();
    let shape = super::shape(&format!(r#"{{"type":"object","properties":{{{}}}}}"#, wide.join(",")));
    assert_eq!(shape.unmapped(), [Unmapped { path: String::new(), why: Why::TooLarge }]);

    let deep = format!("{}{{\"type\":\"string\"}}{}", r#"{"items":"#.repeat(30), "}".repeat(30));
    let shape = super::shape(&format!(r#"{{"type":"object","properties":{{"a":{deep}}}}}"#));
    assert_eq!(shape.unmapped(), [Unmapped { path: "a".into(), why: Why::TooDeep }]);
}

#[test]
fn paths_are_found() {
    let shape = shape(
        r#"{"type":"object","properties":{"a":{"properties":{"b.c":{"type":"string"},"d":{}}},"e.f":{"type":"integer"}}}"#,
    );
    assert_eq!(shape.paths(), ["a.b.c", "a", "e.f"]);
    assert_eq!(shape.find("a.b.c").unwrap().kind, Some(Type::Text));
    assert_eq!(shape.find("e.f").unwrap().kind, Some(Type::Integer));
    assert_eq!(shape.find("a.d").unwrap().kind, None);
    for path in ["", ".", "a.", "a.b", "e", "e.f.g"] {
        assert!(shape.find(path).is_none(), "{path}");
    }
}
