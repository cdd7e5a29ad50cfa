//! A set of policies as a question finds it: files and folders, and what they are read against.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lockgate_analysis::World;
use lockgate_crypto::digest;
use lockgate_detect::Pin;
use lockgate_policy::{Definition, Definitions, FactShape, Options, Policies};
use lockgate_proxy::node::PINS;
use serde_json::Value;

use super::{File, none, parse_with, read};
use crate::cli::{BackgroundArgs, PolicyArgs, SetArgs};
use crate::client;
use crate::config::{self, Flags};
use crate::diagnostic::{Diagnostic, Failure};
use crate::node::policies::{groups, roles, servers};
use crate::state::State;
use crate::verbs::config::variables;

/// What policies are read against: tools, facts, groups, the trust domain.
pub(super) struct Background {
    definitions: Definitions,
    facts: Vec<FactShape>,
    groups: BTreeMap<String, Vec<String>>,
    servers: Vec<String>,
    roles: Vec<String>,
    pub(super) trust_domain: String,
    /// Where the definitions of tools come from, in words.
    pub(super) tools_from: String,
}

/// Files, parsed as one set.
pub(super) struct Set {
    pub(super) files: Vec<File>,
    pub(super) policies: Policies,
}

impl Background {
    /// Reads what the flags name, and the state directory where they name nothing.
    pub(super) async fn load(state: &State, args: &BackgroundArgs) -> Result<Self, Failure> {
        let flags = Flags { config: args.config.clone(), ..Flags::default() };
        let (settings, ..) = config::load(&flags, variables())?;
        let (definitions, tools_from) =
            if args.tools.is_empty() { pinned(state).await? } else { saved(&args.tools)? };
        Ok(Background {
            definitions: Definitions::new(definitions),
            facts: settings.fact_shapes(),
            groups: groups(&settings),
            servers: servers(&settings),
            roles: roles(&settings),
            trust_domain: settings.trust_domain,
            tools_from,
        })
    }

    /// Parses files; every mistake of every file at once.
    pub(super) fn parse(&self, files: Vec<File>) -> Result<Set, Failure> {
        let options = Options {
            definitions: &self.definitions,
            facts: &self.facts,
            groups: &self.groups,
            servers: &self.servers,
            roles: Some(&self.roles),
            trust_domain: &self.trust_domain,
            generation: 1,
        };
        let policies = parse_with(&files, &options, None)?;
        Ok(Set { files, policies })
    }

    /// The same for a flag or argument; without one, the state directory's files.
    pub(super) fn set(&self, state: &State, paths: &[PathBuf]) -> Result<Set, Failure> {
        let files = files(state, paths)?;
        if files.is_empty() {
            return Err(none(state).into());
        }
        self.parse(files)
    }

    /// How many tools are known.
    pub(super) fn tools(&self) -> usize {
        self.definitions.len()
    }

    /// Every tool that is known, as server and name.
    pub(super) fn tool_names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.definitions.iter().map(|tool| (tool.server.as_str(), tool.tool.as_str()))
    }

    /// What is true of every call, for proofs.
    pub(super) fn world(&self) -> World {
        let tools = self.definitions.iter().map(|tool| {
            let definition: Value = serde_json::from_str(&tool.json).unwrap_or_default();
            let arguments = definition["inputSchema"]["properties"].as_object();
            let names = arguments.map(|all| all.keys().cloned().collect()).unwrap_or_default();
            ((tool.server.clone(), tool.tool.clone()), names)
        });
        World {
            groups: self.groups.clone(),
            tools: tools.collect(),
            trust_domain: self.trust_domain.clone(),
            roles: BTreeMap::new(),
        }
    }
}

/// The set and background of a verb with `--policy`.
pub(super) async fn of_flags(state: &State, args: &PolicyArgs) -> Result<(Background, Set), Failure> {
    let background = Background::load(state, &args.background).await?;
    let set = background.set(state, &args.policy)?;
    Ok((background, set))
}

/// The ids of all policies whose authors wrote a reason, with the reason.
pub(crate) async fn reasons(
    state: &State,
    config: Option<&Path>,
) -> Result<BTreeMap<String, String>, Failure> {
    let args = BackgroundArgs { config: config.map(Path::to_owned), tools: Vec::new() };
    let set = Background::load(state, &args).await?.set(state, &[])?;
    let reasons = set.policies.cedar().filter_map(|policy| {
        let reason = policy.annotation("reason")?;
        // A rule can be several policies; records name either.
        let names = [Some(policy.id().to_string()), policy.annotation("rule").map(str::to_owned)];
        Some(names.into_iter().flatten().map(|name| (name, reason.to_owned())))
    });
    Ok(reasons.flatten().collect())
}

/// The files of a verb that takes them as arguments.
pub(super) async fn of_arguments(state: &State, args: &SetArgs) -> Result<(Background, Set), Failure> {
    let background = Background::load(state, &args.background).await?;
    let set = background.set(state, &args.files)?;
    Ok((background, set))
}

/// Files as they are named, folders by their policy files.
pub(super) fn files(state: &State, paths: &[PathBuf]) -> Result<Vec<File>, Failure> {
    if paths.is_empty() {
        return read(state.policy_files()?);
    }
    let mut all = Vec::new();
    for path in paths {
        if path.is_dir() {
            all.extend(of_folder(path, crate::state::is_policy)?);
        } else {
            all.push(path.clone());
        }
    }
    read(all)
}

/// The files of a folder that are wanted, sorted by name.
pub(super) fn of_folder(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, Diagnostic> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        Diagnostic::new("LG-C009", format!("cannot read the folder {}", folder.display())).because(&error)
    })?;
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| wanted(path)).collect();
    files.sort();
    Ok(files)
}

/// The definitions that a node has pinned. A running node holds its store alone and is asked.
async fn pinned(state: &State) -> Result<(Vec<Definition>, String), Diagnostic> {
    if state.is_locked() {
        let admin = client::admin(state)?;
        let pins = admin.pins().await.map_err(|error| client::unanswered(&error))?;
        let definitions = pins.pins.into_iter().map(|pin| Definition {
            server: pin.server,
            tool: pin.tool,
            json: pin.definition,
            sha256: pin.sha256,
        });
        return Ok((definitions.collect(), "what the running node has pinned".to_owned()));
    }
    if !state.store().is_file() {
        return Ok((Vec::new(), "none yet".to_owned()));
    }
    let failed = |error: &lockgate_store::StoreError| {
        Diagnostic::new("LG-S005", format!("cannot read the store {}", state.store().display()))
            .because(error)
            .hint("name saved definitions instead: --tools FILE")
    };
    let store = lockgate_store::Store::open(&state.store()).map_err(|error| failed(&error))?;
    let pins = store.list_json::<Pin>(PINS, "").map_err(|error| failed(&error))?;
    let definitions = pins.into_iter().map(|(_, pin)| Definition {
        server: pin.server,
        tool: pin.tool,
        json: pin.definition,
        sha256: pin.sha256,
    });
    Ok((definitions.collect(), "what the node has pinned".to_owned()))
}

/// Definitions out of saved `tools/list` results.
fn saved(named: &[String]) -> Result<(Vec<Definition>, String), Failure> {
    let mut definitions = Vec::new();
    for text in named {
        let (server, path) = match text.split_once('=') {
            Some((server, path)) => (server.to_owned(), PathBuf::from(path)),
            None => {
                let path = PathBuf::from(text);
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("server");
                (stem.to_owned(), path)
            }
        };
        let wrong = |why: &dyn std::error::Error| {
            Diagnostic::new("LG-P025", format!("{} holds no tool definitions", path.display()))
                .because(why)
                .hint("save a result of tools/list: {\"tools\": [{\"name\": …, \"inputSchema\": …}]}")
        };
        let content = std::fs::read_to_string(&path).map_err(|error| wrong(&error))?;
        let json: Value = serde_json::from_str(&content).map_err(|error| wrong(&error))?;
        let list = [&json["result"]["tools"], &json["tools"], &json].into_iter().find_map(Value::as_array);
        let none = std::io::Error::other("there is no list of tools in it");
        for tool in list.ok_or_else(|| wrong(&none))? {
            let Some(name) = tool["name"].as_str() else {
                return Err(wrong(&std::io::Error::other("a tool in it has no name")).into());
            };
            let text = tool.to_string();
            definitions.push(Definition {
                server: server.clone(),
                tool: name.to_owned(),
                sha256: digest::hex(&digest::sha256(text.as_bytes())),
                json: text,
            });
        }
    }
    Ok((definitions, named.join(", ")))
}
