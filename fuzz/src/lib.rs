//! Fuzz targets on what parses bytes from outside: everything of `lockgate-mcp`, the signed
//! document and the key sets of `lockgate-crypto`, the tokens of `lockgate-identity`, the
//! definitions and arguments that `lockgate-policy` types, its role files, the answers that the prober of
//! `lockgate-transport` reads, what auditors and reports read of `lockgate-audit`, what `lockgate-privacy` takes apart, the
//! configurations and answers that `lockgate-discover` reads, and the documents and calls of `lockgate-openapi`.
//!
//! Each target is a plain function that panics when an invariant breaks, so that one body serves
//! two drivers:
//!
//! - `cargo run --manifest-path fuzz/Cargo.toml -- --seconds 10`: a short mutation run on stable
//!   Rust, for the test command ([`mutate`]). It prints its seed, and `--seed N` repeats it.
//! - `cargo +nightly fuzz run --features libfuzzer envelope`: libFuzzer, guided by coverage, for
//!   as long as you like.
#![forbid(unsafe_code)]

pub mod arguments;
pub mod audit;
pub mod authority;
pub mod crypto;
pub mod detect;
pub mod discover;
pub mod facts;
pub mod mutate;
pub mod openapi;
pub mod policies;
pub mod privacy;
pub mod probe;
pub mod report;
pub mod tokens;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use lockgate_mcp::headers::{self, ParamHeaders, decode_value, encode_value};
use lockgate_mcp::sse::{self, Splitter};
use lockgate_mcp::{DecodeError, Era, Limits, Message, canonical, list, salvage_id};

/// A target: its name, its body, and inputs to start from.
pub struct Target {
    /// As `cargo fuzz` and `--target` know it.
    pub name: &'static str,
    /// Panics if the input breaks an invariant.
    pub run: fn(&[u8]),
    /// Inputs that reach far into the code.
    pub seeds: &'static [&'static [u8]],
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "envelope", run: envelope, seeds: ENVELOPE_SEEDS },
    Target { name: "sse", run: sse, seeds: SSE_SEEDS },
    Target { name: "headers", run: headers, seeds: HEADERS_SEEDS },
    Target { name: "authority_form", run: authority::form, seeds: authority::FORM_SEEDS },
    Target { name: "authority_selector", run: authority::selector, seeds: authority::SELECTOR_SEEDS },
    Target { name: "authority_http2", run: authority::http2, seeds: authority::HTTP2_SEEDS },
    Target { name: "crypto_document", run: crypto::document, seeds: crypto::DOCUMENT_SEEDS },
    Target { name: "fact_document", run: facts::document, seeds: facts::DOCUMENT_SEEDS },
    Target { name: "scan", run: detect::scan, seeds: detect::SCAN_SEEDS },
    Target { name: "probe_answer", run: probe::answer, seeds: probe::ANSWER_SEEDS },
    Target { name: "client_config", run: discover::config, seeds: discover::CONFIG_SEEDS },
    Target { name: "survey_answer", run: discover::survey, seeds: discover::SURVEY_SEEDS },
    Target { name: "shape", run: arguments::shape, seeds: arguments::SHAPE_SEEDS },
    Target { name: "arguments", run: arguments::arguments, seeds: arguments::ARGUMENTS_SEEDS },
    Target { name: "role_file", run: policies::role_file, seeds: policies::ROLE_FILE_SEEDS },
    Target { name: "cedar_file", run: policies::cedar_file, seeds: policies::CEDAR_FILE_SEEDS },
    Target { name: "privacy_text", run: privacy::text, seeds: privacy::TEXT_SEEDS },
    Target { name: "privacy_subject", run: privacy::subject, seeds: privacy::SUBJECT_SEEDS },
    Target { name: "project", run: arguments::projection, seeds: arguments::PROJECT_SEEDS },
    Target { name: "openapi_document", run: openapi::document, seeds: openapi::DOCUMENT_SEEDS },
    Target { name: "openapi_call", run: openapi::call, seeds: openapi::CALL_SEEDS },
    Target { name: "report_lines", run: report::lines, seeds: report::LINES_SEEDS },
    Target { name: "jwk_set", run: tokens::jwk_set, seeds: tokens::JWK_SET_SEEDS },
    Target { name: "jws", run: tokens::jws, seeds: tokens::JWS_SEEDS },
    Target { name: "proof", run: tokens::proof, seeds: tokens::PROOF_SEEDS },
    Target { name: "audit_checkpoint", run: audit::checkpoint, seeds: audit::CHECKPOINT_SEEDS },
    Target { name: "audit_vkey", run: audit::vkey, seeds: audit::VKEY_SEEDS },
    Target { name: "audit_proof", run: audit::proof, seeds: audit::TLOG_PROOF_SEEDS },
    Target { name: "audit_tile", run: audit::tile, seeds: audit::TILE_SEEDS },
    Target { name: "audit_line", run: audit::line, seeds: audit::LINE_SEEDS },
    Target { name: "audit_witness", run: audit::witness, seeds: audit::WITNESS_SEEDS },
    Target { name: "audit_index", run: audit::index, seeds: audit::INDEX_SEEDS },
];

const ENVELOPE_SEEDS: &[&[u8]] = &[
    br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","progressToken":"p"},"name":"a\u00e9","arguments":{"x":[1.5e3,{}]}}}"#,
    br#"{"jsonrpc":"2.0","id":"x","result":{"tools":[{"name":"a"}, {"name":"b","inputSchema":{"type":"object","properties":{"r":{"type":"string","x-mcp-header":"R"}}}}],"nextCursor":"c","cacheScope":"public"}}"#,
    br#"{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"m","data":[true,false,null]}}"#,
    br#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":-0.0}}"#,
    br#" { "params" : { "ref" : { "name" : "p" } } , "method" : "completion\/complete" , "id" : 1e400 , "jsonrpc" : "2.0" } "#,
];

const SSE_SEEDS: &[&[u8]] = &[
    b"\x03event: message\nid: 7\nretry: 1500\ndata: {\"a\":1}\n\n: ping\n\ndata: a\ndata: b\n\n",
    b"\x01\xef\xbb\xbfdata: \xf0\x9f\x98\x80\r\n\r\n:\r\nid\rdata\r\r\n",
];

const HEADERS_SEEDS: &[&[u8]] =
    &[b"sql\0us-west1\x0042\0true", b"=?base64?literal?=\0 \xe4\xb8\x96 \0-4.20e1\0false"];

/// Any bytes are a message or not, without a panic; what is one is JSON, keeps its bytes, and
/// reads the same after each splice as when it is read afresh.
pub fn envelope(data: &[u8]) {
    let limits = Limits::default();
    let _ = salvage_id(data, &limits);
    let text = std::str::from_utf8(data).ok();
    if let Some(form) = text.and_then(|text| canonical::canonicalize(text).ok()) {
        let form = String::from_utf8(form).expect("canonical JSON is UTF-8");
        assert_eq!(canonical::canonicalize(&form).as_deref(), Ok(form.as_bytes()));
    }
    let json = text.is_some_and(|text| serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok());
    let message = match Message::decode(Bytes::copy_from_slice(data), &limits) {
        Ok(message) => message,
        Err(error) => {
            assert!(!json || !matches!(error, DecodeError::Syntax { .. } | DecodeError::NotUtf8 { .. }));
            return;
        }
    };
    assert!(json, "only JSON is a message");
    assert_eq!(message.bytes().as_ref(), data);
    for spliced in [
        message.with_id("\"new \\u0000\""),
        message.with_name("new \"é\""),
        message.with_progress_token("12345678901234567890"),
        list::mark_private(&message),
    ] {
        same_as_read(&spliced);
    }
    if let Some(id) = message.id_raw() {
        assert_eq!(message.with_id("7").with_id(id).bytes(), message.bytes());
    }
    if let Ok(added) = message.with_meta_member("k", "[1]") {
        same_as_read(&added);
    }
    lists(&message);
}

fn lists(message: &Message) {
    for key in ["tools", "resources"] {
        let Ok(items) = list::items(message, key) else { continue };
        for item in &items {
            let _ = ParamHeaders::from_tool_raw(item.raw);
        }
        let mut index = 0;
        let odd = list::retain(message, key, |_| {
            index += 1;
            index % 2 == 1
        })
        .expect("the items were read before");
        assert_eq!(list::items(&odd, key).expect("items stay items").len(), items.len().div_ceil(2));
        same_as_read(&odd);
        let renamed = list::rename(message, key, |item| Some(format!("s/{}", item.name)))
            .expect("the items were read before");
        for (new, old) in list::items(&renamed, key).expect("items stay items").iter().zip(&items) {
            assert_eq!(new.name.strip_prefix("s/"), Some(&*old.name));
        }
    }
}

/// A spliced message stands where a fresh read of its bytes says.
fn same_as_read(spliced: &Message) {
    let limits = Limits { depth_max: 512, members_max: 4096, name_bytes_max: 1 << 20, ..Limits::default() };
    let read = Message::decode(spliced.bytes().clone(), &limits).expect("a spliced message is a message");
    let view = |message: &Message| {
        [
            message.method(),
            message.id_raw(),
            message.params_raw(),
            message.result_raw(),
            message.error_raw(),
            message.name(),
            message.arguments_raw(),
            message.meta_protocol_version(),
            message.progress_token_raw(),
        ]
        .map(|part| part.map(str::to_owned))
    };
    assert_eq!(view(spliced), view(&read), "{}", spliced.text());
}

/// A stream gives the same events however it is cut, and their raw bytes are the stream. The
/// first byte says how it is cut.
pub fn sse(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = split(std::iter::once(stream), 1 << 20);
    let parts = split(stream.chunks(usize::from(*cut).max(1)), 1 << 20);
    assert_eq!(whole, parts);
    let mut small = Splitter::new(16);
    small.push(stream);
    while let Ok(Some(event)) = small.next() {
        assert!(event.raw.len() <= 16);
    }
}

type Fields = (Option<Vec<u8>>, Option<String>, Option<String>, Option<u64>);

/// The events that mean something, after checking that nothing of the stream is lost.
fn split<'c>(chunks: impl Iterator<Item = &'c [u8]>, event_bytes_max: usize) -> Vec<Fields> {
    let mut splitter = Splitter::new(event_bytes_max);
    let (mut stream, mut together, mut events) = (Vec::new(), Vec::new(), Vec::new());
    for chunk in chunks {
        stream.extend_from_slice(chunk);
        splitter.push(chunk);
        while let Some(event) = splitter.next().expect("the stream is below the limit") {
            together.extend_from_slice(&event.raw);
            reframed(&event);
            if !event.is_comment {
                events.push((event.data.map(Vec::from), event.id, event.event, event.retry));
            }
        }
    }
    together.extend_from_slice(&splitter.remainder());
    assert_eq!(together, stream);
    events
}

/// An event with other data has that data and nothing of the old.
fn reframed(event: &sse::Event) {
    let framed = sse::with_data(event, b"new");
    let mut splitter = Splitter::new(1 << 20);
    splitter.push(&framed);
    while let Some(again) = splitter.next().expect("the event is below the limit") {
        assert!(again.data.is_none_or(|data| data == b"new"[..]));
    }
}

/// What we mirror into headers, a checking server accepts, and no other name; any header bytes
/// decode to text that encodes back. The input is a name and three arguments, parted by NUL.
pub fn headers(data: &[u8]) {
    if let Some(text) = decode_value(data) {
        assert_eq!(decode_value(encode_value(&text).as_bytes()), Some(text));
    }
    let text = String::from_utf8_lossy(data);
    let mut parts = text.split('\0');
    let mut next = || parts.next().unwrap_or_default();
    let [name, region] = [next(), next()].map(|part| serde_json::Value::from(part).to_string());
    let [limit, dry] = [next(), next()].map(|part| if part.is_empty() { "null" } else { part });
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"_meta":{{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{{}}}},"name":{name},"arguments":{{"region":{region},"limit":{limit},"options":{{"dry":{dry}}}}}}}}}"#
    );
    let tool = ParamHeaders::from_tool_raw(
        r#"{"name":"t","inputSchema":{"properties":{"region":{"type":"string","x-mcp-header":"Region"},"limit":{"type":"integer","x-mcp-header":"Limit"},"options":{"properties":{"dry":{"type":"boolean","x-mcp-header":"Dry"}}}}}}"#,
    )
    .expect("the annotations are valid");
    // The last two arguments are raw, and may make it no message at all.
    let Ok(message) = Message::decode(call.into(), &Limits::default()) else { return };
    let mut map: HeaderMap = headers::mirror(&message, Some(&tool)).into_iter().collect();
    match headers::check(&map, &message, Some(&tool)) {
        Ok(era) => assert_eq!(era, Era::Modern),
        // An unpaired surrogate or a name twice in the arguments cannot be mirrored.
        Err(error) => assert_eq!(error.code(), -32020),
    }
    let other = HeaderName::from_static("mcp-name");
    map.insert(other, HeaderValue::from_static("another name altogether"));
    if message.name() != Some("another name altogether") {
        assert!(headers::check(&map, &message, Some(&tool)).is_err());
    }
}
