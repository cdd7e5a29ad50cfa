//! How often a policy may permit one agent something.
//!
//! Each pair of rule and agent has an account of one number: the time at which
//! its past calls would have been spaced out evenly (the generic cell rate
//! algorithm of ITU-T I.371). No list of time stamps, no clock of its own, and
//! the same calls at the same times give the same answers.

use std::collections::HashMap;

use parking_lot::Mutex;

/// Accounts kept. 65,536 is 256 agents with 256 rated rules each, some 10 MiB.
/// Those that are settled are dropped first; when all are in use, new ones are
/// refused: forgetting one would give its agent a fresh budget.
const ACCOUNTS_MAX: usize = 65_536;

/// Most calls in one period.
const CALLS_MAX: u64 = 1_000_000;

const NS_PER_MS: u64 = 1_000_000;

/// A number of calls in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    calls: u64,
    period_ns: u64,
}

impl Rate {
    /// Reads `30/minute`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (calls, unit) = text.split_once('/')?;
        let calls = calls.trim().parse().ok().filter(|calls| (1..=CALLS_MAX).contains(calls))?;
        let seconds: u64 = match unit.trim() {
            "second" => 1,
            "minute" => 60,
            "hour" => 3_600,
            "day" => 86_400,
            _ => return None,
        };
        Some(Rate { calls, period_ns: seconds * 1_000 * NS_PER_MS })
    }

    /// When the account is settled, as seen now. A clock that was set back must
    /// not lock an agent out for as long.
    fn settled(self, settled_ns: u64, now_ns: u64) -> u64 {
        settled_ns.clamp(now_ns, now_ns.saturating_add(self.period_ns))
    }

    /// When the account would be settled after one more call now; or, in
    /// milliseconds, how long that call has to wait.
    fn after(self, settled_ns: u64, now_ns: u64) -> Result<u64, u64> {
        let settled = self.settled(settled_ns, now_ns);
        let next = settled.saturating_add(self.period_ns / self.calls);
        let limit = now_ns.saturating_add(self.period_ns);
        if next <= limit { Ok(next) } else { Err((next - limit).div_ceil(NS_PER_MS)) }
    }
}

/// All accounts. They outlive a reload of the policies.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    settled_ns: Mutex<HashMap<(String, String), u64>>,
}

impl Ledger {
    /// Whether one more call is within the rate, without counting it.
    ///
    /// # Errors
    /// How long to wait, in milliseconds.
    pub(crate) fn look(&self, rate: Rate, rule: &str, agent: &str, now_ms: u64) -> Result<(), u64> {
        let accounts = self.settled_ns.lock();
        let settled = accounts.get(&(rule.to_owned(), agent.to_owned())).copied().unwrap_or(0);
        rate.after(settled, now_ms.saturating_mul(NS_PER_MS)).map(drop)
    }

    /// Counts one call.
    ///
    /// # Errors
    /// How long to wait, in milliseconds; nothing is counted then.
    pub(crate) fn take(&self, rate: Rate, rule: &str, agent: &str, now_ms: u64) -> Result<(), u64> {
        let now_ns = now_ms.saturating_mul(NS_PER_MS);
        let key = (rule.to_owned(), agent.to_owned());
        let mut accounts = self.settled_ns.lock();
        let settled = match accounts.get(&key) {
            Some(&settled) => settled,
            None if accounts.len() < ACCOUNTS_MAX => 0,
            None => {
                accounts.retain(|_, settled| *settled > now_ns);
                if accounts.len() >= ACCOUNTS_MAX {
                    return Err(rate.period_ns / NS_PER_MS);
                }
                0
            }
        };
        let next = rate.after(settled, now_ns);
        accounts.insert(key, next.unwrap_or(rate.settled(settled, now_ns)));
        next.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, expected) in [
            ("30/minute", Some((30, 60_000_000_000))),
            (" 1 / day ", Some((1, 86_400_000_000_000))),
            ("0/minute", None),
            ("1000001/second", None),
            ("-1/second", None),
            ("5/week", None),
            ("5", None),
            ("", None),
        ] {
            let found = Rate::parse(text).map(|rate| (rate.calls, rate.period_ns));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn a_budget_is_used_up_and_comes_back() {
        let (ledger, rate) = (Ledger::default(), Rate::parse("3/minute").expect("valid"));
        let take = |agent: &str, now_ms| ledger.take(rate, "r", agent, now_ms);
        for _ in 0..3 {
            assert_eq!(take("a", 10_000_000), Ok(()));
        }
        assert_eq!(take("a", 10_000_000), Err(20_000));
        assert_eq!(ledger.look(rate, "r", "a", 10_010_000), Err(10_000));
        assert_eq!(take("b", 10_000_000), Ok(()));
        assert_eq!(ledger.take(rate, "other", "a", 10_000_000), Ok(()));
        assert_eq!(take("a", 10_020_000), Ok(()));
        assert_eq!(take("a", 10_020_000), Err(20_000));
        // The clock was set back by an hour: a minute later all is well.
        assert_eq!(take("a", 10_020_000 - 3_600_000), Err(20_000));
        assert_eq!(take("a", 10_020_000 - 3_600_000 + 60_000), Ok(()));
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_flow(
            calls in 1u64..20,
            steps in prop::collection::vec(0u64..5_000, 1..200),
        ) {
            let rate = Rate::parse(&format!("{calls}/minute")).expect("valid");
            let ledger = Ledger::default();
            let (mut now, mut passed) = (10_000_000u64, 0u64);
            for step in steps {
                now += step;
                passed += u64::from(ledger.take(rate, "r", "a", now).is_ok());
            }
            prop_assert!(passed <= calls + (now - 10_000_000) * calls / 60_000 + 1);
        }
    }
}
