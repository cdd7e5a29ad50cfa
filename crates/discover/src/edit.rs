//! Rewriting one entry of a client's configuration, as text: comments, order and everything else stay as they are.
//!
//! This is a function from text to text; whoever calls it writes files. What comes out is read again and compared: only the entry
//! that was meant may differ, and it must mean what it should.

use crate::clients::Dialect;
use crate::entry::{Entry, entries};
use crate::launch::Launch;
use crate::tree::{self, Format, Limits, Node, Unreadable};

mod json;
mod toml;
mod yaml;

/// Why a text was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// There is no such entry.
    #[error("there is no entry at {0}")]
    Missing(String),
    /// It is written in a way that cannot be changed in place.
    #[error("{0}")]
    Form(&'static str),
    /// What came out is not what was meant; the text stays as it was.
    #[error("the change would alter more than the entry of {0}, so it was not made")]
    Unsafe(String),
}

/// What an entry should start.
#[derive(Clone, PartialEq, Eq)]
pub struct Start<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// Program and arguments.
    pub command: &'a [String],
}

/// One change of a member of the entry.
enum Change<'a> {
    Set(&'static str, serde_json::Value),
    Remove(&'a str),
}

/// Members that only mean something for what the entry was before.
const OLD_MEMBERS: &[&str] = &[
    "env",
    "envs",
    "environment",
    "env_keys",
    "env_vars",
    "envFile",
    "url",
    "serverUrl",
    "httpUrl",
    "uri",
    "endpoint",
    "baseUrl",
    "headers",
    "http_headers",
    "requestOptions",
    "cwd",
    "workingDirectory",
    "bearer_token_env_var",
    "oauth",
    "authProviderType",
];

/// The text with each of these entries starting a command instead. `keys` is where the file has its servers.
///
/// # Errors
/// [`EditError`]; then nothing of it may be used.
pub fn start(
    text: &str,
    format: Format,
    (keys, dialect): (&[&str], Dialect),
    starts: &[Start<'_>],
    limits: &Limits,
) -> Result<String, EditError> {
    let before = tree::read(text, format, limits)?;
    let mut edited = text.to_owned();
    for start in starts {
        let path = &start.entry.path;
        let root = tree::read(&edited, format, limits)?;
        let node = at(&root, path).ok_or_else(|| EditError::Missing(path.join(".")))?;
        if twice(&root, path) {
            return Err(EditError::Form(
                "its name stands twice in the file; remove one of the entries first",
            ));
        }
        if node.get("transport").is_some_and(|inner| !inner.members().is_empty()) {
            return Err(EditError::Form(
                "it is written in an older form of this client; bring it to the newer one first",
            ));
        }
        let changes = changes(node, dialect, start.command);
        edited = match format {
            Format::Json => json::apply(&edited, node.span.clone(), &changes, limits)?,
            Format::Toml => toml::apply(&edited, path, &changes)?,
            Format::Yaml => yaml::apply(&edited, path, &changes, limits)?,
        };
    }
    check(&before, &edited, (format, keys), starts, limits)?;
    Ok(edited)
}

fn changes(node: &Node, dialect: Dialect, command: &[String]) -> Vec<Change<'static>> {
    let (program, arguments) =
        command.split_first().map_or(("", command), |(program, rest)| (program.as_str(), rest));
    let mut changes = Vec::new();
    match dialect {
        Dialect::Plain | Dialect::Typed => {
            if dialect == Dialect::Typed || node.get("type").is_some() {
                changes.push(Change::Set("type", "stdio".into()));
            }
            changes.push(Change::Set("command", program.into()));
            changes.push(Change::Set("args", arguments.into()));
        }
        Dialect::Local => {
            changes.push(Change::Set("type", "local".into()));
            changes.push(Change::Set("command", command.into()));
            changes.push(Change::Remove("args"));
        }
        Dialect::Goose => {
            changes.push(Change::Set("type", "stdio".into()));
            changes.push(Change::Set("cmd", program.into()));
            changes.push(Change::Set("args", arguments.into()));
        }
    }
    changes
        .extend(OLD_MEMBERS.iter().filter(|name| node.get(name).is_some()).map(|name| Change::Remove(name)));
    changes
}

/// Whether the text means the same as before, but for these entries.
fn check(
    before: &Node,
    edited: &str,
    (format, keys): (Format, &[&str]),
    starts: &[Start<'_>],
    limits: &Limits,
) -> Result<(), EditError> {
    let after = tree::read(edited, format, limits)?;
    let (old, new) = (entries(before, keys, limits).0, entries(&after, keys, limits).0);
    let name = || starts.first().map_or_else(String::new, |start| start.entry.name.clone());
    if old.len() != new.len() {
        return Err(EditError::Unsafe(name()));
    }
    for (old, new) in old.iter().zip(&new) {
        let wanted = match starts.iter().find(|start| start.entry.path == old.path) {
            None => old.clone(),
            Some(start) => Entry {
                launch: Ok(Launch::Stdio(start.command.to_vec())),
                env: Vec::new(),
                headers: Vec::new(),
                cwd: None,
                ..old.clone()
            },
        };
        if wanted != *new {
            return Err(EditError::Unsafe(old.name.clone()));
        }
    }
    let rest = |root: &Node| outline(root, &mut Vec::new(), starts);
    if rest(before) != rest(&after) {
        return Err(EditError::Unsafe(name()));
    }
    Ok(())
}

/// Everything but the entries that change, without places.
fn outline(node: &Node, path: &mut Vec<String>, starts: &[Start<'_>]) -> Vec<(String, String)> {
    if starts.iter().any(|start| start.entry.path == *path) {
        return vec![(path.join("\0"), String::new())];
    }
    let mut all = Vec::new();
    match &node.value {
        tree::Value::Map(members) => {
            for member in members {
                path.push(member.name.clone());
                all.extend(outline(&member.node, path, starts));
                path.pop();
            }
        }
        tree::Value::List(items) => {
            for (n, item) in items.iter().enumerate() {
                path.push(n.to_string());
                all.extend(outline(item, path, starts));
                path.pop();
            }
        }
        value => all.push((path.join("\0"), format!("{value:?}"))),
    }
    all
}

/// The node at the end of a path.
fn at<'a>(root: &'a Node, path: &[String]) -> Option<&'a Node> {
    path.iter().try_fold(root, |node, step| match &node.value {
        tree::Value::List(items) => items.get(step.parse::<usize>().ok()?),
        _ => node.get(step),
    })
}

/// Whether a name on the path stands twice in its map.
fn twice(root: &Node, path: &[String]) -> bool {
    let mut node = root;
    for step in path {
        if node.members().iter().filter(|member| member.name == *step).count() > 1 {
            return true;
        }
        let Some(next) = at(node, std::slice::from_ref(step)) else { return false };
        node = next;
    }
    false
}

#[cfg(test)]
mod tests;
