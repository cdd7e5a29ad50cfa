//! What providers of facts answer, and what is pushed.

use lockgate_facts::push::Signed;
use lockgate_facts::{FactShape, FactType, Template, read_record, shape};

/// Inputs to start from.
pub const DOCUMENT_SEEDS: &[&[u8]] = &[
    br#"{"name":"p-1","count":-7,"on":true,"at":"2026-11-22T14:00:00.5+01:00","tags":["a","b"],"as_of":"2026-11-22T13:00:00Z"}"#,
    br#"{"name":"","count":9223372036854775807,"on":false,"at":"0001-01-01T00:00:00Z","tags":[],"more":{"x":[null]}}"#,
    br#"{"schema":"lockgate.fact-push/1","statement":"{\"schema\":\"lockgate.fact/1\",\"fact\":\"staff\",\"issued\":\"2026-11-22T14:00:00.000Z\",\"record\":null}","signer":"00","signature":"AA=="}"#,
    b"https://his.internal:8443/appointments/{key}?x=1",
];

/// Any bytes are a record of the shape or not; what is one has the shape's members, each of its type, in one form.
pub fn document(data: &[u8]) {
    let fields = [
        ("name", FactType::Text),
        ("count", FactType::Integer),
        ("on", FactType::Flag),
        ("at", FactType::Time),
        ("tags", FactType::Texts),
    ];
    let shape = FactShape {
        name: "thing".to_owned(),
        fields: fields.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect(),
        key: None,
    };
    if let Ok(record) = read_record(data, &shape) {
        assert!(record.keys().eq(shape.fields.keys()));
        assert!(record["name"].is_string() && record["count"].is_i64() && record["on"].is_boolean());
        assert!(record["at"].as_str().is_some_and(|at| at.ends_with('Z')));
        assert!(record["tags"].as_array().is_some_and(|tags| tags.iter().all(serde_json::Value::is_string)));
        assert_eq!(shape::fit(&shape, record.clone()).as_ref(), Ok(&record), "one form");
    }
    if let Ok((signed, _)) = Signed::parse(data) {
        let again = serde_json::to_vec(&signed).expect("a signed statement is plain data");
        assert_eq!(Signed::parse(&again).expect("what was read is read again").0, signed);
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(url) = Template::parse(text)
    {
        let host = url.origin().host().unwrap_or_default();
        assert!(
            !host.is_empty() && url.origin().authority().is_some_and(|host| !host.as_str().contains('@'))
        );
    }
}
