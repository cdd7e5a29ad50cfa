//! What people read: help, explanations, errors. Compared with the files in `golden/`; `UPDATE=1` writes them anew.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::path::{Path, PathBuf};

use support::{Ended, place, run};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.txt"))
}

fn compare(name: &str, text: &str) {
    let path = golden(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        wanted == text,
        "{} differs; run with UPDATE=1 and look at the change\n--- is:\n{text}",
        path.display()
    );
}

fn transcript(args: &[&str], ended: &Ended, state: &Path) -> String {
    let hide = |text: &str| {
        text.replace(&state.display().to_string(), "STATE")
            .replace(&state.parent().unwrap().display().to_string(), "HOME")
    };
    let mut text = format!("$ lockgate {}\n", hide(&args.join(" ")));
    for (stream, content) in [("", &ended.stdout), ("stderr | ", &ended.stderr)] {
        for line in hide(content).lines() {
            text.push_str(format!("{stream}{line}").trim_end());
            text.push('\n');
        }
    }
    text.push_str(&format!("exit code {}\n\n", ended.code));
    text
}

fn transcripts(name: &str, commands: &[&[&str]]) {
    let (_folder, state) = place();
    let all: String = commands.iter().map(|args| transcript(args, &run(&state, args), &state)).collect();
    compare(name, &all);
}

#[test]
fn help() {
    let verbs: &[&[&str]] = &[
        &["--help"],
        &["up", "--help"],
        &["gateway", "--help"],
        &["connect", "--help"],
        &["wrap", "--help"],
        &["status", "--help"],
        &["discover", "--help"],
        &["discover", "diff", "--help"],
        &["adopt", "--help"],
        &["tap", "--help"],
        &["dashboard", "--help"],
        &["top", "--help"],
        &["ping", "--help"],
        &["doctor", "--help"],
        &["explain", "--help"],
        &["identity", "--help"],
        &["identity", "invite", "--help"],
        &["identity", "revoke", "--help"],
        &["approvals", "--help"],
        &["approvals", "list", "--help"],
        &["threats", "--help"],
        &["threats", "list", "--help"],
        &["threats", "suppress", "--help"],
        &["threats", "replay", "--help"],
        &["scan", "--help"],
        &["audit", "--help"],
        &["audit", "tail", "--help"],
        &["report", "--help"],
        &["policy", "--help"],
        &["policy", "check", "--help"],
        &["facts", "--help"],
        &["facts", "list", "--help"],
        &["facts", "push", "--help"],
        &["policy", "test", "--help"],
        &["policy", "explain", "--help"],
        &["policy", "who-can", "--help"],
        &["policy", "diff", "--help"],
        &["policy", "prove", "--help"],
        &["policy", "replay", "--help"],
        &["policy", "suggest", "--help"],
        &["crypto", "--help"],
        &["config", "--help"],
        &["config", "schema", "--help"],
    ];
    transcripts("help", verbs);
}

#[test]
fn explanations() {
    transcripts(
        "explain",
        &[
            &["explain"],
            &["explain", "permit"],
            &["explain", "LG-N001"],
            &["explain", "lg-c003", "--output", "json"],
            &["explain", "LG-Z999"],
        ],
    );
}

#[test]
fn every_code_is_explained() {
    let (_folder, state) = place();
    let all = run(&state, &["explain", "--output", "json"]).json();
    let codes = all["codes"].as_array().unwrap();
    assert!(codes.len() > 30);
    for code in codes {
        let code = code["code"].as_str().unwrap();
        let ended = run(&state, &["explain", code]);
        assert_eq!(ended.code, 0);
        assert!(ended.stdout.contains(code) && ended.stdout.contains("What to do:"), "{}", ended.stdout);
    }
}

/// Codes are written all over the workspace; each must be one that `explain` knows.
#[test]
fn every_code_in_the_sources_is_registered() {
    let (_folder, state) = place();
    let all = run(&state, &["explain", "--output", "json"]).json();
    let known: Vec<&str> =
        all["codes"].as_array().unwrap().iter().map(|code| code["code"].as_str().unwrap()).collect();
    let mut unknown = Vec::new();
    visit(&Path::new(env!("CARGO_MANIFEST_DIR")).join(".."), &mut |path, text| {
        for (at, _) in text.match_indices("\"LG-") {
            let code: String = text[at + 1..].chars().take_while(|c| *c != '"').collect();
            let shaped = code.len() == 7 && code[4..].chars().all(|c| c.is_ascii_digit());
            if shaped && !known.contains(&code.as_str()) {
                unknown.push(format!("{code} in {}", path.display()));
            }
        }
    });
    assert!(unknown.is_empty(), "not in the registry: {unknown:#?}");
}

fn visit(folder: &Path, see: &mut impl FnMut(&Path, &str)) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // Tests may speak of codes that do not exist.
        if path.is_dir() && !path.ends_with("tests") && !path.ends_with("target") {
            visit(&path, see);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            see(&path, &std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn errors() {
    transcripts(
        "errors",
        &[
            &["gateway"],
            &["gateway", "--config", "no-such-file.toml"],
            &["gateway", "--to", "ftp://example"],
            &["gateway", "--to", "http://127.0.0.1:1/mcp", "--profile", "pq-hybird"],
            &["gateway", "--to", "stdio:a", "--to", "stdio:a"],
            &["gateway", "--to", "stdio:a", "--foreign", "nowhere"],
            &["gateway", "--to", "stdio:a", "--admin", "192.0.2.1:1"],
            &["gateway", "--to", "stdio:a", "--output", "json", "--foreign", "nowhere"],
            &["connect", "http://127.0.0.1:1/mcp"],
            &["connect"],
            &["connect", "--invite", "nonsense"],
            &["connect", "https://127.0.0.1:1/mcp"],
            &["connect", "https://127.0.0.1:1/mcp", "--listen", "0.0.0.0:1"],
            &["ping", "https://127.0.0.1:1"],
            &["ping"],
            &["status"],
            &["identity", "invite", "--name", "x"],
            &["identity", "show"],
            &["identity", "revoke", "agent/x"],
            &["approvals", "list"],
            &["threats", "list"],
            &["audit", "tail"],
            &["audit", "verify", "no-such-folder"],
            &["report", "soc2", "--period", "soon", "--out", "report"],
            &["report", "sox", "--period", "2026-Q4", "--out", "report"],
            &["policy", "check"],
            &["policy", "check", "no-such-file.cedar"],
            &["explain", "nothing"],
            &["up", "--bogus"],
        ],
    );
}

#[test]
fn version_is_that_of_the_package() {
    let (_folder, state) = place();
    assert_eq!(run(&state, &["--version"]).stdout, format!("lockgate {}\n", env!("CARGO_PKG_VERSION")));
}

const RETAIL: &str = r#"@id("retail.read") @reason("customers are read over safe links")
permit(principal == Lockgate::Agent::"spiffe://lockgate.internal/agent/retail",
       action in Lockgate::Action::"tools/call", resource == Lockgate::Tool::"crm/get")
when { context.link.quantum_safe };
@id("no-billing")
forbid(principal, action, resource in Lockgate::Server::"billing");
"#;

const CASES: &str = r#"[defaults]
agent = "agent/retail"
[[case]]
name = "over a safe link"
tool = "crm/get"
expect = "allow"
by = "retail.read"
[[case]]
name = "over a classical one"
tool = "crm/get"
link = "classical"
expect = "allow"
"#;

/// A log of two calls by one agent, as a node writes it.
fn write_log(state: &Path) {
    use lockgate_audit::{Durability, Kind, Log, Options, Outcome, Record};
    let log = Log::open(&state.join("audit"), Options::default()).unwrap();
    for (id, kind, outcome, stage) in
        [("1", Kind::Call, Outcome::Ok, "forward"), ("2", Kind::Refusal, Outcome::Refused, "permit")]
    {
        let policies = if kind == Kind::Call { vec!["retail.read".to_owned()] } else { Vec::new() };
        let record = Record {
            agent: Some("spiffe://lockgate.internal/agent/retail".into()),
            server: Some("crm".into()),
            method: Some("tools/call".into()),
            name: Some("get".into()),
            request_id: Some(id.into()),
            stage: Some(stage.into()),
            policies: policies.into(),
            quantum_safe: Some(kind == Kind::Call),
            policy_generation: Some(1),
            argument_names: vec!["id".to_owned()].into(),
            arguments: Some(r#"{"id":"c-1"}"#.into()),
            ..Record::new(kind, outcome)
        };
        log.append(&record, Durability::Grouped).unwrap();
    }
}

#[test]
fn questions_about_policies() {
    let (folder, state) = place();
    let policy = state.join("policy");
    std::fs::create_dir_all(&policy).unwrap();
    std::fs::write(policy.join("retail.cedar"), RETAIL).unwrap();
    std::fs::write(policy.join("retail.test.toml"), CASES).unwrap();
    let wider = folder.path().join("wider.cedar");
    std::fs::write(&wider, RETAIL.replace("when { context.link.quantum_safe }", "")).unwrap();
    write_log(&state);
    let wider = wider.to_str().unwrap();
    let at = ["--at", "2026-11-22T14:00:00Z"];
    let explain = |more: &[&'static str]| {
        let call = ["policy", "explain", "--agent", "agent/retail", "--tool", "crm/get"];
        [call.as_slice(), &at, more].concat()
    };
    let commands: Vec<Vec<&str>> = vec![
        vec!["policy", "check"],
        vec!["policy", "show", "--cedar"],
        vec!["policy", "test"],
        explain(&[]),
        explain(&["--link", "classical"]),
        explain(&["--link", "classical", "--output", "json"]),
        explain(&["--arguments", "[1]"]),
        explain(&["--fact", "staff"]),
        vec!["policy", "explain", "--agent", "agent/retail", "--tool", "billing/pay", "--at", at[1]],
        vec!["policy", "explain", "--agent", "agent/retail", "--tool", "crm/get", "--at", "noon"],
        vec!["policy", "explain", "--record", "1", "--at", at[1]],
        vec!["policy", "explain", "--record", "9"],
        vec!["policy", "explain"],
        vec!["policy", "who-can", "crm/get"],
        vec!["policy", "what-can", "agent/retail"],
        vec!["policy", "prove", "never"],
        vec!["policy", "test", "no-such.test.toml"],
        vec!["policy", "check", "--tools", "no-such.json"],
    ];
    let all: String = commands.iter().map(|args| transcript(args, &run(&state, args), &state)).collect();
    compare("policy", &all);
    let replayed = run(&state, &["policy", "replay", "--policy", wider]);
    assert_eq!(replayed.code, 1, "{}{}", replayed.stdout, replayed.stderr);
    assert!(replayed.stdout.starts_with("would change 1 of 2 calls\n"), "{}", replayed.stdout);
}

/// The examples decide as their cases say.
#[test]
fn cases_of_the_examples() {
    let (folder, state) = place();
    let config = folder.path().join("lockgate.toml");
    let facts = [
        ("appointment", "patient = \"text\", start = \"time\", end = \"time\"", "key = \"patient\""),
        ("staff", "on_duty = \"integer\"", ""),
        ("freeze", "on = \"flag\"", ""),
    ];
    let text: String = facts
        .iter()
        .map(|(name, fields, key)| {
            format!("[[fact]]\nname = \"{name}\"\nfrom = \"file:{name}.json\"\n{key}\nfields = {{ {fields} }}\nmax_age = \"5m\"\n")
        })
        .collect();
    std::fs::write(&config, text).unwrap();
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/policy");
    let ended = run(&state, &["policy", "test", examples, "--config", config.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
}

/// Without a solver there is no proof, and nothing that looks like one.
#[test]
fn no_solver_no_proof() {
    let (folder, state) = place();
    let path = folder.path().join("retail.cedar");
    std::fs::write(&path, RETAIL).unwrap();
    let path = path.to_str().unwrap();
    let ended = support::run_with(
        support::command(&state).env("CVC5", "/no/such/solver").args([
            "policy",
            "prove",
            "never anyone server billing",
            "--policy",
            path,
        ]),
        "",
    );
    assert_eq!((ended.code, ended.stdout.as_str()), (4, ""), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("LG-P023") && ended.stderr.contains("apt install cvc5"),
        "{}",
        ended.stderr
    );
    let ended = support::run_with(
        support::command(&state).env("CVC5", "/no/such/solver").args(["policy", "diff", path, path]),
        "",
    );
    assert!(ended.stdout.starts_with("This is no proof"), "{}{}", ended.stdout, ended.stderr);
}

#[test]
fn a_policy_with_mistakes() {
    let (folder, state) = place();
    let path = folder.path().join("bad.cedar");
    std::fs::write(&path, "permit(principal, action, resource)\n").unwrap();
    let ended = run(&state, &["policy", "check", path.to_str().unwrap()]);
    assert_eq!(ended.code, 3);
    assert!(
        ended.stderr.contains("error[LG-P001]") && ended.stderr.contains("bad.cedar:"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let (_folder, state) = place();
    let mut child = support::command(&state)
        .args(["explain", "--output", "jsonl"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}
