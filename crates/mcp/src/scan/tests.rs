use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;
use crate::Limits;

fn accepts(text: &str) -> Result<(), DecodeError> {
    whole(text, &Limits { depth_max: DEPTH_CEILING, ..Limits::default() }).map(|_| ())
}

#[test]
fn grammar() {
    for text in [
        "0",
        "-0",
        "1.5e+10",
        "1E0",
        "\"\"",
        r#""\u00e9\\\"\/\b\f\n\r\t""#,
        r#""\ud83d""#,
        "[]",
        "{}",
        " [ 1 , { \"a\" : [ ] } ] ",
        "{\"a\":{\"b\":[{},[],null,true,false]}}",
        "\"\u{7f}é😀\"",
        "123456789012345678901234567890",
    ] {
        assert_eq!(accepts(text), Ok(()), "{text}");
    }
    for (text, at) in [
        ("", 0),
        (" ", 1),
        ("01", 1),
        ("-", 1),
        ("1.", 2),
        (".5", 0),
        ("1e", 2),
        ("+1", 0),
        ("tru", 0),
        ("nulL", 0),
        ("[1,]", 3),
        ("[1 2]", 3),
        ("{\"a\"}", 4),
        ("{\"a\":}", 5),
        ("{\"a\":1,}", 7),
        ("{a:1}", 1),
        ("[", 1),
        ("\"a", 2),
        ("\"\\x\"", 2),
        ("\"\\u12g4\"", 2),
        ("\"a\nb\"", 2),
        ("[1]]", 3),
        ("{}{}", 2),
        ("\u{feff}1", 0),
        ("[1}", 2),
        ("'a'", 0),
        ("NaN", 0),
        ("1 //", 2),
    ] {
        let error = accepts(text).unwrap_err();
        assert!(matches!(error, DecodeError::Syntax { at: found, .. } if found == at), "{text}: {error}");
    }
}

#[test]
fn depth_is_counted_in_levels() {
    for (levels, depth_max, passes) in
        [(64, 64, true), (65, 64, false), (512, 9999, true), (513, 9999, false)]
    {
        let limits = Limits { depth_max, ..Limits::default() };
        let arrays = "[".repeat(levels) + &"]".repeat(levels);
        let objects = "{\"a\":".repeat(levels - 1) + "{}" + &"}".repeat(levels - 1);
        for text in [arrays, objects] {
            assert_eq!(whole(&text, &limits).is_ok(), passes, "{levels} of {depth_max}");
        }
    }
}

/// Any JSON text, with arbitrary space, escapes and spelling of numbers.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?",
        any::<String>().prop_map(|text| crate::text::encode(&text)),
        "\"(\\\\u[0-9a-fA-F]{4}|\\\\[nrtbf/\\\\\"]|[ -!#-\\[\\]-~é😀])*\"",
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let space = "[ \t\r\n]{0,2}";
        let item = (space, inner, space).prop_map(|(before, value, after)| before + &value + &after);
        prop_oneof![
            prop::collection::vec(item.clone(), 0..6).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((any::<String>(), item), 0..6).prop_map(|members| {
                let member =
                    |(name, value): &(String, String)| format!("{} :{value}", crate::text::encode(name));
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_json(text in json()) {
        prop_assert_eq!(accepts(&text), Ok(()));
        prop_assert!(serde_json::from_str::<IgnoredAny>(&text).is_ok());
    }

    #[test]
    fn agrees_with_serde_json_on_damaged_json(
        text in json(),
        at in any::<prop::sample::Index>(),
        cut in 0usize..3,
        put in "[\\[\\]{}\",:0-9eE+.\\\\untrfals \n\u{1}é-]{0,3}",
    ) {
        let mut chars: Vec<char> = text.chars().collect();
        let at = at.index(chars.len() + 1);
        chars.splice(at..(at + cut).min(chars.len()), put.chars());
        let text: String = chars.into_iter().collect();
        prop_assert_eq!(accepts(&text).is_ok(), serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
    }

    #[test]
    fn agrees_with_serde_json_on_noise(text in "[\\[\\]{}\",:0-9eE+.\\\\untrfals \n-]{0,24}") {
        prop_assert_eq!(accepts(&text).is_ok(), serde_json::from_str::<IgnoredAny>(&text).is_ok());
    }
}
