//! What happens by itself: days that pass and end algorithms, choices and exceptions that end, roots that are replaced.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use lockgate_crypto::calendar::{Calendar, Jump};

use super::super::control::Control;
use super::change::{Change, Drain};
use super::compile::{compile, conditions, without_the_ended};
use super::problem::Problem;
use super::wanted::wanted;

/// Longest time between two looks at the clocks, in seconds: the calendar asks for one a minute at least.
const LOOK_S_MAX: u64 = 20;

/// Shortest time between two looks, so that an end that cannot be put in force is not tried without pause.
const LOOK_MS_MIN: u64 = 250;

/// Who does what nobody asked for.
const CALENDAR: &str = "calendar";

/// The day by the wall clock, UTC.
pub(super) fn today() -> Date {
    jiff::Timestamp::now().to_zoned(TimeZone::UTC).date()
}

/// Looks at the clocks until the node drains.
pub(in super::super) async fn keep_calendar(control: Arc<Control>) {
    let draining = control.node().draining.clone();
    let mut calendar = Calendar::new(SystemTime::now(), control.clock().elapsed());
    loop {
        let look = wait(&control);
        tokio::select! {
            () = tokio::time::sleep(look) => {}
            () = control.woken().notified() => {}
            () = draining.cancelled() => return,
        }
        let looked = calendar.look(SystemTime::now(), control.clock().elapsed());
        if let Some(jump) = looked.jumped {
            say(&jump);
        }
        let ticking = Arc::clone(&control);
        let day = looked.day;
        let ticked = tokio::task::spawn_blocking(move || ticking.tick(day)).await;
        if let Err(error) = ticked {
            tracing::error!(%error, "a look at the calendar broke");
        }
    }
}

fn wait(control: &Control) -> Duration {
    let next = control.changing().lock().state.next_end_ms();
    let exceptions = control.next_exception_ms();
    let next = next.into_iter().chain(exceptions).min();
    let until = next.map_or(u64::MAX, |end| end.saturating_sub(control.moment_ms()));
    Duration::from_millis(until.clamp(LOOK_MS_MIN, LOOK_S_MAX * 1000))
}

fn say(jump: &Jump) {
    tracing::warn!(
        by_ms = jump.by_ms,
        standing = ?jump.standing,
        "the wall clock jumped; dates are judged by it only after it has held steady for a while"
    );
}

impl Control {
    /// Makes happen what is due on this day: nothing that fails here is lost, the next look tries again.
    pub(crate) fn tick(&self, day: Date) {
        let _turn = self.turn();
        for (what, done) in [("an end", self.end_what_is_over(day)), ("a root", self.turn_roots(day))] {
            if let Err(problem) = done {
                tracing::error!("{what} that is due cannot be put in force: {problem}");
                self.overdue().store(true, std::sync::atomic::Ordering::Relaxed);
                return;
            }
        }
        self.overdue().store(false, std::sync::atomic::Ordering::Relaxed);
        self.tell_sunsets();
    }

    /// Choices and exceptions that are over, and algorithms whose last day has passed.
    fn end_what_is_over(&self, day: Date) -> Result<(), Problem> {
        let (settings, state, in_force, known_day) = {
            let changing = self.changing().lock();
            (changing.settings.clone(), changing.state.clone(), Arc::clone(&changing.in_force), changing.day)
        };
        let swept = self.swept(&settings, &state);
        let wanted = wanted(&settings, swept.as_ref().unwrap_or(&state), self.moment_ms())?;
        let over = swept.is_some() || wanted.peers.len() != in_force.wanted.peers.len();
        if day == known_day && !over && same(&wanted, &in_force.wanted) {
            return Ok(());
        }
        let next = swept.unwrap_or_else(|| state.next());
        let conditions = conditions(&settings, &next, day);
        let (wanted, mut said) = without_the_ended(&settings, wanted, &conditions);
        let compiled = compile(wanted, conditions)?;
        let (before, after) = in_force.differences(&compiled);
        if before.is_empty() && after.is_empty() {
            let mut changing = self.changing().lock();
            changing.day = day;
            // A choice of what is configured anyway has ended without a trace: it is over all the same.
            changing.state = next.at(state.epoch);
            return Ok(());
        }
        if said.is_empty() {
            let what =
                if day == known_day { "an exception or a choice has ended" } else { "a date has passed" };
            said.push(what.to_owned());
        }
        let drain = Drain::Usual(settings.crypto.drain);
        let draft = super::change::Draft { settings, state: next, compiled, own: None };
        let name = day.to_string();
        let change = Change {
            method: "crypto/end",
            name: &name,
            what: said.join("; "),
            by: CALENDAR,
            reason: "",
            drain,
            fresh: false,
        };
        self.commit(draft, &change).map(drop)
    }

    /// A new root begins to issue, or an old one has had its time.
    fn turn_roots(&self, day: Date) -> Result<(), Problem> {
        let Some(due) = self.roots_due() else { return Ok(()) };
        if due > SystemTime::now() {
            return Ok(());
        }
        self.replace_certificates(day)
    }

    /// Tells the figures how long algorithms in force have left.
    pub(crate) fn tell_sunsets(&self) {
        let now_s = i64::try_from(self.moment_ms() / 1000).unwrap_or(i64::MAX);
        let sunsets: Vec<(String, i64)> = self
            .endings()
            .into_iter()
            .filter_map(|ending| {
                let last: Date = ending.not_after?.parse().ok()?;
                let end = last.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
                Some((ending.algorithm, end - now_s))
            })
            .collect();
        self.node().metrics.set_sunsets(&sunsets);
    }
}

/// Whether the same profiles are wanted everywhere, whoever wants them. One that a date has replaced stays replaced.
fn same(wanted: &super::wanted::Wanted, in_force: &super::wanted::Wanted) -> bool {
    let places = wanted.places().zip(in_force.places());
    places.into_iter().all(|(a, b)| a.profile == b.profile || b.why.ends_with("has ended"))
        && wanted.peers == in_force.peers
}
