//! The authority's roots: replaced one by one, the old one trusted until peers have heard of the new one.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::civil::Date;
use lockgate_admin::{RotateRootRequest, RotatedRoot};
use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_crypto::catalog;

use super::super::control::Control;
use super::change::{Change, Drain, Made};
use super::problem::Problem;

impl Control {
    /// Replaces a root, and tells peers in a new epoch.
    pub(crate) fn rotate(&self, request: &RotateRootRequest) -> Result<RotatedRoot, Problem> {
        let _turn = self.turn();
        let authority = self.registrar().authority();
        let held = authority.bundle();
        let algorithm = catalog::find(&request.algorithm)
            .filter(|row| held.roots().iter().any(|root| root.algorithm().id == row.id))
            .ok_or_else(|| Problem::Place {
                what: "root",
                name: request.algorithm.clone(),
                known: held.roots().iter().map(|root| root.algorithm().id).collect::<Vec<_>>().join(", "),
            })?;
        let record = Record {
            method: Some("identity/rotate-root".into()),
            name: Some(algorithm.id.into()),
            agent: Some(request.by.as_str().into()),
            reason: Some(format!("the old root stays trusted for {} s", request.overlap_s).into()),
            ..Record::new(Kind::Identity, Outcome::Ok)
        };
        self.node().append(&record, Durability::Durable).map_err(Problem::Unrecorded)?;
        let failed = |error: lockgate_identity::IdentityError| Problem::Certificates {
            what: "root not replaced",
            cause: error.to_string(),
        };
        let overlap = Duration::from_secs(request.overlap_s);
        let before = authority.snapshot();
        let rotation = authority.rotate(algorithm, SystemTime::now(), overlap).map_err(failed)?;
        let published = self.tell_of_root(algorithm.id, &request.by);
        if published.is_err()
            && let Err(error) = authority.go_back(&before, SystemTime::now())
        {
            tracing::error!(%error, "a new root is on the disk that is not in force; it will be after a restart");
        }
        // Its half-time, when the new root begins to issue, and its end are looked out for from now on.
        self.mind_roots();
        let made = published?;
        let bundle = authority.bundle();
        Ok(RotatedRoot {
            algorithm: algorithm.id.to_owned(),
            old_retires_at_ms: millis(rotation.retire_at),
            fingerprint: bundle.fingerprint().to_owned(),
            bundle_sequence: bundle.sequence(),
            epoch: made.epoch,
        })
    }

    /// Puts new roots in force that the authority has made.
    fn tell_of_root(&self, algorithm: &'static str, by: &str) -> Result<Made, Problem> {
        let day = self.changing().lock().day;
        let draft = self.next_draft(day)?;
        let change = Change {
            method: "crypto/root",
            name: algorithm,
            what: format!("a new root for {algorithm} beside the old one"),
            by,
            reason: "",
            drain: Drain::Usual(draft.settings.crypto.drain),
            fresh: true,
        };
        self.commit(draft, &change)
    }

    /// When a root begins to issue or is to be dropped.
    pub(super) fn roots_due(&self) -> Option<SystemTime> {
        *self.roots_due_cell().lock()
    }

    /// Drops roots whose time is over, and issues the node's certificates anew, each from the root that issues now.
    /// `day` is certain; a clock that runs ahead of it ends no root.
    pub(super) fn replace_certificates(&self, day: Date) -> Result<(), Problem> {
        let certain = day.tomorrow().ok().and_then(|next| next.to_zoned(jiff::tz::TimeZone::UTC).ok());
        let certain = certain.map_or(UNIX_EPOCH, |next| SystemTime::from(next.timestamp()));
        let now = SystemTime::now().min(certain);
        let authority = self.registrar().authority();
        let pruned = authority
            .prune(now)
            .map_err(|error| Problem::Certificates { what: "no root dropped", cause: error.to_string() })?;
        let draft = self.next_draft(day)?;
        let what = if pruned { "a root has had its time" } else { "a new root issues from now on" };
        let change = Change {
            method: "crypto/root",
            name: "authority",
            what: what.to_owned(),
            by: "calendar",
            reason: "",
            drain: Drain::Usual(draft.settings.crypto.drain),
            fresh: true,
        };
        self.commit(draft, &change)?;
        self.mind_roots();
        Ok(())
    }

    /// Looks up when roots change next.
    pub(crate) fn mind_roots(&self) {
        *self.roots_due_cell().lock() = self.registrar().authority().next_change(SystemTime::now());
    }

    fn next_draft(&self, day: Date) -> Result<super::change::Draft, Problem> {
        let (settings, state) = {
            let changing = self.changing().lock();
            (changing.settings.clone(), changing.state.next())
        };
        self.draft_under(settings, state, day, None)
    }
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
