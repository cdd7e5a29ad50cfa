//! A shape as the text of a Cedar schema.

use std::fmt::Write;

use super::shape::{Field, Record, Shape, Type};

impl Shape {
    /// The type of `context.input` in the syntax of Cedar schemas, like `{"limit"?: Long, "query": String}`.
    ///
    /// Names are quoted and everything in them but visible ASCII is escaped, so a definition cannot add anything to
    /// the schema but attributes of this record.
    pub fn cedar_type(&self) -> String {
        let mut out = String::new();
        record(self.record(), &mut out);
        out
    }
}

fn record(record: &Record, out: &mut String) {
    out.push('{');
    let mapped = record.fields.iter().filter_map(|(name, field)| Some((name, field, field.kind.as_ref()?)));
    for (index, (name, field, kind)) in mapped.enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        let mark = if always_there(field) { "" } else { "?" };
        write!(out, "{separator}\"{}\"{mark}: ", name.escape_default()).expect("a String takes all");
        type_of(kind, out);
    }
    out.push('}');
}

/// Whether the record always has the attribute: null counts as absent, since Cedar has no null.
fn always_there(field: &Field) -> bool {
    field.required && !field.nullable
}

fn type_of(kind: &Type, out: &mut String) {
    match kind {
        Type::Text => out.push_str("String"),
        Type::Flag => out.push_str("Bool"),
        Type::Integer => out.push_str("Long"),
        Type::Decimal => out.push_str("decimal"),
        Type::Set(item) => {
            out.push_str("Set<");
            type_of(item, out);
            out.push('>');
        }
        Type::Record(fields) => record(fields, out),
    }
}
