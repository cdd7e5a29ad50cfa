//! Which calls are traced, and how their servers hear of it.
//!
//! The context comes in `params._meta` (MCP), else in the header (W3C Trace Context), and goes on in both. A caller that keeps
//! its trace has its calls kept; one that says not to has it so; of those that say nothing, a share is kept. A call that is
//! not kept passes byte for byte.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use lockgate_crypto::random;
use lockgate_live::{Trace, TraceParent};
use lockgate_mcp::Message;

use crate::stage::Stage;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// More than every draw: nothing is traced, not even what callers trace.
const OFF: u64 = u64::MAX;

/// Which calls are traced: of those whose caller does not say, so many out of 2^32.
#[derive(Debug)]
pub struct Tracing(AtomicU64);

impl Default for Tracing {
    fn default() -> Self {
        Self(AtomicU64::new(OFF))
    }
}

impl Tracing {
    /// Traces what callers trace, and `share` of what they do not speak of, from 0 to 1; nothing at all for `None`.
    pub fn set(&self, share: Option<f64>) {
        // Within 0 to 2^32, where the cast is exact enough.
        let share = share.map_or(OFF, |share| (share.clamp(0.0, 1.0) * 4_294_967_296.0) as u64);
        self.0.store(share, Ordering::Relaxed);
    }

    /// Decides on a message that came with `headers`. The message and the headers that go on name the span that forwards.
    pub(crate) fn begin(&self, message: Message, headers: &mut HeaderMap) -> (Option<Trace>, Message) {
        let share = self.0.load(Ordering::Relaxed);
        if share == OFF {
            return (None, message);
        }
        let said = in_meta(&message);
        let above = said.or_else(|| in_headers(headers));
        if !above.map_or_else(|| is_drawn(share), |above| above.sampled) {
            return (None, message);
        }
        let trace = Trace::begin(above, random::fill);
        let below = trace.below(Stage::Forward.number()).to_string();
        // What the text of a context may be is JSON as it is. Answers have no `_meta` to carry it.
        let message = message.with_meta_member("traceparent", &format!("\"{below}\"")).unwrap_or(message);
        if said.is_some() || above.is_none() {
            // Of another trace than the one that goes on.
            headers.remove(TRACESTATE);
        }
        let value = HeaderValue::from_str(&below).expect("digits and dashes");
        headers.insert(TRACEPARENT, value);
        (Some(trace), message)
    }
}

fn in_meta(message: &Message) -> Option<TraceParent> {
    let raw = message.meta_member_raw("traceparent")?;
    TraceParent::read(raw.strip_prefix('"')?.strip_suffix('"')?)
}

/// Of two headers neither counts.
fn in_headers(headers: &HeaderMap) -> Option<TraceParent> {
    let mut values = headers.get_all(TRACEPARENT).iter();
    let only = values.next().filter(|_| values.next().is_none())?;
    TraceParent::read(only.to_str().ok()?)
}

fn is_drawn(share: u64) -> bool {
    let mut draw = [0; 4];
    random::fill(&mut draw);
    u64::from(u32::from_le_bytes(draw)) < share
}

#[cfg(test)]
mod tests {
    use crate::limits::Limits;
    use bytes::Bytes;

    use super::*;

    const ABOVE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const OTHER: &str = "00-11111111111111111111111111111111-2222222222222222-01";

    fn message(params: &str) -> Message {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        Message::decode(Bytes::from(text), &Limits::default().requests()).unwrap()
    }

    fn on(share: f64) -> Tracing {
        let tracing = Tracing::default();
        tracing.set(Some(share));
        tracing
    }

    fn headers(parent: Option<&str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
        if let Some(parent) = parent {
            headers.insert(TRACEPARENT, HeaderValue::from_str(parent).unwrap());
        }
        headers
    }

    #[test]
    fn what_is_not_kept_passes_as_it_came() {
        let plain = r#"{"name":"x","arguments":{}}"#;
        let unkept = format!(r#"{{"name":"x","_meta":{{"traceparent":"{}"}}}}"#, ABOVE.replace("-01", "-00"));
        for (tracing, params) in [
            (Tracing::default(), plain.to_owned()),
            (Tracing::default(), unkept.replace("-00\"", "-01\"")),
            (on(0.0), plain.to_owned()),
            (on(1.0), unkept),
        ] {
            let (before, mut headers) = (message(&params), headers(None));
            let (trace, after) = tracing.begin(before.clone(), &mut headers);
            assert_eq!((trace, after.bytes()), (None, before.bytes()));
            assert!(headers.contains_key(TRACESTATE) && !headers.contains_key(TRACEPARENT));
        }
    }

    #[test]
    fn a_trace_goes_on_below_the_span_that_forwards() {
        let in_meta =
            format!(r#"{{"name":"x","_meta":{{"a":1,"traceparent":"{ABOVE}","tracestate":"t=1"}}}}"#);
        for (share, params, header, parent, keeps_state) in [
            (0.0, in_meta.as_str(), Some(OTHER), Some(ABOVE), false),
            (0.0, r#"{"name":"x"}"#, Some(ABOVE), Some(ABOVE), true),
            (1.0, r#"{"name":"x","_meta":{}}"#, None, None, false),
            // What cannot be read is taken for absent, and replaced.
            (1.0, r#"{"name":"x","_meta":{"traceparent":7}}"#, Some("rubbish"), None, false),
        ] {
            let mut headers = headers(header);
            let (trace, after) = on(share).begin(message(params), &mut headers);
            let trace = trace.unwrap_or_else(|| panic!("kept: {params}"));
            let above = parent.and_then(TraceParent::read);
            assert_eq!(trace.parent, above.map(|above| above.span));
            assert!(above.is_none_or(|above| above.trace == trace.id));
            let below = trace.below(8).to_string();
            assert_eq!(after.meta_member_raw("traceparent"), Some(format!("\"{below}\"").as_str()));
            assert_eq!(headers.get(TRACEPARENT).unwrap(), below.as_str());
            assert_eq!(headers.contains_key(TRACESTATE), keeps_state, "{params}");
            assert_eq!(after.name(), Some("x"));
        }
        // The rest of `_meta` stays.
        let (_, after) = on(0.0).begin(message(&in_meta), &mut headers(None));
        assert!(after.text().contains(r#""a":1"#) && after.text().contains(r#""tracestate":"t=1""#));
    }
}
