//! What our own node has behind it: from its configuration, and from the node itself while it runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lockgate_admin::{Links, Status};
use lockgate_discover::assemble::{Assembly, Gateway};
use lockgate_discover::launch::Launch;
use lockgate_discover::map::GatewayNode;

use crate::config::{self, Flags, Target};
use crate::diagnostic::Failure;
use crate::state::State;
use crate::verbs::config::variables;

/// Lays this machine's gateway on the map, if there is one.
pub(super) async fn add(
    given: Option<&Path>,
    state: &State,
    assembly: &mut Assembly<'_>,
) -> Result<(), Failure> {
    let kept = state.gateway_config();
    let file: Option<PathBuf> = given.map(Path::to_owned).or_else(|| kept.exists().then_some(kept));
    let mut servers = Vec::new();
    let mut listens = BTreeSet::new();
    if let Some(file) = &file {
        let flags = Flags { config: Some(file.clone()), ..Flags::default() };
        let (settings, ..) = config::load(&flags, variables())?;
        for server in settings.servers {
            let launch = match server.target {
                Target::Http(url) => Launch::Http(url.to_string()),
                Target::Stdio { command } => Launch::Stdio(command),
            };
            servers.push((server.name, launch));
        }
    }
    let running = match state.running() {
        Ok(_) => ask(state).await,
        Err(_) => None,
    };
    if let Some((_, _, upstreams)) = &running {
        for (name, address) in upstreams {
            if !servers.iter().any(|(known, _)| known == name) {
                // Of a child only its program is told, which no client writes alone: a server of its own on the map.
                let launch = match address.starts_with("http") {
                    true => Launch::Http(address.clone()),
                    false => Launch::Stdio(vec![address.clone()]),
                };
                servers.push((name.clone(), launch));
            }
        }
    }
    if servers.is_empty() && running.is_none() {
        assembly.source("gateway", "this machine", "no gateway of this user", true);
        return Ok(());
    }
    let mut node = GatewayNode {
        id: "gateway:this machine".to_owned(),
        name: "this machine's gateway".to_owned(),
        listens: Vec::new(),
        profiles: Vec::new(),
        links: 0,
        links_quantum_safe: 0,
        agents: Vec::new(),
        running: running.is_some(),
    };
    if let Some((status, links, _)) = running {
        node.name = status.node;
        listens.extend(status.listeners.iter().map(|listener| listener.url.clone()));
        let profiles: BTreeSet<String> =
            status.listeners.into_iter().filter_map(|listener| listener.profile).collect();
        node.profiles = profiles.into_iter().collect();
        (node.links, node.links_quantum_safe) = (status.links, status.links_quantum_safe);
        let agents: BTreeSet<String> = links.links.into_iter().map(|link| link.agent).collect();
        node.agents = agents.into_iter().collect();
    }
    node.listens = listens.into_iter().collect();
    let result = format!(
        "{} servers behind it; it {}",
        servers.len(),
        if node.running { "runs" } else { "does not run" }
    );
    assembly.gateway(&Gateway { node, servers });
    assembly.source("gateway", "this machine", result, true);
    Ok(())
}

/// What the node tells; nothing if it does not answer, which `lockgate doctor` is for.
async fn ask(state: &State) -> Option<(Status, Links, Vec<(String, String)>)> {
    let admin = crate::client::admin(state).ok()?;
    let (status, links, upstreams) =
        tokio::try_join!(admin.status(), admin.links(), admin.upstreams()).ok()?;
    let upstreams = upstreams.upstreams.into_iter().map(|upstream| (upstream.id, upstream.address)).collect();
    Some((status, links, upstreams))
}
