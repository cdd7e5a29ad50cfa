//! One operation of a document to one tool.

use serde_json::{Map, Value, json};

use crate::body::{self, Body, Kind};
use crate::catalogue::Tool;
use crate::hints::Hints;
use crate::limits::Limits;
use crate::names;
use crate::pages::Pages;
use crate::parameter::{self, Parameter, Place};
use crate::percent::{encode_but, is_dots, stays_in_segment};
use crate::pointer::Root;
use crate::schema::{Converter, LEVELS, Purpose};
use crate::text::clean;

/// What the operations of a document have in common.
pub(crate) struct Common<'a> {
    pub(crate) root: Root<'a>,
    pub(crate) limits: &'a Limits,
    /// Parameters that carry credentials: place and name, as they stand in security schemes.
    pub(crate) credentials: Vec<(&'a str, &'a str)>,
}

/// Where an operation stands.
pub(crate) struct Standing<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    /// The path item, whose parameters are the operation's, too.
    pub(crate) item: &'a Value,
    pub(crate) operation: &'a Value,
}

/// A piece of a path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// As it stands, encoded already.
    Literal(String),
    /// A parameter, by its name.
    Variable(String),
}

/// Makes a tool, still without its name.
///
/// # Errors
/// Why there can be none, in words.
pub(crate) fn read(standing: &Standing<'_>, common: &Common<'_>) -> Result<Tool, String> {
    let &Standing { method, path, item, operation } = standing;
    let (root, limits) = (common.root, common.limits);
    for place in [operation, item] {
        if let Some([first, ..]) = place.get("servers").and_then(Value::as_array).map(Vec::as_slice) {
            let url = clean(first.get("url").and_then(Value::as_str).unwrap_or("another place"), 80);
            return Err(format!("it is served at {url:?}: deploy that as a server of its own"));
        }
    }
    let described = parameters(standing, common)?;
    let body = match operation.get("requestBody") {
        None => None,
        Some(_) if matches!(method, "GET" | "HEAD") => None,
        Some(given) => body::read(given, &root, limits.note_chars_max)?,
    };
    let (described, body) = named(described, body);
    let pieces = template(path, &described)?;
    let parameters: Vec<Parameter> = described.iter().map(|described| described.parameter.clone()).collect();
    let hints = Hints::of(method);
    let pages = hints.read_only.then(|| Pages::recognise(&parameters)).flatten();
    let input = input_schema(&described, body.as_ref(), common)?;
    let (output, accept, content) = answer(operation, common)?;
    let text = |key: &str| operation.get(key).and_then(Value::as_str).unwrap_or_default();
    let summary = clean(text("summary"), 120);
    let deprecated = operation.get("deprecated") == Some(&Value::Bool(true));
    let description = description(&summary, text("description"), (deprecated, pages.as_ref()), limits);
    let hidden = crate::text::hidden(text("summary"))
        + crate::text::hidden(text("description"))
        + crate::text::hidden(text("operationId"));
    Ok(Tool {
        name: String::new(),
        method: method.to_owned(),
        path: path.to_owned(),
        summary,
        description: if description.is_empty() {
            format!("{method} {}", clean(path, 200))
        } else {
            description
        },
        hints,
        deprecated,
        pieces,
        parameters,
        body: body.map(|described| described.body),
        pages,
        input,
        output,
        accept,
        content,
        hidden,
    })
}

fn description(
    summary: &str,
    long: &str,
    (deprecated, pages): (bool, Option<&Pages>),
    limits: &Limits,
) -> String {
    let mut parts = Vec::new();
    if deprecated {
        parts.push("Deprecated.".to_owned());
    }
    if !summary.is_empty() {
        parts.push(if summary.ends_with(['.', '!', '?', '…']) {
            summary.to_owned()
        } else {
            format!("{summary}.")
        });
    }
    let notes: usize = parts.iter().map(|part| part.chars().count() + 1).sum::<usize>() + 100;
    let long = clean(long, limits.description_chars_max.saturating_sub(notes).max(1));
    if !long.is_empty() && long != summary {
        parts.push(long);
    }
    parts.extend(pages.map(Pages::note));
    clean(&parts.join(" "), limits.description_chars_max)
}

/// The parameters of the path item and of the operation, the latter stronger.
fn parameters<'a>(
    standing: &Standing<'a>,
    common: &Common<'a>,
) -> Result<Vec<parameter::Described<'a>>, String> {
    let list = |place: &'a Value| {
        place.get("parameters").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    };
    let (shared, own) = (list(standing.item), list(standing.operation));
    if shared.len() + own.len() > common.limits.parameters_max {
        return Err(format!("it has more than {} parameters", common.limits.parameters_max));
    }
    let mut all: Vec<parameter::Described<'a>> = Vec::new();
    for given in shared.iter().chain(own) {
        let Some(described) = parameter::read(given, &common.root, common.limits)? else { continue };
        let Parameter { name, place, .. } = &described.parameter;
        let at = match place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
            Place::Cookie => "cookie",
        };
        // The node presents credentials, never the caller.
        let is_same = |name: &str, other: &str| {
            name == other || (*place == Place::Header && name.eq_ignore_ascii_case(other))
        };
        if common.credentials.iter().any(|(in_, other)| *in_ == at && is_same(name, other)) {
            continue;
        }
        match all.iter_mut().find(|other| other.parameter.name == *name && other.parameter.place == *place) {
            Some(other) => *other = described,
            None => all.push(described),
        }
    }
    Ok(all)
}

/// Gives every parameter, and the body, a name among the arguments.
fn named<'a>(
    mut all: Vec<parameter::Described<'a>>,
    body: Option<body::Described<'a>>,
) -> (Vec<parameter::Described<'a>>, Option<body::Described<'a>>) {
    let mut taken: Vec<String> = Vec::new();
    for described in &mut all {
        let wished = names::argument(&described.parameter.name);
        let name = names::unique(&wished, |name| taken.iter().any(|other| other == name));
        taken.push(name.clone());
        described.parameter.argument = name;
    }
    let body = body.map(|mut described| {
        described.body.argument = names::unique("body", |name| taken.iter().any(|other| other == name));
        described
    });
    (all, body)
}

/// The pieces of a path template; every variable is a parameter, and the other way round.
fn template(path: &str, described: &[parameter::Described<'_>]) -> Result<Vec<Piece>, String> {
    let shown = || clean(path, 120);
    if !path.starts_with('/') || path.contains(['?', '#', '\\']) || path.chars().any(char::is_control) {
        return Err(format!("{:?} is no path template", shown()));
    }
    let of_path = |name: &str| {
        described.iter().any(|one| one.parameter.place == Place::Path && one.parameter.name == name)
    };
    let mut pieces = Vec::new();
    let mut rest = path;
    while let Some(open) = rest.find('{') {
        let (literal, behind) = rest.split_at(open);
        let close =
            behind.find('}').ok_or_else(|| format!("{:?} has a brace that is not closed", shown()))?;
        let name = &behind[1..close];
        if !of_path(name) {
            return Err(format!("the path has {{{}}}, and no parameter says what that is", clean(name, 40)));
        }
        pieces.push(Piece::Literal(encode_but(literal, LITERAL)));
        pieces.push(Piece::Variable(name.to_owned()));
        rest = &behind[close + 1..];
    }
    pieces.push(Piece::Literal(encode_but(rest, LITERAL)));
    pieces.retain(|piece| !matches!(piece, Piece::Literal(text) if text.is_empty()));
    let literal = path
        .split('/')
        .all(|segment| segment.contains('{') || (stays_in_segment(segment) && !is_dots(segment)));
    if !literal {
        return Err(format!("{:?} has a dot segment", shown()));
    }
    let in_path =
        |name: &str| pieces.iter().any(|piece| matches!(piece, Piece::Variable(other) if other == name));
    let lost =
        described.iter().find(|one| one.parameter.place == Place::Path && !in_path(&one.parameter.name));
    match lost {
        Some(one) => {
            Err(format!("the path parameter {:?} does not stand in the path", clean(&one.parameter.name, 40)))
        }
        None => Ok(pieces),
    }
}

/// What a path holds beside letters and digits (RFC 3986, section 3.3). An escape stays what it is.
const LITERAL: &str = "/:@!$&'()*+,;=%";

/// The schema of the arguments, simplified until it fits.
fn input_schema(
    described: &[parameter::Described<'_>],
    body: Option<&body::Described<'_>>,
    common: &Common<'_>,
) -> Result<String, String> {
    for levels_max in LEVELS {
        let mut converter = Converter::new(common.root, common.limits, Purpose::Arguments, levels_max);
        let (mut properties, mut required) = (Map::new(), Vec::new());
        for one in described {
            let Parameter { argument, required: is_required, .. } = &one.parameter;
            let mut schema = one.schema.map_or_else(|| json!({}), |schema| converter.convert(schema));
            if let (Some(members), false) = (schema.as_object_mut(), one.description.is_empty()) {
                members.insert("description".to_owned(), one.description.clone().into());
            }
            properties.insert(argument.clone(), schema);
            if *is_required {
                required.push(Value::from(argument.clone()));
            }
        }
        if let Some(one) = body {
            properties.insert(one.body.argument.clone(), body_schema(one, &mut converter));
            if one.body.required {
                required.push(Value::from(one.body.argument.clone()));
            }
        }
        let definitions = converter.definitions();
        if let Some(problem) = converter.problems.first() {
            return Err(problem.clone());
        }
        let mut schema = json!({ "type": "object", "properties": properties, "additionalProperties": false });
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if !definitions.is_empty() {
            schema["$defs"] = definitions.into();
        }
        let text = schema.to_string();
        if !converter.is_full() && text.len() <= common.limits.schema_bytes_max {
            return Ok(text);
        }
    }
    Err(format!("its arguments take more than {} bytes to describe", common.limits.schema_bytes_max))
}

fn body_schema<'a>(described: &body::Described<'a>, converter: &mut Converter<'a>) -> Value {
    let body::Described { body, schema, description } = described;
    let media = &body.media;
    let note =
        if description.is_empty() { format!("The request body, {media}.") } else { description.clone() };
    match &body.kind {
        Kind::Bytes => body::file_schema(&note),
        Kind::Text => json!({ "type": "string", "description": note }),
        kind => {
            let mut converted =
                schema.map_or_else(|| json!({ "type": "object" }), |schema| converter.convert(schema));
            if let Kind::Multipart { files } = kind
                && let Some(properties) = converted.get_mut("properties").and_then(Value::as_object_mut)
            {
                for file in files {
                    let Some(member) = properties.get_mut(file) else { continue };
                    let text =
                        member.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
                    let one = body::file_schema(&text);
                    *member = if member.get("type") == Some(&json!("array")) {
                        json!({ "type": "array", "items": one })
                    } else {
                        one
                    };
                }
            }
            if let Some(members) =
                converted.as_object_mut().filter(|members| !members.contains_key("description"))
            {
                members.insert("description".to_owned(), note.into());
            }
            converted
        }
    }
}

/// The schema of a good answer if it is an object, what to ask for in `Accept`, and the media type of that.
fn answer(
    operation: &Value,
    common: &Common<'_>,
) -> Result<(Option<String>, String, Option<String>), String> {
    let responses = operation.get("responses").and_then(Value::as_object);
    let good = responses.into_iter().flatten().filter(|(status, _)| status.starts_with('2'));
    let mut good: Vec<_> = good.collect();
    good.sort_by_key(|(status, _)| status.as_str());
    let Some((_, response)) = good.first() else {
        return Ok((None, "application/json, */*;q=0.5".to_owned(), None));
    };
    let response = common.root.resolve(response)?;
    let content = response.get("content").and_then(Value::as_object);
    let plain = |media: &&String| media.bytes().all(|b| matches!(b, b' '..=b'~') && b != b',');
    let medias: Vec<&String> = content.into_iter().flat_map(Map::keys).filter(plain).take(8).collect();
    let json = medias.iter().find(|media| body::is_json(media));
    let schema = json.and_then(|media| content?.get(*media)?.get("schema"));
    let output = schema.and_then(|schema| output_schema(schema, common));
    let preferred = json.or(medias.first()).map(|media| body::bare(media));
    let accept = match &preferred {
        Some(media) => format!("{media}, */*;q=0.5"),
        None => "application/json, */*;q=0.5".to_owned(),
    };
    Ok((output, accept, preferred))
}

/// None where it is no object, or does not fit. A promise that cannot be kept is worse than none.
fn output_schema(schema: &Value, common: &Common<'_>) -> Option<String> {
    let schema = common.root.resolve(schema).ok()?;
    LEVELS.iter().take(4).find_map(|levels_max| {
        let mut converter = Converter::new(common.root, common.limits, Purpose::Results, *levels_max);
        let mut converted = converter.convert(schema);
        if converted.get("type") != Some(&json!("object")) {
            return None;
        }
        let definitions = converter.definitions();
        if !definitions.is_empty() {
            converted["$defs"] = definitions.into();
        }
        let text = converted.to_string();
        let fits = !converter.is_full() && converter.problems.is_empty();
        (fits && text.len() <= Purpose::Results.bytes_max(common.limits)).then_some(text)
    })
}

/// The body of a tool, for those who only look.
pub(crate) fn body_media(body: Option<&Body>) -> Option<&str> {
    body.map(|body| body.media.as_str())
}
