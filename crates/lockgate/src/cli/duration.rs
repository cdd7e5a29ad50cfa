//! Lifetimes as people write them.

use std::str::FromStr;

/// A span of whole seconds, written like `15m`, `2h` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) u64);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match seconds_or_none(text)? {
            0 => Err("it must be a second or longer".to_owned()),
            seconds => Ok(Self(seconds)),
        }
    }
}

/// Seconds as people write them, where none is an answer, too: `0s`.
pub(super) fn seconds_or_none(text: &str) -> Result<u64, String> {
    let form = || "write it like 15m, 2h, 1h30m or 7d".to_owned();
    let span: jiff::Span = text.parse().map_err(|_| form())?;
    let duration = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| form())?;
    let whole = duration.subsec_nanos() == 0;
    u64::try_from(duration.as_secs())
        .ok()
        .filter(|_| whole)
        .ok_or_else(|| "it must be whole seconds".to_owned())
}

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (hours, minutes, seconds) = (self.0 / 3600, self.0 / 60 % 60, self.0 % 60);
        for (count, unit) in [(hours, "h"), (minutes, "m"), (seconds, "s")] {
            if count > 0 {
                write!(f, "{count}{unit}")?;
            }
        }
        if self.0 == 0 { f.write_str("0s") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Seconds, seconds_or_none};

    #[test]
    fn reads_and_writes() {
        for (text, seconds, back) in [
            ("15m", 900, "15m"),
            ("2h", 7200, "2h"),
            ("1h30m", 5400, "1h30m"),
            ("90s", 90, "1m30s"),
            ("7d", 604_800, "168h"),
        ] {
            let read: Seconds = text.parse().unwrap();
            assert_eq!((read.0, read.to_string().as_str()), (seconds, back));
        }
        for bad in ["", "15", "0s", "-5m", "soon", "1ms"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
        assert_eq!(seconds_or_none("0s"), Ok(0));
        assert!(seconds_or_none("-1s").is_err() && seconds_or_none("1mo").is_err());
    }
}
