//! The context of a call: only what the policies at hand read.

use cedar_policy::{Context, RestrictedExpression};
use jiff::Timestamp;
use lockgate_mcp::Message;
use serde_json::{Map, Value};

use crate::{
    arguments::{Arguments, Needles},
    clock::{self, Zones},
    facts::{FactShape, FactType},
    link::Link,
    method::{Method, Subject},
    query::Circumstances,
    reads::Reads,
    shapes::ToolShape,
};

/// The attributes that nobody knows before there is a call.
const OF_A_CALL: [&str; 7] = ["names", "input", "scan", "touched", "now", "local", "facts"];

/// Why there is no context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Gap {
    /// The arguments do not fit the definition, or cannot be weighed.
    Misfit(String),
    /// A value is out of range.
    Failed(String),
}

/// What contexts of one frame have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Means<'a> {
    pub(crate) reads: &'a Reads,
    /// The needles that are asked for.
    pub(crate) needles: &'a Needles,
    pub(crate) zones: &'a Zones,
    pub(crate) shape: Option<&'a ToolShape>,
    pub(crate) method: &'static Method,
    pub(crate) method_name: &'a str,
    pub(crate) link: &'a Link<'a>,
}

impl Means<'_> {
    /// The context of a call whose policies read only link and method.
    pub(crate) fn plain(&self) -> Result<Context, Gap> {
        finish(self.always())
    }

    /// The context of a call.
    ///
    /// # Errors
    /// Something that is read cannot be known.
    pub(crate) fn full(
        &self,
        message: &Message,
        circumstances: &Circumstances<'_>,
        facts: &[std::sync::Arc<FactShape>],
    ) -> Result<Context, Gap> {
        let mut pairs = self.always();
        self.content(message, circumstances.carried, &mut pairs)?;
        self.surroundings(circumstances, facts, &mut pairs).map_err(Gap::Failed)?;
        finish(pairs)
    }

    /// The context of any call of this kind: what only a call can tell is
    /// unknown. `now_ms` is known when something is asked now.
    pub(crate) fn unknown(&self, now_ms: Option<u64>) -> Result<Context, Gap> {
        let mut pairs = self.always();
        let known = |name: &str| now_ms.is_some() && matches!(name, "now" | "local");
        for name in OF_A_CALL.into_iter().filter(|name| !known(name)) {
            pairs.push((name.to_owned(), RestrictedExpression::new_unknown(name)));
        }
        if let Some(now_ms) = now_ms {
            self.time(now_ms, &mut pairs).map_err(Gap::Failed)?;
        }
        finish(pairs)
    }

    fn always(&self) -> Vec<(String, RestrictedExpression)> {
        let mut pairs = Vec::with_capacity(9);
        if self.reads.link || self.reads.all {
            pairs.push(("link".to_owned(), self.link.to_record()));
            let method = RestrictedExpression::new_string(self.method_name.to_owned());
            pairs.push(("method".to_owned(), method));
        }
        pairs
    }

    fn content(
        &self,
        message: &Message,
        carried: &[&str],
        pairs: &mut Vec<(String, RestrictedExpression)>,
    ) -> Result<(), Gap> {
        let Reads { all, names, input, scan, .. } = *self.reads;
        let misfit = |error: crate::arguments::Misfit| Gap::Misfit(error.to_string());
        if all || names || input || scan {
            let arguments = Arguments::read(weighed(self.method, message)).map_err(misfit)?;
            arguments.tell_names_apart().map_err(misfit)?;
            if all || names {
                let names = arguments.names();
                let names = names.into_iter().map(|name| RestrictedExpression::new_string(name.to_owned()));
                pairs.push(("names".to_owned(), RestrictedExpression::new_set(names)));
            }
            if (all || input) && self.method.subject == Subject::Tool {
                let record = arguments.to_record(self.shape.map(|shape| &shape.shape)).map_err(misfit)?;
                pairs.push(("input".to_owned(), record));
            }
            if all || scan {
                pairs.push(("scan".to_owned(), arguments.scan().map_err(misfit)?.to_record()));
            }
        }
        if self.reads.reads_touched() {
            let further = beside(message);
            let carried: Vec<&str> =
                carried.iter().copied().chain(further.iter().map(String::as_str)).collect();
            let touched = self.needles.touched(body(message), &carried);
            let touched = touched.into_iter().map(|word| RestrictedExpression::new_string(word.to_owned()));
            pairs.push(("touched".to_owned(), RestrictedExpression::new_set(touched)));
        }
        Ok(())
    }

    fn surroundings(
        &self,
        circumstances: &Circumstances<'_>,
        facts: &[std::sync::Arc<FactShape>],
        pairs: &mut Vec<(String, RestrictedExpression)>,
    ) -> Result<(), String> {
        self.time(circumstances.now_ms, pairs)?;
        if self.reads.reads_facts() {
            let known = facts.iter().filter_map(|shape| {
                Some((shape.name.clone(), record(shape, circumstances.facts.get(&shape.name)?)?))
            });
            let facts = RestrictedExpression::new_record(known).map_err(|error| error.to_string())?;
            pairs.push(("facts".to_owned(), facts));
        }
        Ok(())
    }

    fn time(&self, now_ms: u64, pairs: &mut Vec<(String, RestrictedExpression)>) -> Result<(), String> {
        if self.reads.now || self.reads.all {
            pairs.push(("now".to_owned(), clock::now(now_ms)?));
        }
        if self.reads.reads_local() {
            let local = clock::local(self.zones, now_ms, |zone| self.reads.reads_zone(zone))?;
            pairs.push(("local".to_owned(), local));
        }
        Ok(())
    }
}

fn finish(pairs: Vec<(String, RestrictedExpression)>) -> Result<Context, Gap> {
    Context::from_pairs(pairs).map_err(|error| Gap::Failed(error.to_string()))
}

/// What of a message is weighed: the arguments where there are any by nature,
/// all parameters otherwise.
pub(crate) fn weighed<'m>(method: &Method, message: &'m Message) -> Option<&'m str> {
    match method.subject {
        Subject::Tool | Subject::Prompt => message.arguments_raw(),
        Subject::Server | Subject::Resource | Subject::Task => body(message),
    }
}

/// What a message is about: the parameters of a request, or what a client answers to a server's own request.
fn body(message: &Message) -> Option<&str> {
    message.params_raw().or_else(|| message.result_raw()).or_else(|| message.error_raw())
}

/// Texts of a message beside its body, as JSON: its id, and members that JSON-RPC does not know. They go to the server too.
fn beside(message: &Message) -> Vec<String> {
    let further = message.further_members().into_iter();
    let further = further.map(|(name, raw)| format!("{{{}:{raw}}}", Value::from(name)));
    message.id_raw().map(str::to_owned).into_iter().chain(further).collect()
}

/// A fact as a record; `None` if it is not what was declared, which counts as
/// not known.
fn record(shape: &FactShape, record: &Map<String, Value>) -> Option<RestrictedExpression> {
    let fields: Option<Vec<(String, RestrictedExpression)>> = shape
        .fields
        .iter()
        .map(|(name, kind)| Some((name.clone(), field(*kind, record.get(name)?)?)))
        .collect();
    RestrictedExpression::new_record(fields?).ok()
}

fn field(kind: FactType, value: &Value) -> Option<RestrictedExpression> {
    let text = |value: &Value| Some(RestrictedExpression::new_string(value.as_str()?.to_owned()));
    match kind {
        FactType::Text => text(value),
        FactType::Integer => value.as_i64().map(RestrictedExpression::new_long),
        FactType::Flag => value.as_bool().map(RestrictedExpression::new_bool),
        FactType::Time => clock::instant(value.as_str()?.parse::<Timestamp>().ok()?).ok(),
        FactType::Texts => {
            let texts: Option<Vec<RestrictedExpression>> = value.as_array()?.iter().map(text).collect();
            texts.map(RestrictedExpression::new_set)
        }
    }
}
