//! The configuration of this machine's own gateway, which grows by what is adopted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lockgate_discover::launch::Launch;
use lockgate_identity::SealedStore;
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use super::plan::{Moved, Place, Sealed};
use crate::config::{self, Flags, Settings, Target};
use crate::diagnostic::{Diagnostic, Failure};
use crate::node::credentials;
use crate::state::{self, State};
use crate::verbs::config::variables;

/// Profile of connections to servers that a client reached until now: they go on as they were, and each classical one is reported.
const PROFILE: &str = "pq-transition";
/// What stands at the top of a file that is made.
const HEADING: &str =
    "# Made by `lockgate adopt`. It is yours: change what you like; `lockgate config validate` checks it.\n";

/// The file, and what is to be added to it.
pub(super) struct GatewayFile {
    path: PathBuf,
    document: DocumentMut,
    /// Servers that it has: name and how each is reached.
    known: Vec<(String, Known)>,
    /// Secrets to be sealed, by name.
    secrets: BTreeMap<String, String>,
    /// Secrets of servers that are gone.
    unsealed: Vec<String>,
    changed: bool,
}

/// What makes two servers the same one.
#[derive(PartialEq, Eq)]
struct Known {
    launch: Launch,
    env: BTreeMap<String, String>,
    cwd: Option<PathBuf>,
    /// Whether one is given, and where it goes. Two credentials are two servers; they are compared in the sealed store.
    credential: Option<String>,
}

impl GatewayFile {
    /// Opens it; one that is not there is empty. What is there must be valid.
    pub(super) fn open(state: &State) -> Result<Self, Failure> {
        let path = state.gateway_config();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => HEADING.to_owned(),
            Err(error) => {
                return Err(Diagnostic::new("LG-C001", format!("cannot read {}", path.display()))
                    .because(&error)
                    .into());
            }
        };
        let known = match path.exists() {
            true => known(&load(&path)?, state),
            false => Vec::new(),
        };
        let document: DocumentMut = text.parse().map_err(|error: toml_edit::TomlError| {
            Diagnostic::new("LG-C002", format!("{} is no TOML", path.display())).cause(error.to_string())
        })?;
        Ok(Self { path, document, known, secrets: BTreeMap::new(), unsealed: Vec::new(), changed: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Names of its servers.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.known.iter().map(|(name, _)| name.as_str())
    }

    /// Adds a server, or finds that it is there; its name at the gateway.
    pub(super) fn add(&mut self, moved: &Moved) -> String {
        let new = Known {
            launch: moved.launch.clone(),
            env: moved.env.clone(),
            cwd: moved.cwd.clone(),
            credential: moved.sealed.as_ref().map(|sealed| sealed.value.clone()),
        };
        if let Some((name, _)) = self.known.iter().find(|(_, known)| *known == new) {
            return name.clone();
        }
        let taken = |name: &str| self.known.iter().any(|(known, _)| known == name);
        let numbered = (2..).map(|n| format!("{}-{n}", moved.name));
        let name = std::iter::once(moved.name.clone())
            .chain(numbered)
            .find(|name| !taken(name))
            .expect("numbers do not end");
        let table = table(&name, moved);
        let servers = self.document.entry("server").or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        if let Some(servers) = servers.as_array_of_tables_mut() {
            servers.push(table);
        }
        if let Some(sealed) = &moved.sealed {
            self.secrets.insert(secret_name(&name), sealed.value.clone());
        }
        self.known.push((name.clone(), new));
        self.changed = true;
        name
    }

    /// Takes back what was added just now and is not wanted after all.
    pub(super) fn forget_new(&mut self, name: &str) {
        self.remove(&[name.to_owned()]);
        self.unsealed.retain(|secret| *secret != secret_name(name));
        self.secrets.remove(&secret_name(name));
    }

    /// Takes servers out.
    pub(super) fn remove(&mut self, names: &[String]) {
        let Some(servers) = self.document.get_mut("server").and_then(Item::as_array_of_tables_mut) else {
            return;
        };
        let before = servers.len();
        servers.retain(|table| {
            table.get("name").and_then(Item::as_str).is_none_or(|name| !names.iter().any(|gone| gone == name))
        });
        self.changed |= servers.len() != before;
        self.known.retain(|(name, _)| !names.contains(name));
        self.unsealed.extend(names.iter().map(|name| secret_name(name)));
    }

    /// Writes it, and seals what is to be sealed. It is checked before: a node must be able to start with it.
    pub(super) fn write(&self, state: &State) -> Result<(), Failure> {
        if !self.changed {
            return Ok(());
        }
        let trial = self.path.with_extension("trial.toml");
        state::write_private(&trial, self.document.to_string().as_bytes())?;
        let checked = load(&trial);
        // Only a file that was found good takes the place of the one that is there.
        let _ = std::fs::remove_file(&trial);
        let settings = checked?;
        let store = credentials::store(&settings, state);
        self.seal(&store)?;
        state::write_private(&self.path, self.document.to_string().as_bytes())?;
        Ok(())
    }

    fn seal(&self, store: &SealedStore) -> Result<(), Diagnostic> {
        let failed = |error: lockgate_identity::IdentityError| {
            Diagnostic::new("LG-S001", "a secret cannot be sealed").because(&error)
        };
        for (name, secret) in &self.secrets {
            store.put(name, secret.as_bytes()).map_err(failed)?;
        }
        for name in &self.unsealed {
            store.remove(name).map_err(failed)?;
        }
        Ok(())
    }
}

fn load(path: &Path) -> Result<Settings, Failure> {
    let flags = Flags { config: Some(path.to_owned()), ..Flags::default() };
    Ok(config::load(&flags, variables())?.0)
}

/// Name of a server's secret in the sealed store.
fn secret_name(server: &str) -> String {
    format!("adopted-{server}")
}

fn known(settings: &Settings, state: &State) -> Vec<(String, Known)> {
    let store = credentials::store(settings, state);
    let servers = settings.servers.iter().map(|server| {
        let launch = match &server.target {
            Target::Http(url) => Launch::Http(url.to_string()),
            Target::Stdio { command } => Launch::Stdio(command.clone()),
        };
        let sealed = server.credential.as_ref().map(|_| store.get(&secret_name(&server.name)).ok());
        let credential = sealed.map(|secret| {
            secret.map_or_else(String::new, |secret| String::from_utf8_lossy(secret.reveal()).into_owned())
        });
        (server.name.clone(), Known { launch, env: server.env.clone(), cwd: server.cwd.clone(), credential })
    });
    servers.collect()
}

fn table(name: &str, moved: &Moved) -> Table {
    let mut table = Table::new();
    table["name"] = value(name);
    match &moved.launch {
        Launch::Stdio(command) => table["command"] = value(command.iter().collect::<Array>()),
        Launch::Http(url) => {
            table["to"] = value(url);
            if url.starts_with("https://") {
                table["profile"] = value(PROFILE);
            }
        }
    }
    if !moved.env.is_empty() {
        let env: InlineTable =
            moved.env.iter().map(|(name, text)| (name.as_str(), Value::from(text))).collect();
        table["env"] = value(env);
    }
    if let Some(cwd) = &moved.cwd {
        table["cwd"] = value(cwd.display().to_string());
    }
    if let Some(Sealed { place, .. }) = &moved.sealed {
        let mut credential = InlineTable::new();
        credential.insert("secret", secret_name(name).into());
        match place {
            Place::Env(variable) => drop(credential.insert("env", variable.into())),
            Place::Header { name, scheme } => {
                credential.insert("header", name.into());
                credential.insert("scheme", scheme.into());
            }
        }
        table["credential"] = value(credential);
    }
    table
}
