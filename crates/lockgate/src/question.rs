//! A question to the audit log as people write it, made into one that the log understands: for the command line and for the
//! admin interface alike.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp};
use lockgate_admin::AuditQuestion;
use lockgate_audit::query::{Field, Query, Words};

/// Longest text of a question, in bytes.
const TEXT_BYTES_MAX: usize = 2048;

const KINDS: [&str; 9] =
    ["call", "refusal", "link", "stream", "identity", "policy", "detect", "crypto", "lifecycle"];

const VERDICTS: [&str; 8] = ["ok", "denied", "held", "killed", "screened", "refused", "failed", "cancelled"];

/// What this node turned down.
const REFUSALS: [&str; 5] = ["denied", "held", "killed", "screened", "refused"];

/// The question to the log; spans of time end `now`.
///
/// # Errors
/// What cannot be read, in words for whoever wrote it.
pub(crate) fn query(question: &AuditQuestion, now: Timestamp) -> Result<Query, String> {
    let AuditQuestion {
        agent,
        server,
        tool,
        method,
        verdict,
        kind,
        code,
        rule,
        finding,
        group,
        quantum_safe,
        since,
        until,
        before,
        limit,
    } = question;
    let texts = [
        (Field::Agent, agent),
        (Field::Server, server),
        (Field::Name, tool),
        (Field::Method, method),
        (Field::Policy, rule),
        (Field::Finding, finding),
        (Field::Group, group),
    ];
    let mut query = Query { before: *before, limit: *limit, ..Query::default() };
    for (field, text) in texts {
        let Some(text) = text.as_deref().filter(|text| !text.is_empty()) else { continue };
        if text.len() > TEXT_BYTES_MAX {
            return Err(format!("a text to look for has {TEXT_BYTES_MAX} bytes at most"));
        }
        query = query.with(field, vec![Words::parse(text)]);
    }
    if let Some(names) = verdict {
        let names = named(names, &VERDICTS, "a verdict")?;
        let names = names.into_iter().flat_map(|name| match name {
            "refused" => REFUSALS.to_vec(),
            name => vec![name],
        });
        query = query.with(Field::Verdict, names.map(whole).collect());
    }
    if let Some(names) = kind {
        let names = named(names, &KINDS, "a kind of record")?;
        query = query.with(Field::Kind, names.into_iter().map(whole).collect());
    }
    if let Some(code) = code {
        query = query.with(Field::Code, vec![Words::Whole(code.to_string())]);
    }
    if let Some(is_safe) = quantum_safe {
        let is_safe = named(is_safe, &["yes", "no"], "an answer to whether it is quantum-safe")?;
        query = query.with(Field::QuantumSafe, is_safe.into_iter().map(whole).collect());
    }
    query.since = since.as_deref().map(|text| moment(text, now)).transpose()?;
    query.until = until.as_deref().map(|text| moment(text, now)).transpose()?;
    Ok(query)
}

fn whole(text: &str) -> Words {
    Words::Whole(text.to_owned())
}

/// Names between commas, each of which must be known.
fn named(names: &str, known: &[&'static str], what: &str) -> Result<Vec<&'static str>, String> {
    let names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
    let find = |name: &str| known.iter().copied().find(|known| *known == name);
    let unknown = |name: &str| {
        let name: String = name.chars().take(32).collect();
        format!("`{name}` is not {what}; there are {}", known.join(", "))
    };
    names.map(|name| find(name).ok_or_else(|| unknown(name))).collect()
}

/// A time, the beginning of a day in UTC, or how long ago.
fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(day) = text.parse::<Date>() {
        let begin = day.to_zoned(TimeZone::UTC).map(|begin| begin.timestamp());
        return begin.map_err(|_| format!("{day} is out of range"));
    }
    let ago = text.parse::<Span>().ok();
    let ago = ago.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    let ago = ago.filter(|ago| !ago.is_negative()).and_then(|ago| now.checked_sub(ago).ok());
    ago.ok_or_else(|| {
        let text: String = text.chars().take(48).collect();
        format!("`{text}` is no time: write it like 2026-11-23T10:00:00Z, 2026-11-23, 2h or 7d")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_read_or_refused_in_words() {
        let now: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        let since = |text: &str| {
            let question = AuditQuestion { since: Some(text.to_owned()), ..AuditQuestion::default() };
            query(&question, now).map(|query| query.since.unwrap().to_string())
        };
        for (text, time) in [
            ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z"),
            ("2026-11-23T10:00:00+02:00", "2026-11-23T08:00:00Z"),
            ("2026-11-22", "2026-11-22T00:00:00Z"),
            ("2h", "2026-11-23T10:00:00Z"),
            ("1d12h", "2026-11-22T00:00:00Z"),
        ] {
            assert_eq!(since(text).as_deref(), Ok(time), "{text}");
        }
        for text in ["", "soon", "-2h", "2026-13-01", "2"] {
            assert!(since(text).is_err(), "{text}");
        }
        let verdict = |text: &str| {
            let question = AuditQuestion { verdict: Some(text.to_owned()), ..AuditQuestion::default() };
            query(&question, now)
        };
        assert_eq!(verdict("refused,failed").unwrap().wanted[0].any_of.len(), 6);
        assert!(verdict("good").unwrap_err().contains("there are ok, denied"));
        let long = AuditQuestion { agent: Some("x".repeat(2049)), ..AuditQuestion::default() };
        assert!(query(&long, now).is_err());
        let exact = AuditQuestion { agent: Some("=a".to_owned()), ..AuditQuestion::default() };
        assert_eq!(query(&exact, now).unwrap().wanted[0].any_of, [Words::Whole("a".to_owned())]);
    }
}
