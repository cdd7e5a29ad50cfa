//! One JSON-RPC message, as it came.

use std::sync::Arc;

use bytes::Bytes;

use crate::envelope::{Layout, Quoted};
use crate::error::{DecodeError, Place};
use crate::limits::Limits;
use crate::scan::{self, Scanner, Shape, Span, Value};
use crate::text;

/// What a message is, by the members that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A method and an id: expects an answer.
    Request,
    /// A method without an id: expects none.
    Notification,
    /// An answer with a result.
    Result,
    /// An answer with an error.
    Error,
}

/// A message that passed [`Message::decode`]: its bytes as they came, and where the members that
/// matter are in them. Cloning shares the bytes.
///
/// What ends in `_raw` is JSON text exactly as it stands in the message; the rest is decoded.
#[derive(Clone)]
pub struct Message {
    text: Arc<String>,
    bytes: Bytes,
    layout: Layout,
}

/// Lets [`Bytes`] share the text.
struct Shared(Arc<String>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Message {
    /// Reads one message. All of it is checked: UTF-8, the JSON grammar, the JSON-RPC envelope,
    /// the names in the objects that decisions rest on, and the limits.
    ///
    /// `params` and `params._meta` may be null, which counts as absent.
    ///
    /// # Errors
    /// The first thing that is wrong, see [`DecodeError`].
    pub fn decode(bytes: Bytes, limits: &Limits) -> Result<Self, DecodeError> {
        let bytes_max = limits.message_bytes_max.min(u32::MAX as usize);
        if bytes.len() > bytes_max {
            return Err(DecodeError::TooLarge { bytes: bytes.len(), bytes_max });
        }
        // Takes the buffer over if nobody shares it, else copies it.
        let text = String::from_utf8(Vec::from(bytes))
            .map_err(|error| DecodeError::NotUtf8 { at: error.utf8_error().valid_up_to() })?;
        let layout = Layout::read(&text, limits)?;
        Ok(Self::new(text, layout))
    }

    fn new(text: String, layout: Layout) -> Self {
        let text = Arc::new(text);
        let bytes = Bytes::from_owner(Shared(Arc::clone(&text)));
        Self { text, bytes, layout }
    }

    /// The message as it came, or as it was spliced.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The same as [`Message::bytes`], as text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What the message is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.layout.kind
    }

    /// The method of a request or notification: visible ASCII.
    #[must_use]
    pub fn method(&self) -> Option<&str> {
        self.layout.method.as_ref().map(|method| method.text(&self.text))
    }

    /// The id exactly as written, quotes included if it is a string: `1`, `1.0` and `"1"` are
    /// three ids. `None` for a notification, and for an error that answers nothing in particular
    /// (id null or left out).
    #[must_use]
    pub fn id_raw(&self) -> Option<&str> {
        let id = self.layout.id.filter(|id| id.shape != Shape::Null)?;
        Some(id.span.of(&self.text))
    }

    /// `params`, unless absent or null.
    #[must_use]
    pub fn params_raw(&self) -> Option<&str> {
        Some(self.params_object()?.of(&self.text))
    }

    /// `result`, any value.
    #[must_use]
    pub fn result_raw(&self) -> Option<&str> {
        Some(self.layout.result?.span.of(&self.text))
    }

    /// `error`, an object.
    #[must_use]
    pub fn error_raw(&self) -> Option<&str> {
        Some(self.layout.error?.of(&self.text))
    }

    /// `error.code`, if it is an integer that fits.
    #[must_use]
    pub fn error_code(&self) -> Option<i64> {
        self.member_raw(self.layout.error?, "code")?.parse().ok()
    }

    /// The subject, what the method acts on: `params.name` of `tools/call` and `prompts/get`,
    /// `params.uri` of `resources/read`, `subscribe`, `unsubscribe` and `updated`, `params.taskId`
    /// of `tasks/*`, the name or URI in `params.ref` of `completion/complete`. A request of one of
    /// these methods always has it.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.layout.subject.as_ref().map(|subject| subject.text(&self.text))
    }

    /// `params.arguments`, any value but null.
    #[must_use]
    pub fn arguments_raw(&self) -> Option<&str> {
        Some(self.layout.arguments?.of(&self.text))
    }

    /// `params._meta["io.modelcontextprotocol/protocolVersion"]`, if it is a string: the mark of
    /// the modern era.
    #[must_use]
    pub fn meta_protocol_version(&self) -> Option<&str> {
        self.layout.protocol_version.as_ref().map(|version| version.text(&self.text))
    }

    /// The progress token exactly as written: `params._meta.progressToken` of a request,
    /// `params.progressToken` of `notifications/progress`.
    #[must_use]
    pub fn progress_token_raw(&self) -> Option<&str> {
        Some(self.layout.progress_token?.of(&self.text))
    }

    /// A member of `params`, any value.
    #[must_use]
    pub fn params_member_raw(&self, name: &str) -> Option<&str> {
        self.member_raw(self.params_object()?, name)
    }

    /// A member of `params._meta`, any value.
    #[must_use]
    pub fn meta_member_raw(&self, name: &str) -> Option<&str> {
        self.member_raw(self.meta_object()?, name)
    }

    /// A member of `result`, any value.
    #[must_use]
    pub fn result_member_raw(&self, name: &str) -> Option<&str> {
        Some(self.result_member(name)?.span.of(&self.text))
    }

    /// Members of the message that JSON-RPC does not know, each with its value as written. They mean nothing to the
    /// protocol, and reach the peer all the same.
    #[must_use]
    pub fn further_members(&self) -> Vec<(String, &str)> {
        const KNOWN: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
        let mut further = Vec::new();
        let walk = Scanner::within(&self.text, self.layout.envelope.start, usize::MAX).object(
            Place::Definition,
            |scanner, name| {
                let value = scanner.value()?;
                if !KNOWN.contains(&name) {
                    further.push((name.to_owned(), value.span.of(&self.text)));
                }
                Ok(())
            },
        );
        debug_assert!(walk.is_ok(), "the envelope was read before");
        further
    }

    /// The same message under another id, for example to keep the ids of two clients apart on one
    /// upstream connection. A notification is returned as it is.
    ///
    /// `raw` is a JSON number or string; anything else is taken for text and quoted.
    #[must_use]
    pub fn with_id(&self, raw: &str) -> Self {
        match self.layout.id {
            Some(id) => {
                let mut message = self.replaced(id.span, &scalar(raw));
                // String stands for "not null" here: nothing else is asked of an id.
                message.layout.id = message.layout.id.map(|id| Value { shape: Shape::String, ..id });
                message
            }
            None => self.clone(),
        }
    }

    /// The same message about another subject, see [`Message::name`]. A message without a subject
    /// is returned as it is.
    #[must_use]
    pub fn with_name(&self, name: &str) -> Self {
        let Some(subject) = &self.layout.subject else { return self.clone() };
        let mut message = self.replaced(subject.span, &text::encode(name));
        if let Some(subject) = &mut message.layout.subject {
            *subject = Quoted::read(&message.text, subject.span).expect("a str has no surrogates");
        }
        message
    }

    /// The same message under another progress token, see [`Message::progress_token_raw`]. A
    /// message without a token is returned as it is: who asks for no progress gets none.
    ///
    /// `raw` is a JSON number or string; anything else is taken for text and quoted.
    #[must_use]
    pub fn with_progress_token(&self, raw: &str) -> Self {
        match self.layout.progress_token {
            Some(token) => self.replaced(token, &scalar(raw)),
            None => self.clone(),
        }
    }

    /// The same request or notification with a member of `params` set to the JSON text `raw`.
    /// A response is returned as it is.
    ///
    /// # Errors
    /// When `raw` is not JSON or makes it another message, for example `_meta` a number.
    pub fn with_params_member(&self, name: &str, raw: &str) -> Result<Self, DecodeError> {
        if !matches!(self.kind(), Kind::Request | Kind::Notification) {
            return Ok(self.clone());
        }
        scan::whole(raw, &Limits::ours())?;
        let (object, name, raw) = match self.params_object() {
            Some(params) => (params, name, raw.to_owned()),
            None => (self.layout.envelope, "params", object_of(name, raw)),
        };
        self.reread(object, name, &raw)
    }

    /// The same request or notification with a member of `params._meta` set to the JSON text
    /// `raw`. A response is returned as it is.
    ///
    /// # Errors
    /// When `raw` is not JSON or not of the type that the member must have.
    pub fn with_meta_member(&self, name: &str, raw: &str) -> Result<Self, DecodeError> {
        scan::whole(raw, &Limits::ours())?;
        match self.meta_object() {
            Some(meta) => self.reread(meta, name, raw),
            None => self.with_params_member("_meta", &object_of(name, raw)),
        }
    }

    /// The same message with a member of `result` set to the JSON text `raw`. A message whose
    /// result is not an object is returned as it is.
    ///
    /// # Errors
    /// When `raw` is not JSON.
    pub fn with_result_member(&self, name: &str, raw: &str) -> Result<Self, DecodeError> {
        scan::whole(raw, &Limits::ours())?;
        let Some(Value { shape: Shape::Object, span }) = self.layout.result else {
            return Ok(self.clone());
        };
        let (old, new) = self.member_edit(span, name, raw);
        Ok(self.replaced(old, &new))
    }

    /// The value of a member of `result`.
    pub(crate) fn result_member(&self, name: &str) -> Option<Value> {
        let result = self.layout.result.filter(|result| result.shape == Shape::Object)?;
        self.member(result.span, name)
    }

    /// The message with several ranges inside `result` replaced, in order and apart.
    pub(crate) fn with_result_edits(&self, edits: &[(Span, String)]) -> Self {
        if edits.is_empty() {
            return self.clone();
        }
        let mut text = String::with_capacity(self.text.len());
        let mut at = 0;
        for (old, new) in edits {
            text.push_str(&self.text[at..old.start as usize]);
            text.push_str(new);
            at = old.end as usize;
        }
        text.push_str(&self.text[at..]);
        // Back to front, so that each range still has the position it was found at.
        let layout =
            edits.iter().rev().fold(self.layout.clone(), |layout, (old, new)| layout.moved(*old, new.len()));
        Self::new(text, layout)
    }

    fn params_object(&self) -> Option<Span> {
        let params = self.layout.params?;
        (params.shape == Shape::Object).then_some(params.span)
    }

    fn meta_object(&self) -> Option<Span> {
        let meta = self.layout.meta?;
        (meta.shape == Shape::Object).then_some(meta.span)
    }

    fn member_raw(&self, object: Span, name: &str) -> Option<&str> {
        Some(self.member(object, name)?.span.of(&self.text))
    }

    fn member(&self, object: Span, name: &str) -> Option<Value> {
        let mut found = None;
        // A definition's names are only compared exactly, which this object has passed before.
        Scanner::within(&self.text, object.start, usize::MAX)
            .object(Place::Definition, |scanner, member| {
                let value = scanner.value()?;
                if member == name {
                    found = Some(value);
                }
                Ok(())
            })
            .ok()?;
        found
    }

    /// The splice that sets a member of `object`: its value, or a new member at the front.
    fn member_edit(&self, object: Span, name: &str, raw: &str) -> (Span, String) {
        if let Some(value) = self.member(object, name) {
            return (value.span, raw.to_owned());
        }
        let front = object.start + 1;
        let inside = &self.text[front as usize..object.end as usize - 1];
        let comma = if inside.trim_ascii().is_empty() { "" } else { "," };
        let member = format!("{}:{raw}{comma}", text::encode(name));
        (Span { start: front, end: front }, member)
    }

    /// Sets a member and reads the message again, since the new value may hold what we look for.
    fn reread(&self, object: Span, name: &str, raw: &str) -> Result<Self, DecodeError> {
        let (old, new) = self.member_edit(object, name, raw);
        let text = spliced(&self.text, old, &new);
        let layout = Layout::read(&text, &Limits::ours())?;
        Ok(Self::new(text, layout))
    }

    fn replaced(&self, old: Span, new: &str) -> Self {
        let layout = self.layout.clone().moved(old, new.len());
        Self::new(spliced(&self.text, old, new), layout)
    }
}

/// Bytes and contents belong to the peers; logs get the kind and the size.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("kind", &self.kind())
            .field("method", &self.method())
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// The id of a message that [`Message::decode`] refuses, so that the answer can reach the caller
/// who waits for it. `None` unless the bytes are one JSON object with exactly one usable `id`.
#[must_use]
pub fn salvage_id(bytes: &[u8], limits: &Limits) -> Option<String> {
    if bytes.len() > limits.message_bytes_max.min(u32::MAX as usize) {
        return None;
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let mut scanner = Scanner::new(text, limits);
    scanner.space();
    if scanner.peek() != Some(b'{') {
        return None;
    }
    let mut id = None;
    let walk = scanner.object(Place::Definition, |scanner, name| {
        let value = scanner.value()?;
        if name == "id" {
            id = Some(value);
        }
        Ok(())
    });
    walk.and_then(|_| scanner.finish()).ok()?;
    let raw = id.filter(|id| matches!(id.shape, Shape::String | Shape::Number))?.span.of(text);
    (raw.len() <= limits.id_bytes_max).then(|| raw.to_owned())
}

fn spliced(text: &str, old: Span, new: &str) -> String {
    [&text[..old.start as usize], new, &text[old.end as usize..]].concat()
}

fn object_of(name: &str, raw: &str) -> String {
    format!("{{{}:{raw}}}", text::encode(name))
}

/// `raw` if it is a JSON number or string without space around it, else it as a JSON string.
fn scalar(raw: &str) -> String {
    match scan::whole(raw, &Limits::ours()) {
        Ok(Value { shape: Shape::String | Shape::Number, .. }) => raw.trim_ascii().to_owned(),
        _ => text::encode(raw),
    }
}
