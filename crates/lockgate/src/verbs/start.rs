//! `up`, `gateway` and `wrap`: three ways to say which servers a node serves.

use crate::cli::{GatewayArgs, Global, NodeArgs, UpArgs, WrapArgs};
use crate::config::{Flags, ServerFlag, ServerText};
use crate::diagnostic::Diagnostic;
use crate::node::Launch;

/// Name of the built-in sample server.
const SAMPLE: &str = "sample";

/// Everything at once: a gateway with the sample server, beside those of the configuration file.
pub(crate) fn up(args: &UpArgs, global: &Global) -> Result<Launch, Diagnostic> {
    let program = std::env::current_exe()
        .map_err(|error| Diagnostic::new("LG-X001", "cannot find this program's own file").because(&error))?;
    let program = program.into_os_string().into_string().map_err(|path| {
        Diagnostic::new("LG-C007", format!("the path of this program is not Unicode: {}", path.display()))
            .hint("move it to a folder with a plain name")
    })?;
    let command = ServerText::Command(Some(SAMPLE.to_owned()), vec![program, "sample".to_owned()]);
    Ok(launch(&args.node, global, vec![ServerFlag { flag: "up", target: command }]))
}

/// The servers of `--to` and of the configuration file.
pub(crate) fn gateway(args: &GatewayArgs, global: &Global) -> Result<Launch, Diagnostic> {
    let servers = args.to.iter().map(|to| ServerFlag { flag: "--to", target: ServerText::To(to.clone()) });
    Ok(launch(&args.node, global, servers.collect()))
}

/// One command.
pub(crate) fn wrap(args: &WrapArgs, global: &Global) -> Result<Launch, Diagnostic> {
    let command = ServerText::Command(args.name.clone(), args.command.clone());
    Ok(launch(&args.node, global, vec![ServerFlag { flag: "wrap", target: command }]))
}

fn launch(node: &NodeArgs, global: &Global, servers: Vec<ServerFlag>) -> Launch {
    let flags = Flags { servers, ..Flags::of(node, global.log.as_deref()) };
    Launch { flags, output: node.output.output }
}
