//! The bytes of one line: what comes first, what is hashed, and how little a verifier has to understand.
//!
//! ```text
//! {"schema":"lockgate.audit/1","seq":7,"prev":"<64 hex>","time":"2026-11-22T14:00:00.000000Z","kind":"call",…}⏎
//! ```
//!
//! Only `seq` and `prev` depend on the neighbours, so all that follows them, the *body*, is made outside the log's lock.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use jiff::Timestamp;
use serde::Deserialize;

use crate::record::{Record, TEXT_BYTES_MAX};

/// The format that this crate writes. A reader refuses any other.
pub const SCHEMA: &str = "lockgate.audit/1";

/// No line is longer, in bytes: each field of a record at its limit and each of its bytes escaped stays below.
/// Readers use it to bound their memory against a file that is not a log.
pub const LINE_BYTES_MAX: usize = 4 << 20;

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

/// Everything of a line that does not depend on its place: time and facts, to the newline.
pub(crate) fn body(record: &Record<'_>, now: Timestamp) -> Vec<u8> {
    // A body below the limit of a single text has no text above it.
    encode(record, now, TEXT_BYTES_MAX)
        .or_else(|| encode(&record.cut(), now, LINE_BYTES_MAX))
        .expect("a record that was cut is below the limit of a line")
}

fn encode(record: &Record<'_>, now: Timestamp, bytes_max: usize) -> Option<Vec<u8>> {
    let mut body = Bounded { bytes: Vec::with_capacity(1024), bytes_max };
    write!(body, "\"time\":\"{now:.6}\"").ok()?;
    let brace = body.bytes.len();
    serde_json::to_writer(&mut body, record).ok()?;
    let mut body = body.bytes;
    body[brace] = b',';
    body.push(b'\n');
    Some(body)
}

/// Takes bytes up to a limit, so that a name of megabytes is not encoded to its end before it is cut.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Appends the whole line to `lines`.
pub(crate) fn splice(lines: &mut Vec<u8>, seq: u64, prev: &LineHash, body: &[u8]) {
    write!(lines, "{{\"schema\":\"{SCHEMA}\",\"seq\":{seq},\"prev\":\"{}\",", prev.as_str())
        .expect("a Vec takes every byte");
    lines.extend_from_slice(body);
}

/// The part of a line that a verifier needs.
#[derive(Deserialize)]
pub(crate) struct Header<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    pub(crate) seq: u64,
    #[serde(borrow)]
    prev: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) time: Cow<'a, str>,
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
        let header: Header<'a> = serde_json::from_slice(json).map_err(|error| reason(&error))?;
        if header.schema != SCHEMA {
            return Err(format!("its schema is {:?}, this program reads {SCHEMA:?}", header.schema));
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
#[derive(Clone, Debug, PartialEq, Deserialize)]
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
    /// Reads a line that [`tail`](crate::tail) or [`follow`](crate::follow) gave.
    ///
    /// # Errors
    /// The line is not a record of this format.
    pub fn parse(line: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(line)
    }
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
    fn a_line_is_flat_json_with_only_the_facts_that_there_are() {
        let record = Record {
            agent: Some("spiffe://example.org/agent/a".into()),
            name: Some("a\nb".into()),
            policies: vec!["starter-1".to_owned()].into(),
            quantum_safe: Some(true),
            ..Record::new(Kind::Refusal, Outcome::Refused)
        };
        let expected = concat!(
            r#"{"schema":"lockgate.audit/1","seq":7,"prev":"0000000000000000000000000000000000000000000000000000000000000000","#,
            r#""time":"2026-11-22T14:00:00.000000Z","kind":"refusal","outcome":"refused","#,
            r#""agent":"spiffe://example.org/agent/a","name":"a\nb","policies":["starter-1"],"quantum_safe":true}"#,
            "\n"
        );
        assert_eq!(String::from_utf8_lossy(&line(&record)), expected);
        let entry = Entry::parse(expected.trim_end()).expect("reads back");
        assert_eq!((entry.seq, entry.record), (7, record));
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
        let line = line(&record);
        assert!(line.len() <= LINE_BYTES_MAX, "{}", line.len());
        let line = std::str::from_utf8(&line).expect("JSON is UTF-8").trim_end();
        let entry = Entry::parse(line).expect("reads back");
        let name = entry.record.name.expect("kept");
        assert!(name.ends_with("[cut, 100000 bytes in all]"), "{name:?}");
        assert_eq!(entry.record.policies.len(), LIST_ENTRIES_MAX + 1);
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
