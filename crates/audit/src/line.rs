//! The bytes of one line: what comes first, what is hashed, and how little a verifier has to understand.
//!
//! ```text
//! {"unmapped":{"schema":"lockgate.audit/2","seq":7,"prev":"<64 hex>","kind":"call",…},"metadata":{"uid":…},…}⏎
//! ```
//!
//! A line is an event of OCSF (see [`event`](crate::event)). Only `seq`, `prev` and the event's `uid` depend on the
//! neighbours, so all the rest, the *body*, is made outside the log's lock. Lines of the first format, flat records with
//! `"schema":"lockgate.audit/1"`, are read as well: logs of before go on.

use std::borrow::Cow;
use std::fmt;
use std::io::Write;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::event::{self, Body, Event};
use crate::record::{CUTS, Record, TEXT_BYTES_MAX};
use crate::tlog::tile::ENTRY_BYTES_MAX;

/// The format that this crate writes.
pub const SCHEMA: &str = "lockgate.audit/2";

/// The format before, which is read as well.
pub const SCHEMA_BEFORE: &str = "lockgate.audit/1";

/// The flat form in which records are shown.
pub const RECORD_SCHEMA: &str = "lockgate.record/1";

/// No line is longer, in bytes. Those that are written are entries of a tree and fit into 64 KiB; those of the format before
/// could be this long. Readers use it to bound their memory against a file that is not a log.
pub const LINE_BYTES_MAX: usize = 4 << 20;

/// Room for what stands around a body: number, predecessor, the event's own number.
const AROUND_BYTES_MAX: usize = 512;

/// SHA-256 over the bytes of a line with its newline, in lower-case hex: what `sed -n 7p FILE | sha256sum` prints.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LineHash([u8; 64]);

impl LineHash {
    /// What stands for the predecessor in the very first line.
    pub(crate) const GENESIS: LineHash = LineHash([b'0'; 64]);

    pub(crate) fn of(line: &[u8]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = [0; 64];
        for (pair, byte) in hex.chunks_exact_mut(2).zip(lockgate_crypto::digest::sha256(line)) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        Self(hex)
    }

    /// Accepts exactly what [`LineHash::as_str`] gives, so that a change of letter case is a change.
    pub(crate) fn parse(hex: &str) -> Option<Self> {
        let bytes: [u8; 64] = hex.as_bytes().try_into().ok()?;
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        bytes.iter().all(is_digit).then_some(Self(bytes))
    }

    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hex digits are ASCII")
    }
}

impl fmt::Debug for LineHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Everything of a line that does not depend on its place, to the newline.
pub(crate) fn body(record: &Record<'_>, now: Timestamp) -> Body {
    let bytes_max = ENTRY_BYTES_MAX - AROUND_BYTES_MAX;
    if record.text_bytes() <= TEXT_BYTES_MAX {
        let body = event::body(record, now);
        if body.len() <= bytes_max {
            return body;
        }
    }
    let cut = CUTS.iter().map(|cut| event::body(&record.cut(cut), now));
    cut.into_iter()
        .find(|body| body.len() <= bytes_max)
        .expect("a record that was cut to the last fits into a line")
}

/// Appends the whole line to `lines`.
pub(crate) fn splice(lines: &mut Vec<u8>, seq: u64, prev: &LineHash, body: &Body) {
    let prev = prev.as_str();
    write!(lines, "{{\"unmapped\":{{\"schema\":\"{SCHEMA}\",\"seq\":{seq},\"prev\":\"{prev}\",")
        .expect("a Vec takes every byte");
    lines.extend_from_slice(&body.facts);
    write!(lines, "\"metadata\":{{\"uid\":\"{}\",\"sequence\":{seq},", uid(prev, seq))
        .expect("a Vec takes every byte");
    lines.extend_from_slice(&body.event);
}

/// Digits of the predecessor's hash in the `uid` of an event.
const UID_DIGITS: usize = 16;

/// The identifier of an event: the begin of its predecessor's hash, so that those of two logs differ, and its number.
pub(crate) fn uid(prev: &str, seq: u64) -> String {
    format!("{}-{seq}", &prev[..UID_DIGITS])
}

/// The number of a record, out of a number or the `uid` of its event.
#[must_use]
pub fn seq_of(text: &str) -> Option<u64> {
    let digits = match text.split_once('-') {
        Some((prev, seq)) => {
            let is_hash = prev.len() == UID_DIGITS && prev.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hash.then_some(seq)?
        }
        None => text,
    };
    digits.parse().ok().filter(|seq| *seq > 0)
}

/// The part of a line that a verifier needs.
pub(crate) struct Header<'a> {
    pub(crate) seq: u64,
    prev: Cow<'a, str>,
    pub(crate) time: Cow<'a, str>,
}

/// A line of the first format.
#[derive(Deserialize)]
struct Flat<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    prev: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
}

/// A line that is an event.
#[derive(Deserialize)]
struct Outer<'a> {
    #[serde(borrow)]
    unmapped: Inner<'a>,
    #[serde(borrow)]
    time_dt: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Inner<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    seq: u64,
    #[serde(borrow)]
    prev: Cow<'a, str>,
}

/// Whether this is an event, by how it begins: the writer puts what is chained first.
fn is_event(line: &[u8]) -> bool {
    line.starts_with(b"{\"unmapped\":")
}

impl<'a> Header<'a> {
    /// Reads the header of a complete line, newline included, and the hash that it carries.
    pub(crate) fn parse(line: &'a [u8]) -> Result<(Self, LineHash), String> {
        let Some(json) = line.strip_suffix(b"\n") else {
            return Err("it does not end with a newline".to_owned());
        };
        let header = Self::read(json)?;
        let prev =
            LineHash::parse(&header.prev).ok_or("its `prev` is not a SHA-256 hash in lower-case hex")?;
        Ok((header, prev))
    }

    /// Reads the header of a line without its newline.
    pub(crate) fn read(json: &'a [u8]) -> Result<Self, String> {
        let (header, schema, known) = if is_event(json) {
            let Outer { unmapped: Inner { schema, seq, prev }, time_dt } =
                serde_json::from_slice(json).map_err(|error| reason(&error))?;
            (Header { seq, prev, time: time_dt }, schema, SCHEMA)
        } else {
            let Flat { schema, seq, prev, time } =
                serde_json::from_slice(json).map_err(|error| reason(&error))?;
            (Header { seq, prev, time }, schema, SCHEMA_BEFORE)
        };
        if schema != known {
            return Err(format!(
                "its schema is {schema:?}, this program reads {SCHEMA:?} and {SCHEMA_BEFORE:?}"
            ));
        }
        Ok(header)
    }
}

/// What serde_json says, without its line number: that is always 1 here and not the line in the file.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(&*text, |(what, _)| what);
    format!("{what}, at byte {}", error.column())
}

/// One line read back in full.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Number of the record, from 1.
    pub seq: u64,
    /// SHA-256 of the line before, in lower-case hex; zeros in the first line.
    pub prev: String,
    /// When the record was made, RFC 3339 in UTC with microseconds.
    pub time: String,
    /// The facts.
    #[serde(flatten)]
    pub record: Record<'static>,
}

impl Entry {
    /// Reads a line that [`tail`](crate::tail) or [`follow`](crate::follow) gave, of either format.
    ///
    /// # Errors
    /// The line is not a record.
    pub fn parse(line: &str) -> Result<Self, serde_json::Error> {
        if !is_event(line.as_bytes()) {
            return serde_json::from_str(line);
        }
        let event: Event = serde_json::from_str(line)?;
        let (seq, prev, time, record) = event.into_parts();
        Ok(Self { seq, prev, time, record })
    }

    /// The `uid` of its event.
    #[must_use]
    pub fn uid(&self) -> Option<String> {
        self.prev.is_char_boundary(UID_DIGITS).then(|| uid(&self.prev, self.seq))
    }

    /// The record as one flat JSON object, whatever format its line has: what readers are shown.
    #[must_use]
    pub fn flat(&self) -> String {
        #[derive(Serialize)]
        struct Shown<'a> {
            schema: &'static str,
            #[serde(flatten)]
            entry: &'a Entry,
        }
        let shown = Shown { schema: RECORD_SCHEMA, entry: self };
        serde_json::to_string(&shown).expect("text and numbers always serialise")
    }
}

/// The lines as flat records (see [`Entry::flat`]). What is no record is left out: a damaged log is the verifier's matter.
#[must_use]
pub fn flat(lines: &[String]) -> Vec<String> {
    lines.iter().filter_map(|line| Entry::parse(line).ok()).map(|entry| entry.flat()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Kind, LIST_ENTRIES_MAX, Outcome};

    fn line(record: &Record<'_>) -> Vec<u8> {
        let mut line = Vec::new();
        let now = Timestamp::from_second(1_795_356_000).expect("in range");
        splice(&mut line, 7, &LineHash::GENESIS, &body(record, now));
        line
    }

    #[test]
    fn a_line_is_an_event_that_says_nothing_twice_and_is_read_back() {
        let record = Record {
            agent: Some("spiffe://example.org/agent/a".into()),
            method: Some("tools/call".into()),
            name: Some("a\nb".into()),
            peer: Some("[2001:db8::1]:443".into()),
            policies: vec!["starter-1".to_owned()].into(),
            quantum_safe: Some(true),
            ..Record::new(Kind::Refusal, Outcome::Refused)
        };
        let expected = concat!(
            r#"{"unmapped":{"schema":"lockgate.audit/2","seq":7,"prev":"0000000000000000000000000000000000000000000000000000000000000000","#,
            r#""kind":"refusal","outcome":"refused","quantum_safe":true},"#,
            r#""metadata":{"uid":"0000000000000000-7","sequence":7,"version":"1.8.0","#,
            r#""product":{"name":"Lockgate","vendor_name":"Lockgate","version":"0.1.0"},"#,
            r#""profiles":["ai_operation","datetime","security_control"]},"#,
            r#""category_uid":6,"class_uid":6003,"activity_id":99,"type_uid":600399,"severity_id":3,"status_id":2,"action_id":2,"#,
            r#""time":1795356000000,"time_dt":"2026-11-22T14:00:00.000000Z","activity_name":"tools/call","#,
            r#""actor":{"user":{"uid":"spiffe://example.org/agent/a"}},"api":{"operation":"tools/call"},"#,
            r#""src_endpoint":{"ip":"2001:db8::1","port":443},"resources":[{"name":"a\nb","type":"tools"}],"#,
            r#""authorizations":[{"decision":"deny","policy":{"uid":"starter-1"}}],"#,
            r#""message_context":{"ai_role_id":4,"application":{"name":"MCP"}}}"#,
            "\n"
        );
        let expected = expected.replace("\"0.1.0\"", concat!("\"", env!("CARGO_PKG_VERSION"), "\""));
        assert_eq!(String::from_utf8_lossy(&line(&record)), expected);
        let entry = Entry::parse(expected.trim_end()).expect("reads back");
        assert_eq!((entry.seq, &entry.record), (7, &record));
        assert_eq!(entry.uid().as_deref(), Some("0000000000000000-7"));
        let flat: Entry = serde_json::from_str(&entry.flat()).expect("reads back");
        assert_eq!(flat, entry);
    }

    #[test]
    fn a_record_is_named_by_its_number_or_by_its_event() {
        for (text, seq) in [
            ("7", Some(7)),
            ("0000000000000000-7", Some(7)),
            ("0", None),
            ("-7", None),
            ("x000000000000000-7", None),
            ("0000000000000000-", None),
            ("", None),
        ] {
            assert_eq!(seq_of(text), seq, "{text}");
        }
    }

    #[test]
    fn the_hash_is_the_one_that_sha256sum_prints() {
        let hash = LineHash::of(b"abc");
        assert_eq!(hash.as_str(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(LineHash::parse(hash.as_str()), Some(hash));
        assert_eq!(LineHash::parse(&hash.as_str().to_uppercase()), None);
    }

    #[test]
    fn a_hostile_record_is_cut_and_stays_within_the_line_limit() {
        let long = "\u{1}".repeat(100_000);
        let list = vec![long.clone(); 2 * LIST_ENTRIES_MAX];
        let text = || Some(Cow::Borrowed(long.as_str()));
        let record = Record {
            stage: text(),
            agent: text(),
            principal: text(),
            peer: text(),
            server: text(),
            method: text(),
            name: text(),
            request_id: text(),
            session: text(),
            reason: text(),
            policies: Cow::Borrowed(&list),
            findings: Cow::Borrowed(&list),
            consequence: text(),
            approval: text(),
            shadow: text(),
            facts: text(),
            roles: Cow::Borrowed(&list),
            argument_names: Cow::Borrowed(&list),
            arguments: Some(Cow::Borrowed(&long[..crate::ARGUMENTS_BYTES_MAX])),
            before: Cow::Borrowed(&list),
            after: Cow::Borrowed(&list),
            protocol: text(),
            group: text(),
            cipher: text(),
            peer_signature: text(),
            own_signature: text(),
            profile: text(),
            ..Record::default()
        };
        let kinds = [Kind::Link, Kind::Identity, Kind::Policy, Kind::Detect, Kind::Lifecycle];
        for kind in kinds {
            assert!(line(&Record { kind, ..record.clone() }).len() <= ENTRY_BYTES_MAX, "{kind:?}");
        }
        let line = line(&record);
        assert!(line.len() <= ENTRY_BYTES_MAX, "{}", line.len());
        let line = std::str::from_utf8(&line).expect("JSON is UTF-8").trim_end();
        let entry = Entry::parse(line).expect("reads back");
        let name = entry.record.name.expect("kept");
        assert!(name.ends_with("[cut, 100000 bytes in all]"), "{name:?}");
        assert_eq!(entry.record.arguments, None, "whole or not at all");
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let record =
            Record { name: Some(format!("a{}", "é".repeat(TEXT_BYTES_MAX)).into()), ..Record::default() };
        let line = line(&record);
        let line = std::str::from_utf8(&line).expect("JSON is UTF-8").trim_end();
        let name = Entry::parse(line).expect("reads back").record.name;
        assert!(name.expect("kept").contains("é[cut, 4097 bytes in all]"));
    }
}
