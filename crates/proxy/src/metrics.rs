//! Figures for Prometheus. Labels come from configuration and from closed sets, never from what a caller writes:
//! a caller could otherwise make the node remember names without end.

use std::time::Duration;

use lockgate_audit::Outcome;
use lockgate_crypto::Posture;
use lockgate_detect::Finding;
use lockgate_live::{Event, Verdict, What};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::stage::Stage;

/// The labels of a call.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CallLabels {
    server: String,
    method: &'static str,
    outcome: &'static str,
}

/// The label of a method: one of the specification's, or `other`.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct MethodLabels {
    method: &'static str,
}

/// The labels of a handshake.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct HandshakeLabels {
    group: String,
    resumed: &'static str,
    quantum_safe: &'static str,
}

/// The labels of a refused link.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RefusedLabels {
    stage: &'static str,
    why: &'static str,
}

/// The labels of a refused call.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct RefusalLabels {
    stage: &'static str,
    verdict: &'static str,
}

/// The label of a stage.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StageLabels {
    stage: &'static str,
}

/// The label of a key exchange group: what was negotiated, so one of the catalog's.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct GroupLabels {
    group: String,
}

/// The labels of a finding.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct FindingLabels {
    finding: String,
    server: String,
}

/// The labels of a link that a change was about.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct OutcomeLabels {
    outcome: &'static str,
}

/// The labels of an algorithm whose end is dated.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct AlgorithmLabels {
    algorithm: String,
}

/// How links follow changes of cryptography.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkMoves {
    /// Live links that may not stay.
    pub(crate) below: Gauge,
    outcomes: Family<OutcomeLabels, Counter>,
}

impl LinkMoves {
    /// Counts a link that `stayed`, has `moved` or was `killed`.
    pub(crate) fn outcome(&self, outcome: &'static str) {
        self.outcomes.get_or_create(&OutcomeLabels { outcome }).inc();
    }
}

/// All figures of one node.
pub struct Metrics {
    registry: Registry,
    calls: Family<CallLabels, Counter>,
    call_seconds: Family<MethodLabels, Histogram>,
    handshakes: Family<HandshakeLabels, Counter>,
    handshake_seconds: Family<GroupLabels, Histogram>,
    stage_seconds: Family<StageLabels, Histogram>,
    refusals: Family<RefusalLabels, Counter>,
    live_queue: Gauge,
    live_dropped: Gauge,
    links_refused: Family<RefusedLabels, Counter>,
    findings: Family<FindingLabels, Counter>,
    sunsets: Family<AlgorithmLabels, Gauge>,
    /// The epoch in force.
    pub epoch: Gauge,
    /// Changes of cryptography that links had to follow.
    pub migrations: Counter,
    pub(crate) moves: LinkMoves,
    /// Calls between their first stage and their record.
    pub calls_in_flight: Gauge,
    /// Live links.
    pub links: Gauge,
    /// Records that could not be written.
    pub audit_failures: Counter,
    /// Legacy sessions opened anew at an upstream that had lost them.
    pub sessions_recovered: Counter,
    pub(crate) enforcement: Enforcement,
}

/// How policy and revocation end calls and links.
#[derive(Clone, Debug, Default)]
pub(crate) struct Enforcement {
    /// Revocations in force.
    pub(crate) revocations: Gauge,
    /// Links cut because their peer was revoked.
    pub(crate) links_cut: Counter,
    /// Calls that wait for a person.
    pub(crate) held: Gauge,
    /// Agents locked out by policy.
    pub(crate) kills: Counter,
}

impl Enforcement {
    fn register(&self, registry: &mut Registry) {
        registry.register("revocations", "Revocations in force", self.revocations.clone());
        registry.register("calls_held", "Calls that wait for an approval", self.held.clone());
        registry.register("kills", "Agents locked out by policy", self.kills.clone());
        registry.register("links_cut", "Links cut because their peer was revoked", self.links_cut.clone());
    }
}

/// Bucket bounds in seconds: 50 µs to 26 s, times four each.
const SECONDS: [f64; 10] =
    [0.000_05, 0.000_2, 0.000_8, 0.003_2, 0.012_8, 0.051_2, 0.204_8, 0.819_2, 3.276_8, 26.214_4];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("lockgate");
        let metrics = Self {
            calls: Family::default(),
            call_seconds: Family::new_with_constructor(seconds),
            handshakes: Family::default(),
            handshake_seconds: Family::new_with_constructor(seconds),
            stage_seconds: Family::new_with_constructor(seconds),
            refusals: Family::default(),
            live_queue: Gauge::default(),
            live_dropped: Gauge::default(),
            links_refused: Family::default(),
            findings: Family::default(),
            sunsets: Family::default(),
            epoch: Gauge::default(),
            migrations: Counter::default(),
            moves: LinkMoves::default(),
            calls_in_flight: Gauge::default(),
            links: Gauge::default(),
            audit_failures: Counter::default(),
            sessions_recovered: Counter::default(),
            enforcement: Enforcement::default(),
            registry: Registry::default(),
        };
        registry.register("calls", "Calls by server, method and outcome", metrics.calls.clone());
        let (calls, handshakes) = (metrics.call_seconds.clone(), metrics.handshake_seconds.clone());
        registry.register_with_unit("call_duration", "Time from request to record", Unit::Seconds, calls);
        registry.register("handshakes", "Completed handshakes", metrics.handshakes.clone());
        registry.register_with_unit("handshake_duration", "Time of handshakes", Unit::Seconds, handshakes);
        metrics.register_live(&mut registry);
        registry.register("links_refused", "Links refused, by stage", metrics.links_refused.clone());
        registry.register("findings", "Findings of detection", metrics.findings.clone());
        metrics.register_agility(&mut registry);
        metrics.enforcement.register(&mut registry);
        registry.register("calls_in_flight", "Calls in flight", metrics.calls_in_flight.clone());
        registry.register("links", "Live links", metrics.links.clone());
        registry.register(
            "audit_failures",
            "Records that could not be written",
            metrics.audit_failures.clone(),
        );
        registry.register(
            "sessions_recovered",
            "Upstream sessions opened anew",
            metrics.sessions_recovered.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    pub(crate) fn call(
        &self,
        server: Option<&str>,
        method: Option<&str>,
        outcome: Outcome,
        elapsed: Duration,
    ) {
        let labels = CallLabels {
            server: server.unwrap_or_default().to_owned(),
            method: known_method(method),
            outcome: match outcome {
                Outcome::Ok => "ok",
                Outcome::Refused => "refused",
                Outcome::Failed => "failed",
                Outcome::Cancelled => "cancelled",
            },
        };
        self.calls.get_or_create(&labels).inc();
        let method = MethodLabels { method: labels.method };
        self.call_seconds.get_or_create(&method).observe(elapsed.as_secs_f64());
    }

    pub(crate) fn handshake(&self, posture: &Posture) {
        let labels = HandshakeLabels {
            group: posture.group.clone(),
            resumed: yes_no(posture.resumed),
            quantum_safe: yes_no(posture.quantum_safe()),
        };
        self.handshakes.get_or_create(&labels).inc();
        let group = GroupLabels { group: posture.group.clone() };
        let took = Duration::from_micros(posture.handshake_us);
        self.handshake_seconds.get_or_create(&group).observe(took.as_secs_f64());
    }

    /// Counts a link that `stage` refused, for a reason out of a closed set.
    pub(crate) fn link_refused(&self, stage: Stage, why: &'static str) {
        self.links_refused.get_or_create(&RefusedLabels { stage: stage.name(), why }).inc();
    }

    pub(crate) fn refusal(&self, stage: Stage, verdict: Verdict) {
        let labels = RefusalLabels { stage: stage.name(), verdict: verdict.name() };
        self.refusals.get_or_create(&labels).inc();
    }

    /// Takes up how long the stages of a call took. Called where events are collected, not where calls are served.
    pub fn stages(&self, event: &Event) {
        let What::Call(call) = &event.what else { return };
        // The first three are the link's, and would be counted with each of its calls.
        for (stage, us) in Stage::ALL.iter().zip(call.stages).skip(3) {
            let Some(us) = us else { continue };
            let labels = StageLabels { stage: stage.name() };
            self.stage_seconds.get_or_create(&labels).observe(Duration::from_micros(us.into()).as_secs_f64());
        }
    }

    /// Shows how many events wait to be collected, and how many were lost since the start.
    pub fn set_live(&self, waiting: usize, dropped: u64) {
        self.live_queue.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        self.live_dropped.set(i64::try_from(dropped).unwrap_or(i64::MAX));
    }

    fn register_live(&self, registry: &mut Registry) {
        let stages = self.stage_seconds.clone();
        registry.register_with_unit("stage_duration", "Time in each stage of a call", Unit::Seconds, stages);
        registry.register("refusals", "Calls refused, by stage and verdict", self.refusals.clone());
        registry.register("live_queue", "Events that wait to be collected", self.live_queue.clone());
        registry.register("live_dropped", "Events lost before they were seen", self.live_dropped.clone());
    }

    fn register_agility(&self, registry: &mut Registry) {
        registry.register("epoch", "Epoch in force", self.epoch.clone());
        registry.register("migrations", "Changes that links had to follow", self.migrations.clone());
        registry.register("links_below_epoch", "Live links that may not stay", self.moves.below.clone());
        registry.register("links_moved", "Links that changes were about", self.moves.outcomes.clone());
        let sunsets = self.sunsets.clone();
        registry.register_with_unit("sunset", "Time until an algorithm's end", Unit::Seconds, sunsets);
    }

    /// Sets the time that is left to each algorithm in force whose end is dated: its catalog id and seconds, negative
    /// when the end has passed. Those not named are dropped.
    pub fn set_sunsets(&self, sunsets: &[(String, i64)]) {
        self.sunsets.clear();
        for (algorithm, seconds) in sunsets {
            let labels = AlgorithmLabels { algorithm: algorithm.clone() };
            self.sunsets.get_or_create(&labels).set(*seconds);
        }
    }

    pub(crate) fn link_finding(&self, id: &str, listener: &str) {
        let labels = FindingLabels { finding: id.to_owned(), server: listener.to_owned() };
        self.findings.get_or_create(&labels).inc();
    }

    pub(crate) fn finding(&self, finding: &Finding) {
        let labels = FindingLabels { finding: finding.id.to_string(), server: finding.server.clone() };
        self.findings.get_or_create(&labels).inc();
    }

    /// The figures in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)
            .expect("a String takes any text");
        text
    }
}

fn yes_no(value: bool) -> &'static str {
    if value { "yes" } else { "no" }
}

/// The methods of the specification by their names, all others as `other`.
fn known_method(method: Option<&str>) -> &'static str {
    const KNOWN: [&str; 18] = [
        "initialize",
        "ping",
        "server/discover",
        "tools/list",
        "tools/call",
        "resources/list",
        "resources/templates/list",
        "resources/read",
        "resources/subscribe",
        "resources/unsubscribe",
        "prompts/list",
        "prompts/get",
        "completion/complete",
        "logging/setLevel",
        "subscriptions/listen",
        "notifications/initialized",
        "notifications/cancelled",
        "notifications/progress",
    ];
    method.map_or("none", |m| KNOWN.iter().find(|k| **k == m).copied().unwrap_or("other"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sunsets_that_are_no_longer_dated_are_dropped() {
        let metrics = Metrics::default();
        metrics.set_sunsets(&[("A".to_owned(), 60), ("B".to_owned(), -1)]);
        metrics.set_sunsets(&[("A".to_owned(), 30)]);
        let text = metrics.encode();
        assert!(text.contains(r#"lockgate_sunset_seconds{algorithm="A"} 30"#), "{text}");
        assert!(!text.contains(r#"algorithm="B""#));
    }

    fn call() -> Event {
        let call = r#"{"at_ms":1,"kind":"call","verdict":"ok","link":{"listener":"tunnel"},"duration_us":9,
            "stages":[1,2,3,4,5,6,7,8,9]}"#;
        serde_json::from_str(call).unwrap()
    }

    fn posture() -> Posture {
        let posture = r#"{"protocol":"TLSv1.3","group":"G","cipher":"C","peer_signature":null,"own_signature":null,
            "resumed":false,"hello_retry":false,"handshake_us":900,"bytes_in":1,"bytes_out":1,"epoch":1,"profile":"p"}"#;
        serde_json::from_str(posture).unwrap()
    }

    #[test]
    fn the_ready_dashboard_asks_for_figures_that_exist() {
        let metrics = Metrics::default();
        metrics.refusal(Stage::Permit, Verdict::Denied);
        metrics.link_refused(Stage::Secure, "crypto");
        metrics.link_finding("LG-D013", "tunnel");
        metrics.set_sunsets(&[("A".to_owned(), 60)]);
        metrics.call(Some("sample"), None, Outcome::Ok, Duration::from_micros(80));
        metrics.stages(&call());
        metrics.handshake(&posture());
        let text = metrics.encode();
        let known: Vec<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        let dashboard = include_str!("../../../dist/grafana-dashboard.json");
        let mut asked = 0;
        for (at, _) in dashboard.match_indices("lockgate_") {
            let name: String =
                dashboard[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let family =
                ["_total", "_bucket", "_count", "_sum"].iter().find_map(|end| name.strip_suffix(end));
            let family = family.unwrap_or(&name);
            assert!(known.contains(&family), "{name} is none of {known:?}");
            asked += 1;
        }
        assert!(asked > 10);
    }

    #[test]
    fn stages_are_told_apart_and_those_of_the_link_are_not_counted_with_its_calls() {
        let metrics = Metrics::default();
        metrics.stages(&call());
        let text = metrics.encode();
        assert!(text.contains(r#"lockgate_stage_duration_seconds_count{stage="forward"} 1"#), "{text}");
        assert!(!text.contains(r#"stage="secure""#));
    }

    #[test]
    fn a_caller_cannot_invent_labels() {
        let metrics = Metrics::default();
        for n in 0..100 {
            let method = format!("made/up{n}");
            metrics.call(Some("sample"), Some(&method), Outcome::Ok, Duration::from_micros(80));
        }
        let text = metrics.encode();
        assert!(
            text.contains(r#"lockgate_calls_total{server="sample",method="other",outcome="ok"} 100"#),
            "{text}"
        );
        assert!(!text.contains("made/up"));
    }
}
