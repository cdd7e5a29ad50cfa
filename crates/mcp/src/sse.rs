//! Server-sent events (WHATWG HTML, section 9.2): a byte stream cut into events, byte for byte.
//!
//! [`Splitter`] takes chunks as they come off the wire and gives events back whose raw bytes, put
//! together, are the stream again: comments, `retry`, unknown fields and the kind of line end are
//! all kept. What means nothing to the application but keeps a connection alive (comments and
//! empty lines between events) is passed at once and never waits for an event behind it.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use memchr::memchr2;

/// The default of `event_bytes_max`: as large as the largest message that we carry, and its frame.
pub const EVENT_BYTES_MAX: usize = (16 << 20) + (64 << 10);

/// Why a stream cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SseError {
    /// An event exceeds the limit; the stream must be given up.
    #[error("an event of more than {event_bytes_max} bytes: send less at once or raise the limit")]
    TooLarge {
        /// The limit.
        event_bytes_max: usize,
    },
}

/// One event, or a run of comments and empty lines between events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The bytes exactly as they came, the empty line at the end included.
    pub raw: Bytes,
    /// The data lines joined by LF; `None` without any. Legacy servers announce an id with an
    /// event whose data is empty.
    pub data: Option<Bytes>,
    /// The last `id` field, for resuming after this event. Ignored, as the standard has it, if it
    /// contains NUL.
    pub id: Option<String>,
    /// The last `event` field, the event's type.
    pub event: Option<String>,
    /// The last `retry` field of digits only, in milliseconds.
    pub retry: Option<u64>,
    /// Comments and empty lines only: nothing to decide on, forward it.
    pub is_comment: bool,
}

/// Cuts a stream into events; see the module's documentation.
#[derive(Debug)]
pub struct Splitter {
    buffer: BytesMut,
    /// Bytes of the buffer that are complete lines, not yet given out.
    scanned: usize,
    /// Bytes of the buffer that hold no further line end.
    searched: usize,
    /// The complete lines are those of an event, rather than comments and empty lines.
    in_event: bool,
    /// Nothing has been given out yet, so that a byte order mark may stand first.
    at_start: bool,
    too_large: bool,
    event_bytes_max: usize,
}

impl Splitter {
    /// A splitter for events of up to `event_bytes_max` bytes, framing included.
    #[must_use]
    pub fn new(event_bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            searched: 0,
            in_event: false,
            at_start: true,
            too_large: false,
            event_bytes_max,
        }
    }

    /// Takes the next bytes of the stream, cut anywhere. Ask [`Splitter::next`] until it has no
    /// more before pushing again, so that the buffer stays small.
    pub fn push(&mut self, chunk: &[u8]) {
        self.buffer.extend_from_slice(chunk);
    }

    /// The next event that is complete, `None` if more bytes are needed first.
    ///
    /// A CR ends a line at once, so that no event waits for the byte behind it. Where that was the
    /// first half of a CR LF cut in two, the LF comes as an empty line by itself, which means
    /// nothing to any reader.
    ///
    /// # Errors
    /// [`SseError::TooLarge`], now and from then on.
    #[expect(clippy::should_implement_trait, reason = "it fails, and it goes on after None")]
    pub fn next(&mut self) -> Result<Option<Event>, SseError> {
        while let Some(line) = self.next_line() {
            let content = &self.buffer[line.content.clone()];
            let blank = content.is_empty();
            let idle = blank || content[0] == b':';
            if !self.in_event && !idle {
                if self.scanned > 0 {
                    return self.take();
                }
                self.in_event = true;
            }
            self.scanned = line.end;
            if self.in_event && blank {
                return self.take();
            }
        }
        if self.scanned > 0 && !self.in_event {
            return self.take();
        }
        self.check(self.buffer.len())?;
        Ok(None)
    }

    /// The bytes of an event that the stream ended in the middle of. Readers discard it.
    #[must_use]
    pub fn remainder(&mut self) -> Bytes {
        (self.scanned, self.searched, self.in_event) = (0, 0, false);
        self.buffer.split().freeze()
    }

    /// The first complete line behind the scanned ones.
    fn next_line(&mut self) -> Option<Line> {
        let bytes = &self.buffer[..];
        if self.scanned > 0 && bytes[self.scanned - 1] == b'\r' && bytes.get(self.scanned) == Some(&b'\n') {
            self.scanned += 1;
        }
        let from = self.searched.max(self.scanned);
        let line = line_at(bytes, self.scanned, from, self.at_start);
        self.searched = line.as_ref().map_or(bytes.len(), |line| line.content.end);
        line
    }

    /// Gives out the complete lines.
    fn take(&mut self) -> Result<Option<Event>, SseError> {
        self.check(self.scanned)?;
        let raw = self.buffer.split_to(self.scanned).freeze();
        let event = Event::read(raw, self.at_start);
        (self.scanned, self.searched) = (0, 0);
        (self.in_event, self.at_start) = (false, false);
        Ok(Some(event))
    }

    fn check(&mut self, bytes: usize) -> Result<(), SseError> {
        self.too_large |= bytes > self.event_bytes_max;
        if self.too_large {
            return Err(SseError::TooLarge { event_bytes_max: self.event_bytes_max });
        }
        Ok(())
    }
}

impl Event {
    fn read(raw: Bytes, at_start: bool) -> Self {
        let mut event = Self { raw, data: None, id: None, event: None, retry: None, is_comment: true };
        let raw = event.raw.clone();
        let mut joined: Option<Vec<u8>> = None;
        for (line, field) in fields(&raw, at_start) {
            event.is_comment = false;
            let value = field.value.clone();
            let text = || String::from_utf8_lossy(&raw[value.clone()]).into_owned();
            match &raw[line.content.start..field.name_end] {
                b"data" => match (&event.data, &mut joined) {
                    (None, _) => event.data = Some(raw.slice(value)),
                    (Some(first), joined) => {
                        let joined = joined.get_or_insert_with(|| first.to_vec());
                        joined.push(b'\n');
                        joined.extend_from_slice(&raw[value]);
                    }
                },
                b"id" if !raw[value.clone()].contains(&0) => event.id = Some(text()),
                b"event" => event.event = Some(text()),
                b"retry" if raw[value.clone()].iter().all(u8::is_ascii_digit) => {
                    event.retry = text().parse().ok().or(event.retry);
                }
                _ => {}
            }
        }
        if let Some(joined) = joined {
            event.data = Some(joined.into());
        }
        event
    }
}

/// The event with other data; its other lines stay as they are, byte for byte. Comments between
/// events are returned as they are.
#[must_use]
pub fn with_data(event: &Event, data: &[u8]) -> Bytes {
    if event.is_comment {
        return event.raw.clone();
    }
    let raw = &event.raw[..];
    let mut out = Vec::with_capacity(raw.len() + data.len());
    let mut written = false;
    let mut at = 0;
    while let Some(line) = line_at(raw, at, at, false) {
        let content = &raw[line.content.clone()];
        // Where in the stream the event stood is forgotten. Better to drop a line that only looks
        // like data than to leave the old data in.
        let content = content.strip_prefix(BYTE_ORDER_MARK).unwrap_or(content);
        let is_data = content == b"data" || content.starts_with(b"data:");
        if !written && (is_data || content.is_empty() && line.end == raw.len()) {
            write_data(data, &mut out);
            written = true;
        }
        if !is_data {
            out.extend_from_slice(&raw[at..line.end]);
        }
        at = line.end;
    }
    out.into()
}

/// The event with nothing of its own but where the stream stands: its id, its `retry`, and this data. Types, comments and
/// unknown lines are text of the server that no client of MCP reads, and are left out.
#[must_use]
pub fn bare(event: &Event, data: Option<&[u8]>) -> Bytes {
    if event.is_comment {
        return Bytes::from_static(b":\n\n");
    }
    let mut out = Vec::new();
    if let Some(id) = &event.id {
        out.extend_from_slice(format!("id: {id}\n").as_bytes());
    }
    if let Some(retry) = event.retry {
        out.extend_from_slice(format!("retry: {retry}\n").as_bytes());
    }
    if let Some(data) = data {
        write_data(data, &mut out);
    }
    out.push(b'\n');
    out.into()
}

/// An event with nothing but this data.
#[must_use]
pub fn encode(data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 8);
    write_data(data, &mut out);
    out.push(b'\n');
    out.into()
}

/// One data line for each line of `data`. A CR or CR LF in it becomes LF for the reader; JSON has
/// line ends between its tokens only, where they mean nothing.
fn write_data(data: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    loop {
        let line = line_at(data, at, at, false);
        let end = line.as_ref().map_or(data.len(), |line| line.content.end);
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&data[at..end]);
        out.push(b'\n');
        match line {
            Some(line) => at = line.end,
            None => return,
        }
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// A complete line: its content, and where the line after it starts.
struct Line {
    content: Range<usize>,
    end: usize,
}

/// A field within a line.
struct Field {
    name_end: usize,
    value: Range<usize>,
}

/// The line that starts at `start`, given that no line end stands before `from`.
fn line_at(bytes: &[u8], start: usize, from: usize, at_stream_start: bool) -> Option<Line> {
    let end = from + memchr2(b'\n', b'\r', &bytes[from..])?;
    let length = if bytes[end..].starts_with(b"\r\n") { 2 } else { 1 };
    let marked = at_stream_start && start == 0 && bytes.starts_with(BYTE_ORDER_MARK);
    let start = if marked { BYTE_ORDER_MARK.len() } else { start };
    Some(Line { content: start..end, end: end + length })
}

/// The fields of complete lines; comments and empty lines are none.
fn fields(raw: &[u8], at_stream_start: bool) -> impl Iterator<Item = (Line, Field)> {
    let mut at = 0;
    let lines = std::iter::from_fn(move || {
        let line = line_at(raw, at, at, at_stream_start)?;
        at = line.end;
        Some(line)
    });
    lines.filter_map(|line| {
        let content = &raw[line.content.clone()];
        let (name, value_start) = match memchr::memchr(b':', content) {
            Some(0) => return None,
            None if content.is_empty() => return None,
            None => (content.len(), content.len()),
            Some(colon) => (colon, colon + 1 + usize::from(content.get(colon + 1) == Some(&b' '))),
        };
        let start = line.content.start;
        let value = start + value_start..line.content.end;
        Some((line, Field { name_end: start + name, value }))
    })
}
