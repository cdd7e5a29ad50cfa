//! `lockgate adopt` from end to end: a client that only knows its configuration works before, after, and after undoing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::{Running, command, initialize, initialized, place, run_with};
use tempfile::TempDir;

struct Desk {
    _folder: TempDir,
    state: PathBuf,
    config: PathBuf,
    before: String,
}

impl Desk {
    /// Cursor with the sample server, a comment, a secret, and a server that nobody else can start.
    fn new() -> Self {
        let (folder, state) = place();
        let config = folder.path().join(".cursor/mcp.json");
        fs::create_dir_all(config.parent().unwrap()).unwrap();
        let before = format!(
            r#"{{
  // my servers
  "mcpServers": {{
    "Sample Server": {{
      "command": {program}, // ours
      "args": ["sample"],
      "env": {{ "API_TOKEN": "t0p-s3cret-value" }},
      "autoApprove": ["echo"]
    }},
    "asks": {{ "command": "x", "args": ["${{input:key}}"] }},
    "off": {{ "command": "y", "disabled": true }}
  }}
}}
"#,
            program = json!(env!("CARGO_BIN_EXE_lockgate"))
        );
        fs::write(&config, &before).unwrap();
        // Ports of other tests must not be met.
        let desk = Self { state, config, before, _folder: folder };
        desk.gateway("[node]\nlisten = \"127.0.0.1:0\"\n");
        desk
    }

    fn gateway(&self, text: &str) {
        fs::create_dir_all(&self.state).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&self.state, fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(self.state.join("gateway.toml"), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> support::Ended {
        run_with(command(&self.state).args(args), "")
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.config).unwrap()
    }

    /// Starts the entry of the configuration as a client does, and lists its tools.
    fn tools(&self) -> Vec<String> {
        let text: String =
            self.text().lines().map(|line| line.split(" // ").next().unwrap().to_owned() + "\n").collect();
        let text = text.replace("// my servers", "");
        let config: Value = serde_json::from_str(&text).unwrap();
        let entry = &config["mcpServers"]["Sample Server"];
        let mut command = Command::new(entry["command"].as_str().unwrap());
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.state.parent().unwrap());
        command.args(entry["args"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()));
        let mut server = Running::start(&mut command);
        server.ask(&initialize(1));
        server.say(&initialized());
        let listed = server.ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}));
        let tools =
            listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}\n{}", server.stderr()));
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Desk {
    /// The gateway that a connector started outlives it.
    fn drop(&mut self) {
        let note = fs::read_to_string(self.state.join("run/node.json")).unwrap_or_default();
        let pid = serde_json::from_str::<Value>(&note).ok().and_then(|note| note["pid"].as_u64());
        if let Some(pid) = pid {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
    }
}

fn servers(state: &Path) -> usize {
    fs::read_to_string(state.join("gateway.toml")).unwrap().matches("[[server]]").count()
}

#[test]
fn a_client_has_the_same_tools_before_after_and_after_undo() {
    let desk = Desk::new();
    let before = desk.tools();
    assert!(!before.is_empty());

    let dry = desk.run(&["adopt", "cursor", "--dry-run"]);
    assert_eq!((dry.code, desk.text()), (0, desk.before.clone()), "{}", dry.stderr);
    assert!(
        dry.stdout.contains("+ ")
            && dry.stdout.contains("[redacted]")
            && !dry.stdout.contains("t0p-s3cret-value"),
        "{}",
        dry.stdout
    );
    assert!(
        dry.stdout.contains("asks") && dry.stdout.contains("only the client can fill in"),
        "{}",
        dry.stdout
    );
    assert_eq!(desk.run(&["adopt", "cursor"]).code, 2, "nobody is there to be asked");
    assert_eq!(desk.text(), desk.before);

    let adopted = desk.run(&["adopt", "--all", "--yes"]);
    assert_eq!(adopted.code, 0, "{}{}", adopted.stdout, adopted.stderr);
    let text = desk.text();
    assert!(
        text.contains("// my servers")
            && text.contains("// ours")
            && text.contains("\"autoApprove\": [\"echo\"]"),
        "{text}"
    );
    assert!(text.contains("--local") && !text.contains("t0p-s3cret-value"), "{text}");
    assert!(
        text.contains("${input:key}") && text.contains("\"off\": { \"command\": \"y\", \"disabled\": true }"),
        "{text}"
    );
    let kept = fs::read_to_string(desk.state.join("gateway.toml")).unwrap();
    assert!(
        kept.contains("sample-server") && !kept.contains("t0p-s3cret-value"),
        "the secret is sealed: {kept}"
    );
    assert_eq!(desk.tools(), before, "through the tunnel");

    let again = desk.run(&["adopt", "--all", "--yes", "--output", "json"]);
    assert_eq!(
        (again.json()["written"].clone(), desk.text()),
        (json!(false), text.clone()),
        "once is enough"
    );
    assert_eq!(servers(&desk.state), 1);
    let map = desk.run(&["discover", "--output", "json"]).json();
    let found = map["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["id"] == "gateway-bypass" || finding["id"] == "secret-in-config");
    assert_eq!(found.count(), 0, "{map}");

    let undone = desk.run(&["adopt", "--undo"]);
    assert_eq!((undone.code, desk.text()), (0, desk.before.clone()), "{}{}", undone.stdout, undone.stderr);
    assert_eq!(servers(&desk.state), 0);
    assert_eq!(desk.tools(), before, "as it was");
    assert!(desk.run(&["adopt", "--undo"]).stdout.contains("Nothing is adopted"));
}

#[test]
fn what_was_changed_since_is_not_lost() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["adopt", "cursor", "--yes"]).code, 0);
    let changed = desk.text().replace("// my servers", "// all my servers");
    fs::write(&desk.config, &changed).unwrap();
    let refused = desk.run(&["adopt", "--undo"]);
    assert_eq!((refused.code, desk.text()), (1, changed), "{}", refused.stdout);
    assert!(refused.stdout.contains("--force"), "{}", refused.stdout);
    assert_eq!(servers(&desk.state), 1, "it is still needed");
    assert_eq!(desk.run(&["adopt", "--undo", "--force"]).code, 0);
    assert_eq!((desk.text(), servers(&desk.state)), (desk.before.clone(), 0));
}

#[test]
fn a_link_to_dot_files_stays_one_and_names_are_shared() {
    let desk = Desk::new();
    let real = desk.state.parent().unwrap().join("dotfiles.json");
    fs::rename(&desk.config, &real).unwrap();
    std::os::unix::fs::symlink(&real, &desk.config).unwrap();
    // The same server in another client, and another one of that name.
    let home = desk.state.parent().unwrap();
    fs::create_dir_all(home.join(".gemini")).unwrap();
    let same = json!({"mcpServers": {
        "sample": {"command": env!("CARGO_BIN_EXE_lockgate"), "args": ["sample"], "env": {"API_TOKEN": "t0p-s3cret-value"}},
        "Sample-Server": {"command": "other"},
    }});
    fs::write(home.join(".gemini/settings.json"), same.to_string()).unwrap();
    let report = desk.run(&["adopt", "--all", "--yes", "--output", "json"]).json();
    assert!(fs::symlink_metadata(&desk.config).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("--local"));
    let names: Vec<&Value> = report["files"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|file| file["servers"].as_array().unwrap())
        .collect();
    assert_eq!(names, ["sample-server", "sample-server", "sample-server-2"], "{report}");
    assert_eq!(servers(&desk.state), 2);
    assert_eq!(desk.run(&["adopt", "--undo"]).code, 0);
    assert_eq!(fs::read_to_string(&real).unwrap(), desk.before);
}

#[test]
fn bad_questions_have_good_answers() {
    let desk = Desk::new();
    let unknown = desk.run(&["adopt", "curser"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("did you mean cursor?"), "{}", unknown.stderr);
    assert_eq!(desk.run(&["adopt"]).code, 2);
    fs::write(&desk.config, "{ broken").unwrap();
    let broken = desk.run(&["adopt", "cursor", "--yes"]);
    assert_eq!(broken.code, 0);
    assert!(broken.stdout.contains("line 1"), "{}", broken.stdout);
    let none = run_with(command(&desk.state.join("none")).args(["connect", "--local", "x"]), "");
    assert_eq!(none.code, 4, "{}", none.stderr);
    assert!(none.stderr.contains("lockgate adopt"), "{}", none.stderr);
}
