//! What can be asked of a running node: the admin interface's side.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use http::StatusCode;
use jiff::Timestamp;
use lockgate_admin::{
    ApplyRequest, Approval, ApproveRequest, AuditFound, AuditQuestion, AuditView, BanRequest, Certificate,
    Change, CryptoShow, Csr, Draining, Drill, DrillRequest, Exports, FactAnswer, FactQuestion, FactReceipt,
    Facts, Fault, HeldCall, HeldCalls, Identities, InventoryFormat, Invites, LiftRequest, Links,
    MadeRevocation, Migration, MintedInvite, NewInvite, PinView, Pins, Plan, PlanRequest, RejectRequest,
    Reloaded, RestoreRequest, Restored, RevokeRequest, RollbackRequest, RotateRootRequest, RotatedRoot,
    Status, SuppressRequest, SuppressionView, Threats, Upstreams,
};
use lockgate_audit::query::Search;
use lockgate_audit::{Entry, Kind};
use lockgate_detect::Pin;
use lockgate_identity::invite;
use lockgate_live::Recent;
use lockgate_proxy::node::PINS;
use lockgate_proxy::wellknown::Permitted;

use super::agility::show;
use super::control::Control;
use super::{reload, views};
use crate::config::TUNNEL;
use crate::question;

/// Longest search for an answer to somebody who looks on, in seconds. With an index most take milliseconds.
const AUDIT_QUERY_S_MAX: u64 = 3;

/// Largest map that is shown, in bytes.
const DISCOVERY_BYTES_MAX: usize = 64 << 20;

impl lockgate_admin::Node for Control {
    fn subjects(&self) -> &dyn lockgate_admin::Subjects {
        self
    }

    fn ready(&self) -> Result<(), Fault> {
        if self.node().draining.is_cancelled() {
            return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LG-N005", "the node is draining", ""));
        }
        if self.overdue().load(Ordering::Relaxed) {
            let message =
                "algorithms whose time is over are still in force, because nothing can take their place";
            let hint = "see which and why in the node's log, and put another profile in force: lockgate crypto apply";
            return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LG-K008", message, hint));
        }
        self.node().audit.available().map_err(|error| {
            Fault::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "LG-A002",
                error.to_string(),
                "free space for the audit log",
            )
        })
    }

    fn metrics(&self) -> String {
        let node = self.node();
        node.metrics.set_live(node.live.waiting(), node.live.dropped());
        node.metrics.encode()
    }

    fn status(&self) -> Status {
        let view = self.node().status();
        let (bans, endings, migration) = (self.bans(), self.warnings(), self.migrating());
        let changing = self.changing().lock();
        let (seq, head_hash) = self.node().audit.head();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: changing.identity.id.to_string(),
            since_ms: view.since_ms,
            draining: view.draining,
            listeners: changing.served.iter().map(views::listener).collect(),
            epoch: view.epoch,
            links_below_epoch: count(
                view.links.iter().filter(|link| link.posture.is_some() && link.epoch < view.epoch).count(),
            ),
            bans,
            endings,
            migration: (!migration.done).then_some(migration),
            authority: self.registrar().bundle().fingerprint().to_owned(),
            policy_generation: view.policy_generation,
            policies: count(view.policies),
            lost_forbids: changing.lost.iter().map(reload::named).collect(),
            links: count(view.links.len()),
            links_quantum_safe: count(
                view.links.iter().filter(|link| link.quantum_safe == Some(true)).count(),
            ),
            sessions: count(view.sessions),
            calls_in_flight: u64::try_from(view.calls_in_flight).unwrap_or(0),
            upstreams: count(view.servers.len()),
            upstreams_failing: count(view.servers.iter().filter(|server| server.circuit == "open").count()),
            threats: count(self.node().detector.pending().len()),
            write: changing.settings.admin_write,
            audit: AuditView {
                seq,
                head_hash,
                problem: self.node().audit.available().err().map(|error| error.to_string()),
                checkpoint: views::checkpoint(self.node().audit.state()),
            },
        }
    }

    fn dashboard_writes(&self) -> bool {
        self.changing().lock().settings.admin_write
    }

    fn live(&self) -> Arc<Recent> {
        Arc::clone(self.recent())
    }

    fn links(&self) -> Links {
        Links { links: self.node().links.snapshot().into_iter().map(views::link).collect() }
    }

    fn upstreams(&self) -> Upstreams {
        let servers = self.node().servers().zip(self.node().status().servers);
        Upstreams { upstreams: servers.map(|(server, view)| views::upstream(&server, view)).collect() }
    }

    fn invite(&self, request: NewInvite) -> Result<MintedInvite, Fault> {
        let lifetime = request.lifetime_s.map_or(invite::LIFETIME, Duration::from_secs);
        self.record(Kind::Identity, "identity/invite", &request.name)?;
        let (code, invite) =
            self.registrar().invite(&request.name, lifetime).map_err(|error| views::invite_fault(&error))?;
        Ok(MintedInvite { invite: views::invite(&invite), code: code.reveal().as_str().to_owned() })
    }

    fn invites(&self) -> Result<Invites, Fault> {
        let invites = self.registrar().invites().map_err(|error| views::invite_fault(&error))?;
        Ok(Invites { invites: invites.iter().map(views::invite).collect() })
    }

    fn revoke_invite(&self, id: &str) -> Result<(), Fault> {
        self.record(Kind::Identity, "identity/revoke", id)?;
        self.registrar().revoke(id).map_err(|error| views::invite_fault(&error))
    }

    fn identities(&self) -> Result<Identities, Fault> {
        self.identities_shown()
    }

    fn revoke(&self, request: &RevokeRequest) -> Result<MadeRevocation, Fault> {
        self.lock_out(request)
    }

    fn restore(&self, request: &RestoreRequest) -> Result<Restored, Fault> {
        self.let_in_again(request)
    }

    fn held_calls(&self) -> HeldCalls {
        self.held()
    }

    fn held_call(&self, id: &str) -> Result<HeldCall, Fault> {
        self.held_one(id)
    }

    fn approve_call(&self, id: &str, request: &ApproveRequest) -> Result<HeldCall, Fault> {
        self.approve(id, request)
    }

    fn reject_call(&self, id: &str, request: &RejectRequest) -> Result<HeldCall, Fault> {
        self.reject(id, request)
    }

    fn enrol_local(&self, request: Csr) -> Result<Certificate, Fault> {
        self.record(Kind::Identity, "identity/enrol-local", "")?;
        // What tunnels permit now, as for a connector elsewhere: a ban holds here too.
        let permitted = {
            let changing = self.changing().lock();
            let suite = changing.in_force.accepted_by(TUNNEL);
            suite.map_or_else(Permitted::everything, |suite| Permitted::only(suite.signatures()))
        };
        let registrar = self.registrar();
        let issued = registrar.local().and_then(|id| {
            let roles = self.roles_of(&id, &registrar.known().roles(id.as_str()));
            registrar.issue_local(&request.csr, &permitted, &roles)
        });
        let issued = issued
            .map_err(|refused| Fault::new(refused.status, refused.code, refused.message, refused.hint))?;
        Ok(Certificate {
            id: issued.id,
            certificate: issued.certificate,
            authority: issued.authority,
            not_after_ms: issued.not_after_ms,
        })
    }

    fn threats(&self) -> Threats {
        self.threats_shown()
    }

    fn pins(&self) -> Result<Pins, Fault> {
        let pins = self.store().list_json::<Pin>(PINS, "").map_err(|error| {
            let hint = "see what is wrong: lockgate doctor";
            Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LG-S005", error.to_string(), hint)
        })?;
        let view = |(_, pin): (String, Pin)| {
            let Pin { server, tool, definition, sha256, .. } = pin;
            PinView { server, tool, definition, sha256 }
        };
        Ok(Pins { pins: pins.into_iter().map(view).collect() })
    }

    fn approve_threat(&self, id: &str) -> Result<Approval, Fault> {
        self.approve_held(id)
    }

    fn suppress(&self, request: &SuppressRequest) -> Result<SuppressionView, Fault> {
        self.silence(request)
    }

    fn unsuppress(&self, id: &str) -> Result<SuppressionView, Fault> {
        self.unsilence(id)
    }

    fn audit_tail(&self, count: usize) -> Result<Vec<String>, Fault> {
        let lines = lockgate_audit::tail(&self.state().audit(), count);
        lines.map(|lines| lockgate_audit::flat(&lines)).map_err(|error| unreadable_log(&error))
    }

    fn audit_proof(&self, seq: u64) -> Result<String, Fault> {
        let proof = lockgate_audit::prove(&self.state().audit(), seq);
        let proof = proof.map_err(|error| unreadable_log(&error))?.ok_or_else(|| {
            let message = format!("no checkpoint covers record {seq}");
            Fault::new(
                StatusCode::NOT_FOUND,
                "LG-U002",
                message,
                "a checkpoint is made within a second of a record",
            )
        })?;
        Ok(proof.write())
    }

    fn audit_query(&self, question: &AuditQuestion) -> Result<AuditFound, Fault> {
        let query = question::query(question, Timestamp::now()).map_err(|error| {
            Fault::new(
                StatusCode::BAD_REQUEST,
                "LG-N400",
                error,
                "see what can be asked: lockgate audit query --help",
            )
        })?;
        let search =
            Search::of(&self.state().audit()).until(Instant::now() + Duration::from_secs(AUDIT_QUERY_S_MAX));
        let mut lines = Vec::new();
        let found = search.run(&query, &mut |line| {
            let entry = Entry::parse(&String::from_utf8_lossy(line));
            lines.extend(entry.ok().map(|entry| entry.flat()));
        });
        let found = found.map_err(|error| {
            let (status, hint) = (StatusCode::SERVICE_UNAVAILABLE, "check the disk: lockgate doctor");
            Fault::new(status, "LG-A002", error.to_string(), hint)
        })?;
        Ok(crate::verbs::audit::query::document(lines, &found))
    }

    fn reload(&self) -> Result<Reloaded, Fault> {
        reload::apply(self).map_err(|failure| {
            let code = failure.0.first().map_or("LG-X001", |first| first.code);
            let said: Vec<String> = failure.0.iter().map(ToString::to_string).collect();
            Fault::new(StatusCode::CONFLICT, code, said.join("\n"), "what was in force stays in force")
        })
    }

    fn drain(&self) -> Draining {
        self.node().draining.cancel();
        Draining {
            links: u64::try_from(self.node().links.len()).unwrap_or(u64::MAX),
            calls_in_flight: u64::try_from(self.node().metrics.calls_in_flight.get()).unwrap_or(0),
            drain_s_max: self.node().limits.drain_s_max,
        }
    }

    fn crypto(&self) -> CryptoShow {
        self.shown()
    }

    fn plan(&self, request: &PlanRequest) -> Result<Plan, Fault> {
        self.dry_run(request).map_err(|problem| problem.fault())
    }

    fn apply(&self, request: &ApplyRequest) -> Result<Change, Fault> {
        let (made, until_ms) = self.put_in_force(request).map_err(|problem| problem.fault())?;
        let what = format!("{} is in force", request.profile);
        Ok(show::change(made, what, &request.by, None, until_ms))
    }

    fn rollback(&self, request: &RollbackRequest) -> Result<Change, Fault> {
        let made = self.take_back(request).map_err(|problem| problem.fault())?;
        Ok(show::change(made, "the last change is taken back".to_owned(), &request.by, None, None))
    }

    fn ban(&self, request: &BanRequest) -> Result<Change, Fault> {
        let (made, ban) = self.forbid(request).map_err(|problem| problem.fault())?;
        let what = format!("{} is banned", ban.target());
        Ok(show::change(made, what, &request.by, Some(show::ban(&ban, false)), None))
    }

    fn lift(&self, request: &LiftRequest) -> Result<Change, Fault> {
        let (made, ban) = self.allow(request).map_err(|problem| problem.fault())?;
        let what = format!("the ban of {} is lifted", ban.target());
        Ok(show::change(made, what, &request.by, Some(show::ban(&ban, false)), None))
    }

    fn migration(&self) -> Migration {
        self.migrating()
    }

    fn drill(&self, request: &DrillRequest) -> Result<Drill, Fault> {
        self.rehearse(request).map_err(|problem| problem.fault())
    }

    fn inventory(&self, format: InventoryFormat) -> Result<String, Fault> {
        self.inventory_text(format).map_err(|problem| problem.fault())
    }

    fn rotate_root(&self, request: &RotateRootRequest) -> Result<RotatedRoot, Fault> {
        self.rotate(request).map_err(|problem| problem.fault())
    }

    fn discovery(&self) -> Result<Option<String>, Fault> {
        let path = self.state().discovery();
        if !path.exists() {
            return Ok(None);
        }
        let text = lockgate_discover::config::text(&path, DISCOVERY_BYTES_MAX);
        text.map(Some).map_err(|error| {
            let hint = "make it anew: lockgate discover";
            Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LG-U003", error, hint)
        })
    }

    fn exports(&self) -> Exports {
        self.exports_shown()
    }

    fn facts(&self) -> Facts {
        self.facts_shown()
    }

    fn ask_fact(&self, question: &FactQuestion) -> Result<FactAnswer, Fault> {
        self.fact_now(question)
    }

    fn push_fact(&self, signed: &str) -> Result<FactReceipt, Fault> {
        self.take_statement(signed)
    }
}

fn unreadable_log(error: &lockgate_audit::AuditError) -> Fault {
    Fault::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "LG-A002",
        error.to_string(),
        "check the disk: lockgate doctor",
    )
}
