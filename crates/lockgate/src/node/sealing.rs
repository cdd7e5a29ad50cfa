//! The audit log of a node: opened with its keys, and signed by what is in force.

use std::sync::Arc;
use std::time::Duration;

use lockgate_audit::tlog::checkpoint::Signer;
use lockgate_audit::{AuditError, Durability, Kind, Log, Options, Outcome, Record, Sealing};
use lockgate_crypto::Suite;
use lockgate_crypto::note::NoteKey;
use lockgate_identity::SpiffeId;

use super::agility::Compiled;
use super::control::Control;
use super::witness;
use crate::audit_keys::{self, Change};
use crate::config::{Settings, TUNNEL};
use crate::diagnostic::Diagnostic;
use crate::state::State;

/// Pause between two looks whether algorithms changed, in seconds.
const LOOK_S: u64 = 1;

/// Longest wait for a checkpoint by new keys, in seconds. One takes a moment; a disk that cannot be written takes for ever.
const SIGNED_S_MAX: u64 = 30;

/// Opens the log. If its keys are not those of the profile in force, one checkpoint is signed by both, and a record says so.
pub(super) async fn open(
    settings: &Settings,
    state: &State,
    in_force: &Compiled,
) -> Result<Arc<Log>, Diagnostic> {
    let keys = audit_keys::open(state, &name(settings)?, suite(in_force))?;
    let options = Options {
        segment_bytes_max: settings.audit.segment_bytes_max,
        sync_ms_max: settings.audit.sync_ms_max,
        sealing: Some(keys.sealing),
    };
    let log = Log::open(&state.audit(), options).map_err(|error| match error {
        AuditError::Broken(_) => Diagnostic::new("LG-A001", "the audit log is damaged").because(&error).hint(
            format!("keep it as evidence: move {} away, and a new log begins", state.audit().display()),
        ),
        error => Diagnostic::new("LG-A002", "the audit log cannot be opened").because(&error),
    })?;
    if let Some(change) = keys.change {
        put_in_force(&log, state, change).await?;
    }
    Ok(log)
}

/// Has the log signed by other keys: recorded first, then one checkpoint by both.
async fn put_in_force(log: &Log, state: &State, change: Change) -> Result<(), Diagnostic> {
    let failed = |error: AuditError| {
        Diagnostic::new("LG-A002", "the change of the audit log's keys cannot be recorded").because(&error)
    };
    let record = Record {
        method: Some("audit/keys".into()),
        reason: Some("checkpoints are signed by other keys from here on".into()),
        before: change.before.as_slice().into(),
        after: change.after.as_slice().into(),
        ..Record::new(Kind::Crypto, Outcome::Ok)
    };
    log.record(&record, Durability::Durable).await.map_err(failed)?;
    log.change_signers(change.sealing.clone());
    // The old keys are gone after this, so both must have signed.
    let signed =
        tokio::time::timeout(Duration::from_secs(SIGNED_S_MAX), log.signed_by(&change.sealing.signers));
    match signed.await {
        Ok(signed) => signed.map_err(failed)?,
        // The old keys stay, so the next start tries again.
        Err(_) => {
            return Err(Diagnostic::new(
                "LG-A002",
                "no checkpoint of the audit log could be signed by its new keys",
            )
            .hint("see to the disk: lockgate doctor"));
        }
    }
    change.keep(state)
}

/// Follows the algorithms in force until the node ends.
pub(super) async fn keep(control: Arc<Control>) {
    let draining = control.node().draining.clone();
    let mut epoch = control.node().epoch();
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(LOOK_S)) => {}
            () = draining.cancelled() => return,
        }
        if control.node().epoch() == epoch {
            continue;
        }
        epoch = control.node().epoch();
        if let Err(error) = follow(&control).await {
            tracing::error!(%error, "the keys of the audit log cannot follow the algorithms in force");
        }
    }
}

async fn follow(control: &Arc<Control>) -> Result<(), Diagnostic> {
    let (in_force, name) = {
        let changing = control.changing().lock();
        (Arc::clone(&changing.in_force), name(&changing.settings)?)
    };
    let keys = audit_keys::open(control.state(), &name, suite(&in_force))?;
    match keys.change {
        Some(change) => {
            let Sealing { signers, retired, .. } = change.sealing.clone();
            put_in_force(&control.node().audit, control.state(), change).await?;
            witness::sign_by(control, signers, retired);
            Ok(())
        }
        None => Ok(()),
    }
}

/// Who signs this log, and so cosigns those of others, with the keys that do no more.
pub(super) fn signers(control: &Control) -> Result<(Vec<Signer>, Vec<NoteKey>), Diagnostic> {
    let (in_force, name) = {
        let changing = control.changing().lock();
        (Arc::clone(&changing.in_force), name(&changing.settings)?)
    };
    let Sealing { signers, retired, .. } =
        audit_keys::open(control.state(), &name, suite(&in_force))?.sealing;
    Ok((signers, retired))
}

/// What a log is called that is made now: the node's SPIFFE id without its scheme.
fn name(settings: &Settings) -> Result<String, Diagnostic> {
    let id = SpiffeId::node(&settings.trust_domain, &settings.name);
    let id = id.map_err(|error| Diagnostic::new("LG-C001", "the node has no name").because(&error))?;
    Ok(id.as_str().trim_start_matches("spiffe://").to_owned())
}

/// What the log is signed by: what tunnels permit.
fn suite(in_force: &Compiled) -> &Suite {
    in_force.accepted_by(TUNNEL).expect("every node has a tunnel listener")
}
