//! JSON pointers (RFC 6901), and `$ref`s within one document.

use serde_json::Value;

use crate::limits::Limits;

/// A reference token as it stands in a pointer.
pub(crate) fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

/// `at` and one step further.
pub(crate) fn join(at: &str, token: &str) -> String {
    format!("{at}/{}", escape(token))
}

/// A document whose `$ref`s can be followed within it.
#[derive(Clone, Copy)]
pub(crate) struct Root<'a> {
    pub(crate) document: &'a Value,
    pub(crate) refs_max: usize,
}

impl<'a> Root<'a> {
    pub(crate) fn new(document: &'a Value, limits: &Limits) -> Self {
        Self { document, refs_max: limits.refs_max }
    }

    /// What a `$ref` means.
    ///
    /// # Errors
    /// Why it leads nowhere, in words.
    pub(crate) fn follow(&self, reference: &str) -> Result<&'a Value, String> {
        let Some(fragment) = reference.strip_prefix('#') else {
            let shown = crate::text::clean(reference, 80);
            return Err(format!(
                "the $ref {shown:?} leads to another document, and none is opened or fetched: bundle the document first"
            ));
        };
        let shown = || crate::text::clean(reference, 120);
        let pointer = crate::percent::decode(fragment)
            .ok_or_else(|| format!("the $ref {:?} is no JSON pointer", shown()))?;
        self.document
            .pointer(&pointer)
            .ok_or_else(|| format!("the $ref {:?} leads to nothing in this document", shown()))
    }

    /// `value`, or what stands where its `$ref` leads; at most `refs_max` of them in a row.
    ///
    /// # Errors
    /// Why it leads nowhere, in words.
    pub(crate) fn resolve(&self, mut value: &'a Value) -> Result<&'a Value, String> {
        for _ in 0..self.refs_max {
            match value.get("$ref").and_then(Value::as_str) {
                None => return Ok(value),
                Some(reference) => value = self.follow(reference)?,
            }
        }
        Err(format!("more than {} $refs lead from one to the next: a circle", self.refs_max))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_stay_in_their_document() {
        let document = json!({
            "a": { "$ref": "#/b~1c" }, "b/c": { "$ref": "#/d%20e" }, "d e": 7,
            "x": { "$ref": "#/y" }, "y": { "$ref": "#/x" },
        });
        let root = Root::new(&document, &Limits::default());
        assert_eq!(root.resolve(&document["a"]), Ok(&json!(7)));
        assert!(root.resolve(&document["x"]).unwrap_err().contains("circle"));
        for bad in [
            "file:///etc/passwd",
            "http://169.254.169.254/latest",
            "other.yaml#/a",
            "//host/x",
            "#/nothing",
            "#%zz",
        ] {
            assert!(root.follow(bad).is_err(), "{bad}");
        }
    }
}
