//! `lockgate adopt`: a client's servers go through Lockgate from now on.
//!
//! The client's configuration is changed where its servers stand and nowhere else, after a copy was kept. The servers move into
//! the configuration of this machine's own gateway, their credentials into its sealed store. What starts in the client is
//! `lockgate connect --local NAME`, which starts the gateway if it does not run.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use lockgate_discover::clients::{self, CLIENTS, Scope};
use lockgate_discover::config::{self, ConfigFile};
use lockgate_discover::edit::{self, Start};
use lockgate_discover::machine::Machine;
use lockgate_discover::tree::{Format, Limits};
use serde::Serialize;

use crate::cli::{AdoptArgs, Global, Output};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{Table, print, print_document, visible};
use crate::state::State;

mod gateway;
mod plan;
mod record;
mod restart;
mod shown;

use gateway::GatewayFile;
use plan::{Decision, decide};
use record::Records;

/// A file as it is and as it is to be.
struct Edited {
    path: PathBuf,
    client: &'static str,
    before: String,
    after: String,
    /// Names of its servers at the gateway.
    servers: Vec<String>,
    /// What must not be shown of the difference.
    secrets: Vec<String>,
}

/// What was done, for programs.
#[derive(Serialize)]
struct Report {
    schema: &'static str,
    /// Whether anything was written.
    written: bool,
    files: Vec<FileReport>,
    /// Servers that stay as they are, with the reason.
    left: Vec<Left>,
    gateway: PathBuf,
    /// Whether the running node has to be started again by hand.
    restart_needed: bool,
}

#[derive(Serialize)]
struct FileReport {
    client: &'static str,
    file: PathBuf,
    servers: Vec<String>,
}

#[derive(Serialize)]
struct Left {
    client: &'static str,
    file: PathBuf,
    server: String,
    why: String,
}

/// Runs the verb.
pub(crate) async fn run(args: &AdoptArgs, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    state.create()?;
    let records = Records::open(&state)?;
    if args.undo {
        return undo(args, &state, &records).await;
    }
    let mut gateway = GatewayFile::open(&state)?;
    let (mut edited, mut left) = (Vec::new(), Vec::new());
    for file in files(args)? {
        one_file(&file, &state, &mut gateway, (&mut edited, &mut left))?;
    }
    if edited.is_empty() {
        return nothing(args, left, &gateway);
    }
    if args.output.output == Output::Human {
        print(&shown::plan(&edited, &left, &gateway));
    }
    if args.dry_run || !agreed(args)? {
        report(args, &edited, left, (&gateway, false, false));
        return Ok(if args.dry_run { Exit::Ok } else { Exit::Negative });
    }
    // The servers first, so that no client is ever sent where nothing is.
    gateway.write(&state)?;
    for one in &edited {
        records.keep(one)?;
    }
    let restart_needed = restart::after_change(&state, &gateway).await?;
    report(args, &edited, left, (&gateway, true, restart_needed));
    Ok(Exit::Ok)
}

/// The files whose servers are meant.
fn files(args: &AdoptArgs) -> Result<Vec<ConfigFile>, Failure> {
    let client = match &args.client {
        None => None,
        Some(name) => Some(clients::find(name).ok_or_else(|| {
            let names: Vec<&str> = CLIENTS.iter().map(|client| client.id).collect();
            let near = names
                .iter()
                .max_by(|one, other| strsim::jaro(one, name).total_cmp(&strsim::jaro(other, name)));
            let problem = Diagnostic::new("LG-U002", format!("no client is called \"{}\"", visible(name)));
            let problem = near.map_or(problem.clone(), |near| problem.hint(format!("did you mean {near}?")));
            problem.hint(format!("known are: {}", names.join(", ")))
        })?),
    };
    let limits = Limits::default();
    if let (Some(client), Some(path)) = (client, &args.file) {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        return Ok(config::file(client, &path, &limits));
    }
    let machine = Machine::this()
        .ok_or_else(|| Diagnostic::new("LG-U001", "there is no home to look in: HOME is not set"))?;
    let folders: Vec<PathBuf> =
        args.projects.iter().filter_map(|folder| std::path::absolute(folder).ok()).collect();
    let found = config::scan(&machine, &folders, &limits, &|_: &Path| ());
    let wanted = |file: &ConfigFile| client.is_none_or(|client| client.id == file.client.id);
    // What belongs to everybody on the machine, or to a plugin that updates itself, is not ours to change.
    let ours = |file: &ConfigFile| matches!(file.scope, Scope::User | Scope::Project);
    Ok(found.files.into_iter().filter(|file| wanted(file) && ours(file)).collect())
}

fn one_file(
    file: &ConfigFile,
    state: &State,
    gateway: &mut GatewayFile,
    (edited, left): (&mut Vec<Edited>, &mut Vec<Left>),
) -> Result<(), Failure> {
    let mut leave = |server: &str, why: String| {
        left.push(Left { client: file.client.id, file: file.path.clone(), server: server.to_owned(), why });
    };
    if let Some(problem) = &file.problem {
        leave("", problem.clone());
        return Ok(());
    }
    let (mut moves, mut secrets) = (Vec::new(), Vec::new());
    for entry in &file.entries {
        secrets.extend(plan::secrets(entry));
        match decide(file, entry) {
            Decision::Ours | Decision::Off => {}
            Decision::Leave(why) => leave(&entry.name, why),
            Decision::Move(server) => moves.push((entry, server)),
        }
    }
    if moves.is_empty() {
        return Ok(());
    }
    // A file may have servers in two places, and so be here for the second time.
    let at = edited.iter().position(|one| one.path == file.path);
    let text = match at {
        Some(at) => edited[at].after.clone(),
        None => config::text(&file.path, Limits::default().bytes_max).map_err(|why| {
            Diagnostic::new("LG-G020", format!("{} cannot be changed", file.path.display()))
                .cause(visible(&why))
        })?,
    };
    let (mut servers, mut commands) = (Vec::new(), Vec::new());
    let had: BTreeSet<String> = gateway.names().map(str::to_owned).collect();
    for (_, server) in &moves {
        let name = gateway.add(server);
        commands.push(plan::command(state, &name)?);
        servers.push(name);
    }
    let starts: Vec<Start<'_>> =
        moves.iter().zip(&commands).map(|((entry, _), command)| Start { entry, command }).collect();
    let format = Format::of(&file.path.to_string_lossy());
    match edit::start(&text, format, (file.keys, file.client.dialect), &starts, &Limits::default()) {
        Ok(after) => match at {
            Some(at) => {
                edited[at].after = after;
                edited[at].servers.extend(servers);
                edited[at].secrets.extend(secrets);
            }
            None => {
                let path = file.path.clone();
                edited.push(Edited { path, client: file.client.id, before: text, after, servers, secrets });
            }
        },
        Err(error) => {
            servers.iter().filter(|name| !had.contains(*name)).for_each(|name| gateway.forget_new(name));
            leave("", error.to_string());
        }
    }
    Ok(())
}

fn nothing(args: &AdoptArgs, left: Vec<Left>, gateway: &GatewayFile) -> Result<Exit, Failure> {
    if args.output.output == Output::Human {
        print(&shown::left(&left));
        print(
            "Nothing to adopt: every server that can be goes through Lockgate already, or there is none.\n",
        );
    } else {
        report(args, &[], left, (gateway, false, false));
    }
    Ok(Exit::Ok)
}

/// Asks the person, unless told not to.
fn agreed(args: &AdoptArgs) -> Result<bool, Diagnostic> {
    if args.yes {
        return Ok(true);
    }
    if !std::io::stdin().is_terminal() {
        return Err(Diagnostic::new("LG-U001", "nobody is there to be asked, and --yes was not given")
            .hint("look first: lockgate adopt --dry-run …; then: lockgate adopt --yes …"));
    }
    eprint!("Change these files? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    // A line that cannot be read is no consent.
    let _ = std::io::stdin().lock().read_line(&mut answer);
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn report(
    args: &AdoptArgs,
    edited: &[Edited],
    left: Vec<Left>,
    (gateway, written, restart_needed): (&GatewayFile, bool, bool),
) {
    if args.output.output == Output::Human {
        if written {
            let servers: BTreeSet<&String> = edited.iter().flat_map(|one| &one.servers).collect();
            print(&format!(
                "\n{} servers are behind this machine's gateway now. Restart the clients; the gateway starts by itself.\nBack: lockgate adopt --undo\n",
                servers.len()
            ));
        } else {
            print("\nNothing was changed.\n");
        }
        if restart_needed {
            print(
                "A gateway runs that does not have the new servers: end it, and it is started again when it is needed.\n",
            );
        }
        return;
    }
    let files = edited.iter().map(|one| FileReport {
        client: one.client,
        file: one.path.clone(),
        servers: one.servers.clone(),
    });
    print_document(&Report {
        schema: "lockgate.adopt/1",
        written,
        files: files.collect(),
        left,
        gateway: gateway.path().to_owned(),
        restart_needed,
    });
}

async fn undo(args: &AdoptArgs, state: &State, records: &Records) -> Result<Exit, Failure> {
    let client = args.client.as_deref();
    let wanted = |record: &record::Record| {
        client.is_none_or(|client| record.client == client)
            && args.file.as_ref().is_none_or(|file| record.is_of(file))
    };
    let outcome = records.undo(wanted, args.force)?;
    let mut gateway = GatewayFile::open(state)?;
    let needed = records.servers()?;
    let gone: Vec<String> = outcome.servers.into_iter().filter(|name| !needed.contains(name)).collect();
    gateway.remove(&gone);
    gateway.write(state)?;
    #[derive(Serialize)]
    struct Undone<'a> {
        schema: &'static str,
        restored: &'a [PathBuf],
        changed_since: &'a [PathBuf],
    }
    if args.output.output == Output::Human {
        let mut table = Table::default();
        for file in &outcome.restored {
            table.row(&["restored", &file.display().to_string()]);
        }
        for file in &outcome.changed {
            table.row(&["CHANGED SINCE, left", &file.display().to_string()]);
        }
        print(&table.render(0));
        if !outcome.changed.is_empty() {
            print("Look at them; to lose what was changed since: lockgate adopt --undo --force\n");
        } else if outcome.restored.is_empty() {
            print("Nothing is adopted.\n");
        }
    } else {
        print_document(&Undone {
            schema: "lockgate.adopt-undo/1",
            restored: &outcome.restored,
            changed_since: &outcome.changed,
        });
    }
    Ok(if outcome.changed.is_empty() { Exit::Ok } else { Exit::Negative })
}
