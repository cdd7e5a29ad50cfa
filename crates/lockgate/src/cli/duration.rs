//! Lifetimes as people write them.

use std::str::FromStr;

/// A span of whole seconds, written like `15m`, `2h` or `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub(crate) u64);

impl FromStr for Seconds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span: jiff::SignedDuration =
            text.parse().map_err(|_| "write it like 15m, 2h or 1h30m".to_owned())?;
        match u64::try_from(span.as_secs()) {
            Ok(seconds) if seconds > 0 => Ok(Self(seconds)),
            _ => Err("it must be a second or longer".to_owned()),
        }
    }
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
    use super::Seconds;

    #[test]
    fn reads_and_writes() {
        for (text, seconds, back) in
            [("15m", 900, "15m"), ("2h", 7200, "2h"), ("1h30m", 5400, "1h30m"), ("90s", 90, "1m30s")]
        {
            let read: Seconds = text.parse().unwrap();
            assert_eq!((read.0, read.to_string().as_str()), (seconds, back));
        }
        for bad in ["", "15", "0s", "-5m", "soon", "1ms"] {
            assert!(bad.parse::<Seconds>().is_err(), "{bad}");
        }
    }
}
