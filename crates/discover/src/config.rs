//! Looking through a machine for the files of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use crate::clients::{CLIENTS, Client, Place, Scope};
use crate::entry::{Entry, entries};
use crate::machine::Machine;
use crate::projects;
use crate::tree::{self, Format, Limits, Node};

/// Files that one pattern may stand for.
const MATCHES_MAX: usize = 500;
/// Folders that are looked into for one pattern.
const FOLDERS_MAX: usize = 5_000;
/// Levels that `**` stands for.
const LEVELS_MAX: usize = 8;

/// A file of a client.
#[derive(Debug, Clone)]
pub struct ConfigFile {
    /// Whose it is.
    pub client: &'static Client,
    /// Where it is.
    pub path: PathBuf,
    /// For whom.
    pub scope: Scope,
    /// The project that it belongs to.
    pub project: Option<PathBuf>,
    /// Its servers; none if it could not be read.
    pub entries: Vec<Entry>,
    /// Why not all of it was read.
    pub problem: Option<String>,
    /// Where in it the servers are.
    pub keys: &'static [&'static str],
    /// Permissions, on systems that have them.
    pub mode: Option<u32>,
}

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Configs {
    /// Files that are there, in the order of the table.
    pub files: Vec<ConfigFile>,
    /// Projects that were looked at.
    pub projects: usize,
    /// Whether there were more projects than are looked at.
    pub projects_truncated: bool,
}

/// Looks at every place of the table, for the user, the system, the projects that clients remember, and those below `folders`.
/// `progress` hears of each project before it is looked at.
#[must_use]
pub fn scan(machine: &Machine, folders: &[PathBuf], limits: &Limits, progress: &dyn Fn(&Path)) -> Configs {
    let mut scan = Scan { machine, limits, trees: BTreeMap::new(), files: Vec::new() };
    let nowhere = Path::new("");
    scan.places(nowhere, |place| place.scope != Scope::Project);
    let mut known: BTreeSet<PathBuf> = scan
        .files
        .iter()
        .flat_map(|file| &file.entries)
        .filter_map(|entry| entry.within.as_ref())
        .map(PathBuf::from)
        .collect();
    known.extend(scan.remembered());
    known.extend(projects::workspaces(machine));
    let found = projects::below(folders);
    known.extend(found.projects);
    let known: Vec<PathBuf> =
        known.into_iter().filter(|path| path.is_absolute()).take(projects::PROJECTS_MAX).collect();
    for project in &known {
        progress(project);
        scan.places(project, |place| place.scope == Scope::Project);
    }
    Configs {
        files: scan.files,
        projects: known.len(),
        projects_truncated: found.truncated || known.len() == projects::PROJECTS_MAX,
    }
}

/// Reads one file as that of a client, whatever its name.
#[must_use]
pub fn file(client: &'static Client, path: &Path, limits: &Limits) -> Vec<ConfigFile> {
    let (tree, mode) = load(path, limits);
    let tree = tree.map(Some);
    let keys: BTreeSet<&'static [&'static str]> = client.places.iter().map(|place| place.keys).collect();
    let files =
        keys.into_iter().map(|keys| made(client, path, (Scope::User, keys), (&tree, mode), None, limits));
    files.filter(|file| file.problem.is_some() || !file.entries.is_empty()).collect()
}

/// A tree, nothing where there is no file, or why it cannot be read; and the file's permissions.
type Loaded = (Result<Option<Node>, String>, Option<u32>);

struct Scan<'a> {
    machine: &'a Machine,
    limits: &'a Limits,
    /// Of files that several rows name.
    trees: BTreeMap<PathBuf, Loaded>,
    files: Vec<ConfigFile>,
}

impl Scan<'_> {
    fn places(&mut self, project: &Path, wanted: impl Fn(&Place) -> bool) {
        for client in CLIENTS {
            for place in
                client.places.iter().filter(|place| place.on.is(self.machine.system) && wanted(place))
            {
                let pattern = self.machine.path(place.pattern, project);
                for path in matches(&pattern) {
                    self.read(client, place, path, project);
                }
            }
        }
    }

    fn read(&mut self, client: &'static Client, place: &Place, path: PathBuf, project: &Path) {
        if !self.trees.contains_key(&path) {
            let loaded = match path.symlink_metadata() {
                Err(error) if error.kind() == ErrorKind::NotFound => (Ok(None), None),
                _ => {
                    let (tree, mode) = load(&path, self.limits);
                    (tree.map(Some), mode)
                }
            };
            // A big tree is not kept for a second row that nearly never comes.
            self.trees.insert(path.clone(), loaded);
        }
        let Some((tree, mode)) = self.trees.get(&path) else { return };
        if matches!(tree, Ok(None)) {
            return;
        }
        let project = (place.scope == Scope::Project).then(|| project.to_owned());
        let file = made(client, &path, (place.scope, place.keys), (tree, *mode), project, self.limits);
        let is_new = !self
            .files
            .iter()
            .any(|known| known.client.id == client.id && known.path == path && known.problem.is_some());
        if is_new && (file.problem.is_some() || !file.entries.is_empty()) {
            self.files.push(file);
        }
    }

    /// Projects that Claude Code remembers, with and without servers of their own.
    fn remembered(&self) -> Vec<PathBuf> {
        let tree = self.trees.get(&self.machine.home.join(".claude.json"));
        let Some((Ok(Some(root)), _)) = tree else { return Vec::new() };
        let projects = root.get("projects").map(Node::members).unwrap_or_default();
        projects.iter().map(|member| PathBuf::from(&member.name)).collect()
    }
}

fn made(
    client: &'static Client,
    path: &Path,
    (scope, keys): (Scope, &'static [&'static str]),
    (tree, mode): (&Result<Option<Node>, String>, Option<u32>),
    project: Option<PathBuf>,
    limits: &Limits,
) -> ConfigFile {
    let (entries, problem) = match tree {
        Ok(Some(root)) => {
            let (entries, truncated) = entries(root, keys, limits);
            let problem = truncated.then(|| {
                format!("more than {} servers (servers_max); the rest was not read", limits.servers_max)
            });
            (entries, problem)
        }
        Ok(None) => (Vec::new(), None),
        Err(problem) => (Vec::new(), Some(problem.clone())),
    };
    ConfigFile { client, path: path.to_owned(), scope, project, entries, problem, keys, mode }
}

/// Reads a file within the limits. What is no file, such as a pipe, is not opened: reading it could last for ever.
fn load(path: &Path, limits: &Limits) -> (Result<Node, String>, Option<u32>) {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => return (Err(error.to_string()), None),
    };
    let mode = mode_of(&metadata);
    if !metadata.is_file() {
        return (Err("it is no file".to_owned()), mode);
    }
    (text(path, limits.bytes_max).and_then(|text| parse(path, &text, limits)), mode)
}

/// The text of a file of at most so many bytes.
///
/// # Errors
/// Why there is none, for people.
pub fn text(path: &Path, bytes_max: usize) -> Result<String, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() > bytes_max {
        return Err(format!("more than {bytes_max} bytes (bytes_max); it was not read"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

fn parse(path: &Path, text: &str, limits: &Limits) -> Result<Node, String> {
    let format = Format::of(&path.file_name().unwrap_or_default().to_string_lossy());
    tree::read(text, format, limits).map_err(|error| error.to_string())
}

#[cfg(unix)]
fn mode_of(metadata: &fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;
    Some(metadata.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode_of(_: &fs::Metadata) -> Option<u32> {
    None
}

/// The files that a pattern stands for; itself where it has no star, whether it is there or not.
fn matches(pattern: &Path) -> Vec<PathBuf> {
    let steps: Vec<String> = pattern.iter().map(|step| step.to_string_lossy().into_owned()).collect();
    let Some(star) = steps.iter().position(|step| step.contains('*')) else {
        return vec![pattern.to_owned()];
    };
    let base: PathBuf = steps[..star].iter().collect();
    let mut budget = FOLDERS_MAX;
    let mut found = Vec::new();
    expand(&base, &steps[star..], LEVELS_MAX, (&mut budget, &mut found));
    found.sort();
    found
}

fn expand(base: &Path, steps: &[String], levels: usize, (budget, found): (&mut usize, &mut Vec<PathBuf>)) {
    let Some((step, rest)) = steps.split_first() else {
        if found.len() < MATCHES_MAX && base.is_file() {
            found.push(base.to_owned());
        }
        return;
    };
    if !step.contains('*') {
        return expand(&base.join(step), rest, levels, (budget, found));
    }
    if *budget == 0 || found.len() >= MATCHES_MAX {
        return;
    }
    *budget -= 1;
    if step == "**" {
        expand(base, rest, levels, (budget, found));
    }
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        // Links are not followed below a star: two of them could make a circle.
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        if step == "**" {
            if kind.is_dir() && levels > 0 {
                expand(&entry.path(), steps, levels - 1, (budget, found));
            }
        } else if fits(step, &name) && !kind.is_symlink() {
            expand(&entry.path(), rest, levels, (budget, found));
        }
    }
}

/// Whether a name fits a step with one star.
fn fits(step: &str, name: &str) -> bool {
    let (before, after) = step.split_once('*').unwrap_or((step, ""));
    name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
}
