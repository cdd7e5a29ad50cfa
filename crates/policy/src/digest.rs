//! By what an approval knows its call again.

use lockgate_crypto::digest;
use lockgate_mcp::tree::Tree;
use lockgate_mcp::{Message, canonical};

use crate::{
    arguments::{Arguments, VALUES_MAX},
    context,
    frame::Frame,
    query::Query,
};

/// Ids of requests and traces differ from one try to the next. From this length on, in bytes, what has nothing but
/// hexadecimal digits and dashes is one.
const ID_BYTES_MIN: usize = 16;

/// SHA-256 of a call: who calls what with which arguments, and what policies have searched beside them.
pub(crate) fn of_call(query: &Query<'_>, frame: &Frame, carried: &[&str], message: &Message) -> String {
    let raw = context::weighed(frame.method, message);
    // Progress tokens and such, in `_meta`, differ from one try to the next.
    let canonical = match Arguments::read(raw) {
        Ok(arguments) if raw == message.arguments_raw() => arguments.canonical(),
        _ => without(raw, &["_meta"]).unwrap_or_else(|| raw.unwrap_or_default().to_owned()),
    };
    let mut bytes = Vec::new();
    let own = [&query.caller.agent, query.server, query.method, query.name.unwrap_or("\0"), &canonical];
    let beside = beside(frame, carried, message);
    for text in own.into_iter().chain(beside.iter().map(String::as_str)) {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    digest::hex(&digest::sha256(&bytes))
}

/// The texts beside the arguments that are in the digest, too: what a client answered to a server's questions, which goes
/// along with the arguments and acts like them, and where policies look into them what else goes to the server. Who approved a call with one text has not approved it
/// with another. Ids count only if a forbidden word hides in them, and so does `_meta`, which programs fill with ids of
/// their own.
pub(crate) fn beside(frame: &Frame, carried: &[&str], message: &Message) -> Vec<String> {
    let is_weighed = context::weighed(frame.method, message) == message.arguments_raw();
    let further = without(message.params_raw().filter(|_| is_weighed), &["name", "arguments", "_meta"]);
    let mut texts: Vec<String> = further.filter(|further| further != "{}").into_iter().collect();
    if !frame.slice.reads.reads_touched() {
        return texts;
    }
    let needles = &frame.slice.needles;
    let counts = |text: &str| !is_id(text) || !needles.touched(None, &[text]).is_empty();
    texts.extend(carried.iter().filter(|text| counts(text)).map(|text| (*text).to_owned()));
    let meta = message.params_member_raw("_meta");
    texts.extend(meta.filter(|meta| !needles.touched(Some(meta), &[]).is_empty()).map(str::to_owned));
    texts
}

fn is_id(text: &str) -> bool {
    text.len() >= ID_BYTES_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
}

/// The canonical form of an object without some members.
fn without(raw: Option<&str>, names: &[&str]) -> Option<String> {
    let Tree::Object(members) = Tree::read_arguments(raw?, VALUES_MAX).ok()? else { return None };
    let kept = members.into_iter().filter(|(name, _)| !names.contains(&name.as_str()));
    Some(canonical::of(&Tree::Object(kept.collect())))
}
