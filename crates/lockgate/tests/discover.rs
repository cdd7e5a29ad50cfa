//! `lockgate discover` from end to end: a laptop with five clients, hostile files, a tree of 200 projects.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::{Ended, Node, command, place, run, run_with};
use tempfile::TempDir;

/// A home with configurations.
struct Laptop {
    _folder: TempDir,
    home: PathBuf,
    state: PathBuf,
}

impl Laptop {
    fn new() -> Self {
        let (folder, state) = place();
        Self { home: folder.path().to_owned(), state, _folder: folder }
    }

    fn write(&self, path: &str, text: &str) -> PathBuf {
        let path = self.home.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = command(&self.state);
        command.args(args).env("CODEX_HOME", self.home.join(".codex"));
        command
    }

    fn run(&self, args: &[&str]) -> Ended {
        run_with(&mut self.command(args), "")
    }

    fn map(&self, args: &[&str]) -> Value {
        let ended = self.run(&[&["discover", "--output", "json"], args].concat());
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.json()
    }

    fn with_five_clients() -> Self {
        let laptop = Self::new();
        laptop.write(
            ".config/Claude/claude_desktop_config.json",
            r#"{"mcpServers":{"files":{"command":"npx","args":["-y","@modelcontextprotocol/server-filesystem","/srv"]}}}"#,
        );
        laptop.write(
            ".cursor/mcp.json",
            r#"{ // two of them
  "mcpServers": {
    "files": {"command": "npx", "args": ["-y", "@modelcontextprotocol/server-filesystem", "/srv"]},
    "search": {"url": "https://search.example/mcp", "headers": {"Authorization": "Bearer t0ken-of-search"}},
  }
}"#,
        );
        laptop.write(".codex/config.toml", "[mcp_servers.github]\ncommand = 'docker'\nargs = ['run', '-i', '-e', 'GITHUB_TOKEN', 'ghcr.io/github/github-mcp-server:1']\nenv = { GITHUB_TOKEN = 'ghp_0123456789abcdef0123' }\n");
        laptop.write(".config/goose/config.yaml", "extensions:\n  developer: {type: builtin}\n  search:\n    type: streamable_http\n    uri: https://search.example/mcp/\n    headers:\n      Authorization: Bearer t0ken-of-search\n");
        laptop.write(
            ".claude.json",
            &json!({
                "mcpServers": {"plain": {"type": "http", "url": "http://10.1.2.3:9000/mcp"}},
                "projects": {laptop.home.join("work").to_str().unwrap(): {"mcpServers": {"pinned": {"command": "uvx", "args": ["mcp-server-time==1.2.3"]}}}},
            })
            .to_string(),
        );
        laptop.write(
            "work/.vscode/mcp.json",
            r#"{"servers":{"build":{"type":"stdio","command":"./mcp-build"}}}"#,
        );
        laptop
    }
}

fn servers(map: &Value) -> Vec<&Value> {
    map["nodes"].as_array().unwrap().iter().filter(|node| node["kind"] == "server").collect()
}

fn server<'a>(map: &'a Value, name: &str) -> &'a Value {
    let named = |node: &&Value| node["names"].as_array().unwrap().iter().any(|known| known == name);
    servers(map).into_iter().find(named).unwrap_or_else(|| panic!("no {name} in {map}"))
}

fn findings<'a>(map: &'a Value, about: &Value) -> Vec<&'a str> {
    let all = map["findings"].as_array().unwrap().iter().filter(|finding| finding["about"] == *about);
    all.map(|finding| finding["id"].as_str().unwrap()).collect()
}

#[test]
fn five_clients_are_one_map_without_secrets() {
    let laptop = Laptop::with_five_clients();
    let ended = laptop.run(&["discover", "--output", "json"]);
    for secret in ["t0ken-of-search", "ghp_0123456789abcdef0123"] {
        assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret));
    }
    let map = ended.json();
    assert_eq!(map["schema"], "lockgate.discovery/1");
    let files = server(&map, "files");
    assert_eq!(files["used_from"].as_array().unwrap().len(), 2, "one server, two clients");
    assert_eq!(findings(&map, &files["id"]), ["unpinned-package"]);
    let search = server(&map, "search");
    assert_eq!(search["used_from"].as_array().unwrap().len(), 2);
    assert_eq!(search["authentication"], "sent");
    assert!(findings(&map, &search["id"]).contains(&"secret-in-config"));
    let reused: Vec<_> = map["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["id"] == "secret-reused")
        .collect();
    assert_eq!(reused.len(), 1, "{reused:?}");
    let github = server(&map, "github");
    assert_eq!(github["pin"], "movable");
    assert_eq!(server(&map, "pinned")["pin"], "version");
    assert_eq!(findings(&map, &server(&map, "plain")["id"]), ["plain-http"]);
    assert_eq!(server(&map, "build")["used_from"][0]["project"], laptop.home.join("work").to_str().unwrap());

    let table = laptop.run(&["discover"]).stdout;
    for word in
        ["Cursor", "Codex", "Goose", "Claude Desktop", "search.example", "TO MEND", "unpinned-package"]
    {
        assert!(table.contains(word), "{word} is not in\n{table}");
    }
    assert_eq!(laptop.run(&["discover", "--fail-on", "high"]).code, 1);
    assert_eq!(Laptop::new().run(&["discover", "--fail-on", "high"]).code, 0);
}

#[test]
fn a_shadow_and_a_bypass_stand_out() {
    let laptop = Laptop::new();
    // A program that is called like a server and waits.
    let shadow = laptop.home.join("mcp-server-shadow");
    fs::copy("/bin/sleep", &shadow).unwrap();
    fs::set_permissions(&shadow, fs::Permissions::from_mode(0o755)).unwrap();
    let mut child = Command::new(&shadow).arg("600").spawn().unwrap();
    laptop.write(
        ".cursor/mcp.json",
        r#"{"mcpServers":{"time":{"command":"uvx","args":["mcp-server-time==1.0"]}}}"#,
    );
    let gateway = laptop
        .write("gw.toml", "[[server]]\nname = \"clock\"\ncommand = [\"uvx\", \"mcp-server-time==1.0\"]\n");
    // Until exec is through, /proc shows this test.
    let found = (0..200).find_map(|_| {
        let map = laptop.map(&["--config", gateway.to_str().unwrap()]);
        let of_child = servers(&map)
            .into_iter()
            .find(|node| node["processes"].as_array().is_some_and(|pids| pids.contains(&child.id().into())))
            .cloned();
        of_child.map(|node| (map, node))
    });
    child.kill().unwrap();
    child.wait().unwrap();
    let (map, node) = found.unwrap();
    assert!(findings(&map, &node["id"]).contains(&"shadow-server"));
    let time = server(&map, "time");
    assert_eq!(findings(&map, &time["id"]), ["gateway-bypass"]);
    assert!(time["names"].as_array().unwrap().contains(&"clock".into()));
}

#[test]
fn hostile_files_are_bounded_reported_and_harmless() {
    let laptop = Laptop::new();
    let many: String = (0..1_000_000).map(|n| format!("\"s{n}\":{{\n\"command\":\"x\"}},\n")).collect();
    laptop.write(".cursor/mcp.json", &format!("{{\"mcpServers\":{{{many}}}}}"));
    laptop.write(".gemini/settings.json", &"[".repeat(1_000_000));
    laptop.write(".codex/config.toml", &format!("a = {}", "[".repeat(100_000)));
    laptop.write(".config/goose/config.yaml", &format!("extensions: {}", "{a: ".repeat(50_000)));
    laptop.write(
        ".copilot/mcp-config.json",
        "{\"mcpServers\":{\"\\u001b[2Jevil\\u202e\":{\"command\":\"\\u001b]0;x\\u0007\"}}}",
    );
    fs::create_dir_all(laptop.home.join(".lmstudio/mcp.json")).unwrap();
    Command::new("mkfifo").arg(laptop.home.join(".junie-pipe")).status().unwrap();
    fs::create_dir_all(laptop.home.join(".junie/mcp")).unwrap();
    std::os::unix::fs::symlink(laptop.home.join(".junie-pipe"), laptop.home.join(".junie/mcp/mcp.json"))
        .unwrap();
    let map = laptop.map(&[]);
    let unread: Vec<&Value> = map["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["id"] == "config-not-read")
        .collect();
    assert_eq!(unread.len(), 6, "{unread:?}");
    let table = laptop.run(&["discover"]).stdout;
    assert!(!table.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{table:?}");
    assert!(table.contains("evil") && table.contains("Not all was seen"));
}

#[test]
fn two_hundred_projects_are_found_below_a_folder() {
    let laptop = Laptop::new();
    for n in 0..200 {
        laptop.write(
            &format!("src/team{}/p{n}/.mcp.json", n % 7),
            &json!({"mcpServers": {format!("s{n}"): {"command": "node", "args": [format!("s{n}.js")]}}})
                .to_string(),
        );
        laptop.write(&format!("src/team{}/p{n}/node_modules/x/.mcp.json", n % 7), "{");
    }
    std::os::unix::fs::symlink(&laptop.home, laptop.home.join("src/loop")).unwrap();
    let map = laptop.map(&["--projects", laptop.home.join("src").to_str().unwrap()]);
    let found = servers(&map).into_iter().filter(|node| {
        node["names"][0].as_str().is_some_and(|name| name.starts_with('s')) && node["configured"] == true
    });
    assert_eq!(found.count(), 200);
}

#[test]
fn maps_are_compared_and_drawn() {
    let laptop = Laptop::with_five_clients();
    let write = |name: &str| {
        let map = laptop.run(&["discover", "--output", "json"]).stdout;
        laptop.write(name, &map)
    };
    let old = write("old.json");
    laptop.write(".cursor/mcp.json", r#"{"mcpServers":{"new":{"command":"npx","args":["new@1.0.0"]}}}"#);
    let new = write("new.json");
    let diff = |one: &Path, other: &Path| {
        laptop.run(&["discover", "diff", one.to_str().unwrap(), other.to_str().unwrap()])
    };
    assert_eq!(diff(&old, &old).code, 0);
    let changed = diff(&old, &new);
    assert_eq!(changed.code, 1);
    assert!(changed.stdout.contains("+ server new"), "{}", changed.stdout);
    assert_eq!(diff(&old, &laptop.write("bad.json", "{}")).code, 2);
    let dot = laptop.run(&["discover", "--format", "dot"]).stdout;
    assert!(dot.starts_with("digraph") && dot.contains("\"new\""), "{dot}");
    let mermaid = laptop.run(&["discover", "--format", "mermaid"]).stdout;
    assert!(mermaid.starts_with("flowchart"), "{mermaid}");
    let bom = laptop.run(&["discover", "--format", "cyclonedx"]).json();
    assert_eq!(bom["specVersion"], "1.7");
}

#[test]
fn a_running_gateway_is_on_the_map() {
    let node = Node::up();
    let map = run(&node.state, &["discover", "--output", "json"]).json();
    let gateway = map["nodes"].as_array().unwrap().iter().find(|node| node["kind"] == "gateway").unwrap();
    assert_eq!(gateway["running"], true);
    let sample = server(&map, "sample");
    assert_eq!((&sample["behind_gateway"], &sample["direct"]), (&json!(true), &json!(false)));
}

#[test]
fn a_server_that_answers_is_named_with_its_tools() {
    let address = support::serve(lockgate_testkit::conformance::listen);
    let laptop = Laptop::new();
    let map = laptop.map(&["--probe", &address.to_string(), "--list-tools"]);
    let found = servers(&map).into_iter().find(|node| node["confidence"] == "confirmed").unwrap();
    assert_eq!((&found["authentication"], &found["running"]), (&json!("none"), &json!(true)));
    assert!(found["tools"].as_array().unwrap().len() > 3, "{found}");
    assert!(findings(&map, &found["id"]).contains(&"shadow-server"), "nobody has it in a configuration");
    // In a configuration it is no shadow, and it is the same node.
    laptop.write(
        ".cursor/mcp.json",
        &json!({"mcpServers": {"known": {"url": format!("http://localhost:{}/mcp", address.port())}}})
            .to_string(),
    );
    let map = laptop.map(&["--probe", &format!("http://{address}/mcp")]);
    let known = server(&map, "known");
    assert_eq!(known["confidence"], "confirmed");
    assert!(!findings(&map, &known["id"]).contains(&"shadow-server"));
    for bad in ["10.0.0.0/8", "not a host", "h:0"] {
        assert_eq!(laptop.run(&["discover", "--probe", bad]).code, 2, "{bad}");
    }
}
