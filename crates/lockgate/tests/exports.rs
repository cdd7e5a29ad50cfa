//! Audit records arrive where others collect them, also when those were away.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Node, WAIT_S_MAX, call, place, run, shake_hands};

fn calls(node: &Node, count: u64) {
    let mut client = node.connect("sample");
    shake_hands(&mut client);
    for id in 0..count {
        assert!(client.ask(&call(id + 10, "echo", json!({"text": "x"}))).get("result").is_some());
    }
}

/// Waits until `done` gives something.
fn until<T>(what: &str, done: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = done() {
            return found;
        }
        assert!(began.elapsed().as_secs() < WAIT_S_MAX, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn exports(node: &Node) -> Value {
    node.run(&["exports", "--output", "json"]).json()["exports"].clone()
}

/// Waits until nothing is left to be sent.
fn sent(node: &Node) -> Value {
    until("all is sent", || {
        let export = exports(node)[0].clone();
        (export["behind"] == 0 && export["next_seq"].as_u64() > Some(1) && export["problem"].is_null())
            .then_some(export)
    })
}

/// The log as it stands; reading it leaves no record.
fn log(node: &Node) -> Vec<String> {
    let tail = node.run(&["audit", "tail", "-n", "100000", "--raw"]);
    tail.stdout.lines().map(str::to_owned).collect()
}

fn config(folder: &Path, export: &str) -> PathBuf {
    let file = folder.join("lockgate.toml");
    let sample = env!("CARGO_BIN_EXE_lockgate");
    let text = format!("{export}\n[[server]]\nname = \"sample\"\ncommand = [\"{sample}\", \"sample\"]\n");
    fs::write(&file, text).unwrap();
    file
}

#[test]
fn a_file_has_every_record_over_a_restart_and_a_reload() {
    let (folder, state) = place();
    let copy = folder.path().join("copy.jsonl");
    let none = config(folder.path(), "");
    let start = |config: &Path| Node::start(&state, &["gateway", "--config", config.to_str().unwrap()]);
    let node = start(&none);
    assert_eq!(node.run(&["exports"]).code, 0);
    assert!(node.run(&["exports"]).stdout.contains("[[export]]"));
    calls(&node, 3);
    // What was recorded before there was an export is brought, too.
    config(folder.path(), "[[export]]\nname = \"copy\"\nkind = \"jsonl\"\nto = \"file:copy.jsonl\"\n");
    node.process.signal("HUP");
    until("the export begins", || (exports(&node) != json!([])).then_some(()));
    calls(&node, 3);
    let export = sent(&node);
    assert_eq!((&export["name"], &export["lost"]), (&json!("copy"), &json!(0)), "{export}");
    assert!(node.run(&["exports"]).stdout.contains("copy.jsonl"));
    drop(node);
    let node = start(&none);
    calls(&node, 2);
    // Each in order, as it stands in the log. The node was killed: what it had sent without having noted it comes again.
    until("the copy is the log", || {
        let text = fs::read_to_string(&copy).unwrap();
        let mut seen = BTreeSet::new();
        let lines: Vec<&str> = text.lines().filter(|line| seen.insert(*line)).collect();
        (lines.len() > 10 && lines == log(&node)).then_some(())
    });
}

#[test]
fn an_export_that_cannot_be_teaches() {
    let (folder, state) = place();
    let export = |rest: &str| format!("[[export]]\nname = \"siem\"\n{rest}\n");
    for (text, says) in [
        (export("kind = \"otlp\"\nto = \"http://collector.example/v1/logs\""), "loopback"),
        (export("kind = \"otlp\"\nto = \"tls://collector.example\""), "/v1/logs"),
        (export("kind = \"otlp\"\nto = \"https://me:secret@collector.example/v1/logs\""), "use `token`"),
        (export("kind = \"syslog\"\nto = \"tcp://logs.example\""), "loopback"),
        (export("kind = \"syslog\"\nto = \"tls://logs.example\"\ntoken = \"t\""), "otlp and splunk"),
        (export("kind = \"splunk\"\nto = \"https://splunk.example/x\""), "lockgate secret"),
        (export("kind = \"jsonl\"\nto = \"file:x\"\nroots = \"x\""), "reached by TLS"),
        (export("kind = \"jsonl\"\nto = \"file:x\"\nkinds = [\"refusals\"]"), "did you mean `refusal`?"),
        (export("kind = \"jsonl\"\nto = \"file:x\"").repeat(2), "two exports are called"),
    ] {
        let file = config(folder.path(), &text);
        let ended = run(&state, &["config", "validate", file.to_str().unwrap()]);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(ended.code == 3 && said.contains(says), "{text}: {said}");
    }
}

/// Debian's syslog server, ended with the test.
struct Rsyslog(Child);

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const RSYSLOG: &str = r#"
global(workDirectory="DIR" maxMessageSize="1m" defaultNetstreamDriver="ossl" defaultNetstreamDriverCAFile="DIR/ca.pem"
  defaultNetstreamDriverCertFile="DIR/cert.pem" defaultNetstreamDriverKeyFile="DIR/key.pem")
module(load="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
template(name="lines" type="string" string="%pri%|%hostname%|%app-name%|%msgid%|%structured-data%|%msg%\n")
input(type="imtcp" address="127.0.0.1" port="PORT")
action(type="omfile" file="DIR/received" template="lines")
"#;

fn rsyslog(folder: &Path, port: u16) -> Rsyslog {
    let text = RSYSLOG.replace("DIR", folder.to_str().unwrap()).replace("PORT", &port.to_string());
    fs::write(folder.join("rsyslog.conf"), text).unwrap();
    let child = Command::new("/usr/sbin/rsyslogd")
        .args(["-n", "-i"])
        .arg(folder.join("pid"))
        .arg("-f")
        .arg(folder.join("rsyslog.conf"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let server = Rsyslog(child);
    until("rsyslog listens", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    server
}

/// A certificate for localhost, and the authority that it comes from, of today's algorithms: Debian has no others.
fn certificate(folder: &Path) {
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let root = [&["req", "-x509", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"], &key[..]];
    let leaf = [&["req", "-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "leaf.csr"], &key[..]];
    let signed = ["x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
    let signed = [&signed[..], &["-extfile", "names", "-out", "cert.pem"]];
    fs::write(folder.join("names"), "subjectAltName = DNS:localhost\n").unwrap();
    for words in [root.concat(), leaf.concat(), signed.concat()] {
        let made = Command::new("openssl").current_dir(folder).args(&words).output().unwrap();
        assert!(made.status.success(), "{words:?}: {}", String::from_utf8_lossy(&made.stderr));
    }
}

/// The numbers of the records that arrived, after a look at each line.
fn received(folder: &Path) -> BTreeSet<u64> {
    let text = fs::read_to_string(folder.join("received")).unwrap_or_default();
    let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
    let numbers = whole.lines().map(|line| {
        let parts: Vec<&str> = line.splitn(6, '|').collect();
        let [pri, host, app, kind, data, message] = parts[..] else { panic!("{line}") };
        // Facility 13, one of the severities that records have.
        assert!(["107", "108", "110"].contains(&pri), "{line}");
        assert_eq!((host, app), ("gateway", "lockgate"), "{line}");
        let record: Value = serde_json::from_str(message.trim_start_matches('\u{feff}')).unwrap();
        assert!(!kind.is_empty() && kind != "-", "{line}");
        // Each record is an event of OCSF.
        let seq = &record["metadata"]["sequence"];
        assert_eq!(data, format!("[lockgate seq=\"{seq}\"]"), "{line}");
        seq.as_u64().unwrap()
    });
    numbers.collect()
}

#[test]
fn a_syslog_server_over_tls_gets_everything_also_after_it_was_away() {
    if !Path::new("/usr/sbin/rsyslogd").is_file() {
        return;
    }
    let (folder, state) = place();
    certificate(folder.path());
    let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
    let server = rsyslog(folder.path(), port);
    let file = config(
        folder.path(),
        &format!(
            "[[export]]\nname = \"logs\"\nkind = \"syslog\"\nto = \"tls://localhost:{port}\"\nroots = \"ca.pem\"\n\
             profile = \"pq-transition\"\n"
        ),
    );
    let node = Node::start(&state, &["gateway", "--config", file.to_str().unwrap()]);
    calls(&node, 3);
    let export = sent(&node);
    let all = |last: u64| (1..=last).collect::<BTreeSet<u64>>();
    let last = export["next_seq"].as_u64().unwrap() - 1;
    until("rsyslog has written", || received(folder.path()).is_superset(&all(last)).then_some(()));

    drop(server);
    calls(&node, 5);
    let failing =
        until("it fails", || Some(exports(&node)[0].clone()).filter(|one| !one["problem"].is_null()));
    assert!(failing["behind"].as_u64() > Some(0), "{failing}");
    let shown = node.run(&["exports"]);
    assert!(shown.code == 1 && shown.stdout.contains("fails since"), "{}", shown.stdout);

    let _server = rsyslog(folder.path(), port);
    let export = sent(&node);
    let last = export["next_seq"].as_u64().unwrap() - 1;
    until("rsyslog has written", || received(folder.path()).is_superset(&all(last)).then_some(()));
    assert_eq!(node.run(&["exports"]).code, 0);
}
