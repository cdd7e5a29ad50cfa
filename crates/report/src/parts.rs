//! Parts of a report beside its controls.

use serde::Serialize;

use crate::background::{Background, Ending, Reached};
use crate::collect::Collector;
use crate::flow::{Flow, Names};
use crate::gap::leaves;
use crate::period::moment;
use crate::report::{Named, named, seqs};
use crate::signal::Signal;
use crate::text::{listed, visible};
use crate::wire::{Share, Weak};

/// How many rows a table of names has.
const ROWS_MAX: usize = 50;

/// When the node was up, as far as it recorded that.
#[derive(Clone, Debug, Serialize)]
pub struct Availability {
    /// How often it started.
    pub starts: u64,
    /// How often it stopped in order.
    pub stops: u64,
    /// Times during which no node wrote.
    pub down: Vec<Gone>,
    /// How many more there were.
    pub down_left_out: u64,
    /// The largest step back of the clock, in milliseconds.
    pub clock_back_ms_max: i64,
}

/// A time without a node.
#[derive(Clone, Debug, Serialize)]
pub struct Gone {
    /// Since when at the latest: the last record before.
    pub from: String,
    /// Until when; none if it had not come back.
    pub to: Option<String>,
    /// How long at most, in seconds, up to the making of the report if it had not come back.
    pub seconds: i64,
    /// Whether it had said that it stops. If not, it was killed, it crashed, or it lost power.
    pub orderly: bool,
    /// Number of the record that says so.
    pub record: u64,
}

impl Availability {
    pub(crate) fn of(log: &Collector, now_ms: i64) -> Self {
        let gone = |gap: &crate::life::Down| Gone {
            from: moment(gap.from_ms),
            to: gap.to_ms.map(moment),
            seconds: (gap.to_ms.unwrap_or(now_ms) - gap.from_ms).max(0) / 1000,
            orderly: gap.orderly,
            record: gap.cite.seq,
        };
        Self {
            starts: log.count(Signal::NodeStarted),
            stops: log.count(Signal::NodeStopped),
            down: log.life.down.iter().map(gone).collect(),
            down_left_out: log.life.down_left_out,
            clock_back_ms_max: log.life.clock_back_ms_max,
        }
    }
}

/// One happening, with the clock of GDPR's Article 33(1) and NIS2's Article 23(4).
#[derive(Clone, Debug, Serialize)]
pub struct Incident {
    /// When it was recorded.
    pub time: String,
    /// 72 hours later. The duty counts from becoming aware, which is not earlier.
    pub due_72h: String,
    /// What kind.
    pub signal: Signal,
    /// Whom it is about: an agent, or an address.
    pub who: String,
    /// The record's own words.
    pub what: String,
    /// Number of the record.
    pub record: u64,
}

impl Incident {
    pub(crate) fn all(log: &Collector) -> Vec<Self> {
        let one = |happening: &crate::incident::Happening| Self {
            time: moment(happening.cite.time_ms),
            due_72h: moment(happening.cite.time_ms + 72 * 3_600_000),
            signal: happening.signal,
            who: happening.who.clone(),
            what: happening.what.clone(),
            record: happening.cite.seq,
        };
        log.timeline.listed.iter().map(one).collect()
    }
}

/// What Article 30 asks for, as far as traffic shows it.
#[derive(Clone, Debug, Serialize)]
pub struct Processing {
    /// One activity for each server that received calls.
    pub activities: Vec<Activity>,
    /// How many more servers there were.
    pub left_out: usize,
}

/// All that went to one recipient.
#[derive(Clone, Debug, Serialize)]
pub struct Activity {
    /// The server's name.
    pub recipient: String,
    /// Its host; "this machine" for a process; "unknown" if the configuration does not say.
    pub place: String,
    /// Whether what is sent there leaves this machine; none if unknown.
    pub leaves: Option<bool>,
    /// As the configuration says, else "unknown".
    pub country: String,
    /// Calls that were forwarded.
    pub calls: u64,
    /// Calls that were refused.
    pub refused: u64,
    /// Bytes of requests.
    pub bytes_sent: u64,
    /// Bytes of answers.
    pub bytes_received: u64,
    /// Who called.
    pub agents: Vec<String>,
    /// Tools and methods that were used.
    pub tools: Vec<String>,
    /// Names of arguments: the categories of data, as far as names tell.
    pub categories: Vec<String>,
    /// Reasons that the authors of the permitting policies wrote.
    pub purposes: Vec<String>,
    /// Policies that permitted the calls and say no reason.
    pub without_purpose: Vec<String>,
    /// Whether some list above is longer than it shows.
    pub and_more: bool,
}

impl Processing {
    pub(crate) fn of(log: &Collector, background: &Background) -> Self {
        let flows = log.flows.sorted(|flow| flow.calls);
        let left_out = flows.len().saturating_sub(ROWS_MAX);
        let activities =
            flows.into_iter().take(ROWS_MAX).map(|(name, flow)| activity(name, flow, background)).collect();
        Self { activities, left_out }
    }
}

fn activity(name: &str, flow: &Flow, background: &Background) -> Activity {
    let server = background.servers.iter().find(|server| server.name == name);
    let list = |names: &Names| names.listed.iter().map(|name| visible(name, 120)).collect::<Vec<_>>();
    let reason = |policy: &String| background.purposes.get(policy);
    let mut purposes: Vec<String> =
        flow.policies.listed.iter().filter_map(reason).map(|text| visible(text, 240)).collect();
    purposes.sort();
    purposes.dedup();
    let without = flow.policies.listed.iter().filter(|policy| reason(policy).is_none());
    Activity {
        recipient: visible(name, 60),
        place: match server {
            None => "unknown".to_owned(),
            Some(server) => {
                server.host.as_deref().map_or_else(|| "this machine".to_owned(), |host| visible(host, 120))
            }
        },
        leaves: server.map(|server| leaves(&server.reached)),
        country: match server {
            Some(server) if server.country.is_some() => server.country.clone().unwrap_or_default(),
            Some(server) if !leaves(&server.reached) => "that of this node".to_owned(),
            _ => "unknown".to_owned(),
        },
        calls: flow.calls,
        refused: flow.refused,
        bytes_sent: flow.bytes_in,
        bytes_received: flow.bytes_out,
        agents: list(&flow.agents),
        tools: list(&flow.subjects),
        categories: list(&flow.arguments),
        purposes,
        without_purpose: without.map(|policy| visible(policy, 80)).collect(),
        and_more: [&flow.agents, &flow.subjects, &flow.arguments, &flow.policies]
            .iter()
            .any(|names| names.and_more),
    }
}

/// Cryptography on the wire.
#[derive(Clone, Debug, Serialize)]
pub struct Quantum {
    /// Calls of the period.
    pub calls: Share,
    /// Links on which calls came. One is known by its agent, address and port, so that a port that is used again counts once.
    pub links: Share,
    /// Whether there were more links than were told apart.
    pub links_left_out: bool,
    /// Day by day.
    pub days: Vec<Day>,
    /// By agent, the weakest first.
    pub by_agent: Vec<Part>,
    /// By server.
    pub by_server: Vec<Part>,
    /// By the profile that the link was made under, and the listeners that have it today.
    pub by_profile: Vec<Part>,
    /// Key exchange groups, by calls.
    pub groups: Vec<Named>,
    /// Signatures of peers, by calls; `none` showed no certificate.
    pub peer_signatures: Vec<Named>,
    /// Our own signatures, by calls.
    pub own_signatures: Vec<Named>,
    /// The weakest links, the busiest first, each with its fix.
    pub weakest: Vec<WeakLink>,
    /// Calls over weak links that are not listed.
    pub weakest_left_out: u64,
    /// How servers are reached, as the configuration says today.
    pub servers: Vec<ServerWay>,
    /// What ends when.
    pub dates: Vec<Ending>,
}

/// One day.
#[derive(Clone, Debug, Serialize)]
pub struct Day {
    /// Which, in UTC.
    pub day: String,
    /// Its calls.
    #[serde(flatten)]
    pub calls: Share,
}

/// The share of one agent, server or profile.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its calls.
    #[serde(flatten)]
    pub calls: Share,
}

/// A kind of link that is not quantum-safe.
#[derive(Clone, Debug, Serialize)]
pub struct WeakLink {
    /// Who is at its other end.
    pub agent: String,
    /// The part that is weak, and its algorithm.
    pub part: String,
    /// The profile that permitted it.
    pub profile: String,
    /// Calls that came over such links.
    pub calls: u64,
    /// What to do.
    pub advice: String,
    /// The command that does it, or shows what it would do.
    pub command: String,
    /// Records to look at.
    pub records: Vec<u64>,
}

/// How a server is reached.
#[derive(Clone, Debug, Serialize)]
pub struct ServerWay {
    /// Its name.
    pub name: String,
    /// The way, in words.
    pub way: String,
    /// Whether it is quantum-safe by its profile; none where nothing leaves this machine.
    pub quantum_safe: Option<bool>,
}

impl Quantum {
    pub(crate) fn of(log: &Collector, background: &Background) -> Self {
        let wire = &log.wire;
        let parts = |tally: &crate::count::Tally<Share>| {
            let mut all = tally.sorted(Share::all);
            // Stable, so that the busiest of equally weak ones stay first.
            all.sort_by_key(|(_, share)| std::cmp::Reverse(share.classical));
            let part = |(name, share): (&str, &Share)| Part { name: visible(name, 120), calls: *share };
            all.into_iter().take(ROWS_MAX).map(part).collect()
        };
        let mut weak: Vec<&(Weak, crate::count::Counted)> = wire.weak.iter().collect();
        weak.sort_by(|one, other| {
            other.1.count.cmp(&one.1.count).then_with(|| one.0.agent.cmp(&other.0.agent))
        });
        let listed = weak.len().min(ROWS_MAX);
        let beyond: u64 = weak[listed..].iter().map(|(_, counted)| counted.count).sum();
        let day = |(n, share): (usize, &Share)| Day { day: log.period.day(n).to_string(), calls: *share };
        Self {
            calls: wire.calls,
            links: wire.links,
            links_left_out: wire.links_left_out,
            days: wire.days.iter().enumerate().map(day).collect(),
            by_agent: parts(&wire.by_agent),
            by_server: parts(&wire.by_server),
            by_profile: parts(&wire.by_profile),
            groups: named(wire.groups.sorted(|count| *count), ROWS_MAX),
            peer_signatures: named(wire.peer_signatures.sorted(|count| *count), ROWS_MAX),
            own_signatures: named(wire.own_signatures.sorted(|count| *count), ROWS_MAX),
            weakest: weak[..listed]
                .iter()
                .map(|(weak, counted)| weak_link(weak, counted, background))
                .collect(),
            weakest_left_out: wire.weak_left_out + beyond,
            servers: background.servers.iter().map(way).collect(),
            dates: background.dates.clone(),
        }
    }
}

fn weak_link(weak: &Weak, counted: &crate::count::Counted, background: &Background) -> WeakLink {
    let (advice, command) = fix(weak, background);
    WeakLink {
        agent: visible(&weak.agent, 120),
        part: visible(&weak.part, 80),
        profile: visible(&weak.profile, 60),
        calls: counted.count,
        advice: advice.to_owned(),
        command,
        records: seqs(counted),
    }
}

/// What to do about a weak link. What a client shows and what it can verify is the client's; all else is the listener's.
fn fix(weak: &Weak, background: &Background) -> (&'static str, String) {
    let named = background.listeners.iter().find(|listener| listener.profile == weak.profile);
    let listener = named.map_or("tunnel", |listener| listener.name.as_str());
    let name = weak.agent.rsplit('/').next().unwrap_or_default();
    let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let name = if is_word && weak.agent.starts_with("spiffe://") { name } else { "NAME" };
    match weak.part.as_str() {
        part if part.starts_with("peer signature") || part.starts_with("own signature") => (
            "The client proves itself, or can verify us, by a classical signature only: give it a connector, whose certificates are hybrid.",
            format!("lockgate identity invite --name {name}"),
        ),
        _ if listener == "tunnel" => (
            "The listener's profile permits it: see what a profile without classical groups would cut off, then apply it.",
            "lockgate crypto plan pq-hybrid --listener tunnel".to_owned(),
        ),
        _ => (
            "The listener's profile permits it: see what a profile that asks for a post-quantum group would cut off, then apply it.",
            format!("lockgate crypto plan pq-kex --listener {listener}"),
        ),
    }
}

fn way(server: &crate::background::Server) -> ServerWay {
    let (way, quantum_safe) = match &server.reached {
        Reached::Process => ("a process of this machine".to_owned(), None),
        Reached::Loopback => ("http on this machine".to_owned(), None),
        Reached::Plain => ("http through a network: nothing protects it".to_owned(), Some(false)),
        Reached::Tls { profile, classical } if classical.is_empty() => {
            (format!("https under {profile}"), Some(true))
        }
        Reached::Tls { profile, classical } => {
            (format!("https under {profile}, which permits {}", listed(classical)), Some(false))
        }
    };
    ServerWay { name: visible(&server.name, 60), way, quantum_safe }
}
