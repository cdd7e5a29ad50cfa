//! Who has which tool, and who talks about whose.
//!
//! Most published poisonings of a definition name the tool of another server: "before you use `send_email`, read …". Honest
//! definitions hardly do: in groups of ten real servers, one of 70,236 definitions names a tool of another of the group that
//! its own words do not explain.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::{Strings, names};

/// Names that one definition may mention before the rest is left out.
const MENTIONS_MAX: usize = 128;

/// Names that the definitions of one server may mention together, so that a server cannot fill the memory with them.
const MENTIONS_PER_SERVER_MAX: usize = 65_536;

/// Words of its names and arguments that are remembered of one definition.
const WORDS_MAX: usize = 256;

/// Definitions that are remembered for mentioning one name.
const MENTIONERS_MAX: usize = 64;

/// A name of another server's tool in a definition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mentioned {
    /// The tool that is named.
    pub(crate) tool: String,
    /// A server that has it.
    pub(crate) owner: String,
    /// Whether nothing else explains it: the name says what is done, in words that the server does not use itself.
    pub(crate) unexplained: bool,
}

/// The tools of all servers.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    /// The servers that have a tool of this name.
    owners: HashMap<String, BTreeSet<String>>,
    /// The tools that look like this, by skeleton: server and name.
    alike: HashMap<String, BTreeSet<(String, String)>>,
    /// The definitions in which this name stands: server and tool.
    mentioners: HashMap<String, BTreeSet<(String, String)>>,
    /// The words of each server's own names, with how many tools use them.
    words: HashMap<String, HashMap<String, usize>>,
    /// How many names the definitions of each server mention.
    counts: HashMap<String, usize>,
    /// What each definition brought, so that it can be taken away.
    brought: HashMap<(String, String), Brought>,
}

#[derive(Debug, Default)]
struct Brought {
    mentions: BTreeSet<String>,
    words: BTreeSet<String>,
}

impl Inventory {
    /// Takes a definition in, in place of an earlier one of the tool.
    pub(crate) fn add(&mut self, server: &str, tool: &str, definition: &Value) {
        self.remove(server, tool);
        let place = (server.to_owned(), tool.to_owned());
        let strings = Strings::of(definition);
        let count = self.counts.entry(server.to_owned()).or_default();
        let room = MENTIONS_PER_SERVER_MAX.saturating_sub(*count).min(MENTIONS_MAX);
        let brought = Brought {
            mentions: mentions(&strings).take(room).map(str::to_owned).collect(),
            words: own_words(tool, &strings),
        };
        *count += brought.mentions.len();
        self.owners.entry(tool.to_owned()).or_default().insert(server.to_owned());
        self.alike.entry(names::skeleton(tool)).or_default().insert(place.clone());
        for name in &brought.mentions {
            let all = self.mentioners.entry(name.clone()).or_default();
            if all.len() < MENTIONERS_MAX {
                all.insert(place.clone());
            }
        }
        let words = self.words.entry(server.to_owned()).or_default();
        for word in &brought.words {
            *words.entry(word.clone()).or_default() += 1;
        }
        self.brought.insert(place, brought);
    }

    /// Forgets a definition.
    pub(crate) fn remove(&mut self, server: &str, tool: &str) {
        let place = (server.to_owned(), tool.to_owned());
        let Some(brought) = self.brought.remove(&place) else { return };
        if let Some(count) = self.counts.get_mut(server) {
            *count -= brought.mentions.len();
        }
        for name in &brought.mentions {
            drop_from(&mut self.mentioners, name, &place);
        }
        drop_from(&mut self.owners, tool, &place.0);
        drop_from(&mut self.alike, &names::skeleton(tool), &place);
        if let Some(words) = self.words.get_mut(server) {
            for word in &brought.words {
                if let Some(count) = words.get_mut(word) {
                    *count -= 1;
                }
            }
            words.retain(|_, count| *count > 0);
        }
    }

    /// The tools of other servers that a definition of `server` names.
    pub(crate) fn foreign(&self, server: &str, tool: &str, definition: &Value) -> Vec<Mentioned> {
        let strings = Strings::of(definition);
        let own = own_words(tool, &strings);
        let named: BTreeSet<&str> = mentions(&strings).take(MENTIONS_MAX).collect();
        named.into_iter().filter_map(|name| self.foreign_name(server, name, &own)).collect()
    }

    fn foreign_name(&self, server: &str, name: &str, own: &BTreeSet<String>) -> Option<Mentioned> {
        let owners = self.owners.get(name).filter(|owners| !owners.contains(server))?;
        let known = self.words.get(server);
        let is_own =
            |word: &String| own.contains(word) || known.is_some_and(|known| known.contains_key(word));
        let unexplained = names::has_verb(name) && !names::words(name).iter().all(is_own);
        let owner = owners.first()?.clone();
        Some(Mentioned { tool: name.to_owned(), owner, unexplained })
    }

    /// The definitions of other servers that name the tool `tool` of `server`, by their places.
    pub(crate) fn named_by(&self, server: &str, tool: &str) -> Vec<(String, String)> {
        let all = self.mentioners.get(tool).into_iter().flatten();
        let owners = self.owners.get(tool);
        let foreign =
            all.filter(|(other, _)| other != server && !owners.is_some_and(|owners| owners.contains(other)));
        foreign.cloned().collect()
    }

    /// Tools that are spelt otherwise and look like this one, of any server.
    pub(crate) fn look_alikes(&self, tool: &str) -> Vec<(String, String)> {
        let all = self.alike.get(&names::skeleton(tool)).into_iter().flatten();
        all.filter(|(_, name)| name != tool).cloned().collect()
    }

    /// Other servers that have a tool of exactly this name.
    pub(crate) fn same_name(&self, server: &str, tool: &str) -> Vec<String> {
        let owners = self.owners.get(tool).into_iter().flatten();
        owners.filter(|owner| *owner != server).cloned().collect()
    }
}

fn drop_from<K: Ord>(map: &mut HashMap<String, BTreeSet<K>>, name: &str, value: &K) {
    if let Some(all) = map.get_mut(name) {
        all.remove(value);
        if all.is_empty() {
            map.remove(name);
        }
    }
}

/// The names that stand in the text of a definition and are not those of its own arguments.
fn mentions<'a>(strings: &'a Strings<'a>) -> impl Iterator<Item = &'a str> {
    let keys: HashSet<&str> = strings.keys.iter().copied().collect();
    let all = strings.values.iter().flat_map(|text| names::mentioned(text));
    let mut seen = HashSet::new();
    all.filter(move |name| !keys.contains(name) && seen.insert(*name))
}

fn own_words(tool: &str, strings: &Strings<'_>) -> BTreeSet<String> {
    let keys = strings.keys.iter().flat_map(|key| names::words(key));
    names::words(tool).into_iter().chain(keys).take(WORDS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tool(description: &str) -> Value {
        json!({"name": "x", "description": description, "inputSchema": {"properties": {"path": {}}}})
    }

    #[test]
    fn a_name_of_another_server_is_found_and_explained_by_own_words() {
        let mut inventory = Inventory::default();
        inventory.add("mail", "send_email", &tool("Sends."));
        inventory.add("tasks", "update_task", &tool("Updates."));
        inventory.add("todo", "move_task", &tool("Moves."));
        let found = inventory.foreign("files", "read_file", &tool("Before send_email, read this."));
        assert_eq!(found, [Mentioned { tool: "send_email".into(), owner: "mail".into(), unexplained: true }]);
        let found = inventory.foreign("todo", "update_all", &tool("Like update_task."));
        assert!(!found[0].unexplained, "its own names are made of the same words");
        assert_eq!(inventory.foreign("mail", "other", &tool("send_email")), []);
        assert_eq!(
            inventory.foreign("files", "other", &json!({"description": "update_task", "update_task": 1})),
            []
        );
    }

    #[test]
    fn what_is_removed_leaves_nothing() {
        let mut inventory = Inventory::default();
        inventory.add("a", "read_file", &tool("See send_email."));
        assert_eq!(inventory.named_by("mail", "send_email"), [("a".to_owned(), "read_file".to_owned())]);
        assert_eq!(inventory.look_alikes("rеad_file").len(), 1);
        assert_eq!(inventory.look_alikes("read_file").len(), 0);
        inventory.remove("a", "read_file");
        assert!(inventory.named_by("mail", "send_email").is_empty());
        assert!(inventory.owners.is_empty() && inventory.alike.is_empty() && inventory.mentioners.is_empty());
        assert!(inventory.words["a"].is_empty() && inventory.brought.is_empty());
    }
}
