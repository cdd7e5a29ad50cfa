//! Witnesses: what this node cosigns for others, and who is asked to cosign its own log. Off the path of calls.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use lockgate_audit::query::{Field, Query, Search, Words};
use lockgate_audit::tlog::checkpoint::{Signed, Signer};
use lockgate_audit::tlog::note::Line;
use lockgate_audit::tlog::witness::{AddCheckpoint, BODY_BYTES_MAX};
use lockgate_audit::witness::{
    Answered, COSIGNED, Roles, Witness, cosign_request, keep_cosigned, newest_checkpoint,
};
use lockgate_audit::{Durability, Entry, Kind, Outcome, Record};
use lockgate_crypto::Suite;
use lockgate_crypto::note::NoteKey;
use lockgate_identity::TrustBundle;
use lockgate_identity::verifier::{Expect, ForeignRoots};
use lockgate_transport::http::{Limits, Pool, Target};
use lockgate_transport::{Dialer, Trust, dialer};

use super::control::Control;
use super::sealing;
use crate::config::WitnessPlan;
use crate::diagnostic::Diagnostic;
use crate::witnesses::{Asked, Standing};

/// Pause between two rounds, in seconds.
const ROUND_S: u64 = 5;

/// Longest wait for one answer, in seconds: signatures and a sync, and a slow network.
const ANSWER_S_MAX: u64 = 10;

/// Requests to one witness in a round: one that does not know where it is, and one more if it was asked by another meanwhile.
const TRIES_MAX: usize = 3;

/// Longest pause before a witness that does not answer is asked again, in seconds.
const PAUSE_S_MAX: u64 = 300;

/// Shows peers this node's log, and begins to witness the logs of the configuration once it is known how far this node was.
pub(super) async fn serve(control: Arc<Control>) {
    match sealing::signers(&control) {
        Ok((signers, retired)) => show(&control, &signers, retired),
        Err(error) => tracing::warn!(%error, "peers cannot compare the audit log"),
    }
    let logs = control.changing().lock().settings.witnessed.clone();
    if logs.is_empty() {
        return;
    }
    let opening = Arc::clone(&control);
    let opened = tokio::task::spawn_blocking(move || open(&opening, logs)).await;
    match opened {
        Ok(Ok(witness)) => control.node().witness.offer(Arc::new(witness)),
        Ok(Err(error)) => tracing::error!(%error, "no log is witnessed"),
        Err(error) => tracing::error!(%error, "no log is witnessed"),
    }
}

fn open(control: &Control, logs: Vec<NoteKey>) -> Result<Witness, Diagnostic> {
    let failed = |error: lockgate_audit::AuditError| {
        Diagnostic::new("LG-A002", "what this node witnessed cannot be read").because(&error)
    };
    let mut floor: HashMap<String, u64> = HashMap::new();
    let query = Query::default().with(Field::Method, vec![Words::Whole(COSIGNED.to_owned())]);
    let search = Search::of(&control.state().audit());
    let found = search.run(&query, &mut |line| {
        let Ok(entry) = Entry::parse(&String::from_utf8_lossy(line)) else { return };
        if let (Some(name), Some(size)) = (entry.record.name, entry.record.count) {
            let known = floor.entry(name.into_owned()).or_default();
            *known = size.max(*known);
        }
    });
    found.map_err(failed)?;
    let (signers, retired) = sealing::signers(control)?;
    let roles = Roles { logs, signers, retired };
    Witness::open(&control.state().witness(), roles, floor).map_err(failed)
}

fn show(control: &Control, signers: &[Signer], retired: Vec<NoteKey>) {
    let active = signers.iter().map(|signer| signer.public().clone()).collect();
    control.node().witness.show(active, retired, &control.state().witness().join("seen"));
}

/// Has new keys cosign from now on.
pub(super) fn sign_by(control: &Control, signers: Vec<Signer>, retired: Vec<NoteKey>) {
    show(control, &signers, retired.clone());
    if let Some(witness) = control.node().witness.get() {
        let logs = control.changing().lock().settings.witnessed.clone();
        witness.change(Roles { logs, signers, retired });
    }
}

/// What is known of a witness that is asked.
#[derive(Clone)]
struct Known {
    plan: WitnessPlan,
    /// The log and its month, and the size of what it cosigned.
    at: (String, u64),
    failures: u32,
    not_before: Option<Instant>,
    shown: Asked,
}

/// Asks the witnesses of the configuration, until the node drains.
pub(super) async fn ask(control: Arc<Control>) {
    let (plans, quorum) = {
        let changing = control.changing().lock();
        (changing.settings.witnesses.clone(), changing.settings.audit.quorum)
    };
    let standing = Standing::new(quorum, &plans);
    if let Err(error) = standing.write(control.state()) {
        tracing::warn!(%error, "how witnesses stand cannot be shown");
    }
    if plans.is_empty() {
        return;
    }
    let asked = |(plan, shown): (WitnessPlan, Asked)| Known {
        plan,
        at: (String::new(), 0),
        failures: 0,
        not_before: None,
        shown,
    };
    let mut round = Round {
        known: plans.into_iter().zip(standing.witnesses.iter().cloned()).map(asked).collect(),
        lines: HashMap::new(),
        signed: None,
        standing,
        told: HashSet::new(),
        control,
    };
    let draining = round.control.node().draining.clone();
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(ROUND_S)) => {}
            () = draining.cancelled() => return,
        }
        round.run(quorum).await;
    }
}

struct Round {
    control: Arc<Control>,
    known: Vec<Known>,
    /// The checkpoint that is being cosigned, until enough have.
    signed: Option<Signed>,
    /// Who has cosigned it.
    lines: HashMap<String, Vec<Line>>,
    standing: Standing,
    /// What was recorded of whom, so that it is once.
    told: HashSet<(String, u64)>,
}

impl Round {
    async fn run(&mut self, quorum: usize) {
        let dir = self.control.state().audit();
        let newest = tokio::task::spawn_blocking(move || newest_checkpoint(&dir)).await;
        let Ok(Ok(Some(newest))) = newest else { return };
        let is_same = |held: &Signed| held.checkpoint == newest.checkpoint;
        if !self.signed.as_ref().is_some_and(is_same) {
            self.signed = Some(newest.clone());
            self.lines.clear();
        }
        let waiting: Vec<usize> = (0..self.known.len()).filter(|at| self.is_due(*at)).collect();
        if waiting.is_empty() {
            return;
        }
        let mut asking = tokio::task::JoinSet::new();
        for at in waiting {
            let (control, signed, known) =
                (Arc::clone(&self.control), newest.clone(), self.known[at].clone());
            asking.spawn(async move { (at, ask_one(&control, &signed, &known).await) });
        }
        while let Some(answered) = asking.join_next().await {
            if let Ok((at, (size, answered))) = answered {
                self.heard(at, size, answered, &newest);
            }
        }
        self.keep(quorum, newest).await;
    }

    fn is_due(&self, at: usize) -> bool {
        let known = &self.known[at];
        let rests = known.not_before.is_some_and(|not_before| Instant::now() < not_before);
        !rests && !self.lines.contains_key(&known.plan.name)
    }

    fn heard(&mut self, at: usize, size: u64, answered: Answered, signed: &Signed) {
        let known = &mut self.known[at];
        let name = known.plan.name.clone();
        let head = signed.checkpoint.head;
        if known.at.0 != signed.checkpoint.origin {
            known.at = (signed.checkpoint.origin.clone(), 0);
        }
        known.at.1 = size;
        let problem = match answered {
            Answered::Cosigned(lines) => {
                known.at.1 = head.size;
                known.failures = 0;
                known.not_before = None;
                known.shown.cosigned(signed);
                self.lines.insert(name, lines);
                return self.standing.show(at, &self.known[at].shown);
            }
            Answered::Beyond(size) => {
                self.forked(&name, size, "a witness has cosigned another or a longer history of this log: it was put back to an older state, or its key signs two histories");
                format!("it has cosigned {size} leaves, which are not the beginning of this log")
            }
            Answered::Forked => {
                self.forked(
                    &name,
                    size,
                    "a witness finds that this log does not go on from what it cosigned",
                );
                "it finds that this log does not go on from what it cosigned".to_owned()
            }
            Answered::From(_) => "it is asked by others, too".to_owned(),
            Answered::Refused(why) => why,
        };
        let known = &mut self.known[at];
        known.failures += 1;
        let pause = (ROUND_S << known.failures.min(8)).min(PAUSE_S_MAX);
        known.not_before = Some(Instant::now() + Duration::from_secs(pause));
        if known.shown.problem.as_ref() != Some(&problem) {
            tracing::warn!(witness = known.plan.name, problem, "the audit log is not cosigned");
        }
        known.shown.problem = Some(problem);
        self.standing.show(at, &self.known[at].shown);
    }

    /// Records that somebody has seen another history, and says so loudly.
    fn forked(&mut self, witness: &str, size: u64, reason: &'static str) {
        if !self.told.insert((witness.to_owned(), size)) {
            return;
        }
        tracing::error!(witness, size, code = "LG-A006", "{reason}");
        let record = Record {
            method: Some("audit/forked".into()),
            name: Some(witness.into()),
            findings: vec!["LG-A006".to_owned()].into(),
            reason: Some(reason.into()),
            count: Some(size),
            ..Record::new(Kind::Detect, Outcome::Failed)
        };
        if let Err(error) = self.control.node().append(&record, Durability::Durable) {
            tracing::error!(%error, "and that cannot be recorded");
        }
    }

    /// Keeps the checkpoint with its cosignatures, once enough have signed.
    async fn keep(&mut self, quorum: usize, mut signed: Signed) {
        if self.lines.len() >= quorum {
            // Witnesses in the order of the configuration.
            let lines = self.known.iter().filter_map(|known| self.lines.get(&known.plan.name));
            signed.lines.extend(lines.flatten().cloned());
            let dir = self.control.state().audit();
            let kept = tokio::task::spawn_blocking(move || keep_cosigned(&dir, &signed)).await;
            if let Ok(Err(error)) = kept {
                tracing::warn!(%error, "the cosigned checkpoint cannot be kept");
            }
        }
        if let Err(error) = self.standing.write(self.control.state()) {
            tracing::warn!(%error, "how witnesses stand cannot be shown");
        }
    }
}

/// Asks one witness, from where it is; gives that, and what it said.
async fn ask_one(control: &Control, signed: &Signed, known: &Known) -> (u64, Answered) {
    let mut old = if known.at.0 == signed.checkpoint.origin { known.at.1 } else { 0 };
    let pool = match pool(control, &known.plan) {
        Ok(pool) => pool,
        Err(error) => return (old, Answered::Refused(error.to_string())),
    };
    let mut answered = Answered::Refused("it says each time that it is elsewhere".to_owned());
    for _ in 0..TRIES_MAX {
        let (dir, of) = (control.state().audit(), signed.clone());
        let request = tokio::task::spawn_blocking(move || cosign_request(&dir, &of, old)).await;
        let request = match request {
            Ok(Ok(Some(request))) => request,
            Ok(Ok(None)) => return (old, Answered::Beyond(old)),
            Ok(Err(error)) => return (old, Answered::Refused(format!("the tree cannot be read: {error}"))),
            Err(error) => return (old, Answered::Refused(error.to_string())),
        };
        answered = exchange(&pool, &known.plan, &request).await;
        match &answered {
            Answered::From(size) => old = *size,
            _ => break,
        }
    }
    (old, answered)
}

async fn exchange(pool: &Pool, plan: &WitnessPlan, asked: &AddCheckpoint) -> Answered {
    let mut request = Request::new(Full::new(Bytes::from(asked.write())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = plan.url.clone();
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    let answer = async {
        let response = pool.request(request).await.map_err(|error| in_full(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
        Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
    };
    match tokio::time::timeout(Duration::from_secs(ANSWER_S_MAX), answer).await {
        Ok(Ok((status, body))) => Answered::read(asked, &plan.keys, (status, &body)),
        Ok(Err::<_, String>(why)) => Answered::Refused(format!("it cannot be reached: {why}")),
        Err(_) => Answered::Refused(format!("it does not answer within {ANSWER_S_MAX} s")),
    }
}

/// A connection for one round, by what is in force now.
fn pool(control: &Control, plan: &WitnessPlan) -> Result<Pool, Diagnostic> {
    let suite = control.changing().lock().in_force.upstream(&plan.place()).cloned();
    let dialer = match suite {
        Some(suite) => dialer_by(suite, plan)?,
        None => Dialer::plain(dialer::Limits::default()),
    };
    let target = Target::new(&plan.url, Arc::new(dialer)).map_err(|error| {
        Diagnostic::new("LG-C007", format!("{} is no place for a checkpoint", plan.url)).because(&error)
    })?;
    Ok(Pool::new(target, Limits { links_max: 1, idle_max: 0, ..Limits::default() }))
}

fn dialer_by(suite: Suite, plan: &WitnessPlan) -> Result<Dialer, Diagnostic> {
    let no_roots = |error: lockgate_identity::IdentityError| {
        Diagnostic::new("LG-C009", format!("no roots for the witness {}", plan.name))
            .because(&error)
            .hint("name those of the other node: roots = \"FILE\", with its STATE/authority/authority.pem")
    };
    let trust = match &plan.roots {
        Some(path) => Trust::own(&TrustBundle::from_pem_file(path).map_err(no_roots)?, Expect::Node),
        None => Trust::foreign(&ForeignRoots::system().map_err(no_roots)?),
    };
    Dialer::new(suite, None, trust, dialer::Limits::default()).map_err(|error| crate::trouble::tls(&error))
}

fn in_full(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
