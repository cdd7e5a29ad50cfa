//! Traces and figures on their way to a collector.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use lockgate_admin::TelemetryView;
use lockgate_export::Standing;
use lockgate_export::telemetry::{Figures, SpanFeed, spans};
use lockgate_live::Event;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::agility::Dialled;
use super::control::Control;
use super::exports::Place;
use crate::config::{Settings, TelemetryPlan};
use crate::diagnostic::Diagnostic;

/// The collector that things are sent to, if there is one.
#[derive(Default)]
pub(super) struct Telemetry {
    at_work: Mutex<Option<AtWork>>,
    feed: ArcSwapOption<SpanFeed>,
}

struct AtWork {
    plan: TelemetryPlan,
    traces: Arc<Standing>,
    metrics: Option<Arc<Standing>>,
    end: CancellationToken,
}

impl Telemetry {
    /// Hands an event on to be sent, if it is part of a trace.
    pub(super) fn seen(&self, event: &Event) {
        if let Some(feed) = &*self.feed.load() {
            feed.seen(event);
        }
    }

    /// How it stands.
    pub(super) fn shown(&self) -> Vec<TelemetryView> {
        let at_work = self.at_work.lock();
        let Some(at_work) = at_work.as_ref() else { return Vec::new() };
        let view = |kind: &str, standing: &Standing| {
            let standing = standing.view();
            TelemetryView {
                kind: kind.to_owned(),
                to: at_work.plan.path(kind).to_string(),
                sent: standing.sent,
                lost: standing.lost,
                sent_ms: standing.sent_ms,
                problem: standing.problem,
                failing_since_ms: standing.failing_since_ms,
            }
        };
        let metrics = at_work.metrics.as_ref().map(|standing| view("metrics", standing));
        [view("traces", &at_work.traces)].into_iter().chain(metrics).collect()
    }
}

impl Control {
    /// Begins to send traces and figures as the settings say, or ends it.
    ///
    /// # Errors
    /// Roots or algorithms that cannot be used; what was at work goes on.
    pub(super) fn put_telemetry(&self, new: &Settings) -> Result<Option<String>, Diagnostic> {
        let telemetry = self.telemetry();
        let mut at_work = telemetry.at_work.lock();
        if at_work.as_ref().map(|old| &old.plan) == new.telemetry.as_ref() {
            return Ok(None);
        }
        let mut dialled = Vec::new();
        let begun = match &new.telemetry {
            Some(plan) => Some(self.begin_telemetry(plan, new, &mut dialled)?),
            None => None,
        };
        let mut changing = self.changing().lock();
        changing.dialled.retain(|dialled| dialled.name != TelemetryPlan::PLACE);
        changing.dialled.extend(dialled);
        drop(changing);
        self.node().tracing.set(new.telemetry.as_ref().map(|plan| plan.traces));
        let (next, feed) = begun.unzip();
        telemetry.feed.store(feed.map(Arc::new));
        let said = next.as_ref().map_or_else(
            || "no telemetry is sent any more".to_owned(),
            |next: &AtWork| format!("telemetry goes to {}", next.plan.otlp),
        );
        if let Some(old) = std::mem::replace(&mut *at_work, next) {
            old.end.cancel();
        }
        Ok(Some(said))
    }

    fn begin_telemetry(
        &self,
        plan: &TelemetryPlan,
        settings: &Settings,
        dialled: &mut Vec<Dialled>,
    ) -> Result<(AtWork, SpanFeed), Diagnostic> {
        let url = plan.path("traces");
        let place =
            Place { name: TelemetryPlan::PLACE, what: "telemetry", url: &url, roots: plan.roots.as_deref() };
        let in_force = Arc::clone(&self.changing().lock().in_force);
        let sink = self.web_sink(&place, plan.token.as_deref(), (settings, &in_force), dialled)?;
        let end = self.node().draining.child_token();
        let traces = Arc::default();
        let (feed, sender) = spans(&traces);
        let metrics = (plan.metrics_s > 0).then(|| {
            let standing = Arc::default();
            let figures = Figures {
                sink: sink.at(plan.path("metrics")),
                every: Duration::from_secs(plan.metrics_s),
                since_ms: self.node().since_ms(),
                standing: Arc::clone(&standing),
            };
            let node = Arc::clone(self.node());
            tokio::spawn(figures.run(move || node.metrics.encode(), end.clone()));
            standing
        });
        tokio::spawn(sender.run(sink, end.clone()));
        Ok((AtWork { plan: plan.clone(), traces, metrics, end }, feed))
    }
}
