//! Which servers can move behind the gateway, and as what.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lockgate_discover::clients::Scope;
use lockgate_discover::config::ConfigFile;
use lockgate_discover::entry::Entry;
use lockgate_discover::launch::{Launch, meaning};
use lockgate_discover::secret::{KEY_BYTES, Redactor, is_reference};

use crate::config::Target;
use crate::diagnostic::Diagnostic;
use crate::state::State;

/// What becomes of an entry.
pub(super) enum Decision {
    /// It goes through Lockgate already.
    Ours,
    /// The client does not use it.
    Off,
    /// It stays, for this reason.
    Leave(String),
    /// It moves.
    Move(Moved),
}

/// A server as the gateway will have it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Moved {
    /// The client's name for it, as the gateway may call it.
    pub(super) name: String,
    pub(super) launch: Launch,
    /// Variables that are no secrets, or more than the one that can be sealed.
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: Option<PathBuf>,
    pub(super) sealed: Option<Sealed>,
}

/// A secret for the sealed store, and where it goes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) value: String,
    pub(super) place: Place,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Place {
    Env(String),
    Header { name: String, scheme: String },
}

/// Decides about one entry.
pub(super) fn decide(file: &ConfigFile, entry: &Entry) -> Decision {
    let launch = match &entry.launch {
        Ok(launch) => launch,
        Err(why) => return Decision::Leave(why.clone()),
    };
    if let Launch::Stdio(command) = launch
        && meaning(command).ours
    {
        return Decision::Ours;
    }
    if !entry.enabled {
        return Decision::Off;
    }
    let words: Vec<&str> = match launch {
        Launch::Stdio(command) => command.iter().map(String::as_str).collect(),
        Launch::Http(url) => vec![url],
    };
    let values = entry.env.iter().chain(&entry.headers).map(|(_, value)| value.as_str());
    if let Some(word) = words.into_iter().chain(values).find(|word| is_reference(word) || word.contains("${"))
    {
        let name: String =
            word.chars().skip_while(|c| *c != '$' && *c != '{' && *c != '%' && *c != '<').take(40).collect();
        return Decision::Leave(format!("{name} is something that only the client can fill in"));
    }
    let made = match launch {
        Launch::Stdio(_) => stdio(file, entry, launch),
        Launch::Http(url) => http(entry, url),
    };
    made.map_or_else(Decision::Leave, Decision::Move)
}

fn stdio(file: &ConfigFile, entry: &Entry, launch: &Launch) -> Result<Moved, String> {
    let project = entry.within.as_ref().map(PathBuf::from).or_else(|| file.project.clone());
    let folder = entry.cwd.as_ref().map(PathBuf::from);
    let cwd = match (folder, project) {
        (Some(folder), Some(project)) => Some(project.join(folder)),
        (Some(folder), None) if folder.is_absolute() => Some(folder),
        (Some(_), None) => {
            return Err("its working directory is relative to where the client happens to be".to_owned());
        }
        // A client starts the servers of a project in the project.
        (None, Some(project)) if file.scope == Scope::Project || entry.within.is_some() => Some(project),
        (None, _) => None,
    };
    let mut env: BTreeMap<String, String> = entry.env.iter().cloned().collect();
    let looks = Redactor::new([0; KEY_BYTES]);
    let secret = entry.env.iter().find(|(name, value)| looks.sighting("env", name, value).is_some());
    let sealed = secret.map(|(name, value)| Sealed { value: value.clone(), place: Place::Env(name.clone()) });
    if let Some((name, _)) = secret {
        env.remove(name);
    }
    Ok(Moved { name: named(entry), launch: launch.clone(), env, cwd, sealed })
}

fn http(entry: &Entry, url: &str) -> Result<Moved, String> {
    if url.trim_end_matches('/').ends_with("/sse") {
        return Err(
            "it speaks the HTTP of 2024 (SSE), which the gateway does not; its newer path is often /mcp"
                .to_owned(),
        );
    }
    Target::parse(url)?;
    let sealed = match entry.headers.as_slice() {
        [] => None,
        [(name, value)] => {
            let (scheme, value) = match value.split_once(' ') {
                Some((scheme, value)) if name.eq_ignore_ascii_case("authorization") => (scheme, value),
                _ => ("", value.as_str()),
            };
            let place = Place::Header { name: name.clone(), scheme: scheme.to_owned() };
            Some(Sealed { value: value.trim().to_owned(), place })
        }
        _ => return Err("it is sent several headers, and the gateway sends one".to_owned()),
    };
    Ok(Moved {
        name: named(entry),
        launch: Launch::Http(url.to_owned()),
        env: BTreeMap::new(),
        cwd: None,
        sealed,
    })
}

/// The client's name in the gateway's letters.
fn named(entry: &Entry) -> String {
    let mut name = String::new();
    for c in entry.name.chars() {
        let c = if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        if c != '-' || !(name.is_empty() || name.ends_with('-')) {
            name.push(c);
        }
    }
    name.truncate(26);
    let name = name.trim_matches('-');
    match name.starts_with(|c: char| c.is_ascii_lowercase()) {
        true => name.to_owned(),
        false => format!("server-{name}").trim_end_matches('-').to_owned(),
    }
}

/// What the client starts from now on.
pub(super) fn command(state: &State, name: &str) -> Result<Vec<String>, Diagnostic> {
    let program = std::env::current_exe()
        .map_err(|error| Diagnostic::new("LG-X001", "cannot find this program's own file").because(&error))?;
    let text = |path: PathBuf| {
        path.into_os_string().into_string().map_err(|path| {
            Diagnostic::new("LG-C007", format!("the path {} is not Unicode", path.display()))
                .hint("use a folder with a plain name")
        })
    };
    let mut command = vec![text(program)?, "connect".to_owned(), "--local".to_owned(), name.to_owned()];
    if !State::is_default(state.root()) {
        command.extend(["--state".to_owned(), text(state.root().to_owned())?]);
    }
    Ok(command)
}

/// Everything of an entry that may be secret, so that a difference can be shown without it.
pub(super) fn secrets(entry: &Entry) -> Vec<String> {
    let looks = Redactor::new([0; KEY_BYTES]);
    let mut secrets: Vec<String> =
        entry.env.iter().chain(&entry.headers).map(|(_, value)| value.clone()).collect();
    match &entry.launch {
        Ok(Launch::Stdio(command)) => {
            let (shown, _) = looks.command(command);
            secrets.extend(
                command
                    .iter()
                    .zip(shown)
                    .filter(|(word, shown)| *word != shown)
                    .map(|(word, _)| word.clone()),
            );
        }
        Ok(Launch::Http(url)) if looks.url(url).0 != *url => secrets.push(url.clone()),
        _ => {}
    }
    // Short values are no secrets, and taking them out everywhere would make the rest unreadable.
    secrets.retain(|secret| secret.len() >= 4);
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}
