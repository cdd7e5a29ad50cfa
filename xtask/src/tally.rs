//! Counting what passed, out of what test runners print.

use std::fmt;

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    /// One test.
    pub(crate) fn one(passed: bool) -> Self {
        Self { passed: u64::from(passed), failed: u64::from(!passed), skipped: 0 }
    }

    /// Adds another tally.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Counts a line of output, if it is one that counts: `cargo test` sums up each binary, the
    /// scripts print one line a test in the Test Anything Protocol.
    pub(crate) fn read(&mut self, line: &str) {
        if let Some(summary) = line.trim_start().strip_prefix("test result: ") {
            let number = |unit: &str| number_before(summary, unit).unwrap_or(0);
            let (passed, failed) = (number(" passed"), number(" failed"));
            self.add(Self { passed, failed, skipped: number(" ignored") });
        } else if line.starts_with("not ok ") {
            self.failed += 1;
        } else if line.starts_with("ok ") {
            let skipped = line.contains("# SKIP");
            self.skipped += u64::from(skipped);
            self.passed += u64::from(!skipped);
        }
    }

    /// What the runner itself said has the last word: a stage that broke off has failed, and so
    /// has one that ran nothing.
    pub(crate) fn judge(mut self, succeeded: bool) -> Self {
        let nothing_ran = self.passed == 0 && self.failed == 0;
        if self.failed == 0 && (!succeeded || nothing_ran) {
            self.failed = 1;
        }
        self
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

fn number_before(text: &str, unit: &str) -> Option<u64> {
    let before = &text[..text.find(unit)?];
    before.rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read(line));
        tally
    }

    #[test]
    fn both_runners_are_counted() {
        let tally = read(&[
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
            "test result: FAILED. 3 passed; 2 failed; 0 ignored; 0 measured",
            "test something ... ok",
            "ok 1 - the first",
            "not ok 2 - the second",
            "ok 3 - the third # SKIP not on this machine",
            "okay then",
        ]);
        assert_eq!(tally, Tally { passed: 16, failed: 3, skipped: 2 });
        assert_eq!(tally.to_string(), "16 passed, 3 failed, 2 skipped");
    }

    #[test]
    fn a_stage_that_breaks_off_or_runs_nothing_has_failed() {
        assert_eq!(read(&["ok 1 - a"]).judge(false).failed, 1);
        assert_eq!(read(&[]).judge(true).failed, 1);
        assert_eq!(read(&["ok 1 - a"]).judge(true).failed, 0);
        assert_eq!(read(&["not ok 1 - a", "not ok 2 - b"]).judge(false).failed, 2);
    }
}
