//! Notices that a file was changed. Looking costs a few system calls a second and, unlike watching an inode, sees
//! editors that write anew and rename, folders that come and go, and network file systems.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::control::Control;
use super::reload;
use crate::config::{self, Target};

/// Time between two looks, in milliseconds: short enough that a person does not wait.
const LOOK_MS: u64 = 1_000;

/// Reloads whenever a file that can be reloaded was changed, until the node drains.
pub(super) async fn files(control: Arc<Control>) {
    let draining = control.node().draining.clone();
    let mut seen = look(&control);
    let mut reloaded = seen.clone();
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
            () = draining.cancelled() => return,
        }
        let now = look(&control);
        // Twice the same: whoever writes is done.
        if now == seen && now != reloaded {
            reloaded.clone_from(&now);
            // Said in the log; the next change tries again.
            let _ = reload::run(&control).await;
        }
        seen = now;
    }
}

/// What is known of a file without reading it.
type Look = Vec<(PathBuf, Option<(SystemTime, u64)>)>;

fn look(control: &Control) -> Look {
    let mut paths: Vec<PathBuf> = control.flags().config.iter().cloned().collect();
    let deployed = control.flags().deployed.as_deref().and_then(|folder| config::deployed(folder).ok());
    paths.extend(deployed.unwrap_or_default());
    {
        let changing = control.changing().lock();
        let settings = &changing.settings;
        if settings.policy_files.is_empty() {
            paths.extend(control.state().policy_files().unwrap_or_default());
        }
        paths.extend(settings.policy_files.iter().cloned());
        paths.extend(settings.servers.iter().filter_map(|plan| match &plan.target {
            Target::Api(api) => Some(api.document.clone()),
            _ => None,
        }));
        paths.extend(settings.crypto.files.iter().cloned());
        paths.extend(settings.facts.iter().filter_map(|plan| plan.trusted().cloned()));
        for tls in settings.listeners().filter_map(|plan| plan.tls.as_ref()) {
            paths.extend([tls.certificate.clone(), tls.key.clone()]);
        }
    }
    paths.into_iter().map(|path| (path.clone(), facts(&path))).collect()
}

fn facts(path: &PathBuf) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}
