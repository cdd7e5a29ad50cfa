//! A strict JSON scanner (RFC 8259): it checks all of the grammar and builds nothing.
//!
//! The scanner walks text that is known to be UTF-8. Most values are only stepped over
//! ([`Scanner::value`]), without recursion; the few objects that matter are walked member by
//! member ([`Scanner::object`]) while their names are checked against each other.

use std::borrow::Cow;

use memchr::memchr2;

use crate::error::{DecodeError, Place, shortened};
use crate::limits::{DEPTH_CEILING, Limits};
use crate::names;
use crate::text;

/// A range of bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let narrow = |at| u32::try_from(at).expect("a decoded text is at most u32::MAX bytes");
        Self { start: narrow(start), end: narrow(end) }
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }

    pub(crate) fn of(self, text: &str) -> &str {
        &text[self.range()]
    }
}

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Named values.
    Object,
    /// Values in order.
    Array,
    /// Text.
    String,
    /// A number of any size and precision.
    Number,
    /// True or false.
    Bool,
    /// Null.
    Null,
}

/// A value that was stepped over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) shape: Shape,
    pub(crate) span: Span,
}

/// Steps over JSON text.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    depth_max: usize,
    members_max: usize,
    /// One bit for each open container: set for an object, clear for an array.
    objects: [u64; DEPTH_CEILING / 64],
    /// Hashes of the names seen so far in the objects being walked, outermost first.
    names: Vec<u64>,
    /// No byte of the text is a control character, so no string can hold one.
    no_controls: bool,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str, limits: &Limits) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            depth_max: limits.depth_max.min(DEPTH_CEILING),
            members_max: limits.members_max,
            objects: [0; DEPTH_CEILING / 64],
            names: Vec::with_capacity(16),
            no_controls: !text.bytes().fold(false, |any, byte| any | (byte < 0x20)),
        }
    }

    /// A scanner that starts inside a text which passed as a whole before, so that it need not
    /// look for control characters nor count levels again.
    pub(crate) fn within(text: &'a str, at: u32, members_max: usize) -> Self {
        let mut scanner = Self::new("", &Limits { members_max, ..Limits::ours() });
        (scanner.text, scanner.at) = (text, at as usize);
        scanner
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The byte under the cursor.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over white space.
    pub(crate) fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Requires that nothing but white space is left.
    pub(crate) fn finish(&mut self) -> Result<(), DecodeError> {
        self.space();
        if self.at == self.text.len() { Ok(()) } else { Err(self.expected("the end")) }
    }

    fn expected(&self, expected: &'static str) -> DecodeError {
        DecodeError::Syntax { at: self.at, expected }
    }

    /// Steps over the value under the cursor.
    pub(crate) fn value(&mut self) -> Result<Value, DecodeError> {
        let start = self.at;
        let shape = match self.peek() {
            Some(b'{') => Shape::Object,
            Some(b'[') => Shape::Array,
            _ => {
                let shape = self.scalar()?;
                return Ok(Value { shape, span: Span::new(start, self.at) });
            }
        };
        let floor = self.depth;
        loop {
            let done = match self.peek() {
                Some(b'{' | b'[') => self.open()?,
                _ => {
                    self.scalar()?;
                    true
                }
            };
            if done && !self.next(floor)? {
                return Ok(Value { shape, span: Span::new(start, self.at) });
            }
        }
    }

    /// Opens the container under the cursor and moves to its first value; true if it has none and
    /// is closed again.
    fn open(&mut self) -> Result<bool, DecodeError> {
        let object = self.peek() == Some(b'{');
        self.enter(object)?;
        match (object, self.peek()) {
            (true, Some(b'}')) | (false, Some(b']')) => {
                self.leave();
                Ok(true)
            }
            (true, _) => self.key().map(|_| false),
            (false, _) => Ok(false),
        }
    }

    /// After a value: moves to the next one of the innermost container, closing those that end.
    /// False once the container opened at `floor` is closed.
    fn next(&mut self, floor: usize) -> Result<bool, DecodeError> {
        while self.depth > floor {
            self.space();
            let innermost = self.depth - 1;
            let object = self.objects[innermost / 64] >> (innermost % 64) & 1 == 1;
            match (object, self.peek()) {
                (true, Some(b'}')) | (false, Some(b']')) => self.leave(),
                (_, Some(b',')) => {
                    self.at += 1;
                    self.space();
                    if object {
                        self.key()?;
                    }
                    return Ok(true);
                }
                (true, _) => return Err(self.expected("a comma or the end of the object")),
                (false, _) => return Err(self.expected("a comma or the end of the array")),
            }
        }
        Ok(false)
    }

    /// Steps over an opening bracket and the white space behind it.
    fn enter(&mut self, object: bool) -> Result<(), DecodeError> {
        if self.depth == self.depth_max {
            return Err(DecodeError::TooDeep { at: self.at, depth_max: self.depth_max });
        }
        let bit = 1 << (self.depth % 64);
        let word = &mut self.objects[self.depth / 64];
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        self.at += 1;
        self.space();
        Ok(())
    }

    /// Steps over a closing bracket.
    fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    /// Steps over a name and its colon; the span of the name has its quotes.
    fn key(&mut self) -> Result<Span, DecodeError> {
        if self.peek() != Some(b'"') {
            return Err(self.expected("a name in quotes"));
        }
        let start = self.at;
        self.string()?;
        let span = Span::new(start, self.at);
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.expected("a colon"));
        }
        self.at += 1;
        self.space();
        Ok(span)
    }

    fn scalar(&mut self) -> Result<Shape, DecodeError> {
        match self.peek() {
            Some(b'"') => self.string().map(|()| Shape::String),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Shape::Number),
            Some(b't') => self.word("true").map(|()| Shape::Bool),
            Some(b'f') => self.word("false").map(|()| Shape::Bool),
            Some(b'n') => self.word("null").map(|()| Shape::Null),
            _ => Err(self.expected("a value")),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), DecodeError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected("true, false or null"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Steps over a string. Escapes are checked for form; whether surrogates pair up matters only
    /// for strings that we must read.
    fn string(&mut self) -> Result<(), DecodeError> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            let Some(length) = memchr2(b'"', b'\\', &bytes[self.at..]) else {
                self.at = bytes.len();
                return Err(self.expected("the closing quote"));
            };
            if !self.no_controls {
                let run = &bytes[self.at..self.at + length];
                if let Some(control) = run.iter().position(|byte| *byte < 0x20) {
                    self.at += control;
                    return Err(self.expected("an escape for the control character"));
                }
            }
            self.at += length + 1;
            if bytes[self.at - 1] == b'"' {
                return Ok(());
            }
            self.escape()?;
        }
    }

    /// Steps over what follows a backslash.
    fn escape(&mut self) -> Result<(), DecodeError> {
        let bytes = &self.text.as_bytes()[self.at..];
        let length = match bytes {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 1,
            [b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => 5,
            [b'u', ..] => return Err(self.expected("four hexadecimal digits after \\u")),
            _ => return Err(self.expected("an escape character after the backslash")),
        };
        self.at += length;
        Ok(())
    }

    fn number(&mut self) -> Result<(), DecodeError> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), DecodeError> {
        let run = &self.text.as_bytes()[self.at..];
        match run.iter().take_while(|byte| byte.is_ascii_digit()).count() {
            0 => Err(self.expected("a digit")),
            count => {
                self.at += count;
                Ok(())
            }
        }
    }

    /// Walks the array under the cursor; `visit` must step over each value.
    pub(crate) fn array(
        &mut self,
        mut visit: impl FnMut(&mut Self) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        self.enter(false)?;
        if self.peek() == Some(b']') {
            self.leave();
            return Ok(());
        }
        let floor = self.depth - 1;
        loop {
            visit(self)?;
            if !self.next(floor)? {
                return Ok(());
            }
        }
    }

    /// Walks the object under the cursor and checks its names; `visit` gets each name, decoded,
    /// and must step over the value.
    pub(crate) fn object(
        &mut self,
        place: Place,
        mut visit: impl FnMut(&mut Self, &str) -> Result<(), DecodeError>,
    ) -> Result<Span, DecodeError> {
        let start = self.at;
        let first_name = self.names.len();
        self.enter(true)?;
        if self.peek() == Some(b'}') {
            self.leave();
            return Ok(Span::new(start, self.at));
        }
        loop {
            let span = self.key()?;
            let name = self.checked(span, place, first_name)?;
            visit(self, &name)?;
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return Err(self.expected("a comma or the end of the object")),
            }
            self.space();
        }
        self.leave();
        self.names.truncate(first_name);
        Ok(Span::new(start, self.at))
    }

    /// The name at `span`, unless another of this object could be taken for it.
    ///
    /// Names are compared by a 64-bit hash. Equal names have equal hashes, so none is missed; who
    /// constructs different names of one hash only gets the message refused.
    fn checked(&mut self, span: Span, place: Place, first_name: usize) -> Result<Cow<'a, str>, DecodeError> {
        let at = span.start as usize;
        let Some(name) = text::decode(&self.text[span.range()]) else {
            return Err(DecodeError::Surrogate { at });
        };
        // Only an escape can put a NUL into a string, and only an escaped name is owned.
        if matches!(name, Cow::Owned(_)) && name.contains('\0') {
            return Err(DecodeError::Nul { place, at });
        }
        let (hash, meant) = names::hash(&name, place);
        if let Some(meant) = meant.filter(|meant| *meant != name) {
            return Err(DecodeError::Variant { name: shortened(&name), meant, place, at });
        }
        let seen = &self.names[first_name..];
        if seen.contains(&hash) {
            return Err(DecodeError::Duplicate { name: shortened(&name), place, at });
        }
        if seen.len() == self.members_max {
            return Err(DecodeError::TooManyMembers { place, at, members_max: self.members_max });
        }
        self.names.push(hash);
        Ok(name)
    }
}

/// Checks that `text` is exactly one JSON value and says what it is.
pub(crate) fn whole(text: &str, limits: &Limits) -> Result<Value, DecodeError> {
    let mut scanner = Scanner::new(text, limits);
    scanner.space();
    let value = scanner.value()?;
    scanner.finish()?;
    Ok(value)
}

#[cfg(test)]
mod tests;
