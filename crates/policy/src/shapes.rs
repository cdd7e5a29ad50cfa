//! The types of tools' arguments, read from their definitions.

use std::{collections::HashMap, sync::Arc};

use crate::{
    arguments::Shape,
    error::{Fault, PolicyError},
    options::{Definition, Definitions},
};

/// The shape of one tool's arguments.
#[derive(Debug)]
pub(crate) struct ToolShape {
    pub(crate) shape: Shape,
    cedar_type: String,
    sha256: String,
}

impl ToolShape {
    /// The type of `context.input`.
    pub(crate) fn cedar_type(&self) -> &str {
        &self.cedar_type
    }
}

/// The shapes of all known tools.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    tools: HashMap<String, HashMap<String, Arc<ToolShape>>>,
    /// Definitions that cannot be read: those tools count as not seen yet.
    pub(crate) warnings: Vec<PolicyError>,
}

impl Shapes {
    /// Reads the definitions, but for those that `before` knows already.
    pub(crate) fn new(definitions: &Definitions, before: Option<&Shapes>) -> Self {
        let mut shapes = Shapes::default();
        for definition in definitions.iter() {
            let Definition { server, tool, sha256, .. } = &**definition;
            let kept =
                before.and_then(|before| before.get(server, tool)).filter(|kept| kept.sha256 == *sha256);
            match kept.cloned().map_or_else(|| read(definition), Ok) {
                Ok(shape) => {
                    shapes.tools.entry(server.clone()).or_default().insert(tool.clone(), shape);
                }
                Err(what) => shapes.warnings.push(unreadable(definition, what)),
            }
        }
        shapes.warnings.sort_by(|a, b| a.file.cmp(&b.file));
        shapes
    }

    pub(crate) fn get(&self, server: &str, tool: &str) -> Option<&Arc<ToolShape>> {
        self.tools.get(server)?.get(tool)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }

    /// The ids of the tools and the types of their arguments.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str, &ToolShape)> {
        self.tools.iter().flat_map(|(server, tools)| {
            tools.iter().map(move |(tool, shape)| (server.as_str(), tool.as_str(), &**shape))
        })
    }
}

fn read(definition: &Definition) -> Result<Arc<ToolShape>, String> {
    let shape = Shape::read(&definition.json).map_err(|error| error.to_string())?;
    Ok(Arc::new(ToolShape { cedar_type: shape.cedar_type(), shape, sha256: definition.sha256.clone() }))
}

fn unreadable(definition: &Definition, what: String) -> PolicyError {
    PolicyError {
        fault: Fault::NotSeen,
        file: format!("{}/{}", definition.server, definition.tool),
        line: 1,
        column: 1,
        what,
        hint: "policies on this tool cannot speak of its arguments".to_owned(),
    }
}
