//! Which member names clash.
//!
//! Some JSON decoders match names without regard to case (Go's, and what is built on it). In the
//! objects that the protocol defines, two names that such a decoder takes for one therefore clash,
//! and a name that it takes for one of the protocol's must be that one exactly (CVE-2026-27896).

use crate::error::Place;

/// A name of the protocol and its folded hash.
type Known = (&'static str, u64);

const fn hashed<const N: usize>(names: [&'static str; N]) -> [Known; N] {
    let mut known = [("", 0); N];
    let mut index = 0;
    while index < N {
        known[index] = (names[index], folded_hash(names[index]));
        index += 1;
    }
    known
}

const ENVELOPE: &[Known] = &hashed(["jsonrpc", "id", "method", "params", "result", "error"]);
const PARAMS: &[Known] = &hashed([
    "_meta",
    "name",
    "uri",
    "taskId",
    "arguments",
    "ref",
    "cursor",
    "protocolVersion",
    "capabilities",
    "clientInfo",
    "requestId",
    "progressToken",
    "requestState",
    "inputResponses",
    "task",
    "level",
]);
const META: &[Known] = &hashed([
    "progressToken",
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/subscriptionId",
    "io.modelcontextprotocol/logLevel",
    "io.modelcontextprotocol/related-task",
    "traceparent",
    "tracestate",
    "baggage",
]);
const REFERENCE: &[Known] = &hashed(["type", "name", "uri"]);
const RESULT: &[Known] = &hashed([
    "_meta",
    "resultType",
    "content",
    "structuredContent",
    "isError",
    "tools",
    "prompts",
    "resources",
    "resourceTemplates",
    "contents",
    "messages",
    "tasks",
    "task",
    "taskId",
    "nextCursor",
    "ttlMs",
    "cacheScope",
    "protocolVersion",
    "capabilities",
    "serverInfo",
    "supportedVersions",
    "instructions",
    "inputRequests",
    "requestState",
    "completion",
]);
const ERROR: &[Known] = &hashed(["code", "message", "data"]);
const ITEM: &[Known] = &hashed([
    "name",
    "uri",
    "uriTemplate",
    "taskId",
    "title",
    "description",
    "inputSchema",
    "outputSchema",
    "annotations",
    "_meta",
]);

/// The hash by which names of an object clash, and the protocol's name that has the same one.
pub(crate) fn hash(name: &str, place: Place) -> (u64, Option<&'static str>) {
    let known = match place {
        Place::Envelope => ENVELOPE,
        Place::Params => PARAMS,
        Place::Meta => META,
        Place::Reference => REFERENCE,
        Place::Result => RESULT,
        Place::Error => ERROR,
        Place::Item => ITEM,
        // The peers name these, and may tell names apart by case.
        Place::Arguments | Place::Definition => return (exact_hash(name), None),
    };
    let hash = folded_hash(name);
    (hash, known.iter().find(|known| known.1 == hash).map(|known| known.0))
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

fn exact_hash(name: &str) -> u64 {
    name.bytes().fold(FNV_OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME))
}

/// FNV-1a over the name without regard to case. The long s (U+017F) and the Kelvin sign (U+212A)
/// fold to ASCII letters in Unicode, and so they do in Go's JSON decoder.
const fn folded_hash(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let mut hash = FNV_OFFSET;
    let mut at = 0;
    while at < bytes.len() {
        let (folded, length) = match bytes[at] {
            0xC5 if at + 1 < bytes.len() && bytes[at + 1] == 0xBF => (b's', 2),
            0xE2 if at + 2 < bytes.len() && bytes[at + 1] == 0x84 && bytes[at + 2] == 0xAA => (b'k', 3),
            byte => (byte.to_ascii_lowercase(), 1),
        };
        hash = (hash ^ folded as u64).wrapping_mul(FNV_PRIME);
        at += length;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_folds_as_in_go() {
        let names = ["params", "Params", "PARAMS", "param\u{17f}"];
        assert!(names.iter().all(|name| folded_hash(name) == folded_hash("params")));
        assert_eq!(folded_hash("tas\u{212a}Id"), folded_hash("taskid"));
        assert_ne!(folded_hash("param"), folded_hash("params"));
        assert_eq!(hash("NAME", Place::Params).1, Some("name"));
        assert_eq!(hash("NAME", Place::Arguments).1, None);
    }

    #[test]
    fn the_protocols_names_do_not_clash() {
        for known in [ENVELOPE, PARAMS, META, REFERENCE, RESULT, ERROR, ITEM] {
            for (index, name) in known.iter().enumerate() {
                assert!(known[..index].iter().all(|other| other.1 != name.1), "{}", name.0);
            }
        }
    }
}
