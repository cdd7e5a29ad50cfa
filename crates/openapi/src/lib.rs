//! REST APIs as MCP tools: the pure half of `lockgate deploy`.
//!
//! An API is described by an OpenAPI document (3.0, 3.1, or Swagger 2.0), in JSON or YAML. [`Catalogue::read`] makes
//! tools out of it, one for each operation: a name that MCP clients take, a bounded description, a JSON Schema (2020-12)
//! of its arguments, and hints from its HTTP method. [`Tool::request`] turns the arguments of a call into an HTTP
//! request, and [`Tool::result`] turns the answer into what a tool gives.
//!
//! ```
//! use lockgate_openapi::{Catalogue, Limits};
//! use serde_json::json;
//!
//! let document = br#"
//! openapi: 3.1.0
//! info: { title: Pets, version: "1" }
//! paths:
//!   /pets/{petId}:
//!     get:
//!       operationId: getPet
//!       parameters: [{ name: petId, in: path, required: true, schema: { type: integer } }]
//!       responses: { "200": { description: one pet } }
//! "#;
//! let catalogue = Catalogue::read(document, &Limits::default())?;
//! let tool = catalogue.tool("getPet").expect("it is described");
//! let request = tool.request(&json!({ "petId": 7 }), &Limits::default())?;
//! assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/pets/7"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The document comes from outside, and so do the arguments and the answers. What that means here:
//!
//! - Everything has a limit, see [`Limits`]: bytes, nodes, depth, operations, the size of a definition. Aliases of YAML
//!   count for what they stand for.
//! - A `$ref` leads to another place of the same document or nowhere. No file is opened and nothing is fetched; there is
//!   nothing in this crate that could.
//! - An argument cannot leave its place: it is percent-encoded for where it stands, a path segment can neither be a dot
//!   segment nor hold a slash, and a header value holds visible characters only.
//! - Names and descriptions lose whatever people do not see.
//! - An operation that cannot be offered is left out and named, with the place in the document and the reason.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail"))]

mod body;
mod catalogue;
mod conform;
mod error;
mod hints;
mod limits;
mod multipart;
mod names;
mod operation;
mod pages;
mod parameter;
mod percent;
mod pointer;
mod promise;
mod read;
mod request;
mod resource;
mod response;
mod schema;
mod search;
mod shape;
mod style;
mod swagger;
mod text;
mod yaml;

pub use catalogue::{Catalogue, LeftOut, Notice, Tool};
pub use error::{CallError, Problem, Rejected};
pub use hints::Hints;
pub use limits::Limits;
pub use read::document;
pub use request::Request;
pub use resource::{Resource, ResourceKind};
pub use response::{Response, Shaping};
