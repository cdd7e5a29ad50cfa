//! Rehearsing an emergency: what can be tried without touching a link is tried, and on request the real thing for a while.

use std::time::{Instant, SystemTime};

use lockgate_admin::{Drill, DrillRequest, DrillStep, Scope};
use lockgate_identity::Authority;
use lockgate_transport::ServerTls;

use super::super::control::Control;
use super::super::faces;
use super::change::{Change, Draft, Drain, Made};
use super::problem::Problem;
use super::requests::Asked;
use super::show;

/// What can be rehearsed; each is a profile of this name.
const DRILLS: [&str; 2] = ["lattice-broken", "classical-broken"];

/// How long a live drill lasts unless told otherwise, in seconds.
const LIVE_S: u64 = 60;

/// Longest live drill, in seconds: what lasts longer is no rehearsal.
const LIVE_S_MAX: u64 = 3600;

impl Control {
    /// Rehearses.
    pub(crate) fn rehearse(&self, request: &DrillRequest) -> Result<Drill, Problem> {
        if !DRILLS.contains(&request.drill.as_str()) {
            return Err(Problem::Place {
                what: "drill",
                name: request.drill.chars().take(64).collect(),
                known: DRILLS.join(", "),
            });
        }
        if request.for_s.is_some_and(|seconds| seconds == 0 || seconds > LIVE_S_MAX) {
            return Err(Problem::Request(format!("a drill lasts 1 to {LIVE_S_MAX} seconds")));
        }
        let _turn = self.turn();
        let (settings, state) = self.settings_and_state();
        let scope = Scope {
            listeners: settings.listeners().map(|plan| plan.name.clone()).collect(),
            ..Scope::default()
        };
        let until_ms = match request.live {
            true => Some(self.until_ms(request.for_s.unwrap_or(LIVE_S))?),
            false => None,
        };
        let asked = self.asked(&settings, &request.drill, &scope)?;
        let asked = Asked { until_ms, by: &request.by, drill: true, ..asked };
        let mut steps = Vec::new();
        let draft = step(&mut steps, "compile the profile and test it", || {
            let draft = self.draft_of(&settings, &state, &asked)?;
            Ok((format!("{} for every listener", asked.profile.name), draft))
        })?;
        step(&mut steps, "make keys and certificates of its algorithms, and set TLS up with them", || {
            sandbox(&draft).map(|said| (said, ()))
        })?;
        let plan = step(&mut steps, "judge every link and every known peer by it", || {
            let plan = self.plan_of(&draft, &settings, asked.profile.name)?;
            Ok((format!("{} stay, {} move, {} cut off", plan.stays, plan.moves, plan.refused), plan))
        })?;
        let change = match request.live {
            true => Some(self.go_live(draft, &asked, Drain::Usual(settings.crypto.drain), until_ms)?),
            false => None,
        };
        Ok(Drill {
            drill: request.drill.clone(),
            profile: asked.profile.name.to_owned(),
            live: request.live,
            plan,
            steps,
            change,
        })
    }

    fn go_live(
        &self,
        draft: Draft,
        asked: &Asked<'_>,
        drain: Drain,
        until_ms: Option<u64>,
    ) -> Result<lockgate_admin::Change, Problem> {
        let what = format!("drill: {}", asked.what());
        let change = Change {
            method: "crypto/drill",
            name: asked.profile.name,
            what: what.clone(),
            by: asked.by,
            reason: "",
            drain,
            fresh: false,
        };
        let made: Made = self.commit(draft, &change)?;
        Ok(show::change(made, what, asked.by, None, until_ms))
    }
}

/// One step, timed and told.
fn step<T>(
    steps: &mut Vec<DrillStep>,
    name: &str,
    what: impl FnOnce() -> Result<(String, T), Problem>,
) -> Result<T, Problem> {
    let begun = Instant::now();
    let (detail, done) = what()?;
    let took_us = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    steps.push(DrillStep { step: name.to_owned(), ok: true, detail, took_us });
    Ok(done)
}

/// Everything that going live would make, by an authority that lives for this step only.
fn sandbox(draft: &Draft) -> Result<String, Problem> {
    let failed = |error: &dyn std::error::Error| Problem::Certificates {
        what: "the drill cannot make what it needs",
        cause: error.to_string(),
    };
    let outside = faces::from_outside(&draft.settings);
    let algorithms = draft.compiled.identities(&outside);
    let authority = Authority::generate(&draft.settings.trust_domain, &algorithms, SystemTime::now())
        .map_err(|error| failed(&error))?;
    let identity = faces::issue(&draft.settings, &authority, None, &algorithms)
        .map_err(|error| Problem::Certificates { what: "no certificates", cause: error.to_string() })?;
    for (place, suite) in draft.compiled.wanted.listeners.iter().zip(&draft.compiled.accepted) {
        if !outside(&place.name) {
            ServerTls::prepare(suite.clone(), &identity, &authority.bundle())
                .map_err(|error| failed(&error))?;
        }
    }
    let names: Vec<&str> = algorithms.iter().map(|row| row.id).collect();
    Ok(format!("roots and certificates of {}", names.join(", ")))
}
