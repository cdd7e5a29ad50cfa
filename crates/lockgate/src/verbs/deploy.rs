//! `lockgate deploy`: a REST API becomes an MCP server behind this node.
//!
//! What is shown is what is done: the table of operations, the role file and the configuration are made first, from one
//! reading of the description, and then written as they were shown. The description is kept beside them, so that a node
//! never fetches one.

mod fetch;
mod propose;
mod shown;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use lockgate_openapi::{Catalogue, Tool};

use crate::cli::{DeployArgs, Global, Output};
use crate::client;
use crate::config::{ApiPlan, LISTED_MAX, base_url, is_name, named_by};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::node::apis;
use crate::output::{print, print_document, visible};
use crate::state::{State, write_private};

/// All that a deployment is, before anything is written.
struct Deployment {
    name: String,
    catalogue: Catalogue,
    document: Vec<u8>,
    plan: ApiPlan,
    role: String,
    fragment: String,
    paths: Paths,
}

/// Where its parts go.
struct Paths {
    document: PathBuf,
    fragment: PathBuf,
    role: PathBuf,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    /// Shown only.
    Shown,
    /// Written; no node runs here.
    Written,
    /// Written, and a node serves it.
    Served,
}

impl Deployment {
    fn on(&self) -> impl Iterator<Item = &Tool> {
        self.catalogue.tools.iter().filter(|tool| self.plan.is_on(tool))
    }

    fn is_searched(&self) -> bool {
        self.on().count() > self.plan.listed_max
    }
}

/// Runs the verb.
pub(crate) async fn run(args: &DeployArgs, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    let deployment = prepare(args, &state).await?;
    if args.output.output == Output::Human {
        print(&shown::human(&deployment));
    }
    if deployment.on().next().is_none() {
        return Err(Diagnostic::new("LG-C031", "no operation would be on")
            .hint("it has none that only read: name some with --allow-unsafe OPERATION")
            .into());
    }
    if args.dry_run {
        tell(args, &deployment, (Outcome::Shown, &[]));
        return Ok(Exit::Ok);
    }
    if !args.yes && !confirmed(args)? {
        eprintln!("nothing was written");
        return Ok(Exit::Negative);
    }
    state.create()?;
    let written = write(&deployment)?;
    if !state.is_locked() {
        tell(args, &deployment, (Outcome::Written, &[]));
        return Ok(Exit::Ok);
    }
    let reloaded = client::admin(&state)?.reload().await;
    match reloaded {
        Ok(reloaded) => {
            tell(args, &deployment, (Outcome::Served, &reloaded.restart_needed));
            Ok(Exit::Ok)
        }
        Err(error) => {
            written.take_back();
            Err(client::unanswered(&error)
                .hint("nothing was changed: what had been written was taken back")
                .into())
        }
    }
}

async fn prepare(args: &DeployArgs, state: &State) -> Result<Deployment, Failure> {
    let mut problems = Vec::new();
    if !is_name(&args.name) {
        problems.push(
            Diagnostic::new("LG-C007", format!("{:?} is no server name", args.name))
                .hint("write lower-case letters, digits and single hyphens, at most 32 letters"),
        );
    }
    let base = base_url(&args.base_url).map_err(|why| {
        problems
            .push(Diagnostic::new("LG-C007", why).hint("write it like --base-url https://api.example/v1"));
    });
    let mut networks = Vec::new();
    for text in &args.network {
        match text.parse() {
            Ok(network) => networks.push(network),
            Err(error) => {
                problems.push(Diagnostic::new("LG-C007", "--network cannot be used").because(&error))
            }
        }
    }
    let Some(base) = base.ok().filter(|_| problems.is_empty()) else { return Err(Failure(problems)) };
    let document = fetch::document(args, &networks).await?;
    let catalogue = apis::catalogue(&document, &visible(&args.document))?;
    let folder = state.deployed();
    let ending = if document.trim_ascii_start().starts_with(b"{") { "json" } else { "yaml" };
    let paths = Paths {
        document: folder.join(format!("{}.{ending}", args.name)),
        fragment: folder.join(format!("{}.toml", args.name)),
        role: state.policy().join(format!("{}-user.toml", args.name)),
    };
    networks.extend(named_by(&base));
    let plan = ApiPlan {
        document: paths.document.clone(),
        base,
        allow: args.allow.clone(),
        allow_unsafe: args.allow_unsafe.clone(),
        listed_max: LISTED_MAX,
        networks,
        keep: Default::default(),
    };
    let unknown: Vec<&str> = plan.unknown(&catalogue).map(String::as_str).collect();
    if !unknown.is_empty() {
        let what = format!("the description has no operation {}", visible(&unknown.join(", ")));
        return Err(Diagnostic::new("LG-C031", what)
            .hint("see them all: add --dry-run and leave --allow away")
            .into());
    }
    let named_safe = args.allow_unsafe.iter().find(|name| catalogue.tool(name).is_some_and(Tool::is_safe));
    if let Some(name) = named_safe {
        let what = format!("{name} only reads, so --allow-unsafe is not for it");
        return Err(Diagnostic::new("LG-C031", what)
            .hint("reading operations are on, or named with --allow")
            .into());
    }
    let role = propose::role(args, &catalogue, &plan);
    let fragment = propose::fragment(args, &paths);
    Ok(Deployment { name: args.name.clone(), catalogue, document, plan, role, fragment, paths })
}

fn confirmed(args: &DeployArgs) -> Result<bool, Diagnostic> {
    if !std::io::stdin().is_terminal() || args.output.output != Output::Human {
        return Err(Diagnostic::new("LG-U001", "nobody can be asked whether this is right")
            .hint("look at it first with --dry-run, then add --yes"));
    }
    eprint!("Serve this? [y/N] ");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    Ok(read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What was written, and what stood there before.
struct Written(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Written {
    /// Puts back what was there.
    fn take_back(self) {
        for (path, before) in self.0 {
            let result = match before {
                Some(before) => write_private(&path, &before).map_err(|_| ()),
                None => std::fs::remove_file(&path).map_err(|_| ()),
            };
            if result.is_err() {
                eprintln!("{} could not be put back", path.display());
            }
        }
    }
}

/// Writes description, configuration and role. A role file that is there stays: somebody reviewed it.
fn write(deployment: &Deployment) -> Result<Written, Diagnostic> {
    let Deployment { document, fragment, role, paths, .. } = deployment;
    let folder = paths.fragment.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| unwritten(folder, &error))?;
    let mut written = Written(Vec::new());
    // The configuration comes last: it names the others.
    let parts = [
        (&paths.document, document.as_slice()),
        (&paths.role, role.as_bytes()),
        (&paths.fragment, fragment.as_bytes()),
    ];
    for (path, bytes) in parts {
        let before = std::fs::read(path).ok();
        if before.is_some() && path == &paths.role {
            continue;
        }
        if let Err(error) = write_private(path, bytes) {
            written.take_back();
            return Err(error);
        }
        written.0.push((path.clone(), before));
    }
    Ok(written)
}

fn unwritten(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new("LG-S001", format!("cannot write {}", path.display())).because(error)
}

fn tell(args: &DeployArgs, deployment: &Deployment, (outcome, restart_needed): (Outcome, &[String])) {
    match args.output.output {
        Output::Human => print(&shown::done(deployment, outcome, restart_needed)),
        Output::Json | Output::Jsonl => print_document(&shown::Report::new(deployment, outcome)),
    }
}
