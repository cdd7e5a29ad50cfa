//! A gateway in front of a clinic and of billing, with role files, and enrolled agents that call through it.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clinic::Clinic;
use crate::support::{self, Node, Running, call, command, place};

/// What a refusal by policy is on the wire.
const DENIED: i64 = -31001;

/// A gateway in front of a clinic and of billing, with these role files.
pub(crate) struct House {
    pub(crate) node: Node,
    pub(crate) clinic: Clinic,
    pub(crate) billing: Clinic,
    pub(crate) folder: TempDir,
}

impl House {
    pub(crate) fn open(roles: &[(&str, &str)], config: &str) -> Self {
        Self::with(Clinic::start(), roles, config)
    }

    /// The same with a billing server that does something else.
    pub(crate) fn with(billing: Clinic, roles: &[(&str, &str)], config: &str) -> Self {
        let (folder, state) = place();
        let clinic = Clinic::start();
        let policy = state.join("policy");
        std::fs::create_dir_all(&policy).unwrap();
        private(&state);
        private(&policy);
        for (name, text) in roles {
            std::fs::write(policy.join(format!("{name}.toml")), format!("{text}\n[end]\n")).unwrap();
        }
        let path = folder.path().join("lockgate.toml");
        let servers = format!(
            "[[server]]\nname = \"clinic\"\nto = \"{}\"\n[[server]]\nname = \"billing\"\nto = \"{}\"\n",
            clinic.to(),
            billing.to()
        );
        std::fs::write(&path, format!("{config}\n{servers}")).unwrap();
        let node = Node::start(&state, &["gateway", "--config", path.to_str().unwrap()]);
        Self { node, clinic, billing, folder }
    }

    /// The connector of a newly enrolled agent, on a machine of its own.
    pub(crate) fn agent(&self, name: &str, url: &str, further: &[&str]) -> (TempDir, Running) {
        let minted = self.node.run(&["identity", "invite", "--name", name, "--output", "json"]);
        assert_eq!(minted.code, 0, "{}", minted.stderr);
        let code = minted.json()["code"].as_str().unwrap().to_owned();
        let (folder, state) = place();
        let mut command = command(&state);
        command.args(["connect", "--invite", &code, url]).args(further);
        (folder, Running::start(&mut command))
    }

    pub(crate) fn records(&self) -> String {
        self.node.run(&["audit", "tail", "-n", "200", "--output", "jsonl"]).stdout
    }
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
}

pub(crate) fn is_denied(answer: &Value) -> bool {
    answer["error"]["code"] == DENIED
}

/// A zone in which it is about this hour now.
pub(crate) fn zone_where_it_is(hour: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let utc = i64::try_from(now / 3_600 % 24).unwrap();
    let ahead = (hour - utc + 12).rem_euclid(24) - 12;
    // These zones count the other way round.
    format!("Etc/GMT{:+}", -ahead)
}

pub(crate) fn assistant(name: &str, zone: &str) -> String {
    format!(
        r#"
[role]
name = "{name}"
agents = ["agent/{name}"]
zone = "{zone}"

[[allow]]
id = "read-record"
tools = ["clinic/read_record"]
hours = "08:00-18:00"
facts.appointment = {{ patient = {{ is_argument = "patient" }}, start = {{ before = "now" }}, end = {{ after = "now" }} }}
facts.staff.on_duty = {{ min = 1 }}
"#
    )
}

/// Calls until the answer is of this kind: files are looked at several times a second.
#[track_caller]
pub(crate) fn becomes(agent: &mut Running, id: &mut u64, patient: &str, allowed: bool) {
    let end = Instant::now() + Duration::from_secs(support::WAIT_S_MAX);
    loop {
        *id += 1;
        let answer = agent.ask(&call(*id, "read_record", json!({"patient": patient})));
        if answer.get("result").is_some() == allowed && (allowed || is_denied(&answer)) {
            return;
        }
        assert!(Instant::now() < end, "{patient}, {allowed}: {answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
