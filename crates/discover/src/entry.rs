//! The entry of a server in a client's configuration, whatever the client calls its parts.

use crate::launch::Launch;
use crate::tree::{Limits, Node, Value};

/// A server as a client has it. Not for showing: secrets stand in it as they are.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The client's name for it.
    pub name: String,
    /// Names of members from the file's root to the entry; items of lists by their number.
    pub path: Vec<String>,
    /// What stands for `*` on that way: the project, in files that hold several.
    pub within: Option<String>,
    /// How it is reached; else why that is not known.
    pub launch: Result<Launch, String>,
    /// Environment variables that the client sets.
    pub env: Vec<(String, String)>,
    /// HTTP headers that the client sends.
    pub headers: Vec<(String, String)>,
    /// Where it is started.
    pub cwd: Option<String>,
    /// Whether the client uses it.
    pub enabled: bool,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("path", &self.path)
            .field("launch", &self.launch)
            .finish_non_exhaustive()
    }
}

/// The servers of a file, and whether there were more than are looked at.
#[must_use]
pub fn entries(root: &Node, keys: &[&str], limits: &Limits) -> (Vec<Entry>, bool) {
    let mut found = Found { entries: Vec::new(), limits, truncated: false };
    found.descend(root, keys, &mut Vec::new(), None);
    (found.entries, found.truncated)
}

struct Found<'a> {
    entries: Vec<Entry>,
    limits: &'a Limits,
    truncated: bool,
}

impl Found<'_> {
    fn descend(&mut self, node: &Node, keys: &[&str], path: &mut Vec<String>, within: Option<&str>) {
        match keys.split_first() {
            None => self.servers(node, path, within),
            Some((&"*", rest)) => {
                for member in node.members() {
                    path.push(member.name.clone());
                    self.descend(&member.node, rest, path, Some(&member.name));
                    path.pop();
                }
            }
            Some((key, rest)) => {
                if let Some(next) = node.get(key) {
                    path.push((*key).to_owned());
                    self.descend(next, rest, path, within);
                    path.pop();
                }
            }
        }
    }

    fn servers(&mut self, node: &Node, path: &[String], within: Option<&str>) {
        match &node.value {
            Value::Map(members) => {
                // Of names that stand twice the last one counts, as for the client.
                let last =
                    |n: usize| !members[n + 1..].iter().take(64).any(|later| later.name == members[n].name);
                for (n, member) in members.iter().enumerate() {
                    if last(n) && !self.add(&member.node, &member.name, (path, &member.name), within) {
                        return;
                    }
                }
            }
            Value::List(items) => {
                for (n, item) in items.iter().enumerate() {
                    let number = n.to_string();
                    let name = item.get("name").and_then(Node::text).unwrap_or(&number).to_owned();
                    if !self.add(item, &name, (path, &number), within) {
                        return;
                    }
                }
            }
            _ => {}
        }
    }

    fn add(
        &mut self,
        node: &Node,
        name: &str,
        (path, step): (&[String], &str),
        within: Option<&str>,
    ) -> bool {
        if self.entries.len() >= self.limits.servers_max {
            self.truncated = true;
            return false;
        }
        // Extensions that are part of Goose itself are no servers; and what is no map is nobody's entry.
        let built_in = node
            .get("type")
            .and_then(Node::text)
            .is_some_and(|kind| matches!(kind, "builtin" | "platform" | "frontend"));
        if built_in || !matches!(node.value, Value::Map(_)) {
            return true;
        }
        let mut path = path.to_vec();
        path.push(step.to_owned());
        // Older files of Continue keep all of it one level deeper.
        let part = node.get("transport").filter(|inner| matches!(inner.value, Value::Map(_))).unwrap_or(node);
        let part = part.get("command").filter(|inner| inner.get("path").is_some()).unwrap_or(part);
        self.entries.push(Entry {
            name: name.to_owned(),
            path,
            within: within.map(str::to_owned),
            launch: launch(part),
            env: pairs(part.any_of(&["env", "envs", "environment"])),
            headers: pairs(part.any_of(&["headers", "http_headers", "requestOptions"])),
            cwd: part.any_of(&["cwd", "workingDirectory"]).and_then(Node::text).map(str::to_owned),
            enabled: !node.get("disabled").is_some_and(|flag| flag.is(true))
                && !node.get("enabled").is_some_and(|flag| flag.is(false)),
        });
        true
    }
}

fn launch(node: &Node) -> Result<Launch, String> {
    let program = node.any_of(&["command", "cmd", "path"]);
    let arguments = || node.get("args").map(Node::items).unwrap_or_default().iter().filter_map(Node::scalar);
    match program.map(|program| &program.value) {
        Some(Value::Text(program)) if !program.trim().is_empty() => {
            return Ok(Launch::Stdio([program.clone()].into_iter().chain(arguments()).collect()));
        }
        Some(Value::List(words)) => {
            let words: Vec<String> = words.iter().filter_map(Node::scalar).chain(arguments()).collect();
            if words.first().is_some_and(|word| !word.is_empty()) {
                return Ok(Launch::Stdio(words));
            }
        }
        _ => {}
    }
    let url =
        node.any_of(&["url", "serverUrl", "httpUrl", "uri", "endpoint", "baseUrl"]).and_then(Node::text);
    match url {
        Some(url) if url.starts_with("http://") || url.starts_with("https://") || url.starts_with("${") => {
            Ok(Launch::Http(url.to_owned()))
        }
        Some(_) => Err("its URL is neither http:// nor https://".to_owned()),
        None => Err("it has neither a command nor a URL".to_owned()),
    }
}

fn pairs(node: Option<&Node>) -> Vec<(String, String)> {
    let Some(node) = node else { return Vec::new() };
    let node = node.get("headers").unwrap_or(node);
    let listed = node.items().iter().filter_map(|item| {
        let (name, value) = item.text()?.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    let named =
        node.members().iter().map(|member| (member.name.clone(), member.node.scalar().unwrap_or_default()));
    named.chain(listed).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::tree::{Format, read};

    fn only(text: &str, format: Format, keys: &[&str]) -> Entry {
        let node = read(text, format, &Limits::default()).unwrap();
        let (mut found, _) = entries(&node, keys, &Limits::default());
        assert_eq!(found.len(), 1, "{text}");
        found.remove(0)
    }

    #[test]
    fn every_dialect_is_read() {
        let stdio = |words: &[&str]| Ok(Launch::Stdio(words.iter().map(ToString::to_string).collect()));
        let http = |url: &str| Ok(Launch::Http(url.to_owned()));
        type Row = (&'static str, Format, &'static [&'static str], Result<Launch, String>);
        let table: &[Row] = &[
            (
                r#"{"mcpServers":{"a":{"command":"npx","args":["-y","x",1]}}}"#,
                Format::Json,
                &["mcpServers"],
                stdio(&["npx", "-y", "x", "1"]),
            ),
            (
                r#"{"servers":{"a":{"type":"http","url":"https://h/mcp"}}}"#,
                Format::Json,
                &["servers"],
                http("https://h/mcp"),
            ),
            (
                r#"{"mcpServers":{"a":{"serverUrl":"https://h/sse"}}}"#,
                Format::Json,
                &["mcpServers"],
                http("https://h/sse"),
            ),
            (
                r#"{"mcpServers":{"a":{"httpUrl":"http://h/mcp"}}}"#,
                Format::Json,
                &["mcpServers"],
                http("http://h/mcp"),
            ),
            (
                r#"{"mcp":{"a":{"type":"local","command":["bun","x","s"]}}}"#,
                Format::Json,
                &["mcp"],
                stdio(&["bun", "x", "s"]),
            ),
            (
                r#"{"context_servers":{"a":{"command":{"path":"p","args":["b"],"env":{"K":"v"}}}}}"#,
                Format::Json,
                &["context_servers"],
                stdio(&["p", "b"]),
            ),
            (
                "[mcp_servers.a]\ncommand = 'uvx'\nargs = ['s']\n",
                Format::Toml,
                &["mcp_servers"],
                stdio(&["uvx", "s"]),
            ),
            (
                "extensions:\n  dev: {type: builtin}\n  a:\n    type: stdio\n    cmd: uvx\n    args: [s]\n",
                Format::Yaml,
                &["extensions"],
                stdio(&["uvx", "s"]),
            ),
            (
                "extensions:\n  a: {type: sse, uri: 'https://h/sse'}\n",
                Format::Yaml,
                &["extensions"],
                http("https://h/sse"),
            ),
            (
                "mcpServers:\n  - name: a\n    command: npx\n    args: [s]\n",
                Format::Yaml,
                &["mcpServers"],
                stdio(&["npx", "s"]),
            ),
            (
                r#"{"e":{"m":[{"name":"a","transport":{"type":"stdio","command":"c"}}]}}"#,
                Format::Json,
                &["e", "m"],
                stdio(&["c"]),
            ),
        ];
        for (text, format, keys, launch) in table {
            let entry = only(text, *format, keys);
            assert_eq!((entry.name.as_str(), &entry.launch), ("a", launch), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_said_or_left_out() {
        let keys: &[&str] = &["mcpServers"];
        for bad in [
            r#"{"mcpServers":{"a":{}}}"#,
            r#"{"mcpServers":{"a":{"command":""}}}"#,
            r#"{"mcpServers":{"a":{"url":"file:///x"}}}"#,
        ] {
            assert!(only(bad, Format::Json, keys).launch.is_err(), "{bad}");
        }
        for none in [
            r#"{"mcpServers":[]}"#,
            r#"{"mcpServers":"x"}"#,
            r#"{"mcpServers":{"a":null}}"#,
            r#"{"other":{}}"#,
        ] {
            let node = read(none, Format::Json, &Limits::default()).unwrap();
            assert_eq!(entries(&node, keys, &Limits::default()), (vec![], false), "{none}");
        }
        assert!(!only(r#"{"mcpServers":{"a":{"command":"x","disabled":true}}}"#, Format::Json, keys).enabled);
        assert!(!only(r#"{"mcpServers":{"a":{"command":"x","enabled":false}}}"#, Format::Json, keys).enabled);
    }

    #[test]
    fn projects_within_a_file_and_the_limit() {
        let text = r#"{"projects":{"/p/one":{"mcpServers":{"a":{"command":"x"}}},"/p/two":{}}}"#;
        let entry = only(text, Format::Json, &["projects", "*", "mcpServers"]);
        assert_eq!(entry.within.as_deref(), Some("/p/one"));
        assert_eq!(entry.path, ["projects", "/p/one", "mcpServers", "a"]);
        let many: String = (0..5000).map(|n| format!("\"s{n}\":{{\"command\":\"x\"}},")).collect();
        let node = read(&format!("{{\"mcpServers\":{{{many}}}}}"), Format::Json, &Limits::default()).unwrap();
        let (found, truncated) = entries(&node, &["mcpServers"], &Limits::default());
        assert_eq!((found.len(), truncated), (1000, true));
    }

    #[test]
    fn nothing_of_an_entry_is_printed() {
        let entry = only(
            r#"{"m":{"a":{"command":"x","args":["s3cret"],"env":{"K":"s3cret"}}}}"#,
            Format::Json,
            &["m"],
        );
        assert!(!format!("{entry:?}").contains("s3cret"));
    }
}
