//! Values as text in their places (OpenAPI 3.1, section 4.8.12.3; RFC 6570 in spirit).

use serde_json::{Map, Value};

use crate::error::CallError;
use crate::parameter::{Parameter, Style};
use crate::percent::{encode, is_dots, stays_in_segment};

/// A scalar as a word; none for lists and objects.
pub(crate) fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null => Some(String::new()),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A scalar as a word, anything else as JSON text.
pub(crate) fn word_or_json(value: &Value) -> String {
    word(value).unwrap_or_else(|| value.to_string())
}

/// What stands in the path for a parameter.
pub(crate) fn path(parameter: &Parameter, value: &Value) -> Result<String, CallError> {
    let unfit = |why| CallError::unfit(&parameter.argument, why);
    let check = |text: String| -> Result<String, CallError> {
        let stays = match parameter.segments {
            true => text.split('/').all(|piece| !piece.is_empty() && stays_in_segment(piece)),
            false => stays_in_segment(&text),
        };
        if !stays {
            return Err(unfit(
                "cannot stand in the path: it holds a slash, a control character or a dot segment",
            ));
        }
        match parameter.segments {
            true => Ok(text.split('/').map(encode).collect::<Vec<_>>().join("/")),
            false => Ok(encode(&text)),
        }
    };
    let words = words(value).into_iter().map(check).collect::<Result<Vec<_>, _>>()?;
    if words.is_empty() || words.iter().any(String::is_empty) {
        return Err(unfit("must not be empty: it is a part of the path"));
    }
    let pairs = value.is_object();
    let name = encode(&parameter.name);
    let joined = |separator: &str, equals: &str| match pairs {
        true => words.chunks(2).map(|pair| pair.join(equals)).collect::<Vec<_>>().join(separator),
        false => words.join(separator),
    };
    let (explode, equals) = (parameter.explode, if parameter.explode { "=" } else { "," });
    Ok(match parameter.style {
        Style::Label if explode => format!(".{}", joined(".", equals)),
        Style::Label => format!(".{}", joined(",", equals)),
        Style::Matrix if explode && pairs => format!(";{}", joined(";", "=")),
        Style::Matrix if explode => words.iter().map(|word| format!(";{name}={word}")).collect(),
        Style::Matrix => format!(";{name}={}", joined(",", ",")),
        _ => joined(",", equals),
    })
}

/// The words of a value: one, those of its items, or its names and values in turn.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().map(word_or_json).collect(),
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| [name.clone(), word_or_json(value)]).collect()
        }
        one => vec![word_or_json(one)],
    }
}

/// Whether a path that was put together stays where its template is.
pub(crate) fn is_straight(path: &str) -> bool {
    path.starts_with('/') && path.split('/').all(|segment| !is_dots(segment))
}

/// The pairs that a parameter adds to the query, encoded.
pub(crate) fn query(parameter: &Parameter, value: &Value) -> Vec<(String, String)> {
    let name = encode(&parameter.name);
    let joined = |separator: &str| {
        let words: Vec<String> = words(value).iter().map(|word| encode(word)).collect();
        vec![(name.clone(), words.join(separator))]
    };
    match (parameter.style, value) {
        (Style::Json, _) => vec![(name, encode(&value.to_string()))],
        (Style::Deep, Value::Object(_)) => deep(&parameter.name, value),
        (_, Value::Array(items)) if parameter.explode => {
            items.iter().map(|item| (name.clone(), encode(&word_or_json(item)))).collect()
        }
        (_, Value::Object(members)) if parameter.explode => {
            members.iter().map(|(name, value)| (encode(name), encode(&word_or_json(value)))).collect()
        }
        (Style::Space, Value::Array(_) | Value::Object(_)) => joined("%20"),
        (Style::Pipe, Value::Array(_) | Value::Object(_)) => joined("%7C"),
        (_, Value::Array(_) | Value::Object(_)) => joined(","),
        (_, one) => vec![(name, encode(&word_or_json(one)))],
    }
}

/// `name[member][0]=value`, as deep as the value is.
pub(crate) fn deep(name: &str, value: &Value) -> Vec<(String, String)> {
    match value {
        Value::Object(members) => {
            members.iter().flat_map(|(key, value)| deep(&format!("{name}[{key}]"), value)).collect()
        }
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(n, value)| deep(&format!("{name}[{n}]"), value)).collect()
        }
        one => vec![(encode(name), encode(&word_or_json(one)))],
    }
}

/// The value of a header: visible characters and spaces, or it is refused.
pub(crate) fn header(parameter: &Parameter, value: &Value) -> Result<String, CallError> {
    let text = match (parameter.style, value) {
        (Style::Json, _) => value.to_string(),
        (_, Value::Object(members)) if parameter.explode => {
            let pairs = members.iter().map(|(name, value)| format!("{name}={}", word_or_json(value)));
            pairs.collect::<Vec<_>>().join(",")
        }
        _ => words(value).join(","),
    };
    match text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        true => Ok(text.trim().to_owned()),
        false => Err(CallError::unfit(
            &parameter.argument,
            "goes into a header, which takes visible ASCII characters only",
        )),
    }
}

/// One piece of `Cookie`, or several.
pub(crate) fn cookie(parameter: &Parameter, value: &Value) -> String {
    let pieces: Vec<String> = match (value, parameter.explode) {
        (Value::Object(members), true) if parameter.style != Style::Json => members
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(&word_or_json(value))))
            .collect(),
        _ if parameter.style == Style::Json => {
            vec![format!("{}={}", parameter.name, encode(&value.to_string()))]
        }
        _ => {
            let words: Vec<String> = words(value).iter().map(|word| encode(word)).collect();
            vec![format!("{}={}", parameter.name, words.join(","))]
        }
    };
    pieces.join("; ")
}

/// Whether a place cannot carry a value: a null says nothing anywhere.
pub(crate) fn is_absent(value: &Value) -> bool {
    value.is_null()
}

/// The members of an object argument.
pub(crate) fn members<'a>(name: &str, value: &'a Value) -> Result<&'a Map<String, Value>, CallError> {
    value.as_object().ok_or_else(|| CallError::unfit(name, "must be an object"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::parameter::Place;

    fn parameter(place: Place, style: Style, explode: bool) -> Parameter {
        let name = "p".to_owned();
        Parameter { argument: name.clone(), name, place, style, explode, required: true, segments: false }
    }

    #[test]
    fn styles_are_written_as_the_specification_shows_them() {
        let (list, object) = (json!(["a", "b c"]), json!({ "G": "x/y", "R": 1 }));
        for (style, explode, value, expected) in [
            (Style::Form, true, &list, "p=a&p=b%20c"),
            (Style::Form, false, &list, "p=a,b%20c"),
            (Style::Form, true, &object, "G=x%2Fy&R=1"),
            (Style::Form, false, &object, "p=G,x%2Fy,R,1"),
            (Style::Space, false, &list, "p=a%20b%20c"),
            (Style::Pipe, false, &list, "p=a%7Cb%20c"),
            (Style::Deep, true, &object, "p%5BG%5D=x%2Fy&p%5BR%5D=1"),
            (Style::Form, true, &json!("a&b=c#"), "p=a%26b%3Dc%23"),
            (Style::Json, false, &object, "p=%7B%22G%22%3A%22x%2Fy%22%2C%22R%22%3A1%7D"),
        ] {
            let pairs = query(&parameter(Place::Query, style, explode), value);
            let text: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            assert_eq!(text.join("&"), expected, "{style:?} {explode}");
        }
        for (style, explode, value, expected) in [
            (Style::Simple, false, json!([1, 2]), "1,2"),
            (Style::Simple, true, json!({ "a": 1 }), "a=1"),
            (Style::Label, true, json!([1, 2]), ".1.2"),
            (Style::Label, false, json!(5), ".5"),
            (Style::Matrix, false, json!([1, 2]), ";p=1,2"),
            (Style::Matrix, true, json!([1, 2]), ";p=1;p=2"),
            (Style::Matrix, true, json!({ "a": 1, "b": 2 }), ";a=1;b=2"),
        ] {
            assert_eq!(path(&parameter(Place::Path, style, explode), &value).unwrap(), expected);
        }
    }

    #[test]
    fn headers_carry_no_line_ends() {
        let p = parameter(Place::Header, Style::Simple, false);
        for bad in ["a\r\nX: y", "a\n", "\u{0}", "é", "a\u{7f}"] {
            assert!(header(&p, &json!(bad)).is_err(), "{bad:?}");
        }
        assert_eq!(header(&p, &json!(["a", "b"])).unwrap(), "a,b");
    }
}
