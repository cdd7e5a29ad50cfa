//! `lockgate connect`: the near end of a tunnel, as stdio or as local HTTP.

use std::net::SocketAddr;

use lockgate_identity::invite;
use lockgate_transport::{Limits, Listener};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::cli::{ConnectArgs, Follow, Global, Output};
use crate::diagnostic::{Diagnostic, Failure};
use crate::endpoint::Endpoint;
use crate::exit::Exit;
use crate::output::{print, print_line};
use crate::state::State;

pub(crate) mod agent;
mod answer;
mod compare;
mod exchange;
mod lines;
mod local_http;
mod repeat;
mod session;
pub(crate) mod start;
mod stdio;
pub(crate) mod tunnel;

use agent::Wanted;
use tunnel::{Tunnel, describe};

/// Runs until the client leaves, or `stop` is cancelled.
pub(crate) async fn run(
    args: &ConnectArgs,
    global: &Global,
    stop: CancellationToken,
) -> Result<Exit, Failure> {
    let invite = args.invite.as_deref().map(read_invite).transpose()?;
    let state = State::locate(global.state.as_deref())?;
    let endpoint = match &args.local {
        Some(name) => start::endpoint(name, &state).await?,
        None => endpoint(args, invite.as_ref())?,
    };
    let listener = match args.listen {
        Some(address) => Some(open_door(address).await?),
        None => None,
    };
    let suite = tunnel::suite(&args.profile)?;
    let wanted = Wanted { endpoint: &endpoint, invite: invite.as_ref(), state: &state, suite: &suite };
    let follow = match args.follow {
        Follow::Safe => lockgate_tunnel::Follow::Safe,
        Follow::Never => lockgate_tunnel::Follow::Never,
    };
    let (tunnel, follower) = tokio::select! {
        opened = Tunnel::open(&wanted, follow) => opened?,
        () = stop.cancelled() => return Ok(Exit::Ok),
    };
    if let Some(posture) = tunnel.posture() {
        tracing::info!(agent = %follower.identity().id, "tunnel to {}, {}", endpoint.origin(), describe(&posture));
    }
    let following = tokio::spawn(follower.run());
    let comparing = tokio::spawn(compare::keep(tunnel.clone()));
    let served = match listener {
        Some(listener) => {
            announce(&listener, &endpoint, args.output.output);
            local_http::run(tunnel, listener, stop).await;
            Ok(())
        }
        None => {
            let (input, output) = rmcp::transport::stdio_pipes();
            stdio::run(tunnel, input, output, stop).await
        }
    };
    following.abort();
    comparing.abort();
    served.map_err(|error| Diagnostic::new("LG-M002", "stdin or stdout broke").because(&error))?;
    Ok(Exit::Ok)
}

fn read_invite(text: &str) -> Result<invite::Code, Diagnostic> {
    text.parse().map_err(|error: lockgate_identity::IdentityError| {
        Diagnostic::new("LG-I003", "the invite cannot be read")
            .because(&error)
            .hint("copy the whole code, from lg1. to its end")
    })
}

fn endpoint(args: &ConnectArgs, invite: Option<&invite::Code>) -> Result<Endpoint, Diagnostic> {
    match (&args.url, invite) {
        (Some(url), _) => Ok(url.clone()),
        (None, Some(code)) => code.endpoint.parse().map_err(|error: String| {
            Diagnostic::new("LG-I003", "the invite names no usable address")
                .cause(error)
                .hint("give the address yourself: lockgate connect --invite CODE URL")
        }),
        (None, None) => Err(Diagnostic::new("LG-U001", "connect needs a URL or an invite")),
    }
}

async fn open_door(address: SocketAddr) -> Result<Listener, Diagnostic> {
    if !address.ip().is_loopback() {
        return Err(Diagnostic::new("LG-U001", format!("connect cannot listen on {address}"))
            .cause("whoever reaches this door uses your certificate, so it opens on loopback only")
            .hint("use 127.0.0.1:PORT; other machines run their own connector"));
    }
    Listener::bind(address, Limits::default()).await.map_err(|error| {
        Diagnostic::new("LG-N001", format!("cannot listen on {address}"))
            .because(&error)
            .hint("use port 0 to let the system choose")
    })
}

/// The line that says where local clients connect to.
fn announce(listener: &Listener, endpoint: &Endpoint, output: Output) {
    let url = format!("http://{}/mcp", listener.local());
    match output {
        Output::Human => print(&format!("{url} now leads to {endpoint}\n")),
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Ready<'a> {
                schema: &'static str,
                endpoint: &'a str,
                to: String,
            }
            print_line(&Ready {
                schema: "lockgate.connect-ready/1",
                endpoint: &url,
                to: endpoint.to_string(),
            });
        }
    }
}
