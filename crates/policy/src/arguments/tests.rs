//! Tables and generated cases on arguments as a whole.

mod generated;
mod records;
mod shapes;
mod touched;

use cedar_policy::{Context, RestrictedExpression};

use super::Shape;

/// The shape of a tool with this `inputSchema`.
fn shape(schema: &str) -> Shape {
    Shape::read(&format!(r#"{{"name":"t","inputSchema":{schema}}}"#)).unwrap()
}

/// A record as Cedar evaluates and shows it.
fn shown(record: RestrictedExpression) -> String {
    Context::from_pairs([("r".to_owned(), record)]).unwrap().get("r").unwrap().to_string()
}
