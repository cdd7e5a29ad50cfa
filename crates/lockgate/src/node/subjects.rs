//! What is done about those whom records are about: by the running node, or on its state when none runs.

use std::sync::Arc;

use http::StatusCode;
use lockgate_admin::{
    DueView, EraseRequest, ErasedView, ExportRequest, Fault, HoldRequest, HoldView, Holds, KnownView,
    LiftHoldRequest, RetentionView,
};
use lockgate_audit::{AuditError, Durability, Log, Record};
use lockgate_privacy::{
    Due, Erased, Hold, Keeper, Known, Month, Part, PrivacyError, Recorder, Retention, Subject,
};
use lockgate_proxy::Node;
use tokio::runtime::Handle;

use super::control::Control;
use super::{agility, parts, sealing};
use crate::config::Settings;
use crate::diagnostic::{Diagnostic, Failure};
use crate::state::{Lock, State};
use crate::subjects;

/// How often what is due is looked for, in seconds.
const LOOK_S: u64 = 3600;

/// Records of a running node, which those who look on see as well.
pub(super) struct OfNode {
    pub(super) node: Arc<Node>,
    pub(super) runtime: Handle,
}

impl Recorder for OfNode {
    fn record(&self, record: &Record<'_>) -> Result<u64, AuditError> {
        let receipt = self.node.append(record, Durability::Durable)?;
        self.runtime.block_on(self.node.audit.synced(&receipt))?;
        Ok(receipt.seq())
    }

    fn last(&self) -> u64 {
        self.node.audit.head().0
    }
}

/// Records of a log that nobody else writes.
struct OfLog {
    log: Arc<Log>,
    runtime: Handle,
}

impl Recorder for OfLog {
    fn record(&self, record: &Record<'_>) -> Result<u64, AuditError> {
        let receipt = self.runtime.block_on(self.log.record(record, Durability::Durable))?;
        Ok(receipt.seq())
    }

    fn last(&self) -> u64 {
        self.log.head().0
    }
}

/// A keeper with where it records. Its methods block, so they are called where that is allowed.
pub(crate) struct Desk<'a> {
    keeper: &'a Keeper,
    recorder: &'a dyn Recorder,
    retention: Retention,
}

impl Desk<'_> {
    pub(crate) fn erase(&self, request: &EraseRequest) -> Result<ErasedView, PrivacyError> {
        let subject = Subject::parse(&request.subject)?;
        let erased = self.keeper.erase(&subject, (&request.basis, &request.by), self.recorder, &|_| {})?;
        let Erased { id, receipt, keys, scope } = erased;
        Ok(ErasedView { id, receipt, keys, scope })
    }

    pub(crate) fn export(&self, request: &ExportRequest) -> Result<KnownView, PrivacyError> {
        let subject = Subject::parse(&request.subject)?;
        let Known { pseudonyms, receipt } = self.keeper.know(&subject, &request.by, self.recorder)?;
        Ok(KnownView { pseudonyms, receipt })
    }

    pub(crate) fn holds(&self) -> Result<Holds, PrivacyError> {
        Ok(Holds { holds: self.keeper.holds()?.into_iter().map(hold_view).collect() })
    }

    pub(crate) fn hold(&self, request: &HoldRequest) -> Result<HoldView, PrivacyError> {
        let subject = request.subject.as_deref().map(Subject::parse).transpose()?;
        let hold = self.keeper.hold(subject.as_ref(), (&request.reason, &request.by), self.recorder)?;
        Ok(hold_view(hold))
    }

    pub(crate) fn lift(&self, id: &str, request: &LiftHoldRequest) -> Result<HoldView, PrivacyError> {
        self.keeper.lift(id, (&request.reason, &request.by), self.recorder).map(hold_view)
    }

    pub(crate) fn retention(&self) -> Result<RetentionView, PrivacyError> {
        self.keeper.plan(&self.retention, Month::now()).map(retention_view)
    }

    pub(crate) fn retain(&self) -> Result<RetentionView, PrivacyError> {
        self.keeper.retain(&self.retention, Month::now(), self.recorder).map(retention_view)
    }
}

fn hold_view(hold: Hold) -> HoldView {
    let Hold { id, subject: _, kind, reason, by, since_ms } = hold;
    HoldView { id, kind, reason, by, since_ms }
}

fn retention_view(parts: Vec<Due>) -> RetentionView {
    let part = |due: Due| DueView {
        month: due.month,
        part: match due.part {
            Part::Content => "content",
            Part::Tags => "tags",
            Part::Records => "records",
        }
        .to_owned(),
        count: due.count,
        goes: due.goes,
        is_due: due.is_due,
        held: due.held,
    };
    RetentionView { parts: parts.into_iter().map(part).collect() }
}

impl Control {
    fn at_desk<T>(&self, ask: impl FnOnce(&Desk<'_>) -> Result<T, PrivacyError>) -> Result<T, Fault> {
        let recorder = OfNode { node: Arc::clone(self.node()), runtime: Handle::current() };
        let retention = self.changing().lock().settings.audit.retention.months();
        ask(&Desk { keeper: self.keeper(), recorder: &recorder, retention }).map_err(|error| fault(&error))
    }
}

impl lockgate_admin::Subjects for Control {
    fn erase(&self, request: &EraseRequest) -> Result<ErasedView, Fault> {
        self.at_desk(|desk| desk.erase(request))
    }

    fn export(&self, request: &ExportRequest) -> Result<KnownView, Fault> {
        self.at_desk(|desk| desk.export(request))
    }

    fn holds(&self) -> Result<Holds, Fault> {
        self.at_desk(|desk| desk.holds())
    }

    fn hold(&self, request: &HoldRequest) -> Result<HoldView, Fault> {
        self.at_desk(|desk| desk.hold(request))
    }

    fn lift(&self, id: &str, request: &LiftHoldRequest) -> Result<HoldView, Fault> {
        self.at_desk(|desk| desk.lift(id, request))
    }

    fn retention(&self) -> Result<RetentionView, Fault> {
        self.at_desk(|desk| desk.retention())
    }

    fn retain(&self) -> Result<RetentionView, Fault> {
        self.at_desk(|desk| desk.retain())
    }
}

/// Has go what is due, once at the start and then every hour, until the node drains.
pub(super) async fn keep(control: Arc<Control>) {
    let draining = control.node().draining.clone();
    loop {
        let of_thread = Arc::clone(&control);
        let kept = tokio::task::spawn_blocking(move || lockgate_admin::Subjects::retain(&*of_thread)).await;
        match kept {
            Ok(Ok(gone)) if !gone.parts.is_empty() => {
                tracing::info!(parts = gone.parts.len(), "what was kept for its time was taken away");
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::error!(%error, "what is due cannot be taken away from the log"),
            Err(error) => tracing::error!(%error, "what is due cannot be taken away from the log"),
        }
        tokio::select! {
            () = tokio::time::sleep(std::time::Duration::from_secs(LOOK_S)) => {}
            () = draining.cancelled() => return,
        }
    }
}

/// Finishes erasures that were begun, before anything else happens.
pub(super) async fn resume(keeper: &Arc<Keeper>, log: &Arc<Log>) -> Result<(), Diagnostic> {
    let (keeper, log, runtime) = (Arc::clone(keeper), Arc::clone(log), Handle::current());
    let resumed = tokio::task::spawn_blocking(move || keeper.resume(&OfLog { log, runtime })).await;
    match resumed {
        Ok(Ok(0)) => Ok(()),
        Ok(Ok(keys)) => {
            tracing::warn!(keys, "an erasure that was begun is finished");
            Ok(())
        }
        Ok(Err(error)) => Err(diagnostic(&error)),
        Err(error) => Err(Diagnostic::new("LG-X001", "erasures cannot be looked after").because(&error)),
    }
}

/// The state of a node that does not run.
pub(crate) struct Offline {
    keeper: Arc<Keeper>,
    log: Arc<Log>,
    retention: Retention,
    _lock: Lock,
}

impl Offline {
    /// Takes the state directory as a node does, so that there is one writer.
    pub(crate) async fn open(settings: &Settings, state: &State) -> Result<Self, Failure> {
        state.create()?;
        let lock = state.lock()?;
        let store = parts::open_store(state)?;
        let (_, in_force) = agility::restore(settings, &store).map_err(|problem| problem.diagnostic())?;
        let log = sealing::open(settings, state, &in_force).await?;
        let vault = subjects::open(settings, state)?;
        let keeper = Arc::new(Keeper::new(vault, store, &state.audit()));
        resume(&keeper, &log).await?;
        Ok(Self { keeper, log, retention: settings.audit.retention.months(), _lock: lock })
    }

    /// Does something, where it may block.
    pub(crate) async fn ask<T: Send + 'static>(
        self,
        ask: impl FnOnce(&Desk<'_>) -> Result<T, PrivacyError> + Send + 'static,
    ) -> Result<T, Diagnostic> {
        let runtime = Handle::current();
        let asked = tokio::task::spawn_blocking(move || {
            let recorder = OfLog { log: Arc::clone(&self.log), runtime };
            ask(&Desk { keeper: &self.keeper, recorder: &recorder, retention: self.retention.clone() })
        });
        match asked.await {
            Ok(asked) => asked.map_err(|error| diagnostic(&error)),
            Err(error) => Err(Diagnostic::new("LG-X001", "this cannot be done").because(&error)),
        }
    }
}

/// How an error is told: status, code, what to do next.
fn told(error: &PrivacyError) -> (StatusCode, &'static str, &'static str) {
    match error {
        PrivacyError::NoSubject { .. } | PrivacyError::NoText { .. } => {
            (StatusCode::BAD_REQUEST, "LG-A008", "write subjects as KIND:ID, and say why in a sentence")
        }
        PrivacyError::Held { .. } => (
            StatusCode::CONFLICT,
            "LG-A007",
            "see why: lockgate audit hold list; lift it: lockgate audit hold lift ID",
        ),
        PrivacyError::NoHold { .. } => {
            (StatusCode::NOT_FOUND, "LG-A008", "list them: lockgate audit hold list")
        }
        PrivacyError::Full { .. } => {
            (StatusCode::CONFLICT, "LG-A008", "lift holds that are over: lockgate audit hold list")
        }
        PrivacyError::Audit(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "LG-A002", "see to the audit log: lockgate doctor")
        }
        PrivacyError::Store(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "LG-S005", "see what is wrong: lockgate doctor")
        }
        PrivacyError::OtherKeys { .. } | PrivacyError::Io { .. } | PrivacyError::MasterKey(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "LG-A005",
            "what was begun is finished when the node starts again",
        ),
    }
}

fn fault(error: &PrivacyError) -> Fault {
    let (status, code, hint) = told(error);
    Fault::new(status, code, error.to_string(), hint)
}

fn diagnostic(error: &PrivacyError) -> Diagnostic {
    let (_, code, hint) = told(error);
    Diagnostic::new(code, error.to_string()).hint(hint)
}
