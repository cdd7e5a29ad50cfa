//! A call to an HTTP request. Nothing that a caller gives can leave the place that is meant for it.

use serde_json::Value;

use crate::catalogue::Tool;
use crate::error::CallError;
use crate::limits::Limits;
use crate::operation::Piece;
use crate::parameter::{Parameter, Place};
use crate::style;
use crate::text::clean;

/// An HTTP request, relative to where the API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, in capitals.
    pub method: String,
    /// Path and query: begins with `/`, holds no dot segment, and nothing that is not visible ASCII.
    pub target: String,
    /// Headers; names are tokens, values visible ASCII.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Vec<u8>>,
}

impl Tool {
    /// The request that a call with these arguments is.
    ///
    /// # Errors
    /// [`CallError`], in words that a model can act on.
    pub fn request(&self, arguments: &Value, limits: &Limits) -> Result<Request, CallError> {
        let given = match arguments {
            Value::Object(given) => given,
            Value::Null => &serde_json::Map::new(),
            _ => return Err(CallError::NoObject),
        };
        self.knows_all(given.keys())?;
        let value = |argument: &str| given.get(argument).filter(|value| !style::is_absent(value));
        let mut path = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => path.push_str(text),
                Piece::Variable(name) => {
                    let parameter = self.parameter(name);
                    let value = value(&parameter.argument)
                        .ok_or_else(|| CallError::Missing(parameter.argument.clone()))?;
                    path.push_str(&style::path(parameter, value)?);
                }
            }
        }
        if !style::is_straight(&path) {
            return Err(CallError::unfit("path", "would leave the path of this operation"));
        }
        let mut headers = vec![("accept".to_owned(), self.accept.clone())];
        let (mut query, mut cookies) = (Vec::new(), Vec::new());
        for parameter in self.parameters.iter().filter(|parameter| parameter.place != Place::Path) {
            let Some(value) = value(&parameter.argument) else {
                if parameter.required {
                    return Err(CallError::Missing(parameter.argument.clone()));
                }
                continue;
            };
            match parameter.place {
                Place::Query => query.extend(style::query(parameter, value)),
                Place::Header => {
                    headers.push((parameter.name.to_ascii_lowercase(), style::header(parameter, value)?))
                }
                Place::Cookie => cookies.push(style::cookie(parameter, value)),
                Place::Path => {}
            }
        }
        if !cookies.is_empty() {
            headers.push(("cookie".to_owned(), cookies.join("; ")));
        }
        let body = self.written(&value, &mut headers)?;
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let target = if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) };
        let bytes = body.as_ref().map_or(0, Vec::len);
        for (size, bytes_max) in [(target.len(), limits.target_bytes_max), (bytes, limits.request_bytes_max)]
        {
            if size > bytes_max {
                return Err(CallError::TooLarge { bytes_max });
            }
        }
        Ok(Request { method: self.method.clone(), target, headers, body })
    }

    fn written<'a>(
        &self,
        value: &impl Fn(&str) -> Option<&'a Value>,
        headers: &mut Vec<(String, String)>,
    ) -> Result<Option<Vec<u8>>, CallError> {
        let Some(body) = &self.body else { return Ok(None) };
        match value(&body.argument) {
            Some(value) => {
                let (bytes, media) = body.write(value)?;
                headers.push(("content-type".to_owned(), media));
                Ok(Some(bytes))
            }
            None if body.required => Err(CallError::Missing(body.argument.clone())),
            None => Ok(None),
        }
    }

    fn parameter(&self, name: &str) -> &Parameter {
        let mut all = self.parameters.iter();
        let found = all.find(|parameter| parameter.place == Place::Path && parameter.name == name);
        found.expect("every variable of a template is a parameter: it was read so")
    }

    /// An argument that nobody knows is a mistake, and one that is dropped in silence makes another call than was meant.
    fn knows_all<'a>(&self, mut names: impl Iterator<Item = &'a String>) -> Result<(), CallError> {
        let known = || {
            self.parameters.iter().map(|one| &one.argument).chain(self.body.iter().map(|body| &body.argument))
        };
        match names.find(|name| !known().any(|known| known == *name)) {
            None => Ok(()),
            Some(name) => {
                let known: Vec<&str> = known().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { clean(&known.join(", "), 500) };
                Err(CallError::Unknown { name: clean(name, 60), known })
            }
        }
    }
}
