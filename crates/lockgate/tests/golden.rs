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
        &["audit", "--help"],
        &["audit", "tail", "--help"],
        &["policy", "--help"],
        &["policy", "check", "--help"],
        &["facts", "--help"],
        &["facts", "list", "--help"],
        &["facts", "push", "--help"],
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
