//! Where the members that matter are in a message.

use std::sync::Arc;

use crate::error::{DecodeError, Place};
use crate::limits::Limits;
use crate::message::Kind;
use crate::scan::{Scanner, Shape, Span, Value};
use crate::text;

/// A string of the message: its quotes included in the span, its text kept apart only if escapes
/// make it differ from the bytes between the quotes.
#[derive(Debug, Clone)]
pub(crate) struct Quoted {
    pub(crate) span: Span,
    pub(crate) decoded: Option<Arc<str>>,
}

impl Quoted {
    /// Reads the string at `span`.
    pub(crate) fn read(text: &str, span: Span) -> Result<Self, DecodeError> {
        match text::decode(span.of(text)) {
            Some(std::borrow::Cow::Borrowed(_)) => Ok(Self { span, decoded: None }),
            Some(std::borrow::Cow::Owned(decoded)) => Ok(Self { span, decoded: Some(decoded.into()) }),
            None => Err(DecodeError::Surrogate { at: span.start as usize }),
        }
    }

    pub(crate) fn text<'a>(&'a self, message: &'a str) -> &'a str {
        match &self.decoded {
            Some(decoded) => decoded,
            None => &message[self.span.start as usize + 1..self.span.end as usize - 1],
        }
    }
}

/// The layout of one message: spans into its text.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) kind: Kind,
    pub(crate) envelope: Span,
    /// A null id is kept here too, so that it can be replaced.
    pub(crate) id: Option<Value>,
    pub(crate) method: Option<Quoted>,
    pub(crate) params: Option<Value>,
    pub(crate) meta: Option<Value>,
    pub(crate) arguments: Option<Span>,
    pub(crate) subject: Option<Quoted>,
    pub(crate) protocol_version: Option<Quoted>,
    pub(crate) progress_token: Option<Span>,
    pub(crate) result: Option<Value>,
    pub(crate) error: Option<Span>,
}

impl Layout {
    /// Reads the layout of `text`, which must be one whole message.
    pub(crate) fn read(text: &str, limits: &Limits) -> Result<Self, DecodeError> {
        let mut scanner = Scanner::new(text, limits);
        scanner.space();
        match scanner.peek() {
            Some(b'{') => {}
            Some(b'[') => return Err(DecodeError::Batch),
            _ => {
                scanner.value()?;
                scanner.finish()?;
                return Err(DecodeError::NotAnObject);
            }
        }
        let mut found = Found::default();
        let envelope =
            scanner.object(Place::Envelope, |scanner, name| found.envelope_member(scanner, name))?;
        scanner.finish()?;
        found.into_layout(text, envelope, limits)
    }

    /// The layout after the bytes of `old` were replaced by `length` others. No span may begin or
    /// end inside `old`.
    pub(crate) fn moved(mut self, old: Span, length: usize) -> Self {
        let shift = |at: &mut u32| {
            if *at >= old.end {
                *at = *at - (old.end - old.start)
                    + u32::try_from(length).expect("a spliced text is at most u32::MAX bytes");
            }
        };
        let shift_span = |span: &mut Span| {
            shift(&mut span.start);
            shift(&mut span.end);
        };
        let Self {
            kind: _,
            envelope,
            id,
            method,
            params,
            meta,
            arguments,
            subject,
            protocol_version,
            progress_token,
            result,
            error,
        } = &mut self;
        shift_span(envelope);
        [id, params, meta, result].into_iter().flatten().for_each(|value| shift_span(&mut value.span));
        [method, subject, protocol_version].into_iter().flatten().for_each(|s| shift_span(&mut s.span));
        [arguments, progress_token, error].into_iter().flatten().for_each(shift_span);
        self
    }
}

/// What names the subject of a call, by its method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    Name,
    Uri,
    TaskId,
    Reference,
}

/// How the method names its subject, and whether it must.
fn naming(method: &str) -> Option<(Naming, bool)> {
    Some(match method {
        "tools/call" | "prompts/get" => (Naming::Name, true),
        "resources/read" => (Naming::Uri, true),
        "tasks/get" | "tasks/update" | "tasks/cancel" => (Naming::TaskId, true),
        // Gone in the modern era, where nothing may be demanded of them but that they are unknown.
        "resources/subscribe" | "resources/unsubscribe" => (Naming::Uri, false),
        "tasks/result" => (Naming::TaskId, false),
        "completion/complete" => (Naming::Reference, true),
        "notifications/resources/updated" => (Naming::Uri, false),
        "notifications/tasks/status" => (Naming::TaskId, false),
        _ => return None,
    })
}

/// What the walk through the message came across. Members may stand in any order, so nothing is
/// concluded before its end.
#[derive(Default)]
struct Found {
    version: Option<Value>,
    id: Option<Value>,
    method: Option<Value>,
    params: Option<Value>,
    meta: Option<Value>,
    name: Option<Value>,
    uri: Option<Value>,
    task_id: Option<Value>,
    reference_name: Option<Value>,
    reference_uri: Option<Value>,
    arguments: Option<Value>,
    protocol_version: Option<Value>,
    request_token: Option<Value>,
    notified_token: Option<Value>,
    result: Option<Value>,
    error: Option<Value>,
}

impl Found {
    fn envelope_member(&mut self, scanner: &mut Scanner<'_>, name: &str) -> Result<(), DecodeError> {
        let slot = match name {
            "jsonrpc" => &mut self.version,
            "id" => &mut self.id,
            "method" => &mut self.method,
            "params" => {
                self.params = Some(named(scanner, Place::Params, |s, n| self.params_member(s, n))?);
                return Ok(());
            }
            "result" => {
                self.result = Some(named(scanner, Place::Result, skip)?);
                return Ok(());
            }
            "error" => {
                self.error = Some(named(scanner, Place::Error, skip)?);
                return Ok(());
            }
            _ => return skip(scanner, name),
        };
        *slot = Some(scanner.value()?);
        Ok(())
    }

    fn params_member(&mut self, scanner: &mut Scanner<'_>, name: &str) -> Result<(), DecodeError> {
        let slot = match name {
            "name" => &mut self.name,
            "uri" => &mut self.uri,
            "taskId" => &mut self.task_id,
            "progressToken" => &mut self.notified_token,
            "arguments" => {
                self.arguments = Some(named(scanner, Place::Arguments, skip)?);
                return Ok(());
            }
            "ref" => {
                named(scanner, Place::Reference, |s, n| self.reference_member(s, n))?;
                return Ok(());
            }
            "_meta" => {
                self.meta = Some(named(scanner, Place::Meta, |s, n| self.meta_member(s, n))?);
                return Ok(());
            }
            _ => return skip(scanner, name),
        };
        *slot = Some(scanner.value()?);
        Ok(())
    }

    fn reference_member(&mut self, scanner: &mut Scanner<'_>, name: &str) -> Result<(), DecodeError> {
        let value = scanner.value()?;
        match name {
            "name" => self.reference_name = Some(value),
            "uri" => self.reference_uri = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn meta_member(&mut self, scanner: &mut Scanner<'_>, name: &str) -> Result<(), DecodeError> {
        let value = scanner.value()?;
        match name {
            "progressToken" => self.request_token = Some(value),
            "io.modelcontextprotocol/protocolVersion" => self.protocol_version = Some(value),
            _ => {}
        }
        Ok(())
    }

    fn into_layout(self, text: &str, envelope: Span, limits: &Limits) -> Result<Layout, DecodeError> {
        if self.version.is_none_or(|version| version.span.of(text) != r#""2.0""#) {
            return Err(DecodeError::NotJsonRpc);
        }
        let kind = self.kind()?;
        let id = self.id(text, kind, limits)?;
        let method = self.method(text, limits)?;
        let params = typed(self.params, "params", "an object", &[Shape::Object, Shape::Null])?;
        let meta = typed(self.meta, "params._meta", "an object", &[Shape::Object, Shape::Null])?;
        let error = typed(self.error, "error", "an object", &[Shape::Object])?;
        let subject = self.subject(text, method.as_ref(), kind, limits)?;
        let protocol_version = match self.protocol_version {
            Some(Value { shape: Shape::String, span }) => Some(Quoted::read(text, span)?),
            _ => None,
        };
        let token = match method.as_ref().map(|method| method.text(text)) {
            Some("notifications/progress") => self.notified_token,
            _ => self.request_token,
        };
        let progress_token = typed(
            token.filter(|token| token.shape != Shape::Null),
            "progressToken",
            "a string or a number",
            &[Shape::String, Shape::Number],
        )?;
        let given = |value: Value| (value.shape != Shape::Null).then_some(value.span);
        Ok(Layout {
            kind,
            envelope,
            id,
            method,
            params,
            meta,
            arguments: self.arguments.and_then(given),
            subject,
            protocol_version,
            progress_token: progress_token.map(|token| token.span),
            result: self.result,
            error: error.map(|error| error.span),
        })
    }

    fn kind(&self) -> Result<Kind, DecodeError> {
        match (self.method.is_some(), self.result.is_some(), self.error.is_some()) {
            (true, false, false) if self.id.is_some() => Ok(Kind::Request),
            (true, false, false) => Ok(Kind::Notification),
            (false, true, false) => Ok(Kind::Result),
            (false, false, true) => Ok(Kind::Error),
            (false, false, false) => Err(DecodeError::Incomplete),
            _ => Err(DecodeError::Ambiguous),
        }
    }

    /// JSON-RPC answers with a null id what it could not attribute; nothing else may have one.
    fn id(&self, text: &str, kind: Kind, limits: &Limits) -> Result<Option<Value>, DecodeError> {
        let shapes = [Shape::String, Shape::Number, Shape::Null];
        let id = typed(self.id, "id", "a string or a number", &shapes)?;
        let given = id.filter(|id| id.shape != Shape::Null);
        if given.is_none() && matches!(kind, Kind::Request | Kind::Result) {
            return Err(DecodeError::NoId);
        }
        within("an id", id.map_or(0, |id| id.span.of(text).len()), limits.id_bytes_max)?;
        Ok(id)
    }

    fn method(&self, text: &str, limits: &Limits) -> Result<Option<Quoted>, DecodeError> {
        let Some(value) = typed(self.method, "method", "a string", &[Shape::String])? else {
            return Ok(None);
        };
        let quoted = Quoted::read(text, value.span)?;
        let method = quoted.text(text);
        within("a method", method.len(), limits.method_bytes_max)?;
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(DecodeError::Method { at: value.span.start as usize });
        }
        Ok(Some(quoted))
    }

    fn subject(
        &self,
        text: &str,
        method: Option<&Quoted>,
        kind: Kind,
        limits: &Limits,
    ) -> Result<Option<Quoted>, DecodeError> {
        let method = method.map_or("", |method| method.text(text));
        let Some((naming, required)) = naming(method) else { return Ok(None) };
        let (value, member) = match naming {
            Naming::Name => (self.name, "params.name"),
            Naming::Uri => (self.uri, "params.uri"),
            Naming::TaskId => (self.task_id, "params.taskId"),
            // Exactly one of them, or it is open which one the server completes.
            Naming::Reference => match (self.reference_name, self.reference_uri) {
                (Some(value), None) | (None, Some(value)) => (Some(value), "params.ref"),
                _ => (None, "params.ref with either name or uri"),
            },
        };
        match value {
            Some(Value { shape: Shape::String, span }) => {
                let subject = Quoted::read(text, span)?;
                within(member, subject.text(text).len(), limits.name_bytes_max)?;
                Ok(Some(subject))
            }
            _ if required && kind == Kind::Request => {
                Err(DecodeError::Subject { method: method.to_owned(), member })
            }
            _ => Ok(None),
        }
    }
}

/// Steps over a value; if it is an object, member by member with its names checked.
fn named<'a>(
    scanner: &mut Scanner<'a>,
    place: Place,
    visit: impl FnMut(&mut Scanner<'a>, &str) -> Result<(), DecodeError>,
) -> Result<Value, DecodeError> {
    match scanner.peek() {
        Some(b'{') => scanner.object(place, visit).map(|span| Value { shape: Shape::Object, span }),
        _ => scanner.value(),
    }
}

fn skip(scanner: &mut Scanner<'_>, _name: &str) -> Result<(), DecodeError> {
    scanner.value().map(|_| ())
}

fn typed(
    value: Option<Value>,
    member: &'static str,
    expected: &'static str,
    shapes: &[Shape],
) -> Result<Option<Value>, DecodeError> {
    match value {
        Some(value) if !shapes.contains(&value.shape) => {
            Err(DecodeError::Type { member, expected, at: value.span.start as usize })
        }
        _ => Ok(value),
    }
}

fn within(what: &'static str, bytes: usize, bytes_max: usize) -> Result<(), DecodeError> {
    if bytes > bytes_max { Err(DecodeError::TooLong { what, bytes, bytes_max }) } else { Ok(()) }
}
