//! The node says that it is there: one line for programs, a page for people.

use serde::Serialize;

use super::control::Control;
use crate::cli::Output;
use crate::output::{print, print_line};
use crate::state::NodeNote;

/// `lockgate.ready/1`, the one line on stdout that scripts wait for.
#[derive(Serialize)]
struct Ready<'a> {
    schema: &'static str,
    /// URL of all servers for connectors.
    endpoint: String,
    /// URL of all servers for clients without a connector.
    foreign: Option<String>,
    /// Base URL of the admin interface; its token is in the state directory.
    admin: String,
    /// PEM file with the authority's roots.
    authority: &'a std::path::Path,
    state: &'a std::path::Path,
    servers: Vec<String>,
    pid: u32,
}

/// Says where everything is.
pub(super) fn announce(control: &Control, note: &NodeNote, output: Output) {
    match output {
        Output::Human => print(&page(control, note)),
        Output::Json | Output::Jsonl => print_line(&Ready {
            schema: "lockgate.ready/1",
            endpoint: format!("{}/mcp", note.endpoint),
            foreign: note.foreign.as_ref().map(|foreign| format!("{foreign}/mcp")),
            admin: format!("http://{}", note.admin),
            authority: &note.authority,
            state: control.state().root(),
            servers: control.node().servers().map(|server| server.id.clone()).collect(),
            pid: note.pid,
        }),
    }
}

fn page(control: &Control, note: &NodeNote) -> String {
    let servers: Vec<String> = control.node().servers().map(|server| server.id.clone()).collect();
    let mut page =
        format!("Lockgate is ready.\n\n  endpoint   {}/mcp   tunnels, {}\n", note.endpoint, note.profile);
    if let Some(foreign) = &note.foreign {
        let profile = control.profile_of("foreign").unwrap_or_default();
        page.push_str(&format!("  foreign    {foreign}/mcp   clients without a connector, {profile}\n"));
    }
    for server in &servers {
        page.push_str(&format!("  server     {}/servers/{server}/mcp\n", note.endpoint));
    }
    page.push_str(&format!("  state      {}\n", control.state().root().display()));
    page.push_str("\nPaste into your MCP client's configuration:\n\n");
    page.push_str(&snippet(control, note, &servers));
    let state = state_flag(control).join(" ");
    let state = if state.is_empty() { state } else { format!(" {state}") };
    page.push_str(&format!(
        "\nWhere to look next:\n  \
         lockgate{state} status               servers, links and the proof of each\n  \
         lockgate{state} ping                 a handshake, and what it negotiated\n  \
         lockgate{state} audit tail --follow  every call as it is recorded\n  \
         {}  who may do what; edit it, it is taken up by itself\n\
         \nCtrl-C drains and stops.\n",
        control.state().policy().join("local.cedar").display()
    ));
    page
}

/// `mcpServers`, as most clients read it.
fn snippet(control: &Control, note: &NodeNote, servers: &[String]) -> String {
    let program =
        std::env::current_exe().map_or_else(|_| "lockgate".to_owned(), |path| path.display().to_string());
    let mut entries = serde_json::Map::new();
    for server in servers {
        let mut args = vec!["connect".to_owned(), format!("{}/servers/{server}/mcp", note.endpoint)];
        args.extend(state_flag(control));
        entries.insert(server.clone(), serde_json::json!({ "command": program, "args": args }));
    }
    let whole = serde_json::json!({ "mcpServers": entries });
    let text = serde_json::to_string_pretty(&whole).expect("strings and lists always serialise");
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// `--state DIR`, unless the default leads there: the client may start the connector in another environment.
fn state_flag(control: &Control) -> Vec<String> {
    let root = control.state().root();
    if crate::state::State::is_default(root) {
        return Vec::new();
    }
    vec!["--state".to_owned(), root.display().to_string()]
}
