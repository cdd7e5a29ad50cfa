//! Messages, permits and observations to screen.

use std::sync::Arc;

use bytes::Bytes;
use lockgate_detect::{Approved, Detector, Observed, Pin};
use lockgate_identity::{Principal, bind};
use lockgate_mcp::{Limits, Message, list};
use lockgate_policy::{Circumstances, Options, Permit, Policies, Query, RESPONSE, Source};

pub(crate) fn message(raw: &str) -> Message {
    Message::decode(Bytes::from(raw.to_owned()), &Limits::default()).unwrap()
}

/// A permit for a message, under a policy that permits everything.
pub(crate) fn permit(server: &str, raw: &str) -> Permit {
    let source = Source { name: "p", text: "permit(principal, action, resource);" };
    let policies = Policies::parse(&[source], &Options::bare(1)).unwrap();
    let caller = bind(&Arc::new(Principal::Anonymous));
    let message = message(raw);
    let query = Query {
        caller: &caller,
        server,
        method: message.method().unwrap_or(RESPONSE),
        name: message.name(),
        posture: None,
        loopback: true,
    };
    policies.decide(query, &Circumstances::at(0), message.clone()).unwrap()
}

pub(crate) fn call(server: &str, tool: &str) -> Permit {
    let name = serde_json::Value::from(tool);
    permit(
        server,
        &format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":{name},"arguments":{{}}}}}}"#
        ),
    )
}

/// Shows a list of tool definitions, each as JSON text.
pub(crate) fn observe(detector: &Detector, server: &str, tools: &[&str], now_ms: u64) -> Observed {
    let raw = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#, tools.join(","));
    let message = message(&raw);
    let items = list::items(&message, "tools").unwrap();
    detector.observe_tools(server, &items, now_ms)
}

/// A tool definition with this name and description.
pub(crate) fn tool(name: &str, description: &str) -> String {
    let (name, description) = (serde_json::Value::from(name), serde_json::Value::from(description));
    format!(
        r#"{{"name":{name},"description":{description},"inputSchema":{{"type":"object","properties":{{"path":{{"type":"string"}}}}}},"annotations":{{"readOnlyHint":true}}}}"#
    )
}

/// Approves a definition.
pub(crate) fn approve(detector: &Detector, id: &str) -> Pin {
    match detector.approve(id).unwrap() {
        Approved::Definition(pin) => pin,
        other => panic!("{other:?}"),
    }
}
