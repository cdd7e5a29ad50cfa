//! Records for tests.

use lockgate_audit::Entry;

/// A record as the log gives it.
pub(crate) fn entry(seq: u64, time: &str, json: &str) -> Entry {
    let text = format!(r#"{{"schema":"lockgate.audit/1","seq":{seq},"prev":"0","time":"{time}",{json}}}"#);
    Entry::parse(&text).unwrap()
}
