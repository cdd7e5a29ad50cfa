//! What is asked over the network, and only where the user says so: addresses, postures, clusters, the registry.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use lockgate_discover::assemble::Assembly;
use lockgate_discover::network::{self, Depth, Limits, Probe, Surveyor};
use lockgate_discover::process::Processes;
use lockgate_discover::{kubernetes, registry};

use super::Progress;
use crate::cli::DiscoverArgs;
use crate::diagnostic::{Diagnostic, Failure};
use crate::output::visible;

/// Stands for every port of this machine at which something of this user listens.
const LOCAL: &str = "local";
/// Endpoints whose whole posture is asked for; each takes some dozens of handshakes.
const POSTURES_MAX: usize = 50;

/// Asks what was asked for.
pub(super) async fn add(
    args: &DiscoverArgs,
    processes: Option<&Processes>,
    assembly: &mut Assembly<'_>,
    progress: &Progress,
) -> Result<(), Failure> {
    if !args.probe.is_empty() || args.posture {
        let limits = Limits::default();
        let places = places(args, processes, &limits)?;
        let surveyor = Surveyor::new(limits)
            .map_err(|error| Diagnostic::new("LG-K002", "nothing can be asked over TLS").because(&error))?;
        survey(&Arc::new(surveyor), &places, args, (assembly, progress)).await;
    }
    if let Some(file) = &args.kubeconfig {
        progress.say("the cluster");
        cluster(file, assembly).await?;
    }
    if let Some(url) = &args.registry {
        progress.say("the registry");
        match registry::read(url).await {
            Ok((servers, complete)) => {
                servers.iter().for_each(|server| assembly.registered(server));
                assembly.source("registry", url, format!("{} servers", servers.len()), complete);
            }
            // What is on this machine is on the map all the same.
            Err(error) => assembly.source("registry", url, error.to_string(), false),
        }
    }
    Ok(())
}

fn places(
    args: &DiscoverArgs,
    processes: Option<&Processes>,
    limits: &Limits,
) -> Result<Vec<Probe>, Diagnostic> {
    let mut places = BTreeSet::new();
    for text in &args.probe {
        if text == LOCAL {
            let listening = processes.map(Processes::listening).unwrap_or_default().into_iter();
            let reachable =
                listening.filter(|(address, _)| address.ip().is_loopback() || address.ip().is_unspecified());
            places.extend(reachable.map(|(address, _)| Probe {
                host: "127.0.0.1".to_owned(),
                port: address.port(),
                path: None,
            }));
            continue;
        }
        let found = network::parse(text, limits.places_max).map_err(|error| {
            Diagnostic::new("LG-U001", format!("\"{}\" cannot be asked", visible(text))).because(&error)
        })?;
        places.extend(found);
    }
    if places.len() > limits.places_max {
        let what = format!("{} places are more than {} (places_max)", places.len(), limits.places_max);
        return Err(Diagnostic::new("LG-U001", what).hint("name less at a time"));
    }
    Ok(places.into_iter().collect())
}

async fn survey(
    surveyor: &Arc<Surveyor>,
    places: &[Probe],
    args: &DiscoverArgs,
    (assembly, progress): (&mut Assembly<'_>, &Progress),
) {
    let depth = if args.list_tools { Depth::Tools } else { Depth::Presence };
    let found = surveyor.survey(places, depth, &|place| progress.say(place)).await;
    if !places.is_empty() {
        assembly.source(
            "network",
            args.probe.join(", "),
            format!("{} places asked, {} answered as MCP does", places.len(), found.len()),
            true,
        );
    }
    for seen in &found {
        assembly.seen(seen);
    }
    if !args.posture {
        return;
    }
    let origins = assembly.origins();
    let mut asked = 0;
    for (origin, host, port) in origins.iter().take(POSTURES_MAX) {
        progress.say(&format!("the TLS of {host}:{port}"));
        if let Some(tls) = surveyor.posture(host, *port).await {
            assembly.posture(origin, &tls);
            asked += 1;
        }
    }
    let result = format!("{asked} of {} endpoints told what TLS they support", origins.len());
    assembly.source("network", "postures", result, asked == origins.len());
}

async fn cluster(file: &Path, assembly: &mut Assembly<'_>) -> Result<(), Diagnostic> {
    let unusable = |error: &dyn std::error::Error| {
        Diagnostic::new("LG-U003", format!("{} is no kubeconfig that can be used", file.display()))
            .because(error)
    };
    let access = kubernetes::access(file).map_err(|error| unusable(&error))?;
    let place = access.base.clone();
    match kubernetes::read(access).await {
        Ok(cluster) => {
            cluster.placed.iter().for_each(|placed| assembly.placed(placed));
            let missing = if cluster.missing.is_empty() {
                String::new()
            } else {
                format!("; {}", cluster.missing.join("; "))
            };
            assembly.source(
                "kubernetes",
                place,
                format!("{} servers{missing}", cluster.placed.len()),
                cluster.missing.is_empty(),
            );
        }
        Err(error) => assembly.source("kubernetes", place, error.to_string(), false),
    }
    Ok(())
}
