//! `lockgate discover`: what speaks MCP here, how well it is protected, and what goes past the gateway.

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lockgate_discover::assemble::Assembly;
use lockgate_discover::config;
use lockgate_discover::diff::{self, Diff};
use lockgate_discover::export;
use lockgate_discover::machine::Machine;
use lockgate_discover::map::{Map, Node, Severity};
use lockgate_discover::process;
use lockgate_discover::secret::{KEY_BYTES, Redactor};
use lockgate_discover::tree::Limits;

use super::identity::now_ms;
use crate::cli::{Bad, DiscoverArgs, DiscoverVerb, Global, MapFormat, Output};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, print_document, print_line, visible};
use crate::signals;
use crate::state::{self, State};

mod beyond;
mod gateway;
mod table;
mod told;

/// Largest map that is read back, in bytes.
const MAP_BYTES_MAX: usize = 64 << 20;
/// Shortest time between two looks of `--watch`, in seconds: each one reads some hundred files.
const EVERY_S_MIN: u64 = 1;

/// Runs the verb.
pub(crate) async fn run(args: &DiscoverArgs, global: &Global) -> Result<Exit, Failure> {
    if let Some(DiscoverVerb::Diff { old, new, output }) = &args.verb {
        let diff = diff::between(&read_map(old)?, &read_map(new)?);
        match output.output {
            Output::Human => print(&told::diff(&diff)),
            Output::Json => print_document(&diff),
            Output::Jsonl => changes(&diff),
        }
        return Ok(if diff.is_empty() { Exit::Ok } else { Exit::Negative });
    }
    let state = State::locate(global.state.as_deref())?;
    let map = look(args, &state).await?;
    show(&map, args);
    if args.watch {
        watch(args, &state, map).await?;
        return Ok(Exit::Ok);
    }
    let limit = args.fail_on.map(|bad| match bad {
        Bad::Info => Severity::Info,
        Bad::Low => Severity::Low,
        Bad::Medium => Severity::Medium,
        Bad::High => Severity::High,
    });
    let failed = limit.is_some_and(|limit| map.findings.iter().any(|finding| finding.severity >= limit));
    Ok(if failed { Exit::Negative } else { Exit::Ok })
}

fn show(map: &Map, args: &DiscoverArgs) {
    match (args.format, args.output.output) {
        (Some(MapFormat::Dot), _) => print(&export::dot(map)),
        (Some(MapFormat::Mermaid), _) => print(&export::mermaid(map)),
        (Some(MapFormat::Cyclonedx), _) => {
            print_document(&export::cyclonedx(map, &rfc3339(map.at_ms), env!("CARGO_PKG_VERSION")));
        }
        (None, Output::Human) => print(&table::map(map, width())),
        (None, Output::Json) => print_document(map),
        (None, Output::Jsonl) => {
            map.nodes.iter().for_each(print_line);
            map.links.iter().for_each(|link| print_line(&Item { item: "link", value: link }));
            map.findings.iter().for_each(|finding| print_line(&Item { item: "finding", value: finding }));
        }
    }
}

/// A line of the JSONL form that is no node.
#[derive(serde::Serialize)]
struct Item<'a, T> {
    item: &'static str,
    #[serde(flatten)]
    value: &'a T,
}

fn rfc3339(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Columns of the terminal; those of a page where there is none.
fn width() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok().filter(|size| size.ws_col > 0);
    size.map_or(110, |size| usize::from(size.ws_col).max(60))
}

/// One look at everything.
pub(crate) async fn look(args: &DiscoverArgs, state: &State) -> Result<Map, Failure> {
    let began = Instant::now();
    let machine = Machine::this().ok_or_else(|| {
        Diagnostic::new("LG-U001", "there is no home to look in: HOME is not set")
            .hint("set HOME to the user's home")
    })?;
    if let Some(folder) = args.projects.iter().find(|folder| !folder.is_dir()) {
        return Err(Diagnostic::new("LG-U003", format!("{} is no folder", folder.display()))
            .hint("give folders to --projects")
            .into());
    }
    let progress = Progress::new();
    let redactor = redactor(state)?;
    let mut assembly = Assembly::new(&redactor);
    progress.say("gateway");
    gateway::add(args.config.as_deref(), state, &mut assembly).await?;
    progress.say("configurations");
    let folders: Vec<PathBuf> =
        args.projects.iter().filter_map(|folder| std::path::absolute(folder).ok()).collect();
    let found = config::scan(&machine, &folders, &Limits::default(), &|project: &Path| {
        progress.say(&project.display().to_string())
    });
    assembly.configs(&found);
    for beside in machine.windows_beside() {
        assembly.configs(&config::scan(&beside, &[], &Limits::default(), &|_: &Path| ()));
    }
    progress.say("processes");
    let processes = match process::read(Path::new("/proc")) {
        Ok(processes) => {
            assembly.processes(&processes);
            Some(processes)
        }
        Err(error) => {
            assembly.source("processes", "this machine", error, false);
            None
        }
    };
    beyond::add(args, processes.as_ref(), &mut assembly, &progress).await?;
    progress.done();
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let map = assembly.finish(now_ms(), took_ms);
    keep(&map, state);
    Ok(map)
}

/// The last map, for the dashboard. That it cannot be kept is no reason not to show it.
fn keep(map: &Map, state: &State) {
    let kept = serde_json::to_vec(map).map_err(|error| error.to_string());
    let kept = kept
        .and_then(|text| state::write_private(&state.discovery(), &text).map_err(|error| error.to_string()));
    if let Err(error) = kept {
        tracing::warn!("the map is not kept for the dashboard: {error}");
    }
}

/// The key of this machine's fingerprints, made once. It never leaves the state directory.
pub(crate) fn redactor(state: &State) -> Result<Redactor, Diagnostic> {
    state.create()?;
    let path = state.root().join("discover.key");
    if let Ok(key) = std::fs::read(&path)
        && let Ok(key) = <[u8; KEY_BYTES]>::try_from(key.as_slice())
    {
        state::private(&path)?;
        return Ok(Redactor::new(key));
    }
    let mut key = [0; KEY_BYTES];
    lockgate_crypto::random::fill(&mut key);
    state::write_private(&path, &key)?;
    Ok(Redactor::new(key))
}

/// Says on stderr what is looked at, where a person looks on.
pub(super) struct Progress {
    live: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { live: std::io::stderr().is_terminal() }
    }

    pub(super) fn say(&self, what: &str) {
        if self.live {
            let what: String = visible(what).chars().take(70).collect();
            eprint!("\r\x1b[Klooking at {what}");
            let _ = std::io::stderr().flush();
        }
    }

    pub(super) fn done(&self) {
        if self.live {
            eprint!("\r\x1b[K");
        }
    }
}

async fn watch(args: &DiscoverArgs, state: &State, mut last: Map) -> Result<(), Failure> {
    let stop = signals::stop()?;
    let mut tick = tokio::time::interval(Duration::from_secs(args.every.0.max(EVERY_S_MIN)));
    tick.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = tick.tick() => {}
        }
        let map = look(args, state).await?;
        let diff = diff::between(&last, &map);
        if !diff.is_empty() {
            match args.output.output {
                Output::Human => {
                    print(&format!("{}\n{}", super::identity::time(map.at_ms), told::diff(&diff)))
                }
                Output::Json => print_line(&diff),
                Output::Jsonl => changes(&diff),
            }
        }
        last = map;
    }
}

fn changes(diff: &Diff) {
    diff.nodes.iter().for_each(|change| print_line(&Item { item: "change", value: change }));
    diff.found.iter().for_each(|finding| print_line(&Item { item: "found", value: finding }));
    diff.mended.iter().for_each(|finding| print_line(&Item { item: "mended", value: finding }));
}

fn read_map(path: &Path) -> Result<Map, Diagnostic> {
    let refused = |why: String| {
        Diagnostic::new("LG-U003", format!("{} is no map", path.display()))
            .cause(visible(&why))
            .hint("make one: lockgate discover --output json > FILE")
    };
    let text = config::text(path, MAP_BYTES_MAX).map_err(refused)?;
    let map: Map = serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
    if map.schema != lockgate_discover::map::SCHEMA {
        return Err(refused(format!(
            "its schema is \"{}\"; this version reads {}",
            map.schema,
            lockgate_discover::map::SCHEMA
        )));
    }
    Ok(map)
}

/// Names of nodes by their ids, as people read them.
fn name_of(map: &Map, id: &str) -> String {
    map.nodes.iter().find(|node| node.id() == id).map_or_else(|| visible(id), |node| visible(node.name()))
}

/// How many of a kind.
fn count(map: &Map, is: impl Fn(&Node) -> bool, what: &str) -> String {
    let count = map.nodes.iter().filter(|node| is(node)).count();
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Clients that use a server, in words.
fn users(map: &Map, used_from: &[lockgate_discover::map::Use]) -> String {
    let names: BTreeSet<String> = used_from.iter().map(|used| name_of(map, &used.client)).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}
