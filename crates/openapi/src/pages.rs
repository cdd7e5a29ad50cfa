//! Pages: how an API gives a long list in parts. One call is one page, and the answer says how to ask for the next.

use serde_json::{Map, Value, json};

use crate::parameter::{Parameter, Place};

/// How an operation counts pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pages {
    /// The answer names where the next page begins.
    Cursor { argument: String },
    /// Pages have numbers.
    Number { argument: String, size: Option<String> },
    /// So many items are left out.
    Offset { argument: String, size: Option<String> },
}

/// Names of parameters without case and separators, the usual ones first.
const CURSORS: &[&str] = &[
    "cursor",
    "pagetoken",
    "nexttoken",
    "continuationtoken",
    "continue",
    "startingafter",
    "after",
    "pagecursor",
    "marker",
    "nextcursor",
    "nextpagetoken",
];
const NUMBERS: &[&str] = &["page", "pagenumber", "pageno"];
const OFFSETS: &[&str] = &["offset", "skip", "startindex", "startat", "start"];
const SIZES: &[&str] =
    &["perpage", "pagesize", "limit", "maxresults", "size", "count", "top", "first", "maxitems"];

/// Members of an answer that name where the next page begins.
const NEXT: &[&str] = &[
    "nextcursor",
    "nextpagetoken",
    "nexttoken",
    "continuationtoken",
    "continue",
    "nextpage",
    "next",
    "cursor",
    "marker",
    "nextmarker",
    "endcursor",
];

/// Members of an answer in which such members stand.
const AROUND: &[&str] =
    &["", "meta", "metadata", "pagination", "paging", "pageinfo", "links", "responsemetadata", "page"];

fn folded(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

fn find<'a>(parameters: &'a [Parameter], names: &[&str]) -> Option<&'a Parameter> {
    let in_query = || parameters.iter().filter(|parameter| parameter.place == Place::Query);
    names.iter().find_map(|name| in_query().find(|parameter| folded(&parameter.name) == *name))
}

impl Pages {
    /// What the parameters of a reading operation show.
    pub(crate) fn recognise(parameters: &[Parameter]) -> Option<Self> {
        let size = find(parameters, SIZES).map(|parameter| parameter.argument.clone());
        let argument = |parameter: &Parameter| parameter.argument.clone();
        if let Some(cursor) = find(parameters, CURSORS) {
            return Some(Self::Cursor { argument: argument(cursor) });
        }
        if let Some(number) = find(parameters, NUMBERS) {
            return Some(Self::Number { argument: argument(number), size });
        }
        find(parameters, OFFSETS).map(|offset| Self::Offset { argument: argument(offset), size })
    }

    /// What the model is told.
    pub(crate) fn note(&self) -> String {
        let (Self::Cursor { argument } | Self::Number { argument, .. } | Self::Offset { argument, .. }) =
            self;
        format!("Gives one page a call; the answer says which `{argument}` gives the next.")
    }

    /// The arguments that ask for the next page; none if this was the last, or it cannot be told.
    pub(crate) fn next(
        &self,
        arguments: &Map<String, Value>,
        answer: Option<&Value>,
        link: Option<&str>,
        parameters: &[Parameter],
    ) -> Option<Value> {
        if let Some(next) = link.and_then(|link| self.linked(link, parameters)) {
            return Some(next);
        }
        let number = |name: &str| {
            arguments.get(name).and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()))
        };
        let items = answer.and_then(items);
        match self {
            Self::Cursor { argument } => {
                let answer = answer?;
                let cursor = member(answer).or_else(|| last_id(argument, answer))?;
                Some(json!({ argument: cursor }))
            }
            Self::Number { argument, size } => {
                // With a Link header the last page is the one without a next.
                let full = size.as_deref().and_then(number)?;
                let is_full = link.is_none() && u64::try_from(items?).ok()? >= full.max(1);
                is_full.then(|| json!({ argument: number(argument).unwrap_or(1).saturating_add(1) }))
            }
            Self::Offset { argument, size } => {
                let (full, items) = (size.as_deref().and_then(number)?, u64::try_from(items?).ok()?);
                let is_full = link.is_none() && items >= full.max(1);
                is_full.then(|| json!({ argument: number(argument).unwrap_or(0).saturating_add(items) }))
            }
        }
    }

    /// Reads `rel="next"` of a Link header (RFC 8288): only the one value of our own parameter, never the address.
    fn linked(&self, link: &str, parameters: &[Parameter]) -> Option<Value> {
        let (Self::Cursor { argument } | Self::Number { argument, .. } | Self::Offset { argument, .. }) =
            self;
        let name = &parameters.iter().find(|parameter| parameter.argument == *argument)?.name;
        let next = link.split(',').find(|part| part.contains("rel=\"next\"") || part.contains("rel=next"))?;
        let address = next.split(['<', '>']).nth(1)?;
        let pairs = address.split_once('?')?.1.split('#').next()?.split('&');
        let raw = pairs.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name.as_str())?.1;
        let value = crate::percent::decode(&raw.replace('+', " "))?;
        let value = crate::text::clean(&value, CURSOR_CHARS_MAX);
        Some(json!({ argument: value.parse::<u64>().map_or(Value::String(value), Value::from) }))
    }
}

/// Longest cursor that is told.
const CURSOR_CHARS_MAX: usize = 2_000;

/// How many items the list of an answer has.
fn items(answer: &Value) -> Option<usize> {
    match answer {
        Value::Array(items) => Some(items.len()),
        Value::Object(members) => {
            let mut lists = members.values().filter_map(Value::as_array);
            let first = lists.next()?.len();
            lists.next().is_none().then_some(first)
        }
        _ => None,
    }
}

fn member(answer: &Value) -> Option<Value> {
    let members = answer.as_object()?;
    for around in AROUND {
        let inner = match *around {
            "" => Some(members),
            name => {
                members.iter().find(|(key, _)| folded(key) == name).and_then(|(_, value)| value.as_object())
            }
        };
        let found = NEXT.iter().find_map(|name| {
            let (_, value) = inner?.iter().find(|(key, _)| folded(key) == *name)?;
            match value {
                // An address is none of a model's business: only what stands in for it.
                Value::String(text)
                    if !text.is_empty() && !text.contains("://") && text.len() <= CURSOR_CHARS_MAX =>
                {
                    Some(value.clone())
                }
                Value::Number(_) => Some(value.clone()),
                _ => None,
            }
        });
        if found.is_some() {
            return found;
        }
    }
    None
}

/// The id of the last item, for lists that go on behind one (`starting_after`).
fn last_id(argument: &str, answer: &Value) -> Option<Value> {
    let goes_on = answer.get("has_more") == Some(&Value::Bool(true));
    let last = answer.get("data").and_then(Value::as_array)?.last()?;
    (goes_on && folded(argument) == "startingafter").then(|| last.get("id").cloned()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parameter::Style;

    fn parameters(names: &[&str]) -> Vec<Parameter> {
        let parameter = |name: &&str| Parameter {
            argument: (*name).to_owned(),
            name: (*name).to_owned(),
            place: Place::Query,
            style: Style::Form,
            explode: true,
            required: false,
            segments: false,
        };
        names.iter().map(parameter).collect()
    }

    #[test]
    fn the_next_page_is_told_and_the_last_is_the_last() {
        for (names, arguments, answer, link, next) in [
            (
                &["cursor"][..],
                json!({}),
                json!({ "next_cursor": "abc" }),
                None,
                Some(json!({ "cursor": "abc" })),
            ),
            (&["pageToken"], json!({}), json!({ "nextPageToken": "" }), None, None),
            (
                &["continue", "limit"],
                json!({}),
                json!({ "metadata": { "continue": "x" } }),
                None,
                Some(json!({ "continue": "x" })),
            ),
            (
                &["starting_after"],
                json!({}),
                json!({ "has_more": true, "data": [{ "id": "a" }, { "id": "b" }] }),
                None,
                Some(json!({ "starting_after": "b" })),
            ),
            (
                &["starting_after"],
                json!({}),
                json!({ "has_more": false, "data": [{ "id": "a" }] }),
                None,
                None,
            ),
            (
                &["page", "per_page"],
                json!({ "per_page": 2 }),
                json!([1, 2]),
                None,
                Some(json!({ "page": 2 })),
            ),
            (&["page", "per_page"], json!({ "per_page": 2, "page": 4 }), json!([1]), None, None),
            (
                &["page"],
                json!({}),
                json!([1]),
                Some("<https://x/y?page=3&a=b>; rel=\"next\", <https://x?page=9>; rel=\"last\""),
                Some(json!({ "page": 3 })),
            ),
            (
                &["offset", "limit"],
                json!({ "offset": 10, "limit": 2 }),
                json!({ "rows": [1, 2] }),
                None,
                Some(json!({ "offset": 12 })),
            ),
            (&["cursor"], json!({}), json!({ "next": "https://evil.example/?cursor=1" }), None, None),
        ] {
            let parameters = parameters(names);
            let pages = Pages::recognise(&parameters).unwrap();
            let arguments = arguments.as_object().unwrap().clone();
            assert_eq!(pages.next(&arguments, Some(&answer), link, &parameters), next, "{names:?} {answer}");
        }
        assert_eq!(Pages::recognise(&parameters(&["q"])), None);
    }
}
