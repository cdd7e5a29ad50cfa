//! Generated definitions and arguments.

use cedar_policy::{Context, EntityUid, Request, Schema};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::*;

/// Names that try to break out, and ordinary ones.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,4}",
        Just("a".to_owned()),
        Just("\"}; entity E; //".to_owned()),
        Just("\n\r\t\\\u{202e}".to_owned()),
        ".{0,6}",
    ]
    // No name with a NUL is read at all.
    .prop_map(|name| name.replace('\0', "\u{1}"))
}

/// Anything that might be a JSON Schema.
fn schema() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        prop::sample::select(vec![
            "string", "boolean", "integer", "number", "null", "object", "array", "odd"
        ])
        .prop_map(|name| json!({ "type": name })),
        Just(json!({"type": ["string", "null"]})),
        Just(json!({"enum": ["a", null]})),
        Just(json!({"const": 1.5})),
        Just(json!({"$ref": "#"})),
        Just(json!({"$ref": "#/$defs/d"})),
        Just(json!({"$ref": "#/properties/a"})),
        Just(json!(true)),
        Just(json!(7)),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        let object = (prop::collection::vec((name(), inner.clone(), any::<bool>()), 0..6), any::<bool>());
        prop_oneof![
            object.prop_map(|(members, closed)| {
                let required: Vec<_> = members.iter().filter(|m| m.2).map(|m| m.0.clone()).collect();
                let properties: Map<String, Value> = members.into_iter().map(|m| (m.0, m.1)).collect();
                json!({"type": "object", "properties": properties, "required": required,
                       "additionalProperties": !closed})
            }),
            inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            inner.clone().prop_map(|one| json!({"anyOf": [one, {"type": "null"}]})),
            inner.prop_map(|one| json!({"allOf": [one]})),
        ]
    })
}

/// A definition whose root is an object.
fn definition() -> impl Strategy<Value = Value> {
    (prop::collection::vec((name(), schema()), 0..6), schema()).prop_map(|(members, d)| {
        let properties: Map<String, Value> = members.into_iter().collect();
        json!({"name": "t", "inputSchema": {"type": "object", "properties": properties, "$defs": {"d": d}}})
    })
}

/// Arguments for a record, mostly fitting; `dice` decides what is not.
fn instance(record: &shape::Record, dice: &mut impl FnMut(u32) -> u32) -> Value {
    let mut members = Map::new();
    for (name, field) in &record.fields {
        if !field.required && dice(2) == 0 || dice(40) == 0 {
            continue;
        }
        let value = match &field.kind {
            Some(_) if field.nullable && dice(4) == 0 => Value::Null,
            Some(kind) => value(kind, dice),
            None => json!({"any": [1, null]}),
        };
        members.insert(name.clone(), value);
    }
    if dice(10) == 0 {
        members.insert("undeclared".into(), json!(1));
    }
    Value::Object(members)
}

fn value(kind: &Type, dice: &mut impl FnMut(u32) -> u32) -> Value {
    if dice(60) == 0 {
        return [json!(null), json!(1e300), json!("x"), json!([{}]), json!({"a": 1})][dice(5) as usize]
            .clone();
    }
    match kind {
        Type::Text => json!(["", "a\"b\\", "\u{0}é"][dice(3) as usize]),
        Type::Flag => json!(dice(2) == 0),
        Type::Integer => json!([0, -1, i64::MAX, i64::MIN][dice(4) as usize]),
        Type::Decimal => [json!(1), json!(-2.5), json!(1e3), json!(0.0001)][dice(4) as usize].clone(),
        Type::Set(item) => (0..dice(4)).map(|_| value(item, dice)).collect(),
        Type::Record(record) => instance(record, dice),
    }
}

fn fits(schema: &Schema, arguments: &Arguments<'_>, shape: &Shape) -> Result<bool, TestCaseError> {
    let Ok(record) = arguments.to_record(Some(shape)) else { return Ok(false) };
    let user: EntityUid = "U::\"u\"".parse().unwrap();
    let action: EntityUid = "Action::\"a\"".parse().unwrap();
    let context = Context::from_pairs([("input".to_owned(), record)]).unwrap();
    let request = Request::new(user.clone(), action, user, context, Some(schema));
    prop_assert!(request.is_ok(), "{:?}\n{}", request.err(), shape.cedar_type());
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    /// Any definition gives a schema that Cedar reads, and what is typed by it passes Cedar's own check.
    #[test]
    fn every_record_passes_cedars_own_check(definition in definition(), seed in any::<u64>()) {
        let raw = definition.to_string();
        let Ok(shape) = Shape::read(&raw) else { return Err(TestCaseError::fail(raw)) };
        let text = format!(
            "entity U; action a appliesTo {{ principal: U, resource: U, context: {{ \"input\": {} }} }};",
            shape.cedar_type()
        );
        let schema = match Schema::from_cedarschema_str(&text) {
            Ok((schema, _)) => schema,
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}\n{text}"))),
        };
        prop_assert_eq!(schema.actions().count(), 1);
        let mut state = seed | 1;
        let mut dice = |sides: u32| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 33) as u32 % sides
        };
        let mut fitted = 0;
        for _ in 0..12 {
            let raw = instance(shape.record(), &mut dice).to_string();
            fitted += u32::from(fits(&schema, &Arguments::read(Some(&raw)).unwrap(), &shape)?);
        }
        prop_assert!(fitted > 0 || shape.record().fields.len() > 3, "no generated call ever fitted");
    }

    /// Definitions and arguments of any JSON whatever: an answer, no panic.
    #[test]
    fn anything_is_answered(definition in "\\PC{0,80}", schema in schema(), raw in "[\\[\\]{}\":,\\\\a-z0-9.%&=-]{0,60}") {
        let _ = Shape::read(&definition);
        let wrapped = format!(r#"{{"inputSchema":{schema}}}"#);
        let shape = Shape::read(&wrapped).unwrap();
        if let Ok(arguments) = Arguments::read(Some(&raw)) {
            let _ = (arguments.to_record(Some(&shape)), arguments.to_record(None), arguments.scan());
        }
        let needles = Needles::new(["abc", "system_config"]).unwrap();
        needles.touched(Some(&raw), &[&definition]);
    }

    /// A needle inside of anything is found, whatever stands around it.
    #[test]
    fn a_needle_in_plain_sight_is_found(before in "\\PC{0,30}", after in "\\PC{0,30}", layers in 0..3) {
        use base64::Engine;
        let mut text = format!("{before} secret_vault_key {after}");
        for _ in 0..layers {
            text = base64::engine::general_purpose::STANDARD.encode(&text);
        }
        let needles = Needles::new(["secret_vault_key"]).unwrap();
        let raw = json!({ "a": [text] }).to_string();
        prop_assert_eq!(needles.touched(Some(&raw), &[]).len(), 1, "{}", raw);
    }
}
