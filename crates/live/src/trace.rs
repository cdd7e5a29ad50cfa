//! The trace that a call belongs to: W3C Trace Context (Level 1), version 00, as it stands in a `traceparent`.

use std::fmt;

use serde::{Deserialize, Serialize, de};

/// Length of a `traceparent` of version 00, in bytes: `00-` 32 `-` 16 `-` 2.
const TRACEPARENT_BYTES: usize = 55;

/// Bit of the flags that says that the trace is kept.
const SAMPLED: u8 = 1;

/// An id of so many bytes, not all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id<const N: usize>([u8; N]);

/// Names a trace.
pub type TraceId = Id<16>;

/// Names a span within its trace.
pub type SpanId = Id<8>;

impl<const N: usize> Id<N> {
    /// The id of these bytes; all zeros are none.
    pub fn new(bytes: [u8; N]) -> Option<Self> {
        (bytes != [0; N]).then_some(Self(bytes))
    }

    /// Of the lower-case hexadecimal digits that the standard wants.
    fn read(text: &str) -> Option<Self> {
        if text.len() != 2 * N {
            return None;
        }
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; N];
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Self::new(bytes)
    }
}

impl SpanId {
    /// The id of the `n`th part of this span: another one for each `n` from 1 to 255.
    pub fn part(self, n: u8) -> Self {
        let mut bytes = self.0;
        bytes[7] ^= n;
        // Seven zeros and `n` is the one id whose part would be none.
        Self::new(bytes).unwrap_or(Self([0xff; 8]))
    }
}

impl<const N: usize> fmt::Display for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> Serialize for Id<N> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Id<N> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).ok_or_else(|| de::Error::custom("no id of a trace or span"))
    }
}

/// Where a span hangs: a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace.
    pub trace: TraceId,
    /// The span above.
    pub span: SpanId,
    /// Whether whoever is above keeps it.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads one. What is malformed counts as absent, as the standard has it; of a version that is not known yet, the part
    /// that is.
    pub fn read(text: &str) -> Option<Self> {
        let known = text.get(..TRACEPARENT_BYTES)?;
        let mut parts = known.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = Id::<1>::read(version).map_or(0, |id| id.0[0]);
        let is_known = parts.next().is_none() && known.starts_with("00") && text.len() == TRACEPARENT_BYTES;
        let is_newer = version != 0
            && version != 0xff
            && text.as_bytes().get(TRACEPARENT_BYTES).is_none_or(|&byte| byte == b'-');
        if !is_known && !is_newer || flags.len() != 2 {
            return None;
        }
        let flags = match flags {
            "00" => 0,
            flags => Id::<1>::read(flags)?.0[0],
        };
        Some(Self { trace: TraceId::read(trace)?, span: SpanId::read(span)?, sampled: flags & SAMPLED != 0 })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, u8::from(self.sampled))
    }
}

/// The span of one call, which is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// The trace that it belongs to.
    pub id: TraceId,
    /// Its span. The `n`th stage is its [part](SpanId::part) `n`.
    pub span: SpanId,
    /// The caller's span.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<SpanId>,
}

impl Trace {
    /// A call in the trace of its caller, or in one of its own. `random` makes ids, and is asked for eight bytes of entropy
    /// or more at a time.
    pub fn begin(above: Option<TraceParent>, mut random: impl FnMut(&mut [u8])) -> Self {
        let (mut trace, mut span) = ([0; 16], [0; 8]);
        random(&mut span);
        if above.is_none() {
            random(&mut trace);
        }
        // Whatever the odds, ids of zeros are none.
        span[0] |= 1;
        trace[0] |= 1;
        let own = TraceId::new(trace).expect("a bit of it is set");
        let span = SpanId::new(span).expect("a bit of it is set");
        Self { id: above.map_or(own, |above| above.trace), span, parent: above.map(|above| above.span) }
    }

    /// What the server that a call is forwarded to hangs its own spans below: the stage that forwards.
    pub fn below(&self, stage: u8) -> TraceParent {
        TraceParent { trace: self.id, span: self.span.part(stage), sampled: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let parent = TraceParent::read(GOOD).unwrap();
        assert!(parent.sampled);
        assert_eq!(parent.to_string(), GOOD);
        assert!(!TraceParent::read(&GOOD.replace("-01", "-00")).unwrap().sampled);
        // Further flags, and what a later version adds, are for those who know them.
        assert!(TraceParent::read(&GOOD.replace("-01", "-03")).unwrap().sampled);
        let later = GOOD.replacen("00-", "cc-", 1);
        assert_eq!(TraceParent::read(&later), Some(parent));
        assert_eq!(TraceParent::read(&format!("{later}-more")), Some(parent));
    }

    #[test]
    fn what_is_malformed_counts_as_absent() {
        let zeros = |n: usize| "0".repeat(n);
        for bad in [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}-"),
            format!("{GOOD}0"),
            GOOD.replacen("00-", "ff-", 1),
            GOOD.replacen("00-", "0-0", 1),
            GOOD.to_uppercase(),
            GOOD.replace("0af7651916cd43dd8448eb211c80319c", &zeros(32)),
            GOOD.replace("b7ad6b7169203331", &zeros(16)),
            GOOD.replace("b7ad6b7169203331", "b7ad6b716920333é"),
            GOOD.replace("-01", "-0x"),
            GOOD.replace('-', "_"),
            format!("{}x", GOOD.replacen("00-", "cc-", 1)),
            "é".repeat(40),
        ] {
            assert_eq!(TraceParent::read(&bad), None, "{bad}");
        }
    }

    #[test]
    fn a_call_hangs_below_its_caller_and_its_parts_below_it() {
        let above = TraceParent::read(GOOD).unwrap();
        let trace = Trace::begin(Some(above), |bytes| bytes.fill(0));
        assert_eq!((trace.id, trace.parent), (above.trace, Some(above.span)));
        let own = Trace::begin(None, |bytes| bytes.fill(0));
        assert_ne!(own.id, above.trace);
        assert_eq!(own.parent, None);
        let parts: std::collections::HashSet<SpanId> = (1..=9).map(|n| own.span.part(n)).collect();
        assert!(parts.len() == 9 && !parts.contains(&own.span));
        let lone = SpanId::new([0, 0, 0, 0, 0, 0, 0, 8]).unwrap();
        assert_ne!(lone.part(8).to_string(), "0000000000000000");
        let written = serde_json::to_string(&own).unwrap();
        assert_eq!(serde_json::from_str::<Trace>(&written).unwrap(), own);
    }
}
