//! By what an approval knows its call again.

use lockgate_crypto::digest;
use lockgate_mcp::Message;

use crate::{arguments::Arguments, context, method::Method, query::Query};

/// SHA-256 of a call: its agent, what is called, and every argument.
pub(crate) fn call_digest(query: &Query<'_>, method: &Method, message: &Message) -> String {
    let raw = context::weighed(method, message);
    // Progress tokens and such differ from one try to the next.
    let canonical = match Arguments::read(raw) {
        Ok(arguments) if raw == message.arguments_raw() => arguments.canonical(),
        _ => without_meta(raw).unwrap_or_else(|| raw.unwrap_or_default().to_owned()),
    };
    let mut bytes = Vec::new();
    for text in [&query.caller.agent, query.server, query.method, query.name.unwrap_or("\0"), &canonical] {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    digest::hex(&digest::sha256(&bytes))
}

fn without_meta(raw: Option<&str>) -> Option<String> {
    let mut params: serde_json::Map<String, serde_json::Value> = serde_json::from_str(raw?).ok()?;
    params.remove("_meta");
    let text = serde_json::to_string(&params).ok()?;
    String::from_utf8(lockgate_mcp::canonical::canonicalize(&text).ok()?).ok()
}
