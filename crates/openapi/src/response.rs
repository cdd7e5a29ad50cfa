//! An HTTP response to the result of a tool.

use serde_json::{Map, Value, json};

use crate::body::{bare, base64, is_json, is_text};
use crate::catalogue::Tool;
use crate::conform::fitted;
use crate::shape;
use crate::text::clean;

/// An HTTP response, as far as a tool looks at it.
#[derive(Debug, Clone, Copy)]
pub struct Response<'a> {
    /// The status.
    pub status: u16,
    /// `Content-Type`.
    pub media: &'a str,
    /// `Link` (RFC 8288).
    pub link: Option<&'a str>,
    /// The body, whole.
    pub body: &'a [u8],
}

/// How results are made smaller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shaping {
    /// Fields that are kept, as paths with dots; all, if there are none.
    pub keep: Vec<String>,
    /// Most bytes of text in a result: what a model can be asked to read.
    pub text_bytes_max: usize,
    /// Most bytes of a result that is no text, before base64.
    pub blob_bytes_max: usize,
}

impl Default for Shaping {
    fn default() -> Self {
        Self { keep: Vec::new(), text_bytes_max: 256 << 10, blob_bytes_max: 4 << 20 }
    }
}

/// Most bytes of an error's body that are shown.
const ERROR_BYTES_MAX: usize = 4 << 10;

impl Tool {
    /// The result (`CallToolResult`) of a call with `arguments` that was answered so; as `server` calls its resources.
    #[must_use]
    pub fn result(
        &self,
        arguments: &Value,
        response: &Response<'_>,
        shaping: &Shaping,
        server: &str,
    ) -> Value {
        if !(200..300).contains(&response.status) {
            return failed(response);
        }
        let text = std::str::from_utf8(response.body).ok();
        if response.body.is_empty() {
            let done = format!("Done: {}.", response.status);
            return self.told(done, Vec::new(), self.output.is_some().then(|| json!({})));
        }
        match text {
            Some(text) if is_json(response.media) || response.media.is_empty() => {
                match serde_json::from_str::<Value>(text) {
                    Ok(value) => self.of_json(arguments, (&value, text), response, shaping),
                    Err(_) => self.of_text(text, shaping),
                }
            }
            Some(text) if is_text(response.media) => self.of_text(text, shaping),
            _ => self.of_bytes(response, shaping, server),
        }
    }

    fn of_json(
        &self,
        arguments: &Value,
        (value, text): (&Value, &str),
        response: &Response<'_>,
        shaping: &Shaping,
    ) -> Value {
        let mut notes = Vec::new();
        let none = Map::new();
        let next = self.pages.as_ref().and_then(|pages| {
            let arguments = arguments.as_object().unwrap_or(&none);
            pages.next(arguments, Some(value), response.link, &self.parameters)
        });
        let mut shown = shape::kept(value, &shaping.keep);
        let mut text = if shaping.keep.is_empty() { text.to_owned() } else { shown.to_string() };
        let mut structured = true;
        if text.len() > shaping.text_bytes_max {
            let all_bytes = text.len();
            match shape::cut(&shown, shaping.text_bytes_max) {
                Some((less, cut)) => {
                    notes.push(format!(
                        "Cut: {} of {} items are shown. Ask for less, or for a part.",
                        cut.shown, cut.all
                    ));
                    (shown, text) = (less.clone(), less.to_string());
                }
                None => {
                    text = shape::beginning(&text, shaping.text_bytes_max).to_owned();
                    notes.push(format!("Cut: the first {} of {all_bytes} bytes are shown.", text.len()));
                    structured = false;
                }
            }
        }
        if let Some(next) = next {
            notes.push(format!(
                "There is a next page: call {} again, with {next} beside the other arguments.",
                self.name
            ));
        }
        let output = self.output.as_deref().and_then(|schema| serde_json::from_str::<Value>(schema).ok());
        let structured = output.map(|schema| {
            let (fitted, places) = if structured { fitted(&shown, &schema) } else { (json!({}), Vec::new()) };
            if !places.is_empty() {
                notes.push(format!(
                    "The structured content lacks {}: what came is of another type than announced.",
                    places.join(", ")
                ));
            }
            fitted
        });
        self.told(text, notes, structured)
    }

    fn of_text(&self, text: &str, shaping: &Shaping) -> Value {
        let shown = shape::beginning(text, shaping.text_bytes_max);
        let cut = shown.len() < text.len();
        let notes = cut.then(|| format!("Cut: the first {} of {} bytes are shown.", shown.len(), text.len()));
        self.told(shown.to_owned(), notes.into_iter().collect(), self.output.is_some().then(|| json!({})))
    }

    fn of_bytes(&self, response: &Response<'_>, shaping: &Shaping, server: &str) -> Value {
        let (size, max) = (response.body.len(), shaping.blob_bytes_max);
        let structured = self.output.is_some().then(|| json!({}));
        let media = media(response.media);
        if size > max {
            let what = format!("The answer is {size} bytes of {media}, and at most {max} are passed on.");
            return self.told(what, Vec::new(), structured);
        }
        let blob = base64(response.body);
        let content = match media.split('/').next() {
            Some(kind @ ("image" | "audio")) => json!({ "type": kind, "data": blob, "mimeType": media }),
            _ => {
                let uri = format!("rest://{server}/-/{}", self.name);
                json!({ "type": "resource", "resource": { "uri": uri, "mimeType": media, "blob": blob } })
            }
        };
        result(vec![content], structured, false)
    }

    fn told(&self, text: String, notes: Vec<String>, structured: Option<Value>) -> Value {
        let texts = std::iter::once(text).chain(notes);
        let content = texts.map(|text| json!({ "type": "text", "text": text })).collect();
        result(content, structured, false)
    }
}

fn result(content: Vec<Value>, structured: Option<Value>, is_error: bool) -> Value {
    let mut result = json!({ "content": content, "isError": is_error });
    if let Some(structured) = structured {
        result["structuredContent"] = structured;
    }
    result
}

/// A media type that is one, in small letters.
fn media(given: &str) -> String {
    let media = bare(given);
    let plain = media.bytes().all(|b| b.is_ascii_alphanumeric() || b"/!#$&^_.+-".contains(&b));
    if plain && media.contains('/') && media.len() <= 100 {
        media
    } else {
        "application/octet-stream".to_owned()
    }
}

/// What an API says when it does not do what it was asked, bounded, for the model to learn from.
fn failed(response: &Response<'_>) -> Value {
    let said = match std::str::from_utf8(response.body) {
        Ok(text) if is_json(response.media) || is_text(response.media) => {
            clean(shape::beginning(text, ERROR_BYTES_MAX), ERROR_BYTES_MAX)
        }
        Ok("") => String::new(),
        _ => format!("({} bytes of {})", response.body.len(), media(response.media)),
    };
    let what = match response.status {
        400 | 422 => "the API does not accept the arguments",
        401 => "the API wants a credential: this is for the operator, not for you",
        403 => "the credential that the API was shown does not allow this",
        404 | 410 => "the API knows nothing under these arguments",
        409 | 412 => "it is not in the state that this needs",
        429 => "the API has had too many calls: wait, then try again",
        300..400 => "the API sends elsewhere, and that is not followed",
        500.. => "the API failed",
        _ => "the API refused",
    };
    let colon = if said.is_empty() { "" } else { ": " };
    result(
        vec![json!({ "type": "text", "text": format!("{} {what}{colon}{said}", response.status) })],
        None,
        true,
    )
}
