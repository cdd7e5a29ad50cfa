//! The day by which dates are judged, whatever the wall clock does.
//!
//! A clock that jumps, because somebody typed a wrong year or because a time server lies,
//! must not retire an algorithm, and must not bring one back. So the wall clock is believed
//! only as long as it moves like the monotonic one. When it does not, the day goes on from
//! where it was, and the new time counts only after it has held steady for
//! [`STEADY_MS`] of monotonic time.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// How long a wall clock that jumped must hold steady before it is believed, milliseconds.
pub const STEADY_MS: i64 = 10 * 60 * 1000;

/// What a wall clock may differ by without having jumped, milliseconds: leap seconds, and the
/// time between reading the one clock and the other.
const SLACK_MS: i64 = 2_000;

/// One in so many milliseconds more: clocks drift, and time servers slew them by up to 500
/// parts in a million.
const DRIFT_DIVISOR: i64 = 1_000;

const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Tells the day. It has no clock of its own: whoever asks brings both times.
#[derive(Clone, Debug)]
pub struct Calendar {
    /// The last moment that was believed.
    believed: Moment,
    /// What the wall clock has said since it jumped.
    doubted: Option<Doubted>,
}

/// What a look at the clocks gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looked {
    /// The day, UTC.
    pub day: Date,
    /// What the wall clock did, told once for each change.
    pub jumped: Option<Jump>,
}

/// The wall clock moved otherwise than the monotonic one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jump {
    /// By how much, milliseconds; negative when it went back.
    pub by_ms: i64,
    /// What follows from it.
    pub standing: Standing,
}

/// How much a jump counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It just happened; the day goes on as if it had not.
    Doubted,
    /// The new time has held steady: the day is now by it.
    Believed,
    /// The clock went back to where it would have been.
    Undone,
}

#[derive(Clone, Copy, Debug)]
struct Doubted {
    /// When the clock was first seen at the new time, which it must continue.
    first: Moment,
    last: Moment,
}

/// Both clocks, milliseconds. The wall clock counts from the Unix epoch.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall_ms: i64,
    mono_ms: i64,
}

impl Moment {
    fn new(wall: SystemTime, mono: Duration) -> Self {
        let wall_ms = match wall.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        };
        Self { wall_ms, mono_ms: millis(mono) }
    }

    /// By how much `later` is off from where this moment's wall clock would be by then.
    fn off(self, later: Self) -> i64 {
        later.wall_ms.saturating_sub(self.wall_at(later.mono_ms))
    }

    /// Whether `later` is where this moment's wall clock would be by then.
    fn leads_to(self, later: Self) -> bool {
        let slack = SLACK_MS.saturating_add(self.elapsed(later.mono_ms) / DRIFT_DIVISOR);
        self.off(later).saturating_abs() <= slack
    }

    fn wall_at(self, mono_ms: i64) -> i64 {
        self.wall_ms.saturating_add(self.elapsed(mono_ms))
    }

    fn elapsed(self, mono_ms: i64) -> i64 {
        mono_ms.saturating_sub(self.mono_ms).max(0)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Calendar {
    /// Believes the wall clock as it is now. `mono` is monotonic time since any fixed moment.
    #[must_use]
    pub fn new(wall: SystemTime, mono: Duration) -> Self {
        Self { believed: Moment::new(wall, mono), doubted: None }
    }

    /// Looks at both clocks. Look at least once a minute: a jump is noticed, and the time after
    /// it is judged to be steady, only when somebody looks.
    pub fn look(&mut self, wall: SystemTime, mono: Duration) -> Looked {
        let now = Moment::new(wall, mono);
        let jumped = if self.believed.leads_to(now) {
            self.believed = now;
            let undone = self.doubted.take();
            undone.map(|doubted| Jump { by_ms: doubted.last.off(now), standing: Standing::Undone })
        } else {
            self.doubt(now)
        };
        Looked { day: day_at(self.believed.wall_at(now.mono_ms)), jumped }
    }

    fn doubt(&mut self, now: Moment) -> Option<Jump> {
        let by_ms = self.believed.off(now);
        let steady = self.doubted.filter(|doubted| doubted.last.leads_to(now));
        let Some(doubted) = steady else {
            self.doubted = Some(Doubted { first: now, last: now });
            return Some(Jump { by_ms, standing: Standing::Doubted });
        };
        if doubted.first.elapsed(now.mono_ms) >= STEADY_MS {
            self.believed = now;
            self.doubted = None;
            return Some(Jump { by_ms, standing: Standing::Believed });
        }
        self.doubted = Some(Doubted { last: now, ..doubted });
        None
    }

    /// How long it is from `mono` to the start of the next day.
    #[must_use]
    pub fn until_next_day(&self, mono: Duration) -> Duration {
        let into_day = self.believed.wall_at(millis(mono)).rem_euclid(DAY_MS);
        Duration::from_millis(u64::try_from(DAY_MS - into_day).unwrap_or_default())
    }
}

/// The day of a time; the first or last day there is for a time out of bounds.
fn day_at(wall_ms: i64) -> Date {
    match Timestamp::from_millisecond(wall_ms) {
        Ok(timestamp) => timestamp.to_zoned(TimeZone::UTC).date(),
        Err(_) if wall_ms < 0 => Date::MIN,
        Err(_) => Date::MAX,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);
    const HOUR: Duration = Duration::from_hours(1);
    const DAY: Duration = Duration::from_hours(24);

    /// Clocks of one machine: they advance together unless the wall clock is set.
    struct Clocks {
        wall: SystemTime,
        mono: Duration,
        calendar: Calendar,
    }

    impl Clocks {
        fn at(time: &str) -> Self {
            let time: Timestamp = time.parse().unwrap();
            let (wall, mono) = (SystemTime::from(time), Duration::from_secs(1_000));
            Self { wall, mono, calendar: Calendar::new(wall, mono) }
        }

        fn look(&mut self) -> (String, Option<Standing>) {
            let looked = self.calendar.look(self.wall, self.mono);
            (looked.day.to_string(), looked.jumped.map(|jump| jump.standing))
        }

        fn pass(&mut self, time: Duration) -> (String, Option<Standing>) {
            self.wall += time;
            self.mono += time;
            self.look()
        }

        /// Passes minute by minute; the looks between say nothing.
        fn pass_minutes(&mut self, minutes: u32, day: &str) {
            for _ in 0..minutes {
                assert_eq!(self.pass(MINUTE), (day.to_owned(), None));
            }
        }
    }

    fn day(text: &str) -> (String, Option<Standing>) {
        (text.to_owned(), None)
    }

    fn said(text: &str, standing: Standing) -> (String, Option<Standing>) {
        (text.to_owned(), Some(standing))
    }

    #[test]
    fn days_pass_at_midnight_utc() {
        let mut clocks = Clocks::at("2030-12-31T23:58:30Z");
        assert_eq!(clocks.look(), day("2030-12-31"));
        assert_eq!(clocks.calendar.until_next_day(clocks.mono), Duration::from_secs(90));
        assert_eq!(clocks.pass(MINUTE), day("2030-12-31"));
        assert_eq!(clocks.pass(MINUTE), day("2031-01-01"));
        assert_eq!(clocks.pass(3 * DAY), day("2031-01-04"));
    }

    #[test]
    fn a_clock_that_leaps_ahead_is_believed_after_ten_steady_minutes() {
        let mut clocks = Clocks::at("2026-11-22T12:00:00Z");
        clocks.wall += 4000 * DAY;
        assert_eq!(clocks.look(), said("2026-11-22", Standing::Doubted));
        clocks.pass_minutes(9, "2026-11-22");
        assert_eq!(clocks.pass(MINUTE), said("2037-11-04", Standing::Believed));
        clocks.pass_minutes(3, "2037-11-04");
    }

    #[test]
    fn a_clock_that_goes_back_does_not_bring_a_day_back_at_once() {
        let mut clocks = Clocks::at("2031-01-01T00:30:00Z");
        clocks.wall -= 2 * HOUR;
        assert_eq!(clocks.look(), said("2031-01-01", Standing::Doubted));
        clocks.pass_minutes(9, "2031-01-01");
        assert_eq!(clocks.pass(MINUTE), said("2030-12-31", Standing::Believed));
    }

    /// The day goes on by the monotonic clock meanwhile.
    #[test]
    fn a_doubted_clock_does_not_stop_the_days() {
        let mut clocks = Clocks::at("2030-12-31T23:58:00Z");
        clocks.wall -= 400 * DAY;
        assert_eq!(clocks.look(), said("2030-12-31", Standing::Doubted));
        assert_eq!(clocks.calendar.until_next_day(clocks.mono), 2 * MINUTE);
        assert_eq!(clocks.pass(MINUTE), day("2030-12-31"));
        assert_eq!(clocks.pass(MINUTE), day("2031-01-01"));
    }

    #[test]
    fn a_clock_that_jumps_about_is_never_believed() {
        let mut clocks = Clocks::at("2026-11-22T12:00:00Z");
        for n in 1..=30 {
            clocks.wall += n * DAY;
            assert_eq!(clocks.look(), said("2026-11-22", Standing::Doubted));
            clocks.pass_minutes(9, "2026-11-22");
        }
    }

    #[test]
    fn a_jump_that_is_taken_back_leaves_nothing_behind() {
        let mut clocks = Clocks::at("2026-11-22T12:00:00Z");
        clocks.wall += 30 * DAY;
        assert_eq!(clocks.look(), said("2026-11-22", Standing::Doubted));
        clocks.pass_minutes(8, "2026-11-22");
        clocks.wall -= 30 * DAY;
        let looked = clocks.calendar.look(clocks.wall, clocks.mono);
        assert_eq!(looked.jumped, Some(Jump { by_ms: -30 * DAY_MS, standing: Standing::Undone }));
        clocks.pass_minutes(30, "2026-11-22");
        // The next one starts from nothing.
        clocks.wall += 30 * DAY;
        assert_eq!(clocks.look(), said("2026-11-22", Standing::Doubted));
        clocks.pass_minutes(9, "2026-11-22");
    }

    /// A suspended machine's monotonic clock stands still.
    #[test]
    fn after_a_night_asleep_the_day_catches_up() {
        let mut clocks = Clocks::at("2030-12-31T18:00:00Z");
        clocks.wall += 14 * HOUR;
        assert_eq!(clocks.look(), said("2030-12-31", Standing::Doubted));
        clocks.pass_minutes(9, "2030-12-31");
        assert_eq!(clocks.pass(MINUTE), said("2031-01-01", Standing::Believed));
    }

    #[test]
    fn drift_and_slew_are_no_jumps() {
        let mut clocks = Clocks::at("2026-11-22T12:00:00Z");
        for _ in 0..1_000 {
            clocks.wall += Duration::from_millis(30);
            assert_eq!(clocks.pass(MINUTE).1, None);
        }
    }

    #[test]
    fn times_out_of_bounds_have_a_day_too() {
        let mono = Duration::ZERO;
        assert_eq!(day_at(i64::MAX), Date::MAX);
        assert_eq!(day_at(i64::MIN), Date::MIN);
        let before = SystemTime::UNIX_EPOCH - DAY;
        assert_eq!(Calendar::new(before, mono).look(before, mono).day.to_string(), "1969-12-31");
    }

    proptest! {
        /// However the wall clock is set, the day never differs from that of a good clock
        /// before ten minutes have passed.
        #[test]
        fn no_setting_counts_within_ten_minutes(
            jumps in prop::collection::vec((-20_000_000i64..20_000_000, 0u64..60), 1..9),
        ) {
            let start: Timestamp = "2026-11-22T12:00:00Z".parse().unwrap();
            let mut calendar = Calendar::new(SystemTime::from(start), Duration::ZERO);
            let mut passed = 0;
            for (seconds, step_s) in jumps {
                passed += step_s;
                let wall = start + Duration::from_secs(passed);
                let wall = wall.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap();
                let looked = calendar.look(SystemTime::from(wall), Duration::from_secs(passed));
                prop_assert_eq!(looked.day.to_string(), "2026-11-22");
            }
        }
    }
}
