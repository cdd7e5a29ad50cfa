//! Reading operations as resources: what can be read without arguments, and templates where only the path has any.

use serde_json::{Map, Value, json};

use crate::body::{is_json, is_text};
use crate::catalogue::{Catalogue, Tool};
use crate::operation::Piece;
use crate::parameter::{Parameter, Place, Style};
use crate::percent::decode;

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceKind {
    /// One thing with one address.
    Fixed,
    /// A template (RFC 6570) of addresses.
    Template,
}

/// A reading operation as a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource<'a> {
    /// Fixed or a template.
    pub kind: ResourceKind,
    /// The operation.
    pub tool: &'a Tool,
    /// Path, or template of paths.
    pub path: String,
}

impl Catalogue {
    /// All that can be read.
    pub fn resources(&self) -> impl Iterator<Item = Resource<'_>> {
        self.tools.iter().filter_map(resource)
    }

    /// The operation that reads `path`, with its arguments.
    #[must_use]
    pub fn reads(&self, path: &str) -> Option<(&Tool, Value)> {
        let found = self.resources().filter_map(|resource| {
            let variables =
                resource.tool.pieces.iter().filter(|piece| matches!(piece, Piece::Variable(_))).count();
            Some((variables, resource.tool, arguments(resource.tool, path)?))
        });
        // What is named in full goes before what a template would take.
        let (_, tool, arguments) = found.min_by_key(|(variables, ..)| *variables)?;
        Some((tool, Value::Object(arguments)))
    }
}

impl Resource<'_> {
    /// Its address below `rest://SERVER`.
    #[must_use]
    pub fn uri(&self, server: &str) -> String {
        format!("rest://{server}{}", self.path)
    }

    /// Its entry in `resources/list` or `resources/templates/list`.
    #[must_use]
    pub fn definition(&self, server: &str) -> Value {
        let tool = self.tool;
        let key = if self.kind == ResourceKind::Fixed { "uri" } else { "uriTemplate" };
        let mut definition = json!({
            key: self.uri(server),
            "name": tool.name,
            "title": if tool.summary.is_empty() { &tool.name } else { &tool.summary },
            "description": tool.description,
        });
        if let Some(media) = &tool.content {
            definition["mimeType"] = media.clone().into();
        }
        definition
    }
}

fn resource(tool: &Tool) -> Option<Resource<'_>> {
    let is_plain = |parameter: &Parameter| match parameter.place {
        Place::Path => parameter.style == Style::Simple && !parameter.segments,
        _ => !parameter.required,
    };
    let readable = tool.content.as_deref().is_some_and(|media| is_json(media) || is_text(media));
    if tool.method != "GET" || !readable || !tool.parameters.iter().all(is_plain) || !is_by_segment(tool) {
        return None;
    }
    let mut path = String::new();
    for piece in &tool.pieces {
        match piece {
            Piece::Literal(text) => path.push_str(text),
            Piece::Variable(name) => path.push_str(&format!("{{{}}}", variable(name))),
        }
    }
    let kind = if path.contains('{') { ResourceKind::Template } else { ResourceKind::Fixed };
    Some(Resource { kind, tool, path })
}

/// A name that a template may have (RFC 6570, section 2.3).
fn variable(name: &str) -> String {
    crate::names::argument(name).replace(['-', '.'], "_")
}

/// Whether each variable is a whole segment.
fn is_by_segment(tool: &Tool) -> bool {
    tool.path.split('/').all(|segment| {
        !segment.contains('{') || (segment.starts_with('{') && segment.find('}') == Some(segment.len() - 1))
    })
}

/// The arguments with which the operation reads `path`.
fn arguments(tool: &Tool, path: &str) -> Option<Map<String, Value>> {
    let (mut arguments, mut given) = (Map::new(), path.split('/'));
    for segment in tool.path.split('/') {
        let value = given.next()?;
        match segment.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(name) => {
                let parameter =
                    tool.parameters.iter().find(|one| one.place == Place::Path && one.name == name)?;
                arguments.insert(
                    parameter.argument.clone(),
                    decode(value).filter(|value| !value.is_empty())?.into(),
                );
            }
            None if decode(segment) == decode(value) => {}
            None => return None,
        }
    }
    given.next().is_none().then_some(arguments)
}
