//! Results that need input first (multi-round tool results, SEP-2322).
//!
//! The server keeps nothing between two rounds: what it asked last is in the `requestState` that
//! the client sends back, or, for a tool with one round and no state, follows from the responses.

use std::{collections::hash_map::RandomState, hash::BuildHasher};

use rmcp::{
    ErrorData,
    model::{ClientCapabilities, InputRequest, InputRequests, InputRequiredResult, InputResponses},
};
use serde_json::Value;

use super::catalog::CATALOG;

/// What the client sent back with a retry.
pub(super) struct Retry<'a> {
    /// `inputResponses`, absent in the first call.
    pub(super) responses: Option<&'a InputResponses>,
    /// `requestState`, as the client returned it.
    pub(super) state: Option<&'a str>,
}

/// The outcome of one round.
#[derive(Debug)]
pub(super) enum Step {
    /// The client is asked for more.
    Ask(InputRequiredResult),
    /// Everything was answered; the text says what was learnt.
    Complete(String),
}

/// Authenticates the round number in a `requestState`: a keyed hash under a key of this process.
/// Enough for a fixture, whose clients do not attack it beyond changing the text.
#[derive(Default)]
pub(super) struct Seal(RandomState);

impl Seal {
    fn close(&self, name: &str, round: usize) -> String {
        format!("{round}.{:016x}", self.0.hash_one((name, round)))
    }

    fn open(&self, name: &str, state: &str) -> Result<usize, ErrorData> {
        let round = state.split('.').next().and_then(|round| round.parse().ok());
        match round {
            Some(round) if self.close(name, round) == state => Ok(round),
            _ => Err(ErrorData::invalid_params("requestState was not made by this server", None)),
        }
    }

    /// Takes tool or prompt `name` one step on.
    ///
    /// # Errors
    /// `-32602` for a state that this process did not make, `-32021` when the client can answer
    /// none of what would be asked.
    pub(super) fn step(
        &self,
        name: &str,
        retry: &Retry<'_>,
        capabilities: &ClientCapabilities,
    ) -> Result<Step, ErrorData> {
        let rounds = &CATALOG.rounds[name];
        let asked = match retry.state {
            Some(state) => Some(self.open(name, state)?),
            // A tool that hands out a state wants it back before it takes an answer.
            None => (!CATALOG.stateful.contains(name)).then_some(0),
        };
        let next = match (retry.responses, asked) {
            (Some(responses), Some(round)) => {
                let requests = rounds.get(round).ok_or_else(|| {
                    ErrorData::invalid_params("requestState names a round that does not exist", None)
                })?;
                let requests = answerable(requests, capabilities)?;
                if requests.iter().any(|(key, request)| !answered(request, responses.get(key))) {
                    round
                } else if round + 1 == rounds.len() {
                    return Ok(Step::Complete(describe(name, responses)));
                } else {
                    round + 1
                }
            }
            _ => 0,
        };
        let requests = answerable(&rounds[next], capabilities)?;
        let state = CATALOG.stateful.contains(name).then(|| self.close(name, next));
        Ok(Step::Ask(InputRequiredResult::new(Some(requests), state)))
    }
}

/// The requests that this client said it can answer.
fn answerable(
    requests: &InputRequests,
    capabilities: &ClientCapabilities,
) -> Result<InputRequests, ErrorData> {
    let kept: InputRequests = requests
        .iter()
        .filter(|(_, request)| match request {
            InputRequest::CreateMessage(_) => capabilities.sampling.is_some(),
            InputRequest::Elicitation(_) => capabilities.elicitation.is_some(),
            InputRequest::ListRoots(_) => capabilities.roots.is_some(),
            _ => false,
        })
        .map(|(key, request)| (key.clone(), request.clone()))
        .collect();
    if kept.is_empty() {
        let mut required = ClientCapabilities::default();
        required.elicitation = Some(Default::default());
        return Err(ErrorData::missing_required_client_capability(required));
    }
    Ok(kept)
}

/// Whether `response` has the form that answers `request`.
fn answered(request: &InputRequest, response: Option<&Value>) -> bool {
    let Some(response) = response else {
        return false;
    };
    match request {
        InputRequest::Elicitation(_) => match response["action"].as_str() {
            Some("accept") => response["content"].is_object(),
            Some("decline" | "cancel") => true,
            _ => false,
        },
        InputRequest::CreateMessage(_) => response["content"].is_object(),
        InputRequest::ListRoots(_) => response["roots"].is_array(),
        _ => false,
    }
}

/// One sentence about each response, so that a test can see that it arrived.
fn describe(name: &str, responses: &InputResponses) -> String {
    let mut said = Vec::new();
    if CATALOG.stateful.contains(name) {
        said.push("state-ok".to_owned());
    }
    for (key, response) in responses {
        if let Some(name) = response["content"]["name"].as_str() {
            said.push(format!("Hello, {name}!"));
        } else if let Some(text) = response["content"]["text"].as_str() {
            said.push(format!("{key} is {text}"));
        } else if let Some(roots) = response["roots"].as_array() {
            said.extend(roots.iter().filter_map(|root| root["uri"].as_str().map(str::to_owned)));
        } else {
            said.push(format!("{key} is {}", response["content"]));
        }
    }
    said.join("; ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn able() -> ClientCapabilities {
        serde_json::from_value(json!({ "sampling": {}, "elicitation": {}, "roots": {} }))
            .expect("capabilities")
    }

    fn responses(value: Value) -> InputResponses {
        serde_json::from_value(value).expect("responses")
    }

    fn step(seal: &Seal, name: &str, given: Option<Value>, state: Option<&str>) -> Step {
        let given = given.map(responses);
        let retry = Retry { responses: given.as_ref(), state };
        seal.step(name, &retry, &able()).expect("a step")
    }

    fn asked(step: Step) -> (Vec<String>, Option<String>) {
        match step {
            Step::Ask(result) => {
                let keys = result.input_requests.expect("requests").into_keys().collect();
                (keys, result.request_state)
            }
            Step::Complete(text) => panic!("completed too early: {text}"),
        }
    }

    #[test]
    fn two_rounds_then_complete() {
        let (seal, name) = (Seal::default(), "test_input_required_result_multi_round");
        let (keys, state) = asked(step(&seal, name, None, None));
        assert_eq!(keys, ["step1"]);
        let first = json!({ "step1": { "action": "accept", "content": { "name": "Ada" } } });
        let (keys, second_state) = asked(step(&seal, name, Some(first), state.as_deref()));
        assert_eq!(keys, ["step2"]);
        assert_ne!(state, second_state);
        let second = json!({ "step2": { "action": "accept", "content": { "color": "red" } } });
        let end = step(&seal, name, Some(second), second_state.as_deref());
        assert!(matches!(end, Step::Complete(text) if text.starts_with("state-ok")));
    }

    #[test]
    fn a_wrong_or_malformed_answer_is_asked_again() {
        let (seal, name) = (Seal::default(), "test_input_required_result_elicitation");
        for given in [json!({}), json!({ "other": {} }), json!({ "user_name": 7 })] {
            let (keys, state) = asked(step(&seal, name, Some(given), None));
            assert_eq!((keys, state), (vec!["user_name".to_owned()], None));
        }
    }

    #[test]
    fn a_state_of_another_server_or_tool_is_refused() {
        let (seal, name) = (Seal::default(), "test_input_required_result_tampered_state");
        let (_, state) = asked(step(&seal, name, None, None));
        let state = state.expect("a state");
        let given = responses(json!({ "confirm": { "action": "accept", "content": {} } }));
        for bad in [
            format!("{state}0"),
            Seal::default().close(name, 0),
            seal.close("test_input_required_result_multi_round", 0),
        ] {
            let retry = Retry { responses: Some(&given), state: Some(&bad) };
            seal.step(name, &retry, &able()).expect_err("a forged state");
        }
    }

    #[test]
    fn only_what_the_client_can_answer_is_asked() {
        let seal = Seal::default();
        let retry = Retry { responses: None, state: None };
        let sampling: ClientCapabilities =
            serde_json::from_value(json!({ "sampling": {} })).expect("capabilities");
        let name = "test_input_required_result_capabilities";
        let (keys, _) = asked(seal.step(name, &retry, &sampling).expect("a step"));
        assert_eq!(keys, ["asked_model"]);
        let nothing = ClientCapabilities::default();
        seal.step(name, &retry, &nothing).expect_err("nothing can be asked");
    }
}
