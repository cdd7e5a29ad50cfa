//! `lockgate ping`: handshakes with a gateway, and what was negotiated in each.

use std::sync::Arc;

use lockgate_crypto::Posture;
use lockgate_identity::TrustBundle;
use lockgate_proxy::link::LinkView;
use lockgate_transport::Dialer;
use lockgate_tunnel::service;
use serde::Serialize;

use crate::cli::{Global, Output, PingArgs};
use crate::client;
use crate::connect::{agent, tunnel};
use crate::diagnostic::{Diagnostic, Failure};
use crate::endpoint::Endpoint;
use crate::exit::Exit;
use crate::output::{Table, bytes, print, print_document, print_line};
use crate::state::State;
use crate::trouble;

/// Longest wait for the gateway's view of the link, in seconds: it has it at hand.
const ANSWER_S_MAX: u64 = 5;

/// What one handshake came to.
#[derive(Debug, Serialize)]
struct Pong {
    schema: &'static str,
    url: String,
    number: u32,
    /// Whether the gateway's certificate was checked against an authority that this machine knows.
    verified: bool,
    quantum_safe: bool,
    /// What keeps the link from being quantum-safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    weakest: Option<String>,
    posture: Posture,
    /// How the gateway sees the same link, if it is one of ours.
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<LinkView>,
}

/// Runs the verb.
pub(crate) async fn run(args: &PingArgs, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    let endpoint = match &args.url {
        Some(url) => url.clone(),
        None => state.running()?.endpoint.parse().map_err(|error: String| {
            Diagnostic::new("LG-N005", "the note of the running node names no usable address").cause(error)
        })?,
    };
    let suite = tunnel::suite(&args.profile)?;
    let (dialer, verified) = dialer(&state, &endpoint, &suite)?;
    let mut pongs = Vec::new();
    for number in 1..=args.count {
        let pong = ping(&endpoint, &dialer, verified, number).await?;
        match args.output.output {
            Output::Human => print(&describe(&pong, args.count)),
            Output::Jsonl => print_line(&pong),
            Output::Json => {}
        }
        pongs.push(pong);
    }
    let safe = pongs.iter().all(|pong| pong.quantum_safe);
    if args.output.output == Output::Json {
        print_json(pongs);
    }
    Ok(if safe { Exit::Ok } else { Exit::Negative })
}

/// One answer as itself, several as a list.
fn print_json(mut pongs: Vec<Pong>) {
    #[derive(Serialize)]
    struct All {
        schema: &'static str,
        pings: Vec<Pong>,
    }
    match pongs.pop() {
        Some(only) if pongs.is_empty() => print_document(&only),
        Some(last) => {
            pongs.push(last);
            print_document(&All { schema: "lockgate.pings/1", pings: pongs });
        }
        None => {}
    }
}

/// Dials with all that this machine knows of the gateway: its own certificate for it, or at least the authority. A
/// gateway that it knows nothing of can still be measured.
fn dialer(
    state: &State,
    endpoint: &Endpoint,
    suite: &lockgate_crypto::Suite,
) -> Result<(Arc<Dialer>, bool), Diagnostic> {
    if let Some(identity) = agent::kept(state, endpoint)? {
        // Without a certificate that can be shown, the handshake is measured all the same.
        let current = identity.leaf.not_after() > std::time::SystemTime::now();
        let permitted = suite.signatures().contains(&identity.leaf.algorithm);
        let shown = Some(&identity).filter(|_| current && permitted);
        let dialer = agent::trusting(suite, &identity.bundle, shown)?;
        return Ok((dialer, true));
    }
    if agent::is_local(state, endpoint)? {
        let note = state.running()?;
        let bundle = TrustBundle::from_pem_file(&note.authority)
            .map_err(|error| trouble::identity(&error, &note.authority))?;
        return Ok((agent::trusting(suite, &bundle, None)?, true));
    }
    Ok((agent::unpinned(suite)?, false))
}

async fn ping(
    endpoint: &Endpoint,
    dialer: &Arc<Dialer>,
    verified: bool,
    number: u32,
) -> Result<Pong, Diagnostic> {
    let (posture, gateway) = match exchange(endpoint, dialer).await {
        Ok(seen) => seen,
        // Something that makes handshakes but is no gateway can still be measured; what cannot be dialled says why.
        Err(_) => {
            let link = dialer.dial(&endpoint.host, endpoint.port).await;
            (link.map_err(|error| trouble::dial(&error, endpoint))?.posture, None)
        }
    };
    let posture =
        posture.ok_or_else(|| client::not_a_gateway(endpoint, "the connection ended with its answer"))?;
    Ok(Pong {
        schema: "lockgate.ping/1",
        url: endpoint.origin(),
        number,
        verified,
        quantum_safe: posture.quantum_safe(),
        weakest: posture.weakest(),
        posture: Posture::clone(&posture),
        gateway,
    })
}

/// The posture on both sides of one link.
async fn exchange(
    endpoint: &Endpoint,
    dialer: &Arc<Dialer>,
) -> Result<(Option<Arc<Posture>>, Option<LinkView>), Diagnostic> {
    // A pool for each: a new connection each time, and the dialer's session makes the later ones resume.
    let pool = client::pool(endpoint, Arc::clone(dialer))?;
    let request = service::get(service::POSTURE);
    let (status, body) = client::ask_within(ANSWER_S_MAX, &pool, endpoint, request).await?;
    let own = pool.links().first().and_then(|link| link.posture.clone());
    Ok((own, status.is_success().then(|| serde_json::from_slice(&body).ok()).flatten()))
}

fn describe(pong: &Pong, count: u32) -> String {
    let posture = &pong.posture;
    let verdict = match &pong.weakest {
        None => "quantum-safe".to_owned(),
        Some(weakest) => format!("NOT quantum-safe: {weakest}"),
    };
    let number = if count > 1 { format!(" ({} of {count})", pong.number) } else { String::new() };
    let mut table = Table::new(&[]);
    let unchecked =
        if pong.verified { "" } else { " (not verified: this machine knows no authority for this gateway)" };
    for (key, value) in rows(posture, unchecked) {
        table.row(&[key, &value]);
    }
    if let Some(view) = &pong.gateway {
        table.row(&["seen as", &view.agent]);
    }
    format!("{}{number}: {verdict}\n{}\n", pong.url, table.render(2).trim_start_matches('\n'))
}

/// What is worth knowing of a posture, for people.
pub(crate) fn rows(posture: &Posture, about_peer: &str) -> Vec<(&'static str, String)> {
    let kind = match (posture.resumed, posture.hello_retry) {
        (true, _) => "resumed",
        (false, true) => "full, after a retry",
        (false, false) => "full",
    };
    vec![
        ("group", posture.group.clone()),
        ("cipher", posture.cipher.clone()),
        ("their signature", format!("{}{about_peer}", posture.peer_signature.as_deref().unwrap_or("none"))),
        ("our signature", posture.own_signature.clone().unwrap_or_else(|| "none".to_owned())),
        (
            "handshake",
            format!(
                "{kind}, {}.{} ms, {} in, {} out",
                posture.handshake_us / 1000,
                posture.handshake_us % 1000 / 100,
                bytes(posture.bytes_in),
                bytes(posture.bytes_out)
            ),
        ),
        ("profile", posture.profile.clone()),
    ]
}
