//! One form for each JSON value, so that tool definitions can be compared by hash.
//!
//! It follows RFC 8785 (JCS) in spirit: no white space, members sorted, strings with as few escapes
//! as possible. It differs in two points, since it serves to notice change and not to exchange
//! data: numbers stay as written (`1.0` and `1` are different definitions, and no number is too
//! big), and members are sorted by UTF-8 bytes rather than UTF-16 units.

use crate::error::DecodeError;
use crate::text;
use crate::tree::Tree;

/// The canonical form of the JSON value `raw`. Two texts have the same one exactly if they differ
/// only in white space, in the order of members and in how strings are escaped.
///
/// # Errors
/// When `raw` is not one JSON value, is nested deeper than 64 levels, or can be read in two ways:
/// an object with a name twice, a string with an unpaired surrogate.
pub fn canonicalize(raw: &str) -> Result<Vec<u8>, DecodeError> {
    Ok(of(&Tree::read(raw)?).into_bytes())
}

/// The canonical form of a value that was read before, see [`canonicalize`].
#[must_use]
pub fn of(tree: &Tree<'_>) -> String {
    let mut out = Vec::with_capacity(256);
    write(tree, &mut out);
    String::from_utf8(out).expect("all that is written comes from text")
}

fn write(tree: &Tree<'_>, out: &mut Vec<u8>) {
    match tree {
        Tree::Plain(_, written) => out.extend_from_slice(written.as_bytes()),
        Tree::String(string) => out.extend_from_slice(text::encode(string).as_bytes()),
        Tree::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write(item, out);
            }
            out.push(b']');
        }
        Tree::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by(|left, right| left.0.cmp(&right.0));
            out.push(b'{');
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                out.extend_from_slice(text::encode(name).as_bytes());
                out.push(b':');
                write(value, out);
            }
            out.push(b'}');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(raw: &str) -> String {
        String::from_utf8(canonicalize(raw).unwrap()).unwrap()
    }

    #[test]
    fn one_form() {
        let cases = [
            (r#" { "b" : 1 , "a" : [ true , null , { } ] } "#, r#"{"a":[true,null,{}],"b":1}"#),
            (r#"{"\u0061":"\u00e9\/\u000a"}"#, r#"{"a":"é/\n"}"#),
            (r#"{"z":{"b":2,"a":1},"é":0,"Z":0}"#, r#"{"Z":0,"z":{"a":1,"b":2},"é":0}"#),
            ("[1.0,1,1e0,123456789012345678901234567890]", "[1.0,1,1e0,123456789012345678901234567890]"),
            (r#""\ud83d\ude00""#, "\"😀\""),
        ];
        for (raw, expected) in cases {
            assert_eq!(canonical(raw), expected);
            assert_eq!(canonical(expected), expected, "canonical form of a canonical form");
        }
    }

    #[test]
    fn refuses_what_reads_two_ways() {
        let deep = "[".repeat(65) + &"]".repeat(65);
        for raw in ["", "{", "1 2", r#"{"a":1,"\u0061":2}"#, r#"[{"a":{"b":1,"b":1}}]"#, r#""\ud83d""#, &deep]
        {
            assert!(canonicalize(raw).is_err(), "{raw}");
        }
        // Names of a schema may differ by case alone.
        assert!(canonicalize(r#"{"a":1,"A":2}"#).is_ok());
    }
}
