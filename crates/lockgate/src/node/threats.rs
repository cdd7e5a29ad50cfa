//! What detection holds and what it is silent about, as the admin interface asks for it.

use http::StatusCode;
use lockgate_admin::{Approval, Fault, SuppressRequest, SuppressionView, Threats};
use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_crypto::{digest, random};
use lockgate_detect::{
    Approved, Detector, REASON_BYTES_MAX, SUPPRESSION_MS_MAX, SUPPRESSIONS_MAX, Suppression,
};
use lockgate_proxy::node::PINS;
use lockgate_store::{Store, StoreError};

use super::control::Control;
use super::views;
use crate::config::{Settings, Target};

/// The part of the store that holds what detection is silent about.
const SUPPRESSIONS: &str = "suppressions";

/// The part of the store that holds where servers were reached when their tools were trusted.
const ENDPOINTS: &str = "endpoints";

/// Random bytes of the id of a suppression. It is no secret; it must only be unlike every other.
const ID_BYTES: usize = 4;

/// Gives detection what it has to know from the start: rules, hosts, and what it is silent about.
///
/// # Errors
/// The store.
pub(super) fn prepare(detector: &Detector, settings: &Settings, store: &Store) -> Result<(), StoreError> {
    let mut key = [0; 32];
    random::fill(&mut key);
    detector.set_secret_key(key);
    set(detector, settings);
    let kept = store.list_json::<Suppression>(SUPPRESSIONS, "")?;
    detector.set_suppressions(kept.into_iter().map(|(_, suppression)| suppression).collect());
    Ok(())
}

/// Has detection act by these settings.
pub(super) fn set(detector: &Detector, settings: &Settings) {
    detector.set_rules(settings.detect.rules.clone());
    detector.set_hosts(settings.detect.hosts.clone());
}

impl Control {
    pub(super) fn threats_shown(&self) -> Threats {
        let (detector, now_ms) = (&self.node().detector, self.node().now_ms());
        let suppressions = detector.suppressions();
        Threats {
            threats: detector.pending().into_iter().map(views::threat).collect(),
            suppressions: suppressions
                .into_iter()
                .filter(|silent| now_ms < silent.until_ms)
                .map(suppression)
                .collect(),
        }
    }

    pub(super) fn approve_held(&self, id: &str) -> Result<Approval, Fault> {
        self.record(Kind::Detect, "threats/approve", id)?;
        let approved = self.node().detector.approve(id).map_err(|error| {
            let hint = "list what waits: lockgate threats list";
            Fault::new(StatusCode::NOT_FOUND, "LG-D003", error.to_string(), hint)
        })?;
        let kept = match &approved {
            Approved::Definition(pin) => self.store().put_json(PINS, &pin.key(), pin),
            Approved::Endpoint { server, endpoint } => self.store().put_json(ENDPOINTS, server, endpoint),
        };
        kept.map_err(|error| {
            let hint = "the tool can be used now, but would wait again after a restart; mend the store and approve again";
            Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LG-S005", error.to_string(), hint)
        })?;
        self.node().definitions_changed.notify_one();
        Ok(match approved {
            Approved::Definition(pin) => {
                Approval { id: id.to_owned(), server: pin.server, tool: pin.tool, hash: pin.sha256 }
            }
            Approved::Endpoint { server, .. } => {
                Approval { id: id.to_owned(), server, tool: String::new(), hash: String::new() }
            }
        })
    }

    pub(super) fn silence(&self, request: &SuppressRequest) -> Result<SuppressionView, Fault> {
        let now_ms = self.node().now_ms();
        let mut id = [0; ID_BYTES];
        random::fill(&mut id);
        let made = Suppression {
            id: digest::hex(&id),
            finding: request.finding.clone(),
            server: request.server.clone(),
            subject: request.subject.clone(),
            reason: request.reason.clone(),
            by: request.by.clone(),
            since_ms: now_ms,
            until_ms: request.until_ms,
        };
        check(&made)?;
        let _turn = self.turn();
        let mut all = self.node().detector.suppressions();
        all.retain(|silent| now_ms < silent.until_ms);
        if all.len() >= SUPPRESSIONS_MAX {
            return Err(bad(&format!("{SUPPRESSIONS_MAX} suppressions are in force, which is the limit")));
        }
        self.note_silence("threats/suppress", &made)?;
        self.store().put_json(SUPPRESSIONS, &made.id, &made).map_err(|error| unkept(&error))?;
        all.push(made.clone());
        self.node().detector.set_suppressions(all);
        Ok(suppression(made))
    }

    pub(super) fn unsilence(&self, id: &str) -> Result<SuppressionView, Fault> {
        let _turn = self.turn();
        let mut all = self.node().detector.suppressions();
        let Some(at) = all.iter().position(|silent| silent.id == id) else {
            let hint = "list them: lockgate threats list";
            return Err(Fault::new(
                StatusCode::NOT_FOUND,
                "LG-D003",
                format!("nothing is suppressed under {id:?}"),
                hint,
            ));
        };
        let gone = all.remove(at);
        self.note_silence("threats/unsuppress", &gone)?;
        self.store().delete(SUPPRESSIONS, id).map_err(|error| unkept(&error))?;
        self.node().detector.set_suppressions(all);
        Ok(suppression(gone))
    }

    fn note_silence(&self, method: &'static str, silent: &Suppression) -> Result<(), Fault> {
        let about = [silent.server.as_deref(), silent.subject.as_deref()];
        let about: Vec<&str> = about.into_iter().flatten().collect();
        let reason = format!("{} until {}: {}", silent.finding, silent.until_ms, silent.reason);
        let record = Record {
            server: silent.server.as_deref().map(Into::into),
            method: Some(method.into()),
            name: Some(about.join("/").into()),
            agent: Some(silent.by.as_str().into()),
            reason: Some(reason.into()),
            ..Record::new(Kind::Detect, Outcome::Ok)
        };
        let noted = self.node().append(&record, Durability::Durable);
        noted.map(drop).map_err(|error| {
            let hint = "what cannot be recorded is not done: lockgate doctor";
            Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LG-A002", error.to_string(), hint)
        })
    }

    /// Compares where servers are reached with where they were when their tools were trusted, and keeps it for those that are
    /// new. What differs is recorded, and stays to be approved where a rule holds it.
    pub(super) fn observe_endpoints(&self) -> Result<(), StoreError> {
        let servers = self.changing().lock().settings.servers.clone();
        for plan in &servers {
            let now = endpoint(&plan.target);
            let Some(before) = self.store().get_json::<String>(ENDPOINTS, &plan.name)? else {
                self.store().put_json(ENDPOINTS, &plan.name, &now)?;
                continue;
            };
            let now_ms = self.node().now_ms();
            let Some(finding) = self.node().detector.observe_endpoint(&plan.name, &before, &now, now_ms)
            else {
                continue;
            };
            tracing::warn!(target: "lockgate::screen", id = finding.id, server = %plan.name, reason = %finding.reason, "finding on a server");
            let record = Record {
                stage: Some("screen".into()),
                server: Some(plan.name.as_str().into()),
                reason: Some(format!("{} ({})", finding.reason, finding.evidence).into()),
                findings: vec![finding.id.to_owned()].into(),
                ..Record::new(Kind::Detect, Outcome::Ok)
            };
            if let Err(error) = self.node().append(&record, Durability::Durable) {
                tracing::error!(%error, "a finding could not be recorded");
            }
            if self
                .node()
                .detector
                .pending()
                .iter()
                .all(|pending| pending.server != plan.name || !pending.tool.is_empty())
            {
                // Nobody has to approve it: it was told of, once.
                self.store().put_json(ENDPOINTS, &plan.name, &now)?;
            }
        }
        Ok(())
    }
}

/// Where a server is reached, without what may be secret there: the query of a URL, the arguments of a command.
fn endpoint(target: &Target) -> String {
    match target {
        Target::Http(_) | Target::Api(_) => {
            let uri = target.uri().expect("it is reached by HTTP");
            let authority = uri.authority().map_or_else(String::new, |authority| {
                authority.as_str().rsplit('@').next().unwrap_or_default().to_owned()
            });
            format!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path())
        }
        Target::Stdio { command } => {
            let program = command.first().map_or("", String::as_str);
            let whole = digest::hex(&digest::sha256(command.join("\0").as_bytes()));
            format!("{program} (command {})", &whole[..16])
        }
    }
}

fn check(made: &Suppression) -> Result<(), Fault> {
    let is_code = made.finding.starts_with("LG-D") && made.finding.len() == 7;
    if !is_code {
        return Err(bad(&format!("{:?} is no finding of detection; write one like LG-D007", made.finding)));
    }
    if made.reason.trim().is_empty() || made.reason.len() > REASON_BYTES_MAX {
        return Err(bad("a suppression needs a reason, of 512 bytes at most"));
    }
    if made.until_ms <= made.since_ms {
        return Err(bad("a suppression ends in the future"));
    }
    if made.until_ms - made.since_ms > SUPPRESSION_MS_MAX {
        return Err(bad(
            "a suppression lasts for a year at most; what is to be silent for good is a [[detect.rule]]",
        ));
    }
    Ok(())
}

fn suppression(silent: Suppression) -> SuppressionView {
    let Suppression { id, finding, server, subject, reason, by, since_ms, until_ms } = silent;
    SuppressionView { id, finding, server, subject, reason, by, since_ms, until_ms }
}

fn bad(what: &str) -> Fault {
    Fault::new(StatusCode::BAD_REQUEST, "LG-U001", what, "see lockgate threats suppress --help")
}

fn unkept(error: &StoreError) -> Fault {
    Fault::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "LG-S005",
        error.to_string(),
        "see what is wrong: lockgate doctor",
    )
}
