//! One fact: what is known of it by key, who is being asked, and whether its provider is well.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::absence::{Absence, Outcome};
use crate::circuit::Circuit;
use crate::document::Told;
use crate::known::{Found, Held, Known, Last, absent, held_found, known};
use crate::push::Pushed;
use crate::shape;
use crate::source::Source;
use crate::source::mcp::Slot;
use crate::spec::{From, SKEW_MS_MAX, Spec};

/// Most questions to a provider at the same time: callers choose keys, and with them how much a provider is asked.
pub const QUESTIONS_MAX: usize = 64;

/// How long it stays known that there is no answer, in milliseconds: short enough for what was just entered.
pub const ABSENT_MS: u64 = 500;

/// Time between two looks at a file, in milliseconds.
const LOOK_MS: u64 = 100;

/// Time between two questions for the same key while what is known is still good, in milliseconds.
const AGAIN_MS_MIN: u64 = 250;

/// How much later than its deadline a call goes on at the latest.
const GRACE: Duration = Duration::from_millis(10);

/// Longest life of a question in milliseconds. Calls wait for the deadline; an answer that comes after it serves the next
/// call, such as the first one over a new connection.
const QUESTION_MS_MAX: u64 = 2_000;

/// A fact at work.
pub(crate) struct Fact {
    pub(crate) spec: Spec,
    source: Source,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: HashMap<Option<String>, Known>,
    questions: usize,
    circuit: Circuit,
    pushed: HashMap<Option<String>, Pushed>,
    last: Option<Last>,
}

/// A wish of one call.
pub(crate) struct Begun {
    pub(crate) fact: Arc<Fact>,
    pub(crate) key: Option<String>,
    now_ms: u64,
    wish: Wish,
}

impl Begun {
    /// What is known, after at most the deadline.
    pub(crate) async fn end(&mut self) -> Found {
        let found = match &mut self.wish {
            Wish::Done(found) => found.clone(),
            Wish::Asked(answer, until) => {
                // Whoever asks says when the deadline is over, once that is noted; the timeout is for a runtime that
                // has no time for it.
                let _ = timeout_at(*until + GRACE, answer.changed()).await;
                self.fact.settle(self.key.as_deref(), self.now_ms)
            }
        };
        let last = Last {
            at_ms: self.now_ms,
            key: self.key.clone(),
            age_ms: found.age_ms,
            outcome: found.outcome.clone(),
        };
        self.fact.state.lock().last = Some(last);
        found
    }
}

/// What became of a wish.
enum Wish {
    Done(Found),
    /// Somebody is asking; until when to wait.
    Asked(watch::Receiver<()>, Instant),
}

impl Fact {
    pub(crate) fn new(spec: Spec, slot: &Slot) -> Arc<Self> {
        let source = Source::new(&spec.from, slot);
        Arc::new(Self { spec, source, state: Mutex::default() })
    }

    /// Begins to find out what is known of a key: at once, or by asking. Never waits.
    pub(crate) fn begin(self: &Arc<Self>, key: Option<String>, now_ms: u64) -> Begun {
        let wish = self.wish(key.as_deref(), now_ms);
        Begun { fact: Arc::clone(self), key, now_ms, wish }
    }

    /// Asks at once, for a person: whatever is known, and though the provider rests. The answer is learnt.
    pub(crate) async fn probe(&self, key: Option<&str>, now_ms: u64) -> Found {
        if let From::Push { .. } = self.spec.from {
            return self.pushed(&self.state.lock(), key, now_ms);
        }
        let asked = Instant::now();
        let fetch = self.source.fetch(self.spec.shape.key.as_deref(), key);
        let answer = timeout(Duration::from_millis(QUESTION_MS_MAX), fetch).await;
        let answer = answer.unwrap_or(Err(Absence::Timeout(QUESTION_MS_MAX)));
        let judged = answer.and_then(|told| self.judge(told, key, now_ms, asked));
        let found = match &judged {
            Ok(held) => held_found(held, now_ms, Outcome::Fetched),
            Err(why) => absent(why.clone()),
        };
        if !judged.as_ref().is_err_and(Absence::is_failure) {
            // It is well again; calls need not wait for the end of its rest.
            self.state.lock().circuit.answered();
        }
        self.learn(key, judged);
        found
    }

    fn wish(self: &Arc<Self>, key: Option<&str>, now_ms: u64) -> Wish {
        let now = Instant::now();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if let From::Push { .. } = self.spec.from {
            return Wish::Done(self.pushed(state, key, now_ms));
        }
        let resting = state.circuit.resting(now);
        let known = known(&mut state.known, key, now);
        let held = known.held.clone().filter(|held| held.age_ms(now_ms) <= self.spec.max_age_ms);
        let kept = |why: Absence| match &held {
            Some(held) => Wish::Done(held_found(held, now_ms, Outcome::Kept)),
            None => Wish::Done(absent(why)),
        };
        let age = known.asked.map(|asked| now.saturating_duration_since(asked));
        // What failed is tried again soon; what is good serves for a while.
        let lasts_ms = if known.why.is_some() { ABSENT_MS.min(self.lasts_ms()) } else { self.lasts_ms() };
        let lasts = Duration::from_millis(lasts_ms);
        if known.open.is_none()
            && age.is_some_and(|age| age < lasts)
            && let Some(why) = known.why.clone().or_else(|| held.is_some().then_some(Absence::NoRecord))
        {
            return kept(why);
        }
        let until = |asked: Instant| asked + self.deadline();
        if let (Some(open), Some(asked)) = (&known.open, known.asked) {
            let slow = until(asked) <= now;
            return match held.is_some() && !self.is_near() || slow {
                true => kept(Absence::Timeout(self.spec.deadline_ms)),
                false => Wish::Asked(open.clone(), until(asked)),
            };
        }
        if let Some(strikes) = resting {
            return kept(Absence::Resting(strikes));
        }
        if state.questions >= QUESTIONS_MAX {
            return kept(Absence::Busy(QUESTIONS_MAX));
        }
        let (over, answer) = watch::channel(());
        known.asked = Some(now);
        known.open = Some(answer.clone());
        state.questions += 1;
        state.circuit.begin(now);
        tokio::spawn(Arc::clone(self).ask(key.map(str::to_owned), now_ms, over));
        match held.is_some() && !self.is_near() {
            true => kept(Absence::NoRecord),
            false => Wish::Asked(answer, until(now)),
        }
    }

    /// Asks once, and lets everybody know who waits.
    async fn ask(self: Arc<Self>, key: Option<String>, now_ms: u64, over: watch::Sender<()>) {
        let asked = Instant::now();
        let open = Open { fact: &self, key: &key, over };
        let mut fetch = pin!(self.source.fetch(self.spec.shape.key.as_deref(), key.as_deref()));
        let mut in_time = true;
        let answer = match timeout(self.deadline(), &mut fetch).await {
            Ok(answer) => answer,
            Err(_) => {
                in_time = false;
                self.state.lock().circuit.failed(Instant::now());
                open.tell();
                let rest = Duration::from_millis(QUESTION_MS_MAX).saturating_sub(self.deadline());
                let late = timeout(rest, &mut fetch).await;
                late.unwrap_or(Err(Absence::Timeout(self.spec.deadline_ms)))
            }
        };
        let judged = answer.and_then(|told| self.judge(told, key.as_deref(), now_ms, asked));
        if in_time {
            let failed = judged.as_ref().is_err_and(Absence::is_failure);
            let mut state = self.state.lock();
            if failed { state.circuit.failed(Instant::now()) } else { state.circuit.answered() }
        }
        self.learn(key.as_deref(), judged);
        drop(open);
    }

    /// What a provider said, if it can be told: of the shape, about the key, of a time that can be.
    fn judge(&self, told: Told, key: Option<&str>, now_ms: u64, at: Instant) -> Result<Held, Absence> {
        shape::is_about(&self.spec.shape, &told.record, key)?;
        // Without the provider's word it is of before it was asked for, and as old as a cache on the way says.
        let as_of_ms = told.as_of_ms.unwrap_or_else(|| now_ms.saturating_sub(told.age_ms));
        let ahead_ms = as_of_ms.saturating_sub(now_ms);
        if ahead_ms > SKEW_MS_MAX {
            return Err(Absence::Future { ahead_ms, skew_ms_max: SKEW_MS_MAX });
        }
        let age_ms = now_ms.saturating_sub(as_of_ms);
        if age_ms > self.spec.max_age_ms {
            return Err(Absence::Stale { age_ms, max_age_ms: self.spec.max_age_ms });
        }
        let record = Arc::new(shape::fit(&self.spec.shape, told.record)?);
        Ok(Held { record, as_of_ms, age_ms, at })
    }

    fn learn(&self, key: Option<&str>, judged: Result<Held, Absence>) {
        let mut state = self.state.lock();
        let known = known(&mut state.known, key, Instant::now());
        match judged {
            // An older answer than the one that is known is a provider that looks back.
            Ok(held) if known.held.as_ref().is_none_or(|known| known.as_of_ms <= held.as_of_ms) => {
                known.held = Some(held);
                known.why = None;
            }
            Ok(_) => known.why = None,
            Err(why) => {
                // That there is none is an answer; everything else says nothing about what was known.
                if why == Absence::NoRecord {
                    known.held = None;
                }
                known.why = Some(why);
            }
        }
    }

    /// What to tell after waiting.
    fn settle(&self, key: Option<&str>, now_ms: u64) -> Found {
        let state = self.state.lock();
        let known = state.known.get(&key.map(str::to_owned));
        let answered = known.is_some_and(|known| known.open.is_none());
        let why = known.and_then(|known| known.why.clone());
        let Some(held) = known.and_then(|known| known.held.clone()) else {
            let timeout = Absence::Timeout(self.spec.deadline_ms);
            return absent(why.filter(|_| answered).unwrap_or(timeout));
        };
        let age_ms = held.age_ms(now_ms);
        if age_ms <= self.spec.max_age_ms {
            let outcome = if answered && why.is_none() { Outcome::Fetched } else { Outcome::Kept };
            return held_found(&held, now_ms, outcome);
        }
        let stale = Absence::Stale { age_ms, max_age_ms: self.spec.max_age_ms };
        absent(if answered { why.unwrap_or(stale) } else { Absence::Timeout(self.spec.deadline_ms) })
    }

    fn pushed(&self, state: &State, key: Option<&str>, now_ms: u64) -> Found {
        let Some(pushed) = state.pushed.get(&key.map(str::to_owned)) else {
            return absent(Absence::NothingPushed);
        };
        let Some(record) = &pushed.record else { return absent(Absence::NothingPushed) };
        let held = Held {
            record: Arc::clone(record),
            as_of_ms: pushed.as_of_ms,
            age_ms: pushed.age_ms,
            at: pushed.at,
        };
        let age_ms = held.age_ms(now_ms);
        // The clock may have been set back since.
        let ahead_ms = pushed.as_of_ms.saturating_sub(now_ms);
        if ahead_ms > SKEW_MS_MAX {
            return absent(Absence::Future { ahead_ms, skew_ms_max: SKEW_MS_MAX });
        }
        if age_ms > self.spec.max_age_ms {
            let why = Absence::Stale { age_ms, max_age_ms: self.spec.max_age_ms };
            return Found { age_ms: Some(age_ms), ..absent(why) };
        }
        held_found(&held, now_ms, Outcome::Kept)
    }

    /// Works on what was pushed, alone.
    pub(crate) fn with_pushed<T>(&self, work: impl FnOnce(&mut HashMap<Option<String>, Pushed>) -> T) -> T {
        work(&mut self.state.lock().pushed)
    }

    pub(crate) fn last(&self) -> Option<Last> {
        self.state.lock().last.clone()
    }

    /// How many keys something is known of, failures in a row, and whether nobody asks for now.
    pub(crate) fn figures(&self) -> (usize, u32, bool) {
        let state = self.state.lock();
        let held = state.known.values().filter(|known| known.held.is_some()).count() + state.pushed.len();
        (held, state.circuit.strikes(), state.circuit.resting(Instant::now()).is_some())
    }

    fn deadline(&self) -> Duration {
        Duration::from_millis(self.spec.deadline_ms)
    }

    /// Whether asking is cheap enough to do it before each answer.
    fn is_near(&self) -> bool {
        matches!(self.spec.from, From::File(_))
    }

    /// How long an answer serves before the provider is asked again: for half its life nobody asks, after that it is
    /// renewed in the background.
    fn lasts_ms(&self) -> u64 {
        if self.is_near() { LOOK_MS } else { (self.spec.max_age_ms / 2).max(AGAIN_MS_MIN) }
    }
}

/// A question under way: closed however it ends.
struct Open<'a> {
    fact: &'a Fact,
    key: &'a Option<String>,
    over: watch::Sender<()>,
}

impl Open<'_> {
    /// Wakes all who wait.
    fn tell(&self) {
        self.over.send_replace(());
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut state = self.fact.state.lock();
        state.questions = state.questions.saturating_sub(1);
        if let Some(known) = state.known.get_mut(self.key) {
            known.open = None;
        }
        drop(state);
        self.tell();
    }
}
