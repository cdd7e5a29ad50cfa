//! Figures, sent as they stand at every so many seconds.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::openmetrics;
use crate::error::ExportError;
use crate::otlp;
use crate::sink::HttpSink;
use crate::standing::Standing;

/// Longest time that a request may take, in seconds.
const SEND_S_MAX: u64 = 10;

/// Sends figures.
pub struct Figures {
    /// Where to.
    pub sink: HttpSink,
    /// How often.
    pub every: Duration,
    /// Since when they are counted, Unix milliseconds.
    pub since_ms: u64,
    /// How it stands; what it counts are requests.
    pub standing: Arc<Standing>,
}

impl Figures {
    /// Sends what `read` gives, in the text format of OpenMetrics, until `end`.
    pub async fn run(self, read: impl Fn() -> String, end: CancellationToken) {
        let mut tick = interval(self.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = end.cancelled() => return,
            }
            let text = read();
            tokio::select! {
                sent = self.send(&text) => match sent {
                    Ok(()) => self.standing.sent(1),
                    Err(error) if self.standing.failed(error.to_string()) => {
                        tracing::warn!(%error, "figures are not taken");
                    }
                    Err(_) => {}
                },
                () = end.cancelled() => return,
            }
        }
    }

    async fn send(&self, text: &str) -> Result<(), ExportError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let since = u128::from(self.since_ms) * 1_000_000;
        let metrics = openmetrics::to_otlp(text, since, now);
        let request = json!({ "resourceMetrics": [{
            "resource": otlp::resource(&self.sink.node),
            "scopeMetrics": [{ "scope": { "name": "lockgate" }, "metrics": metrics }],
        }]});
        let limit = Duration::from_secs(SEND_S_MAX);
        let sent = timeout(limit, otlp::send(&self.sink, &request, "rejectedDataPoints")).await;
        sent.unwrap_or(Err(ExportError::Late(limit)))
    }
}
