//! The admin interface on a thread of its own: whoever looks on takes nothing from those who call.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use lockgate_admin::Server;
use lockgate_live::{Event, Onlooker, PostureSample, collect};
use lockgate_proxy::Node;
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::telemetry::Telemetry;
use crate::diagnostic::Diagnostic;

/// Serves until `until` is cancelled, and collects what happens meanwhile.
pub(super) fn start(
    server: Server,
    control: &Arc<Control>,
    until: CancellationToken,
) -> Result<JoinHandle<()>, Diagnostic> {
    let runtime = crate::built(Builder::new_current_thread().enable_all().build())?;
    let (node, recent) = (Arc::clone(control.node()), Arc::clone(control.recent()));
    let inlet = node.live.open().expect("a node has one admin interface");
    let onlooking = Onlooking { node, telemetry: Arc::clone(control.telemetry()) };
    let collecting = collect(inlet, recent, onlooking);
    let serve = move || {
        runtime.block_on(async move {
            tokio::select! {
                served = server.serve(until.cancelled_owned()) => if let Err(error) = served {
                    tracing::error!(%error, "the admin interface cannot be served");
                },
                () = collecting => {}
            }
        });
        // Nobody is there any more to be answered.
        runtime.shutdown_background();
    };
    let thread = thread::Builder::new().name("admin".to_owned()).spawn(serve);
    thread.map_err(|error| Diagnostic::new("LG-X001", "cannot start the admin thread").because(&error))
}

/// The node, as events pass on their way to those who look on.
struct Onlooking {
    node: Arc<Node>,
    telemetry: Arc<Telemetry>,
}

impl Onlooker for Onlooking {
    fn look(&self) -> PostureSample {
        sample(&self.node)
    }

    fn seen(&self, event: &Event) {
        self.node.metrics.stages(event);
        self.telemetry.seen(event);
    }
}

/// How the live links stand.
fn sample(node: &Node) -> PostureSample {
    let mut sample = PostureSample { at_ms: node.now_ms(), ..PostureSample::default() };
    node.links.each_posture(|group, quantum_safe| {
        sample.links += 1;
        sample.quantum_safe += u64::from(quantum_safe);
        // Most links are of a few groups.
        match sample.groups.get_mut(group) {
            Some(count) => *count += 1,
            None => drop(sample.groups.insert(group.to_owned(), 1)),
        }
    });
    sample
}
