//! Putting an epoch in force, and moving links after it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_crypto::Breach;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::verdict::{self, Cause, Judged, RefusedPeer};
use super::{Departure, InForce, MigrationView, Move, NotNewer, Progress, Standing, WAITING_MAX, Waiting};
use crate::call::describe_link;
use crate::link::LinkContext;
use crate::node::Node;

/// Longest time between two looks at the clock while an exception runs, in seconds: the clock of the machine may be set.
const LOOK_S_MAX: u64 = 30;

impl Node {
    /// Puts `in_force` in force and judges every live link by it. When this returns, each link that may not stay is on its
    /// way out, or is cut if `pace` is [`Move::NOW`].
    ///
    /// The listeners must accept by the new epoch already: a link whose posture is of a later epoch than the one in force
    /// is let in and judged here, while one of an earlier epoch is held to the new rule.
    ///
    /// Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`NotNewer`]; nothing has changed then.
    pub fn publish(self: &Arc<Self>, in_force: InForce, pace: Move) -> Result<MigrationView, NotNewer> {
        let _turn = self.agility.publishing.lock();
        let before = self.agility.standing();
        if in_force.epoch <= before.in_force.epoch {
            return Err(NotNewer { offered: in_force.epoch, in_force: before.in_force.epoch });
        }
        let standing = Arc::new(Standing {
            in_force: Arc::new(in_force),
            serial: before.serial + 1,
            pace: pace.bounded(),
            begun: Instant::now(),
            begun_ms: self.now_ms(),
        });
        let epoch = standing.in_force.epoch;
        self.metrics.epoch.set(i64::try_from(epoch).unwrap_or(i64::MAX));
        self.metrics.migrations.inc();
        self.agility.standing.store(standing.clone());
        self.links.moving.begin(epoch, standing.begun_ms, standing.closes_at_ms());
        self.judge_all(&standing);
        if let Some(end_ms) = standing.in_force.next_end_ms(standing.begun_ms) {
            tokio::spawn(mind_exceptions(Arc::downgrade(self), epoch, end_ms));
        }
        let view = self.migration();
        if view.to_move > 0 {
            tokio::spawn(report(self.clone(), epoch));
        }
        Ok(view)
    }

    /// The epoch in force; 0 before the first was published.
    pub fn epoch(&self) -> u64 {
        self.agility.standing.load().in_force.epoch
    }

    /// What is in force.
    pub fn in_force(&self) -> Arc<InForce> {
        self.agility.standing.load().in_force.clone()
    }

    /// How far the latest change has come.
    pub fn migration(&self) -> MigrationView {
        let mut view = self.links.moving.view();
        let mut waiting: BTreeMap<String, Waiting> = BTreeMap::new();
        for link in self.links.all() {
            let Some(departure) = link.fate.departure() else { continue };
            let Departure { why, closes_at_ms, told, .. } = departure;
            let agent = link.caller.agent.clone();
            let entry = waiting.entry(agent.clone()).or_insert_with(|| Waiting {
                agent,
                links: 0,
                told,
                why: why.to_vec(),
                closes_at_ms,
            });
            entry.links += 1;
            entry.closes_at_ms = entry.closes_at_ms.max(closes_at_ms);
        }
        view.waiting_more = waiting.len().saturating_sub(WAITING_MAX);
        view.waiting = waiting.into_values().take(WAITING_MAX).collect();
        view
    }

    /// The figures of the latest change, as they change.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.links.moving.progress()
    }

    fn judge_all(self: &Arc<Self>, standing: &Standing) {
        let now_ms = self.now_ms();
        let (serial, epoch) = (standing.serial, standing.in_force.epoch);
        let mut going = Vec::new();
        for link in self.links.all() {
            match standing.judge(&link, now_ms) {
                Judged::Goes(why) => going.push((link, why)),
                Judged::Stays | Judged::Ahead => {
                    link.fate.stay(serial, epoch);
                    self.links.moving.stays(link.number);
                }
            }
        }
        let told: HashSet<String> =
            self.agility.followers.lock().keys().map(|(agent, _)| agent.clone()).collect();
        let is_told = |link: &LinkContext| link.follows() || told.contains(&link.caller.agent);
        let asked = going.iter().filter(|(link, _)| link.multiplexes && !is_told(link)).count();
        let mut turn = 0u32;
        for (link, why) in going {
            let told = is_told(&link);
            let mut after = standing.pace.last_call();
            if link.multiplexes && !told {
                // Evenly, in the order in which they came.
                after = standing.pace.within.mul_f64(f64::from(turn) / asked.max(1) as f64).min(after);
                turn += 1;
            }
            self.let_go(&link, standing, why, after, told);
        }
        self.links.moving.judged(self.now_ms());
        self.agility.changes.send_modify(|changes| *changes += 1);
    }

    /// Lets a link go: asked to leave `after` the change began, and cut at its deadline.
    fn let_go(
        self: &Arc<Self>,
        link: &Arc<LinkContext>,
        standing: &Standing,
        why: Vec<Breach>,
        after: Duration,
        told: bool,
    ) {
        let departure = Departure {
            why: why.into(),
            ask_at: standing.begun + after,
            cut_at: standing.cut_at(),
            closes_at_ms: standing.closes_at_ms(),
            told,
            off: CancellationToken::new(),
        };
        let Some(departure) = link.fate.go(standing.serial, departure) else { return };
        self.links.moving.goes(link.number);
        if departure.cut_at <= Instant::now() {
            return self.cut(link, &departure);
        }
        // A link that ended meanwhile took its fate with it, and is not counted as waiting.
        if !self.links.is_live(link.number) {
            departure.off.cancel();
            self.links.moving.left(link.number, || self.now_ms());
            return;
        }
        tokio::spawn(see_off(self.clone(), link.clone(), departure));
    }

    /// Cuts a link and records that.
    fn cut(&self, link: &LinkContext, departure: &Departure) {
        let was_left = self.links.moving.cut(link.number, || self.now_ms());
        link.kill.cancel();
        if !was_left {
            return;
        }
        let reason =
            format!("cut at the deadline of epoch {}: {}", self.epoch(), verdict::listed(&departure.why));
        let mut record = Record::new(Kind::Link, Outcome::Refused);
        describe_link(link, &mut record);
        record.stage = Some("secure".into());
        record.reason = Some(reason.into());
        self.note(&record);
    }

    /// Judges a link that has just entered.
    ///
    /// # Errors
    /// Why it may not stay.
    pub(crate) fn judge_entering(self: &Arc<Self>, link: &Arc<LinkContext>) -> Result<(), Box<RefusedPeer>> {
        let standing = self.agility.standing();
        let epoch = standing.in_force.epoch;
        let why = match (standing.judge(link, self.now_ms()), &link.posture) {
            (Judged::Goes(why), Some(posture)) => (why, posture),
            (Judged::Ahead, Some(posture)) => {
                link.fate.stay(standing.serial, posture.epoch);
                return Ok(());
            }
            _ => {
                link.fate.stay(standing.serial, epoch);
                return Ok(());
            }
        };
        let (why, posture) = why;
        // Its handshake began before the change: it is moved as those that were there, and no call on it fails.
        if posture.epoch < epoch && Instant::now() < standing.cut_at() {
            self.let_go(link, &standing, why, standing.pace.last_call(), false);
            return Ok(());
        }
        Err(RefusedPeer::of(link, posture, Cause::Breach { epoch, why }))
    }

    /// Appends a record that nobody waits for. A log that cannot be written is reported by the calls that it stops.
    pub(crate) fn note(&self, record: &Record<'_>) {
        if let Err(error) = self.append(record, Durability::Grouped) {
            self.metrics.audit_failures.inc();
            tracing::error!(target: "lockgate::record", %error, "a link could not be recorded");
        }
    }
}

/// Carries out a departure, unless it is called off.
async fn see_off(node: Arc<Node>, link: Arc<LinkContext>, departure: Departure) {
    let carried_out = async {
        sleep_until(departure.ask_at).await;
        link.closing.cancel();
        sleep_until(departure.cut_at).await;
        node.cut(&link, &departure);
    };
    tokio::select! {
        biased;
        () = departure.off.cancelled() => {}
        () = carried_out => {}
    }
}

/// Records what became of the links that had to move for `epoch`, unless another is put in force before.
async fn report(node: Arc<Node>, epoch: u64) {
    let mut progress = node.progress();
    let Ok(end) = progress.wait_for(|now| now.finished || now.epoch != epoch).await.map(|end| *end) else {
        return;
    };
    if end.epoch != epoch {
        return;
    }
    let Progress { moved, stayed, killed, .. } = end;
    let reason = format!(
        "{moved} links have moved to epoch {epoch}, {killed} were cut at its deadline, {stayed} could stay"
    );
    let outcome = if killed == 0 { Outcome::Ok } else { Outcome::Refused };
    node.note(&Record {
        method: Some("crypto/moved".into()),
        reason: Some(reason.into()),
        epoch: Some(epoch),
        count: Some(moved),
        ..Record::new(Kind::Crypto, outcome)
    });
}

/// Judges all links again whenever an exception of `epoch` ends.
async fn mind_exceptions(node: std::sync::Weak<Node>, epoch: u64, mut end_ms: u64) {
    loop {
        let Some(now_ms) = node.upgrade().map(|node| node.now_ms()) else { return };
        let left = Duration::from_millis(end_ms.saturating_sub(now_ms));
        if !left.is_zero() {
            sleep(left.min(Duration::from_secs(LOOK_S_MAX))).await;
            continue;
        }
        let Some(node) = node.upgrade() else { return };
        match node.judge_again(epoch) {
            Some(next_ms) => end_ms = next_ms,
            None => return,
        }
    }
}

impl Node {
    /// Judges all links by `epoch` again, at its own pace. Gives the end of its next exception; none if there is none, or
    /// if another epoch is in force by now.
    fn judge_again(self: &Arc<Self>, epoch: u64) -> Option<u64> {
        let _turn = self.agility.publishing.lock();
        let before = self.agility.standing();
        if before.in_force.epoch != epoch {
            return None;
        }
        let standing = Arc::new(Standing {
            in_force: before.in_force.clone(),
            serial: before.serial + 1,
            pace: before.pace,
            begun: Instant::now(),
            begun_ms: self.now_ms(),
        });
        self.agility.standing.store(standing.clone());
        self.links.moving.resume(standing.closes_at_ms());
        self.judge_all(&standing);
        standing.in_force.next_end_ms(standing.begun_ms)
    }
}
