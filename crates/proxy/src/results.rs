//! What of a result may pass, where the policies that permitted its call say so.
//!
//! The cuts travel with the call: through streams, with an answer that a client fetches later, and with the task that a
//! call has become. What a server says beside its answers is held to them too ([`crate::relay`]).
//!
//! What is of the protocol is not cut: lists of tools, prompts and resources (whose items policy filters one by one) and
//! what opens and keeps a session.

use std::sync::Arc;

use lockgate_mcp::Message;
use lockgate_mcp::project::{Fields, Projected, project, said};
use lockgate_policy::{Permit, ResultFields};

use crate::call::Call;
use crate::link::LinkContext;
use crate::node::Node;
use crate::permit::{What, queries};

/// What is taken from results: each of these rules holds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cuts(Option<Arc<[Cut]>>);

/// What policy says, and what is done about it.
#[derive(Clone, Debug)]
struct Cut {
    said: ResultFields,
    fields: Fields,
}

impl Cuts {
    /// What policy says alone.
    pub(crate) fn of_fields(fields: Option<&ResultFields>) -> Self {
        Self(fields.map(|said| [Cut { said: said.clone(), fields: read(said) }].into()))
    }

    /// All that is said of several.
    fn of_all(said: impl Iterator<Item = Option<ResultFields>>) -> Self {
        said.fold(Self::default(), |cuts, fields| cuts.and(&Self::of_fields(fields.as_ref())))
    }

    /// What is taken from messages of `server` to the caller of `link` of which nobody knows the call.
    pub(crate) fn beside(node: &Node, link: &LinkContext, server: &str) -> Self {
        let policies = node.policies.load();
        Self::of_all(link.caller.everybody().map(|caller| policies.kept_back(caller, server)))
    }

    /// What policies in force now take at least from the result of a call to a server: its method and subject.
    pub(crate) fn at_most(node: &Node, link: &LinkContext, what: What<'_>) -> Self {
        let policies = node.policies.load();
        Self::of_all(queries(link, what).map(|query| policies.at_most(&query)))
    }

    /// Both.
    pub(crate) fn and(&self, other: &Cuts) -> Self {
        match (self.is_empty(), other.is_empty()) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            _ => {
                let further = other.iter().filter(|cut| !self.iter().any(|own| own.said == cut.said));
                Self(Some(self.iter().chain(further).cloned().collect()))
            }
        }
    }

    /// Whether nothing is taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn iter(&self) -> impl Iterator<Item = &Cut> {
        self.0.iter().flat_map(|all| all.iter())
    }

    /// What policy says: each of it holds.
    pub(crate) fn said(&self) -> impl Iterator<Item = &ResultFields> {
        self.iter().map(|cut| &cut.said)
    }

    /// What of an answer passes.
    pub(crate) fn answer(&self, message: Message) -> Message {
        self.iter().fold(message, |message, cut| project(&message, &cut.fields).message)
    }

    /// What passes of something that a server says of its own accord; nothing, if it may not pass at all.
    pub(crate) fn passing(&self, message: Message) -> Option<Message> {
        self.iter().try_fold(message, |message, cut| {
            said(&message, &cut.fields).map(|Projected { message, .. }| message)
        })
    }
}

/// The fields as results are reduced to them. A field without a name is in no result that could be told from others: then
/// nothing passes.
fn read(fields: &ResultFields) -> Fields {
    let only = fields.only.as_ref().map(|only| only.iter().map(String::as_str));
    Fields::new(only, fields.hidden.iter().map(String::as_str))
        .unwrap_or_else(|_| Fields::new(Some([]), []).expect("no field is no field without a name"))
}

/// The cuts on the result of a call: those of its permit, and about a task those of the call that has become it.
pub(crate) fn cuts(call: &Call, server: &str, permit: &Permit) -> Cuts {
    let message = permit.message();
    let is_of_task = message.method().is_some_and(|method| method.starts_with("tasks/"));
    let of_task = message.name().filter(|_| is_of_task).map(|task| {
        match call.node.begun.of(server, task, call.link.party()) {
            Some(begun) if begun.generation == Some(permit.generation()) => begun.cuts,
            Some(begun) => {
                let (method, name) = (begun.method.as_str(), begun.name.as_deref());
                begun.cuts.and(&Cuts::at_most(&call.node, &call.link, (server, method, name)))
            }
            // It was pushed out since it was looked for.
            None => Cuts::beside(&call.node, &call.link, server),
        }
    });
    of_task.unwrap_or_default().and(&Cuts::of_fields(permit.result()))
}

/// Whether results of a method are of the protocol rather than of the server's data: there is nothing to cut in them.
pub(crate) fn is_protocol(method: &str) -> bool {
    matches!(method, "initialize" | "ping" | "server/discover" | "logging/setLevel" | "subscriptions/listen")
        || method.ends_with("/list")
        || method.ends_with("subscribe")
}

/// The part of an answer to `call` that may pass. What no policy restricts passes as it came.
pub(crate) fn projected(call: &Call, method: &str, message: Message) -> Message {
    if is_protocol(method) { message } else { call.cuts().answer(message) }
}

/// A list of tasks without what their calls may not say.
pub(crate) fn projected_tasks(call: &Call, server: &str, message: Message) -> Message {
    Cuts::beside(&call.node, &call.link, server).and(call.cuts()).answer(message)
}

#[cfg(test)]
mod tests {
    use lockgate_mcp::Limits;
    use serde_json::{Value, json};

    use super::*;

    type Paths = Option<&'static [&'static str]>;

    fn cuts(only: Paths, hidden: &[&str]) -> Cuts {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Cuts::of_fields(Some(&ResultFields { only: only.map(set), hidden: set(hidden) }))
    }

    /// What of a result with fields of two depths passes.
    fn passes(cuts: &Cuts) -> Value {
        let bytes = r#"{"jsonrpc":"2.0","id":1,"result":{"content":[],"structuredContent":
            {"a":{"b":{"c":1,"d":2},"e":3},"ab":4,"b":5,"c":6,"x":7,"y":8,"z":9}}}"#;
        let answer = cuts.answer(Message::decode(bytes.into(), &Limits::default()).unwrap());
        let answer: Value = serde_json::from_slice(answer.bytes()).unwrap();
        answer["result"]["structuredContent"].clone()
    }

    #[test]
    fn what_passes_passes_for_both() {
        let everything = json!({"a": {"b": {"c": 1, "d": 2}, "e": 3}, "ab": 4, "b": 5, "c": 6, "z": 9});
        let cases: [(Paths, Paths, Value); 6] = [
            (None, None, everything),
            (Some(&["a.e"]), None, json!({"a": {"e": 3}})),
            (Some(&["a", "b"]), Some(&["b", "c"]), json!({"b": 5})),
            (Some(&["a"]), Some(&["a.b", "c"]), json!({"a": {"b": {"c": 1, "d": 2}}})),
            (Some(&["a.b.c", "ab"]), Some(&["a"]), json!({"a": {"b": {"c": 1}}})),
            (Some(&["b"]), Some(&["c"]), json!({})),
        ];
        for (one, other, wanted) in cases {
            let (one, other) = (cuts(one, &["x"]), cuts(other, &["y"]));
            assert_eq!((passes(&one.and(&other)), passes(&other.and(&one))), (wanted.clone(), wanted));
        }
        assert!(Cuts::of_all([None, None].into_iter()).is_empty());
        let all = Cuts::of_all(
            [None, Some(ResultFields { only: None, hidden: ["a".to_owned()].into() })].into_iter(),
        );
        assert!(passes(&all).get("a").is_none());
    }
}
