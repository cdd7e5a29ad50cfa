//! Which arguments of a tool are mirrored into `Mcp-Param-*` headers.

use std::borrow::Cow;

use http::HeaderName;

use crate::error::{DecodeError, Place};
use crate::headers::number;
use crate::limits::Limits;
use crate::scan::{Scanner, Shape, Value};
use crate::text;
use crate::tree::Tree;

const ANNOTATION: &str = "x-mcp-header";

/// Why a tool definition's `x-mcp-header` annotations are invalid. A client must leave such a tool
/// out of its list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParamError {
    /// The definition is no JSON that reads one way.
    #[error("the tool definition cannot be read: {0}")]
    Definition(#[from] DecodeError),
    /// An annotation on the schema itself or anywhere else that no chain of `properties` reaches.
    #[error("x-mcp-header at {path:?} is not reached through properties alone: move or remove it")]
    Unreachable {
        /// Where it stands, by member names.
        path: String,
    },
    /// The annotation is not an HTTP token (RFC 9110 section 5.6.2).
    #[error("x-mcp-header of {path:?} must be a name of letters, digits and any of !#$%&'*+-.^_`|~")]
    Name {
        /// The property.
        path: String,
    },
    /// Two properties claim one header; header names do not know case.
    #[error("x-mcp-header {header:?} of {path:?} is taken by another property: choose another name")]
    Taken {
        /// The property.
        path: String,
        /// The header's name, without `Mcp-Param-`.
        header: String,
    },
    /// The property is not a string, an integer or a boolean.
    #[error("x-mcp-header of {path:?}: only strings, integers and booleans can be mirrored")]
    Type {
        /// The property.
        path: String,
    },
}

/// The mirrored arguments of one tool, from the `x-mcp-header` annotations of its `inputSchema`
/// (MCP 2026-07-28, "Custom Headers from Tool Parameters").
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParamHeaders {
    leaves: Vec<Leaf>,
}

/// One mirrored argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) header: HeaderName,
    /// Member names from `params.arguments` down.
    path: Vec<String>,
    pub(crate) integer: bool,
}

impl ParamHeaders {
    /// Reads the annotations of a tool definition as it stands in `tools/list`.
    ///
    /// # Errors
    /// [`ParamError`] for the first annotation that is invalid.
    pub fn from_tool_raw(definition: &str) -> Result<Self, ParamError> {
        let mut headers = Self::default();
        if memchr::memmem::find(definition.as_bytes(), ANNOTATION.as_bytes()).is_none()
            && !definition.contains('\\')
        {
            return Ok(headers);
        }
        let tool = Tree::read(definition)?;
        if let Some(schema) = tool.get("inputSchema") {
            if schema.get(ANNOTATION).is_some() {
                return Err(ParamError::Unreachable { path: String::new() });
            }
            headers.walk(schema, &mut Vec::new(), true)?;
        }
        Ok(headers)
    }

    /// Whether no argument is mirrored.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    pub(crate) fn leaves(&self) -> &[Leaf] {
        &self.leaves
    }

    /// Walks a schema; `reachable` says that only `properties` led to it.
    fn walk(&mut self, schema: &Tree<'_>, path: &mut Vec<String>, reachable: bool) -> Result<(), ParamError> {
        if let Tree::Array(items) = schema {
            return items.iter().try_for_each(|item| self.walk(item, path, false));
        }
        for (name, value) in schema.members() {
            match name.as_str() {
                ANNOTATION if reachable => self.add(schema, value, path)?,
                ANNOTATION => return Err(ParamError::Unreachable { path: path.join(".") }),
                "properties" => self.walk_map(value, path, reachable)?,
                "$defs" | "definitions" | "patternProperties" | "dependentSchemas" => {
                    self.walk_map(value, path, false)?;
                }
                // Values of the parameter, not schemas.
                "default" | "const" | "enum" | "examples" => {}
                _ => self.walk(value, path, false)?,
            }
        }
        Ok(())
    }

    /// Walks the schemas of an object whose names are not keywords but the tool's.
    fn walk_map(
        &mut self,
        map: &Tree<'_>,
        path: &mut Vec<String>,
        reachable: bool,
    ) -> Result<(), ParamError> {
        for (name, schema) in map.members() {
            path.push(name.clone());
            self.walk(schema, path, reachable)?;
            path.pop();
        }
        Ok(())
    }

    fn add(&mut self, schema: &Tree<'_>, annotation: &Tree<'_>, path: &[String]) -> Result<(), ParamError> {
        let shown = || path.join(".");
        let name = annotation.as_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| ParamError::Name { path: shown() })?;
        let header = HeaderName::try_from(format!("mcp-param-{name}"))
            .map_err(|_| ParamError::Name { path: shown() })?;
        if self.leaves.iter().any(|leaf| leaf.header == header) {
            return Err(ParamError::Taken { path: shown(), header: name.to_owned() });
        }
        let integer = match schema.get("type").and_then(Tree::as_str) {
            Some("integer") => true,
            Some("string" | "boolean") => false,
            _ => return Err(ParamError::Type { path: shown() }),
        };
        self.leaves.push(Leaf { header, path: path.to_vec(), integer });
        Ok(())
    }
}

/// The value of an argument, as far as it can be mirrored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    /// Absent, null or no primitive: has no header.
    None,
    /// A string's text, or a number or boolean as written.
    Text(Cow<'a, str>),
    Number(&'a str),
}

impl Leaf {
    /// The argument's value in `arguments`, the JSON text of `params.arguments`.
    ///
    /// # Errors
    /// When an object on the way has a name twice, or the string is not text.
    pub(crate) fn argument<'a>(&self, arguments: &'a str) -> Result<Argument<'a>, DecodeError> {
        let mut at = 0;
        let mut value = None;
        for name in &self.path {
            let mut scanner = Scanner::within(arguments, at, Limits::default().members_max);
            if scanner.peek() != Some(b'{') {
                return Ok(Argument::None);
            }
            value = None;
            scanner.object(Place::Arguments, |scanner, member| {
                let found = scanner.value()?;
                if member == name {
                    value = Some(found);
                }
                Ok(())
            })?;
            match value {
                Some(Value { span, .. }) => at = span.start,
                None => return Ok(Argument::None),
            }
        }
        let Some(Value { shape, span }) = value else { return Ok(Argument::None) };
        let raw = span.of(arguments);
        Ok(match shape {
            Shape::String => {
                let surrogate = DecodeError::Surrogate { at: span.start as usize };
                Argument::Text(text::decode(raw).ok_or(surrogate)?)
            }
            Shape::Bool => Argument::Text(Cow::Borrowed(raw)),
            Shape::Number => Argument::Number(raw),
            Shape::Null | Shape::Array | Shape::Object => Argument::None,
        })
    }

    /// Whether a decoded header value says the same as the argument.
    pub(crate) fn agrees(&self, header: &str, argument: &Argument<'_>) -> bool {
        match argument {
            Argument::None => false,
            Argument::Text(text) => header == text,
            Argument::Number(number) => header == *number || self.integer && number::equal(header, number),
        }
    }
}
