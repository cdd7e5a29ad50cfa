use super::{super::*, shape, shown};

const SCHEMA: &str = r#"{"type":"object","required":["s"],"properties":{
    "s":{"type":"string"},"i":{"type":"integer"},"n":{"type":"number"},"b":{"type":"boolean"},
    "l":{"type":"array","items":{"type":"string"}},
    "o":{"type":"object","properties":{"x":{"type":"integer"}},"required":["x"],"additionalProperties":false},
    "r":{"type":"array","items":{"properties":{"k":{"type":"string"}}}},
    "u":{"type":["string","integer"]}}}"#;

fn typed(raw: &str) -> Result<String, Misfit> {
    Arguments::read(Some(raw))?.to_record(Some(&shape(SCHEMA))).map(shown)
}

#[test]
fn arguments_that_fit_are_typed() {
    let cases = [
        (r#"{"s":"x"}"#, r#"{"s": "x"}"#),
        (r#"{"s":"\u00e9\n"}"#, r#"{"s": "é\n"}"#),
        (r#"{"s":"","i":-0}"#, r#"{"i": 0, "s": ""}"#),
        (r#"{"s":"","i":9223372036854775807}"#, r#"{"i": 9223372036854775807, "s": ""}"#),
        (r#"{"s":"","n":1e3}"#, r#"{"n": decimal("1000.0000"), "s": ""}"#),
        (r#"{"s":"","l":["a","a"]}"#, r#"{"l": ["a"], "s": ""}"#),
        (r#"{"s":"","o":{"x":1}}"#, r#"{"o": {"x": 1}, "s": ""}"#),
        (r#"{"s":"","r":[{},{"k":"v"}]}"#, r#"{"r": [{}, {"k": "v"}], "s": ""}"#),
        // Of no type, and not declared: left out.
        (r#"{"s":"","u":[{"any":null}],"other":1e999}"#, r#"{"s": ""}"#),
    ];
    for (raw, expected) in cases {
        assert_eq!(typed(raw).as_deref(), Ok(expected), "{raw}");
    }
}

#[test]
fn arguments_that_do_not_fit_are_refused_with_their_place() {
    let deep = format!(r#"{{"s":{}1{}}}"#, "[".repeat(64), "]".repeat(64));
    let many = format!(r#"{{"s":"","l":[{}""]}}"#, r#""","#.repeat(VALUES_MAX));
    let cases = [
        ("[]", "the arguments as a whole must be an object, not an array"),
        (r#""s""#, "the arguments as a whole must be an object, not a string"),
        ("{}", "argument `s` is missing"),
        (r#"{"s":null}"#, "argument `s` must be a string, not null"),
        (r#"{"s":1}"#, "argument `s` must be a string, not such a number"),
        (r#"{"s":"","i":"1"}"#, "argument `i` must be an integer, not a string"),
        (r#"{"s":"","i":1.0}"#, "argument `i` must be an integer, not such a number"),
        (r#"{"s":"","i":1e3}"#, "argument `i` must be an integer, not such a number"),
        (
            r#"{"s":"","i":9223372036854775808}"#,
            "argument `i` cannot be weighed: integers are compared up to 64 bits",
        ),
        (
            r#"{"s":"","n":0.00001}"#,
            "argument `n` cannot be weighed: numbers are compared up to four decimals",
        ),
        (r#"{"s":"","n":"1"}"#, "argument `n` must be a number, not a string"),
        (r#"{"s":"","b":"true"}"#, "argument `b` must be true or false, not a string"),
        (r#"{"s":"","l":"a"}"#, "argument `l` must be an array, not a string"),
        (r#"{"s":"","l":["a",null]}"#, "argument `l[1]` must be a string, not null"),
        (r#"{"s":"","o":{}}"#, "argument `o.x` is missing"),
        (r#"{"s":"","o":{"x":true}}"#, "argument `o.x` must be an integer, not true or false"),
        (r#"{"s":"","o":{"x":1,"y`\n":2}}"#, r"argument `o.y'\u{a}` is not in the tool's definition"),
        (r#"{"s":"","r":[{"k":"v","z":1}]}"#, "argument `r[0].z` is not in the tool's definition"),
        (r#"{"s":"a","s":"b"}"#, "the arguments cannot be read: \"s\" appears more than once"),
        (r#"{"s":"a","\u0073":"b"}"#, "the arguments cannot be read: \"s\" appears more than once"),
        (r#"{"s":"","o":{"x":1,"x":2}}"#, "the arguments cannot be read: \"x\" appears more than once"),
        (r#"{"s":"","other":[{"y":1,"y":2}]}"#, "the arguments cannot be read: \"y\" appears more than once"),
        (r#"{"s":"\ud800"}"#, "the arguments cannot be read: an unpaired surrogate"),
        (r#"{"s":"","a\u0000":1}"#, "the arguments cannot be read: "),
        (r#"{"s":"#, "the arguments cannot be read: not JSON"),
        (&deep, "the arguments cannot be read: "),
        (&many, "the arguments cannot be read: more than 16384 values"),
    ];
    for (raw, expected) in cases {
        let told = typed(raw).unwrap_err().to_string();
        assert!(told.starts_with(expected), "{raw:.80}: {told}");
    }
}

#[test]
fn without_a_shape_each_value_is_what_comes_nearest() {
    let natural = |raw| Arguments::read(Some(raw)).and_then(|arguments| arguments.to_record(None)).map(shown);
    let raw = r#"{"a":"x","b":true,"c":-7,"d":1.5,"e":[1,"y",[]],"f":{"g":null,"h":{}},"i":null}"#;
    let expected =
        r#"{"a": "x", "b": true, "c": -7, "d": decimal("1.5000"), "e": [1, "y", []], "f": {"h": {}}}"#;
    assert_eq!(natural(raw).as_deref(), Ok(expected));
    for raw in [r#"{"a":[null]}"#, r#"{"a":9223372036854775808}"#, r#"{"a":{"b":0.00001}}"#, "7"] {
        assert!(natural(raw).is_err(), "{raw}");
    }
    assert_eq!(shown(Arguments::read(None).unwrap().to_record(None).unwrap()), "{}");
}

#[test]
fn names_and_scan_show_everything() {
    let raw = r#"{"Customer":{"SSN":[{"Part":1},{"part":2}]},"a.b":"Ä","customer":null}"#;
    let arguments = Arguments::read(Some(raw)).unwrap();
    assert_eq!(arguments.names().into_iter().collect::<Vec<_>>(), ["Customer", "a.b", "customer"]);
    let scan = arguments.scan().unwrap();
    let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
    assert_eq!(list(&scan.keys), "a.b customer part ssn");
    assert_eq!(list(&scan.paths), r"a.b a\.b customer customer.ssn customer.ssn.part");
    assert_eq!(scan.text, r#"{"customer":{"ssn":[{"part":1},{"part":2}]},"a.b":"ä","customer":null}"#);
    assert!(shown(scan.to_record()).contains(r#""keys": ["a.b", "customer", "part", "ssn"]"#));

    let text_at = |path| arguments.text_at(path);
    assert_eq!((text_at("customer"), text_at("Customer.SSN"), text_at("x")), (None, None, None));
    assert_eq!((text_at("a.b"), text_at(r"a\.b")), (None, Some("Ä")));
}

#[test]
fn long_names_above_many_are_refused() {
    let members: Vec<String> = (0..900).map(|n| format!(r#""m{n}":1"#)).collect();
    let raw = format!(r#"{{"{}":{{{}}}}}"#, "x".repeat(2_000), members.join(","));
    assert_eq!(Arguments::read(Some(&raw)).unwrap().scan(), Err(Misfit::TooManyNames));
}
