//! What of a line can be asked for, read without the rest.
//!
//! This is the one reading of a line that both the index and a scan without it go by, so that they cannot differ.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;

use crate::line::{SCHEMA, SCHEMA_BEFORE};

/// Something of a record that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// What the record is about, see [`Kind`](crate::Kind).
    Kind,
    /// How it ended: `ok`, `denied` (by policy), `held`, `killed`, `screened` (by detection), `refused` (by any other stage),
    /// `failed`, `cancelled`.
    Verdict,
    /// The stage that decided.
    Stage,
    /// Who called.
    Agent,
    /// The server that was asked for.
    Server,
    /// MCP method, or what a record of another kind is about.
    Method,
    /// Name of the tool, prompt or resource.
    Name,
    /// JSON-RPC code or HTTP status, as a decimal number.
    Code,
    /// Id of a policy that decided.
    Policy,
    /// Id of a finding.
    Finding,
    /// Key exchange group of the link.
    Group,
    /// Whether the link was quantum-safe: `yes` or `no`. Nothing where there was no tunnel.
    QuantumSafe,
}

/// How many fields there are.
pub(super) const FIELDS: usize = Field::ALL.len();

impl Field {
    /// All fields, in the order of the index.
    pub const ALL: [Self; 12] = [
        Self::Kind,
        Self::Verdict,
        Self::Stage,
        Self::Agent,
        Self::Server,
        Self::Method,
        Self::Name,
        Self::Code,
        Self::Policy,
        Self::Finding,
        Self::Group,
        Self::QuantumSafe,
    ];
}

/// A text that borrows from the line wherever it has no escapes.
#[derive(Deserialize)]
struct Word<'a>(#[serde(borrow)] Cow<'a, str>);

type Words<'a> = Option<Word<'a>>;

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Word<'a>,
}

#[derive(Deserialize)]
struct Uid<'a> {
    #[serde(borrow)]
    uid: Word<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User<'a> {
    #[serde(borrow)]
    uid: Words<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Actor<'a> {
    #[serde(borrow)]
    user: Option<User<'a>>,
}

#[derive(Deserialize)]
struct Response {
    code: i64,
}

#[derive(Deserialize)]
struct Api<'a> {
    #[serde(borrow)]
    operation: Word<'a>,
    #[serde(borrow, default)]
    service: Option<Named<'a>>,
    #[serde(default)]
    response: Option<Response>,
}

#[derive(Deserialize)]
struct Authorization<'a> {
    #[serde(borrow)]
    policy: Uid<'a>,
}

/// The facts under their own names: a flat record, or the `unmapped` of an event.
#[derive(Deserialize)]
struct Flat<'a> {
    #[serde(borrow)]
    schema: Word<'a>,
    seq: u64,
    #[serde(borrow, default)]
    time: Words<'a>,
    #[serde(borrow)]
    kind: Word<'a>,
    #[serde(borrow)]
    outcome: Word<'a>,
    #[serde(borrow, default)]
    stage: Words<'a>,
    #[serde(borrow, default)]
    consequence: Words<'a>,
    #[serde(borrow, default)]
    agent: Words<'a>,
    #[serde(borrow, default)]
    server: Words<'a>,
    #[serde(borrow, default)]
    method: Words<'a>,
    #[serde(borrow, default)]
    name: Words<'a>,
    #[serde(default)]
    code: Option<i64>,
    #[serde(borrow, default)]
    policies: Vec<Word<'a>>,
    #[serde(borrow, default)]
    findings: Vec<Word<'a>>,
    #[serde(borrow, default)]
    group: Words<'a>,
    #[serde(default)]
    quantum_safe: Option<bool>,
}

/// A line that is an event.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    unmapped: Flat<'a>,
    #[serde(borrow)]
    time_dt: Word<'a>,
    #[serde(borrow, default)]
    actor: Option<Actor<'a>>,
    #[serde(borrow, default)]
    api: Option<Api<'a>>,
    #[serde(borrow, default)]
    resources: Vec<Named<'a>>,
    #[serde(borrow, default)]
    authorizations: Vec<Authorization<'a>>,
}

/// What of one line can be asked for.
pub(crate) struct Facets<'a> {
    pub(super) seq: u64,
    /// Microseconds since 1970.
    pub(super) time_us: i64,
    flat: Flat<'a>,
}

impl<'a> Facets<'a> {
    /// Reads a line, with or without its newline; none if it is no record.
    pub(crate) fn read(line: &'a [u8]) -> Option<Self> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let (flat, time) = if line.starts_with(b"{\"unmapped\":") {
            let event: Event<'a> = serde_json::from_slice(line).ok()?;
            (event.unmapped.schema.0 == SCHEMA).then_some(())?;
            let time = event.time_dt.0.parse().ok()?;
            (event.into_flat(), time)
        } else {
            let flat: Flat<'a> = serde_json::from_slice(line).ok()?;
            (flat.schema.0 == SCHEMA_BEFORE).then_some(())?;
            let time: Timestamp = flat.time.as_ref()?.0.parse().ok()?;
            (flat, time)
        };
        Some(Self { seq: flat.seq, time_us: time.as_microsecond(), flat })
    }

    /// Gives every value of the record.
    pub(super) fn each(&self, mut take: impl FnMut(Field, &str)) {
        let flat = &self.flat;
        take(Field::Kind, &flat.kind.0);
        take(Field::Verdict, self.verdict());
        let texts = [
            (Field::Stage, &flat.stage),
            (Field::Agent, &flat.agent),
            (Field::Server, &flat.server),
            (Field::Method, &flat.method),
            (Field::Name, &flat.name),
            (Field::Group, &flat.group),
        ];
        for (field, text) in texts {
            if let Some(Word(text)) = text {
                take(field, text);
            }
        }
        if let Some(code) = flat.code {
            take(Field::Code, &code.to_string());
        }
        flat.policies.iter().for_each(|Word(id)| take(Field::Policy, id));
        flat.findings.iter().for_each(|Word(id)| take(Field::Finding, id));
        if let Some(is_safe) = flat.quantum_safe {
            take(Field::QuantumSafe, if is_safe { "yes" } else { "no" });
        }
    }

    /// How it ended, by the names that live views use.
    fn verdict(&self) -> &str {
        let Flat { outcome, consequence, stage, .. } = &self.flat;
        let consequence = consequence.as_ref().map(|Word(text)| &**text);
        let stage = stage.as_ref().map(|Word(text)| &**text);
        match (&*outcome.0, consequence, stage) {
            ("refused", Some("kill"), _) => "killed",
            ("refused", Some("hold"), _) => "held",
            ("refused", _, Some("permit")) => "denied",
            ("refused", _, Some("screen")) => "screened",
            (outcome, ..) => outcome,
        }
    }
}

impl<'a> Event<'a> {
    /// The facts of an API activity stand where OCSF has a place for them, those of all others under their own names.
    fn into_flat(self) -> Flat<'a> {
        let Self { unmapped: mut flat, actor, api, resources, authorizations, .. } = self;
        let Some(api) = api else { return flat };
        flat.agent = actor.and_then(|actor| actor.user).and_then(|user| user.uid);
        flat.server = api.service.map(|service| service.name);
        if flat.method.is_none() && api.operation.0 != "-" {
            flat.method = Some(api.operation);
        }
        flat.name = resources.into_iter().next().map(|resource| resource.name);
        flat.code = api.response.map(|response| response.code);
        flat.policies = authorizations.into_iter().map(|one| one.policy.uid).collect();
        flat
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::line::{LineHash, body, splice};
    use crate::{Entry, Kind, Outcome, Record};

    /// Every value, sorted.
    fn values(facets: &Facets<'_>) -> Vec<(usize, String)> {
        let mut all = Vec::new();
        facets.each(|field, text| all.push((field as usize, text.to_owned())));
        all.sort();
        all
    }

    /// The same out of the whole record.
    fn expected(entry: &Entry) -> Vec<(usize, String)> {
        let record = &entry.record;
        let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let kind = word(&serde_json::to_value(record.kind).unwrap());
        let outcome = word(&serde_json::to_value(record.outcome).unwrap());
        let verdict = match (record.outcome, record.consequence.as_deref(), record.stage.as_deref()) {
            (Outcome::Refused, Some("kill"), _) => "killed".to_owned(),
            (Outcome::Refused, Some("hold"), _) => "held".to_owned(),
            (Outcome::Refused, _, Some("permit")) => "denied".to_owned(),
            (Outcome::Refused, _, Some("screen")) => "screened".to_owned(),
            _ => outcome,
        };
        let mut all = vec![(Field::Kind as usize, kind), (Field::Verdict as usize, verdict)];
        let texts = [
            (Field::Stage, &record.stage),
            (Field::Agent, &record.agent),
            (Field::Server, &record.server),
            (Field::Method, &record.method),
            (Field::Name, &record.name),
            (Field::Group, &record.group),
        ];
        all.extend(
            texts.iter().filter_map(|(field, text)| Some((*field as usize, text.as_ref()?.to_string()))),
        );
        all.extend(record.code.map(|code| (Field::Code as usize, code.to_string())));
        all.extend(record.policies.iter().map(|id| (Field::Policy as usize, id.clone())));
        all.extend(record.findings.iter().map(|id| (Field::Finding as usize, id.clone())));
        let safe = |safe| if safe { "yes" } else { "no" };
        all.extend(record.quantum_safe.map(|yes| (Field::QuantumSafe as usize, safe(yes).to_owned())));
        all.sort();
        all
    }

    fn text() -> impl Strategy<Value = Option<std::borrow::Cow<'static, str>>> {
        let words = prop_oneof![Just("permit".to_owned()), Just("-".to_owned()), "[a-c\"\\\\\u{e9}\n]{0,4}"];
        proptest::option::of(words.prop_map(Into::into))
    }

    prop_compose! {
        pub(crate) fn record()(
            kind in 0..9_usize,
            outcome in 0..4_usize,
            texts in proptest::collection::vec(text(), 6),
            code in proptest::option::of(-3_i64..3),
            consequence in 0..4_usize,
            policies in proptest::collection::vec("[a-c]{1,2}", 0..3),
            findings in proptest::collection::vec("[a-c]{1,2}", 0..3),
            quantum_safe: Option<bool>,
        ) -> Record<'static> {
            let kinds = [
                Kind::Call, Kind::Refusal, Kind::Link, Kind::Stream, Kind::Identity, Kind::Policy, Kind::Detect,
                Kind::Crypto, Kind::Lifecycle,
            ];
            let outcomes = [Outcome::Ok, Outcome::Refused, Outcome::Failed, Outcome::Cancelled];
            let mut texts = texts.into_iter();
            let mut next = || texts.next().flatten();
            Record {
                stage: next(),
                agent: next(),
                server: next(),
                method: next(),
                name: next(),
                group: next(),
                code,
                consequence: [None, Some("deny"), Some("hold"), Some("kill")][consequence].map(Into::into),
                policies: policies.into(),
                findings: findings.into(),
                quantum_safe,
                ..Record::new(kinds[kind], outcomes[outcome])
            }
        }
    }

    proptest! {
        #[test]
        fn what_can_be_asked_for_is_what_the_record_says(record in record(), seq in 1_u64..1000) {
            let now = Timestamp::from_second(1_795_356_000).unwrap();
            let mut line = Vec::new();
            splice(&mut line, seq, &LineHash::GENESIS, &body(&record, now));
            let entry = Entry::parse(std::str::from_utf8(&line).unwrap().trim_end()).unwrap();
            let facets = Facets::read(&line).unwrap();
            prop_assert_eq!(values(&facets), expected(&entry));
            prop_assert_eq!((facets.seq, facets.time_us), (seq, now.as_microsecond()));
            let flat = entry.flat().replace(crate::RECORD_SCHEMA, crate::SCHEMA_BEFORE);
            let facets = Facets::read(flat.as_bytes()).unwrap();
            prop_assert_eq!(values(&facets), expected(&entry), "the format before");
        }
    }

    #[test]
    fn what_is_no_record_has_nothing() {
        for line in
            ["", "{}", "{\"unmapped\":{}}", "null", "{\"schema\":\"lockgate.audit/9\",\"seq\":1}", "\u{fffd}"]
        {
            assert!(Facets::read(line.as_bytes()).is_none(), "{line}");
        }
    }
}
