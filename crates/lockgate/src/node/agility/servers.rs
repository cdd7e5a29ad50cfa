//! What a change would do to the connections to servers that are reached by https: they are asked.

use lockgate_admin::{ForeseenView, PlannedLink, Verdict};
use lockgate_crypto::{Breach, Posture, Suite};
use lockgate_identity::verifier::ForeignRoots;
use lockgate_proxy::upstream::Transport;
use lockgate_transport::http::LinkStatus;
use lockgate_transport::{Dialer, Trust, dialer};

use super::super::control::Control;
use super::change::Draft;
use crate::config::{Settings, Target};

impl Control {
    /// By a handshake under the suite that is planned, and nothing after it. All are asked at once: one that does not
    /// answer holds up the plan for the time of one.
    pub(super) fn foresee_upstreams(&self, draft: &Draft, settings: &Settings) -> Vec<PlannedLink> {
        let (dialled, in_force) = {
            let changing = self.changing().lock();
            (changing.dialled.clone(), std::sync::Arc::clone(&changing.in_force))
        };
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return Vec::new() };
        let mut asked = Vec::new();
        for (place, suite) in draft.compiled.wanted.upstreams.iter().zip(&draft.compiled.upstreams) {
            let known = in_force.upstream(&place.name);
            if known.is_some_and(|known| suite.admits_everything_of(known)) {
                continue;
            }
            let Some(server) = self.node().server(&place.name) else { continue };
            let Transport::Http(http) = server.upstream.transport() else { continue };
            let Some(dialled) = dialled.iter().find(|dialled| dialled.name == place.name) else { continue };
            let target = settings.servers.iter().find(|plan| plan.name == place.name);
            let Some(Target::Http(uri)) = target.map(|plan| &plan.target) else { continue };
            let tried = runtime.spawn(try_out(suite.clone(), dialled.roots.clone(), uri.clone()));
            asked.push((place, suite, http.links(), tried));
        }
        let mut links = Vec::new();
        for (place, suite, held, tried) in asked {
            let tried = runtime.block_on(tried).unwrap_or_else(|error| Err(error.to_string()));
            let held = held.into_iter().filter(|link| !link.retired);
            links.extend(held.filter_map(|link| planned(&place.name, suite, &link, &tried)));
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
async fn try_out(suite: Suite, roots: ForeignRoots, uri: http::Uri) -> Result<Posture, String> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = uri.port_u16().unwrap_or(443);
    let dialer = Dialer::new(suite, None, Trust::foreign(&roots), dialer::Limits::default())
        .map_err(|error| error.to_string())?;
    let link = dialer.dial(&host, port).await.map_err(|error| error.to_string())?;
    link.posture.as_deref().cloned().ok_or_else(|| "the server was reached without TLS".to_owned())
}

fn negotiated(posture: &Posture) -> ForeseenView {
    ForeseenView {
        group: posture.group.clone(),
        signature: posture.peer_signature.clone().unwrap_or_default(),
        hello_retry_likely: posture.hello_retry,
    }
}
