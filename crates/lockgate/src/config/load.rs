//! From file, environment and flags to [`Settings`], with every error at once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value as Schema;

use super::check::{check, nearest};
use super::settings::Settings;
use super::tree::{Origin, Tree, Value};
use super::{Config, schema};
use crate::cli::NodeArgs;
use crate::diagnostic::{Diagnostic, Failure};

/// Variables that are no settings of the file: two name where things are, one carries a secret to `connect`.
const OTHER_VARIABLES: &[&str] = &["LOCKGATE_STATE", "LOCKGATE_CONFIG", "LOCKGATE_INVITE"];

/// Sections of single settings, which is what a variable can name.
const SECTIONS: &[&str] = &["node", "crypto", "limits", "audit", "policy", "admin", "log"];

/// What the command line adds to the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// `--config`.
    pub(crate) config: Option<PathBuf>,
    /// `--listen`, `--foreign`, `--admin`, `--profile`, `--log`.
    pub(crate) settings: Vec<(&'static str, &'static str, &'static str, String)>,
    /// Servers from `--to`, from `wrap`'s command or from `up`: name (given or suggested later), flag and target.
    pub(crate) servers: Vec<ServerFlag>,
    /// Folder with the servers that were deployed, a file for each.
    pub(crate) deployed: Option<PathBuf>,
}

/// A server that the command line names.
#[derive(Debug, Clone)]
pub(crate) struct ServerFlag {
    /// Which flag, with its dashes.
    pub(crate) flag: &'static str,
    /// `NAME=TARGET` or `TARGET`; or a command.
    pub(crate) target: ServerText,
}

/// How the command line names a server.
#[derive(Debug, Clone)]
pub(crate) enum ServerText {
    /// The value of `--to`.
    To(String),
    /// A name, if one was given, and a command line.
    Command(Option<String>, Vec<String>),
}

impl Flags {
    /// The flags that every gateway verb takes.
    pub(crate) fn of(node: &NodeArgs, log: Option<&str>) -> Self {
        let address = |address: Option<SocketAddr>| address.map(|address| address.to_string());
        let settings = [
            ("node", "listen", "--listen", address(node.listen)),
            ("node", "foreign", "--foreign", node.foreign.clone()),
            ("node", "profile", "--profile", node.profile.clone()),
            ("admin", "listen", "--admin", address(node.admin)),
            ("log", "level", "--log", log.map(str::to_owned)),
        ];
        Self {
            config: node.config.clone(),
            settings: settings
                .into_iter()
                .filter_map(|(section, key, flag, value)| Some((section, key, flag, value?)))
                .collect(),
            servers: Vec::new(),
            deployed: None,
        }
    }
}

/// Reads and checks everything. `variables` is the environment, an argument so that tests need none.
pub(crate) fn load(
    flags: &Flags,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<(Settings, Config, Tree), Failure> {
    let schema = schema();
    let (mut tree, mut problems) =
        flags.config.as_deref().map_or_else(|| (Tree::empty(), Vec::new()), Tree::read);
    problems.extend(overlay_deployed(&mut tree, flags));
    problems.extend(overlay_variables(&mut tree, &schema, variables));
    overlay_flags(&mut tree, flags);
    problems.extend(check(&tree, &schema));
    if !problems.is_empty() {
        return Err(Failure(problems));
    }
    let config: Config = serde_json::from_value(tree.to_json()).map_err(|error| {
        Diagnostic::new("LG-X001", "the configuration fits its schema but not its types").because(&error)
    })?;
    let settings = Settings::resolve(&config, &tree).map_err(Failure)?;
    Ok((settings, config, tree))
}

/// The files of servers that were deployed, by name.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn deployed(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
    files.sort();
    Ok(files)
}

fn overlay_deployed(tree: &mut Tree, flags: &Flags) -> Vec<Diagnostic> {
    let Some(folder) = &flags.deployed else { return Vec::new() };
    let files = match deployed(folder) {
        Ok(files) => files,
        Err(error) => {
            return vec![
                Diagnostic::new("LG-C001", format!("cannot read {}", folder.display())).because(&error),
            ];
        }
    };
    let mut problems = Vec::new();
    for file in files {
        let (servers, found) = Tree::read(&file);
        problems.extend(found);
        for other in tree.take_servers(servers) {
            problems.push(
                Diagnostic::new(
                    "LG-C003",
                    format!("`{other}` has no place among the servers that were deployed"),
                )
                .at(file.display().to_string())
                .hint("keep [[server]] only; all else belongs into the configuration file"),
            );
        }
    }
    problems
}

fn overlay_variables(
    tree: &mut Tree,
    schema: &Schema,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Vec<Diagnostic> {
    let mut ours: Vec<(String, String)> = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with("LOCKGATE_") && !OTHER_VARIABLES.contains(&name.as_str()))
        .collect();
    ours.sort();
    let mut problems = Vec::new();
    for (name, text) in ours {
        let found = settings_of(schema).into_iter().find(|(variable, ..)| *variable == name);
        match found {
            Some((_, section, key, kind)) => {
                tree.set(section, &key, value(&text, kind), &Origin::Variable(name));
            }
            None => problems.push(unknown_variable(&name, schema)),
        }
    }
    problems
}

/// Every setting that a variable can name: variable, section, key, type.
fn settings_of(schema: &Schema) -> Vec<(String, &'static str, String, &str)> {
    let mut settings = Vec::new();
    for section in SECTIONS {
        let reference = schema["properties"][section]["$ref"].as_str().unwrap_or_default();
        let table = schema.pointer(reference.trim_start_matches('#')).unwrap_or(schema);
        for (key, setting) in table["properties"].as_object().into_iter().flatten() {
            let kind = match &setting["type"] {
                Schema::Array(kinds) => kinds.first().and_then(Schema::as_str),
                kind => kind.as_str(),
            };
            let variable = format!("LOCKGATE_{}_{}", section.to_uppercase(), key.to_uppercase());
            settings.push((variable, *section, key.clone(), kind.unwrap_or("string")));
        }
    }
    settings
}

/// A variable's text as the type that its setting takes; text that does not fit is left for [`check`] to report.
fn value(text: &str, kind: &str) -> Value {
    let plain = || Value::Text(text.to_owned());
    match kind {
        "integer" => text.parse().map_or_else(|_| plain(), Value::Integer),
        "boolean" => text.parse().map_or_else(|_| plain(), Value::Boolean),
        "array" => Value::List(
            text.split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(|part| super::tree::Item {
                    value: Value::Text(part.to_owned()),
                    origin: Origin::Default,
                    key_origin: Origin::Default,
                })
                .collect(),
        ),
        _ => plain(),
    }
}

fn unknown_variable(name: &str, schema: &Schema) -> Diagnostic {
    let known: Vec<String> = settings_of(schema).into_iter().map(|(variable, ..)| variable).collect();
    let all = known.iter().map(String::as_str).chain(OTHER_VARIABLES.iter().copied());
    let problem = Diagnostic::new("LG-C010", format!("no setting is called {name}"))
        .at(format!("environment variable {name}"));
    match nearest(name, all) {
        Some(near) => problem.hint(format!("did you mean {near}?")),
        None => problem.hint("the form is LOCKGATE_SECTION_KEY; see lockgate config show"),
    }
}

fn overlay_flags(tree: &mut Tree, flags: &Flags) {
    for (section, key, flag, text) in &flags.settings {
        tree.set(section, key, Value::Text(text.clone()), &Origin::Flag(flag));
    }
    for server in &flags.servers {
        let (name, target) = match &server.target {
            ServerText::To(text) => {
                let (name, target) = super::target::split_name(text);
                let name = name.map_or_else(|| suggest(target), str::to_owned);
                (name, ("to", Value::Text(target.to_owned())))
            }
            ServerText::Command(name, command) => {
                let suggested = || {
                    super::Target::command(command.clone())
                        .map_or_else(|_| "server".to_owned(), |t| t.suggest_name())
                };
                let words = command.iter().map(|word| super::tree::Item {
                    value: Value::Text(word.clone()),
                    origin: Origin::Flag(server.flag),
                    key_origin: Origin::Flag(server.flag),
                });
                (name.clone().unwrap_or_else(suggested), ("command", Value::List(words.collect())))
            }
        };
        tree.push("server", vec![("name", Value::Text(name)), target], &Origin::Flag(server.flag));
    }
}

fn suggest(target: &str) -> String {
    super::Target::parse(target).map_or_else(|_| "server".to_owned(), |target| target.suggest_name())
}
