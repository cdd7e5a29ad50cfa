//! `multipart/form-data` (RFC 7578).

use serde_json::{Map, Value};

use crate::body::bytes;
use crate::error::CallError;
use crate::style::{word, word_or_json};

/// Writes the members as parts; those in `files` are bytes, given as base64.
pub(crate) fn write(
    argument: &str,
    members: &Map<String, Value>,
    files: &[String],
) -> Result<(Vec<u8>, String), CallError> {
    let mut parts = Vec::new();
    for (name, value) in members {
        let several = match value {
            Value::Null => continue,
            Value::Array(items) if files.contains(name) || items.iter().all(|item| word(item).is_some()) => {
                items.as_slice()
            }
            one => std::slice::from_ref(one),
        };
        for value in several {
            parts.push(part(argument, name, value, files.contains(name))?);
        }
    }
    let boundary = boundary(&parts);
    let mut written = Vec::new();
    for Part { head, content } in parts {
        written.extend_from_slice(format!("--{boundary}\r\n{head}\r\n\r\n").as_bytes());
        written.extend_from_slice(&content);
        written.extend_from_slice(b"\r\n");
    }
    written.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    Ok((written, format!("multipart/form-data; boundary={boundary}")))
}

struct Part {
    head: String,
    content: Vec<u8>,
}

fn part(argument: &str, name: &str, value: &Value, is_file: bool) -> Result<Part, CallError> {
    let quoted = quoted(name);
    let disposition = format!("Content-Disposition: form-data; name=\"{quoted}\"");
    if is_file {
        let head = format!("{disposition}; filename=\"{quoted}\"\r\nContent-Type: application/octet-stream");
        return Ok(Part { head, content: bytes(&format!("{argument}.{name}"), value)? });
    }
    let head = match value {
        Value::Object(_) | Value::Array(_) => format!("{disposition}\r\nContent-Type: application/json"),
        _ => disposition,
    };
    Ok(Part { head, content: word_or_json(value).into_bytes() })
}

/// A name within quotes, as browsers write it (HTML, section 4.10.22.8): what would end the quotes or the line is encoded.
fn quoted(name: &str) -> String {
    name.chars().fold(String::new(), |mut quoted, c| {
        match c {
            '"' => quoted.push_str("%22"),
            '\\' => quoted.push_str("%5C"),
            c if c.is_control() => quoted.push_str(&crate::percent::encode(&c.to_string())),
            c => quoted.push(c),
        }
        quoted
    })
}

/// A line that stands in no part.
fn boundary(parts: &[Part]) -> String {
    let is_in = |boundary: &str| {
        let needle = boundary.as_bytes();
        parts.iter().any(|part| part.content.windows(needle.len()).any(|window| window == needle))
    };
    crate::names::unique("lockgate-part", is_in)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_part_can_end_another() {
        let members = json!({
            "a\"\r\nX: y": "1", "f": "aGk=", "note": "--lockgate-part--\r\n", "o": { "k": 1 }, "gone": null,
        });
        let (bytes, media) = write("body", members.as_object().unwrap(), &["f".to_owned()]).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(media, "multipart/form-data; boundary=lockgate-part_2");
        assert_eq!(text.matches("--lockgate-part_2\r\n").count(), 4, "{text}");
        assert!(text.contains("name=\"a%22%0D%0AX: y\"") && text.contains("\r\n\r\nhi\r\n"), "{text}");
        assert!(text.ends_with("--lockgate-part_2--\r\n"));
        assert!(write("body", json!({ "f": "***" }).as_object().unwrap(), &["f".to_owned()]).is_err());
    }
}
