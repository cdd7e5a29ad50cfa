//! YAML: the first document, made of the parser's events. Aliases are not followed, so nothing can grow by them.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::{Budget, Limits, Member, Node, Unreadable, Value};

pub(super) fn read(text: &str, limits: &Limits) -> Result<Node, Unreadable> {
    let mut builder =
        Builder { text, open: Vec::new(), done: None, budget: Budget::new(limits), bytes: Places::of(text) };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| Unreadable::Syntax {
            line: error.marker().line(),
            what: error.info().to_owned(),
        })?;
        builder.take(event, span)?;
        if builder.done.is_some() {
            break;
        }
    }
    builder.done.ok_or(Unreadable::Syntax { line: 1, what: "there is no document".to_owned() })
}

/// A container that is not closed yet.
struct Open {
    start: usize,
    name: Option<(String, std::ops::Range<usize>)>,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map(Vec<Member>),
}

struct Builder<'a> {
    text: &'a str,
    open: Vec<Open>,
    done: Option<Node>,
    budget: Budget<'a>,
    bytes: Places,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        let start = self.bytes.byte(span.start.index());
        let end = self.bytes.byte(span.end.index()).max(start);
        match event {
            Event::Scalar(text, style, ..) => {
                let value = scalar(&text, style);
                self.add(Node { span: start..end, value })
            }
            Event::Alias(_) => self.add(Node { span: start..end, value: Value::Null }),
            Event::SequenceStart(..) => self.begin(start, Kind::List(Vec::new())),
            Event::MappingStart(..) => self.begin(start, Kind::Map(Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => self.end(end),
            _ => Ok(()),
        }
    }

    fn begin(&mut self, start: usize, kind: Kind) -> Result<(), Unreadable> {
        self.budget.value(self.open.len())?;
        self.open.push(Open { start, name: None, kind });
        Ok(())
    }

    fn end(&mut self, end: usize) -> Result<(), Unreadable> {
        let Some(Open { start, kind, .. }) = self.open.pop() else { return Ok(()) };
        let value = match kind {
            Kind::List(items) => Value::List(items),
            Kind::Map(members) => Value::Map(members),
        };
        // A block ends where the next thing begins; what is between is not its own.
        let inside = self.text.get(start..end).unwrap_or_default();
        let end = start + inside.trim_end().len();
        self.add(Node { span: start..end, value })
    }

    fn add(&mut self, node: Node) -> Result<(), Unreadable> {
        self.budget.value(self.open.len())?;
        match self.open.last_mut() {
            None => self.done = Some(node),
            Some(Open { kind: Kind::List(items), .. }) => items.push(node),
            Some(Open { kind: Kind::Map(members), name, .. }) => match name.take() {
                None => *name = Some((node.scalar().unwrap_or_default(), node.span)),
                Some((name, name_span)) => members.push(Member { name, name_span, node }),
            },
        }
        Ok(())
    }
}

/// A plain scalar means what the core schema says (YAML 1.2.2, section 10.3.2); a quoted one is a text.
fn scalar(text: &str, style: ScalarStyle) -> Value {
    if style != ScalarStyle::Plain {
        return Value::Text(text.to_owned());
    }
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        number
            if number.parse::<f64>().is_ok()
                && number.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) =>
        {
            Value::Number(number.to_owned())
        }
        text => Value::Text(text.to_owned()),
    }
}

/// Where the n-th character begins, in bytes.
enum Places {
    Same,
    Listed(Vec<u32>),
}

impl Places {
    fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Same;
        }
        let starts = text.char_indices().map(|(at, _)| u32::try_from(at).unwrap_or(u32::MAX));
        Self::Listed(starts.chain([u32::try_from(text.len()).unwrap_or(u32::MAX)]).collect())
    }

    fn byte(&self, character: usize) -> usize {
        match self {
            Self::Same => character,
            Self::Listed(starts) => starts.get(character).or(starts.last()).map_or(0, |at| *at as usize),
        }
    }
}
