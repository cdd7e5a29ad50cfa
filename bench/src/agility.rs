//! A change of cryptography under load: live connectors, steady calls, and then `lockgate crypto apply`, `rollback`,
//! `ban` and `ban --now`, typed as an operator would.
//!
//! All connectors live in this process, each with an identity, a tunnel and a follower of its own: what `lockgate
//! connect` is made of. Calls come at a fixed total rate, whatever the number of connectors, so that the figures of
//! different numbers can be compared. A call that fails for any reason is counted, and none is repeated by the load.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use lockgate_crypto::{PrivateKey, profile};
use lockgate_identity::enrol::{AgentIdentity, ProvenKey};
use lockgate_identity::{AGENT_LIFETIME, Authority, Leaf, Request as Wanted, Role, SpiffeId};
use lockgate_tunnel::{Gateway as Issuer, Progress, Repeat, Settings, Shared, Tunnel};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::bed::{Bed, Gateway, HOST};
use crate::load;
use crate::process;
use crate::statistics::percentile;
use crate::{Plan, upstream};

/// Calls a second, all connectors together: a tenth of what the gateway can carry.
const CALLS_PER_S: f64 = 400.0;
/// Connectors that are opened at the same time.
const OPENED_AT_ONCE: usize = 32;
/// Longest wait for the connectors to have followed a change.
const FOLLOWED_S_MAX: u64 = 90;

/// The changes, in their order: each makes every link move.
const CHANGES: [(&str, &[&str]); 4] = [
    ("apply cnsa2-transition", &["apply", "cnsa2-transition", "--no-wait"]),
    ("rollback", &["rollback", "--no-wait"]),
    ("ban of the group in use", &["ban", "{group}", "--reason", "benchmark", "--no-wait"]),
    ("ban --now of the group in use", &["ban", "{group}", "--reason", "benchmark", "--now", "--no-wait"]),
];

/// One change with so many connectors.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) change: &'static str,
    pub(crate) links: usize,
    /// From the start of the command to the last link moved.
    pub(crate) moved_s: f64,
    /// From the start of the command to its end.
    pub(crate) command_s: f64,
    pub(crate) before_p50_us: f64,
    pub(crate) before_p99_us: f64,
    pub(crate) during_p50_us: f64,
    pub(crate) during_p99_us: f64,
    pub(crate) calls_during: usize,
    pub(crate) failed: u64,
    /// Processor time of the gateway during the change.
    pub(crate) gateway_cpu_s: f64,
    /// Most resident memory of the gateway so far.
    pub(crate) gateway_peak_kib: u64,
    /// Certificates that the connectors had to get.
    pub(crate) certificates: u64,
}

/// Measures every change with every number of connectors.
pub(crate) async fn run(bed: &Bed, plan: &Plan) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for links in plan.followers.iter().copied() {
        eprintln!("agility: {links} connectors");
        let gateway = Gateway::start_for(bed, &format!("agility-{links}"), links * 3).await?;
        let fleet = Fleet::open(&gateway, links).await?;
        for (change, words) in CHANGES {
            eprintln!("agility: {change}");
            let row = fleet.change(bed, &gateway, plan, change, words).await?;
            eprintln!("agility: moved in {:.2} s, {} calls failed", row.moved_s, row.failed);
            rows.push(row);
        }
        fleet.close();
    }
    Ok(rows)
}

/// The connectors of a run, and their calls.
struct Fleet {
    tunnels: Vec<Tunnel>,
    progress: Vec<watch::Receiver<Progress>>,
    tasks: Vec<JoinHandle<()>>,
    calls: Arc<Calls>,
}

/// What became of the calls.
#[derive(Default)]
struct Calls {
    stopped: AtomicBool,
    failed: AtomicU64,
    first_failure: parking_lot::Mutex<Option<String>>,
    /// Nanoseconds of each call since it was last looked.
    latencies_ns: parking_lot::Mutex<Vec<u64>>,
}

impl Fleet {
    async fn open(gateway: &Gateway, links: usize) -> Result<Self> {
        let shared = Shared::default();
        let calls = Arc::new(Calls::default());
        let mut fleet =
            Self { tunnels: Vec::new(), progress: Vec::new(), tasks: Vec::new(), calls: Arc::clone(&calls) };
        let url = format!("https://{HOST}:{}{}", gateway.port, Gateway::PATH).parse()?;
        while fleet.tunnels.len() < links {
            let some = (links - fleet.tunnels.len()).min(OPENED_AT_ONCE);
            let opened = (0..some).map(|_| open_one(gateway, &url, &shared));
            for (tunnel, follower) in try_join_all(opened).await? {
                fleet.progress.push(tunnel.progress());
                fleet.tasks.push(follower);
                fleet.tunnels.push(tunnel);
            }
        }
        let period = Duration::from_secs_f64(links as f64 / CALLS_PER_S);
        for (number, tunnel) in fleet.tunnels.iter().enumerate() {
            // Spread evenly, so that the rate is steady.
            let phase = period.mul_f64(number as f64 / links as f64);
            let call = repeat(tunnel.clone(), Arc::clone(&calls), phase, period);
            fleet.tasks.push(tokio::spawn(call));
        }
        Ok(fleet)
    }

    async fn change(
        &self,
        bed: &Bed,
        gateway: &Gateway,
        plan: &Plan,
        change: &'static str,
        words: &[&str],
    ) -> Result<Row> {
        let certificates = |fleet: &Self| fleet.progress.iter().map(|p| p.borrow().certificates).sum::<u64>();
        self.calls.take();
        tokio::time::sleep(plan.steady).await;
        let before = self.calls.take();
        let process = gateway.process.id();
        let (cpu, had, failed) = (process::cpu_s(process)?, certificates(self), self.calls.failed());
        let group = self.tunnels[0].posture().context("a tunnel has a posture")?.group.clone();
        let begun = Instant::now();
        let changed = operate(&bed.lockgate, &gateway.state, words, &group).await?;
        let command = begun.elapsed();
        let epoch = changed["epoch"].as_u64().with_context(|| format!("no epoch in {changed}"))?;
        let last = self.reached(epoch).await?;
        let during = self.calls.take();
        let row = Row {
            change,
            links: self.tunnels.len(),
            moved_s: last.saturating_duration_since(begun).as_secs_f64(),
            command_s: command.as_secs_f64(),
            before_p50_us: percentile(&before, 50) as f64 / 1e3,
            before_p99_us: percentile(&before, 99) as f64 / 1e3,
            during_p50_us: percentile(&during, 50) as f64 / 1e3,
            during_p99_us: percentile(&during, 99) as f64 / 1e3,
            calls_during: during.len(),
            failed: self.calls.failed() - failed,
            gateway_cpu_s: process::cpu_s(process)? - cpu,
            gateway_peak_kib: process::peak_kib(process)?,
            certificates: certificates(self) - had,
        };
        if let Some(failure) = self.calls.first_failure.lock().take() {
            eprintln!("agility: the first call that failed: {failure}");
        }
        Ok(row)
    }

    /// Waits until every connector has followed, and tells when the last of them had.
    async fn reached(&self, epoch: u64) -> Result<Instant> {
        let all = try_join_all(self.progress.iter().cloned().map(|mut progress| async move {
            let reached = progress.wait_for(|progress| progress.has_reached(epoch)).await;
            reached.context("a follower has ended")?;
            anyhow::Ok(Instant::now())
        }));
        let limit = Duration::from_secs(FOLLOWED_S_MAX);
        match tokio::time::timeout(limit, all).await {
            Ok(moved) => moved?.into_iter().max().context("there is no connector"),
            Err(_) => {
                let behind = self.progress.iter().filter(|progress| !progress.borrow().has_reached(epoch));
                let first = behind.clone().next().map(|progress| progress.borrow().clone());
                bail!(
                    "{} connectors have not followed to epoch {epoch}; one of them: {first:?}",
                    behind.count()
                )
            }
        }
    }

    fn close(self) {
        self.calls.stopped.store(true, Ordering::Relaxed);
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Calls {
    fn take(&self) -> Vec<u64> {
        let mut taken = std::mem::take(&mut *self.latencies_ns.lock());
        taken.sort_unstable();
        taken
    }

    fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    fn note(&self, outcome: Result<Duration>) {
        match outcome {
            Ok(took) => self.latencies_ns.lock().push(took.as_nanos() as u64),
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.first_failure.lock().get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
}

/// A connector: an identity of its own, a tunnel that has carried a call, and its follower.
async fn open_one(gateway: &Gateway, url: &http::Uri, shared: &Shared) -> Result<(Tunnel, JoinHandle<()>)> {
    let identity = identity(&gateway.authority)?;
    let settings = Settings { shared: shared.clone(), ..Settings::new(profile::default()) };
    let (tunnel, follower) = Tunnel::new(url, identity, Issuer, settings).await?;
    call(&tunnel).await?;
    let mut progress = tunnel.progress();
    let following = tokio::spawn(follower.run());
    progress.wait_for(|progress| progress.has_reached(1)).await?;
    Ok((tunnel, following))
}

fn identity(authority: &Authority) -> Result<AgentIdentity> {
    let algorithm = profile::default().compile(1)?.identities()[0];
    let key = PrivateKey::generate(algorithm)?;
    let id = SpiffeId::agent(authority.trust_domain(), "local")?;
    let request = Wanted {
        key: ProvenKey::own(&key),
        id: id.clone(),
        role: Role::Agent,
        dns_names: Vec::new(),
        ips: Vec::new(),
        lifetime: AGENT_LIFETIME,
    };
    let issued = authority.issue(&request, SystemTime::now())?;
    Ok(AgentIdentity { id, leaf: Leaf::new(vec![issued.certificate], key)?, bundle: authority.bundle() })
}

async fn repeat(tunnel: Tunnel, calls: Arc<Calls>, phase: Duration, period: Duration) {
    tokio::time::sleep(phase).await;
    let mut tick = tokio::time::interval(period);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !calls.stopped.load(Ordering::Relaxed) {
        tick.tick().await;
        calls.note(call(&tunnel).await);
    }
}

/// One call; its answer must be the upstream's.
async fn call(tunnel: &Tunnel) -> Result<Duration> {
    let (tool, kib) = upstream::TOOLS[0];
    let (headers, body) = load::modern_call(tool);
    let mut request = Request::post(Gateway::PATH).body(Full::new(Bytes::from(body)))?;
    request.headers_mut().extend(headers);
    let begun = Instant::now();
    // Never repeated, so that whatever fails is seen.
    let response = tunnel.send(request, Repeat::Never).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let took = begun.elapsed();
    ensure!(status.is_success() && body.len() > kib * 1024, "status {status}, {} bytes", body.len());
    Ok(took)
}

/// Runs `lockgate crypto …` as an operator would, and gives what it says.
async fn operate(lockgate: &Path, state: &Path, words: &[&str], group: &str) -> Result<Value> {
    let mut command = Command::new(lockgate);
    command.arg("crypto").args(words.iter().map(|word| word.replace("{group}", group)));
    command.args(["--output", "json", "--state"]).arg(state).stdin(Stdio::null());
    let said = tokio::task::spawn_blocking(move || command.output()).await??;
    let text = String::from_utf8_lossy(&said.stdout);
    ensure!(said.status.success(), "{words:?}: {text}{}", String::from_utf8_lossy(&said.stderr));
    Ok(serde_json::from_str(&text)?)
}
