//! What a change would do to the connections to servers that are reached by https: they are asked.

use lockgate_admin::{ForeseenView, PlannedLink, Verdict};
use lockgate_crypto::{Breach, Posture, Suite};
use lockgate_transport::http::LinkStatus;
use lockgate_transport::{Dialer, Trust, dialer};

use super::super::control::Control;
use super::Dialled;
use super::change::Draft;
use crate::config::Settings;

impl Control {
    /// By a handshake under the suite that is planned, and nothing after it.
    pub(super) fn foresee_upstreams(&self, draft: &Draft, settings: &Settings) -> Vec<PlannedLink> {
        let (dialled, in_force) = {
            let changing = self.changing().lock();
            (changing.dialled.clone(), std::sync::Arc::clone(&changing.in_force))
        };
        let mut links = Vec::new();
        for (place, suite) in draft.compiled.wanted.upstreams.iter().zip(&draft.compiled.upstreams) {
            let known = in_force.upstream(&place.name);
            if known.is_some_and(|known| suite.admits_everything_of(known)) {
                continue;
            }
            let Some(server) = self.node().server(&place.name) else { continue };
            let Some(http) = server.upstream.transport().http() else { continue };
            let Some(dialled) = dialled.iter().find(|dialled| dialled.name == place.name) else { continue };
            let target = settings.servers.iter().find(|plan| plan.name == place.name);
            let Some(uri) = target.and_then(|plan| plan.target.uri()) else { continue };
            let tried = try_out(suite, dialled, uri);
            for link in http.links().into_iter().filter(|link| !link.retired) {
                links.extend(planned(&place.name, suite, &link, &tried));
            }
        }
        links
    }
}

fn planned(
    server: &str,
    suite: &Suite,
    link: &LinkStatus,
    tried: &Result<Posture, String>,
) -> Option<PlannedLink> {
    let breaches = suite.judge(link.posture.as_deref()?);
    let mut why: Vec<String> = breaches.iter().map(Breach::to_string).collect();
    let (verdict, foreseen) = match tried {
        _ if breaches.is_empty() => (Verdict::Stays, None),
        Ok(posture) => (Verdict::Moves, Some(negotiated(posture))),
        Err(error) => {
            why.push(error.clone());
            (Verdict::Refused, None)
        }
    };
    Some(PlannedLink {
        number: link.id,
        place: format!("upstream {server}"),
        agent: server.to_owned(),
        peer: link.peer.map(|peer| peer.to_string()),
        verdict,
        why,
        foreseen,
        capabilities: None,
    })
}

/// One handshake with a server under a suite.
fn try_out(suite: &Suite, dialled: &Dialled, uri: &http::Uri) -> Result<Posture, String> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(443);
    let dialer = Dialer::new(
        suite.clone(),
        dialled.own.as_ref(),
        Trust::foreign(&dialled.roots),
        dialer::Limits::default(),
    )
    .map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Handle::try_current().map_err(|error| error.to_string())?;
    let link = runtime.block_on(dialer.dial(&host, port)).map_err(|error| error.to_string())?;
    link.posture.as_deref().cloned().ok_or_else(|| "the server was reached without TLS".to_owned())
}

fn negotiated(posture: &Posture) -> ForeseenView {
    ForeseenView {
        group: posture.group.clone(),
        signature: posture.peer_signature.clone().unwrap_or_default(),
        hello_retry_likely: posture.hello_retry,
    }
}
