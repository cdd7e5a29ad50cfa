//! The configuration file: its schema, its examples, its errors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::path::{Path, PathBuf};

use support::{command, place, run, run_with};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn schema_in_the_docs_is_that_of_the_types() {
    let (_folder, state) = place();
    let schema = run(&state, &["config", "schema"]).stdout;
    let path = root().join("docs/config.schema.json");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == schema, "{} is old; run with UPDATE=1", path.display());
}

#[test]
fn every_example_is_valid_and_starts_nothing() {
    let (_folder, state) = place();
    let mut seen = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let ended = run(&state, &["config", "validate", path.to_str().unwrap()]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", path.display());
        seen += 1;
    }
    assert!(seen >= 4);
    assert!(!state.exists(), "validating made a state directory");
}

/// Each mistake is reported at once, with line and column.
#[test]
fn every_mistake_at_once() {
    let (folder, state) = place();
    let path = folder.path().join("lockgate.toml");
    let text = r#"[node]
lsiten = "127.0.0.1:1"
profile = 7

[limits]
links_max = 0
call_s_max = "long"

[log]
format = "jsno"

[[server]]
to = "http://127.0.0.1:1/mcp"

[[listener]]
profile = "pq-kex"
tls = { certificate = "a.pem" }
"#;
    std::fs::write(&path, text).unwrap();
    let ended = run(&state, &["config", "validate", path.to_str().unwrap()]);
    assert_eq!(ended.code, 3);
    let name = path.display();
    for (code, place, said) in [
        ("LG-C003", "2:1", "did you mean `listen`?"),
        ("LG-C004", "3:11", "takes text in quotes, not the number 7"),
        ("LG-C005", "6:13", "must be 1 or more"),
        ("LG-C004", "7:14", "takes a whole number, not the text \"long\""),
        ("LG-C005", "10:10", "did you mean \"json\"?"),
        ("LG-C006", "12:1", "[[server]] has no `name`"),
        ("LG-C006", "15:1", "[[listener]] has no `address`"),
        ("LG-C006", "17:1", "[listener.tls] has no `key`"),
    ] {
        let found = ended.stderr.split("\n\n").any(|block| {
            block.contains(&format!("error[{code}]"))
                && block.contains(&format!("{name}:{place}"))
                && block.contains(said)
        });
        assert!(found, "{code} at {place}: {said}\nin:\n{}", ended.stderr);
    }
    assert_eq!(ended.stderr.matches("error[").count(), 8, "{}", ended.stderr);
}

/// Mistakes that a schema cannot know come together, too.
#[test]
fn every_wrong_value_at_once() {
    let (folder, state) = place();
    let path = folder.path().join("lockgate.toml");
    let text = r#"[node]
name = "Not A Name"
listen = "everywhere"
names = ["ok.example", "no/host"]
profile = "pq-hybird"

[admin]
listen = "0.0.0.0:9"

[[server]]
name = "a"
to = "stdio:'x"

[[server]]
name = "a"
to = "http://127.0.0.1:1/mcp"
cwd = "/tmp"
"#;
    std::fs::write(&path, text).unwrap();
    let ended = run(&state, &["config", "validate", path.to_str().unwrap(), "--output", "json"]);
    assert_eq!(ended.code, 3);
    let errors: serde_json::Value = serde_json::from_str(&ended.stderr).unwrap();
    assert_eq!(errors["schema"], "lockgate.error/1");
    let found: Vec<(String, String)> = errors["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| {
            let place =
                error["place"].as_str().unwrap().trim_start_matches(&path.display().to_string()).to_owned();
            (error["code"].as_str().unwrap().to_owned(), place)
        })
        .collect();
    for wanted in [
        ("LG-C007", ":2:8"),
        ("LG-C007", ":3:10"),
        ("LG-C007", ":4:24"),
        ("LG-C012", ":5:11"),
        ("LG-C007", ":8:10"),
        ("LG-C007", ":12:6"),
        ("LG-C008", ":15:8"),
        ("LG-C007", ":17:7"),
    ] {
        assert!(found.contains(&(wanted.0.to_owned(), wanted.1.to_owned())), "{wanted:?} in {found:?}");
    }
    assert_eq!(found.len(), 8, "{found:?}");
}

#[test]
fn layers_lie_over_each_other() {
    let (folder, state) = place();
    let path = folder.path().join("lockgate.toml");
    std::fs::write(&path, "[node]\nname = \"a\"\nlisten = \"127.0.0.1:7\"\n[limits]\ncall_s_max = 5\n")
        .unwrap();
    let mut command = command(&state);
    command.args(["config", "show", path.to_str().unwrap(), "--output", "json", "--log", "warn"]);
    command.env("LOCKGATE_NODE_LISTEN", "127.0.0.1:8").env("LOCKGATE_NODE_NAMES", "a.example, b.example");
    command.env("LOCKGATE_LIMITS_LINKS_MAX", "3");
    let settings = run_with(&mut command, "").json();
    let setting = |key: &str| {
        let found =
            settings["settings"].as_array().unwrap().iter().find(|setting| setting["key"] == key).unwrap();
        (found["value"].clone(), found["origin"].as_str().unwrap().to_owned())
    };
    assert_eq!(setting("node.name"), ("a".into(), format!("{}:2:8", path.display())));
    assert_eq!(
        setting("node.listen"),
        ("127.0.0.1:8".into(), "environment variable LOCKGATE_NODE_LISTEN".to_owned())
    );
    assert_eq!(setting("node.names").0, serde_json::json!(["a.example", "b.example"]));
    assert_eq!(setting("limits.links_max").0, 3);
    assert_eq!(setting("limits.call_s_max").0, 5);
    assert_eq!(setting("log.level"), ("warn".into(), "flag --log".to_owned()));
    assert_eq!(setting("node.profile"), ("pq-hybrid".into(), "default".to_owned()));
}

#[test]
fn a_misspelt_variable_is_refused() {
    let (_folder, state) = place();
    let mut command = command(&state);
    command
        .args(["config", "validate"])
        .env("LOCKGATE_NODE_LSITEN", "x")
        .env("LOCKGATE_LIMITS_LINKS_MAX", "many");
    let ended = run_with(&mut command, "");
    assert_eq!(ended.code, 3);
    assert!(
        ended.stderr.contains("LG-C010") && ended.stderr.contains("did you mean LOCKGATE_NODE_LISTEN?"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("environment variable LOCKGATE_LIMITS_LINKS_MAX"), "{}", ended.stderr);
}

#[test]
fn broken_toml_shows_each_place() {
    let (folder, state) = place();
    let path = folder.path().join("lockgate.toml");
    std::fs::write(&path, "[node\nname = 'a\nlisten = = 1\n").unwrap();
    let ended = run(&state, &["gateway", "--config", path.to_str().unwrap()]);
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.matches("error[LG-C002]").count() >= 2, "{}", ended.stderr);
}

#[test]
fn exceptions_and_names_that_cannot_be() {
    let (folder, state) = place();
    let path = folder.path().join("lockgate.toml");
    let text = r#"[crypto]
trust = ["nobody.pub"]

[[listener]]
name = "tunnel"
address = "127.0.0.1:9001"

[[listener]]
name = "Old"
address = "127.0.0.1:9002"

[[exception]]
listener = "new"
profile = "pq-transition"
until = "2027-06-30"
reason = "later"

[[exception]]
peer = "*"
profile = "pq-transistion"
until = "soon"
reason = " "

[[exception]]
listener = "tunnel"
upstream = "web"
profile = "pq-transition"
until = "2027-06-30"
reason = "both"
"#;
    std::fs::write(&path, text).unwrap();
    let ended = run(&state, &["config", "validate", path.to_str().unwrap()]);
    assert_eq!(ended.code, 3);
    let name = path.display();
    for (code, place, said) in [
        ("LG-C007", "2:9", "there is no document"),
        ("LG-C008", "5:8", "two listeners are called \"tunnel\""),
        ("LG-C007", "9:8", "\"Old\" is no listener name"),
        ("LG-C014", "19:8", "\"*\" stands for no peers"),
        ("LG-C012", "20:11", "did you mean \"pq-transition\"?"),
        ("LG-C007", "21:9", "\"soon\" is no day and no moment"),
        ("LG-C014", "22:10", "an exception has a reason"),
        ("LG-C014", "24:1", "exactly one of them"),
    ] {
        assert!(ended.stderr.contains(&format!("error[{code}]")), "{code}: {}", ended.stderr);
        assert!(ended.stderr.contains(&format!("{name}:{place}\n")), "{place} in {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{said} in {}", ended.stderr);
    }
    // Places are looked up when everything else is in order.
    let text =
        "[[exception]]\nlistener = \"new\"\nprofile = \"pq-kex\"\nuntil = \"2027-06-30\"\nreason = \"x\"\n";
    std::fs::write(&path, text).unwrap();
    let ended = run(&state, &["config", "validate", path.to_str().unwrap()]);
    assert_eq!(ended.code, 3);
    assert!(
        ended.stderr.contains("no listener is called \"new\"; there are tunnel, foreign"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_document_needs_a_signature_that_is_trusted() {
    let (folder, state) = place();
    let path = folder.path().join("lockgate.toml");
    let document = folder.path().join("crypto.toml");
    std::fs::write(&document, "schema = \"lockgate.crypto/1\"\nepoch = 1\nissued = 2026-11-22\n").unwrap();
    for (text, code, said) in [
        ("[crypto]\ndocument = \"none.toml\"\ntrust = []\n", "LG-C013", "needs a key that signed it"),
        (
            "[crypto]\ndocument = \"crypto.toml\"\ntrust = [\"crypto.toml\"]\n",
            "LG-C009",
            "cannot use the public key",
        ),
    ] {
        std::fs::write(&path, text).unwrap();
        let ended = run(&state, &["config", "validate", path.to_str().unwrap()]);
        assert_eq!(ended.code, 3, "{text}");
        assert!(ended.stderr.contains(code) && ended.stderr.contains(said), "{}", ended.stderr);
    }
}

/// Facts that cannot be, each told where it stands.
#[test]
fn facts_that_cannot_be() {
    let (folder, state) = place();
    let path = folder.path().join("lockgate.toml");
    let text = r#"[[server]]
name = "calendar"
to = "http://127.0.0.1:1/mcp"

[[fact]]
name = "On-Duty"
from = "push"
fields = { as_of = "time" }
max_age = "soon"

[[fact]]
name = "ward"
from = "http://his.internal/x?y={key}"
fields = { a = "text" }
max_age = "60s"
roots = "x.pem"

[[fact]]
name = "ward"
from = "mcp:calender/list"
fields = {}
max_age = "90d"
deadline = "1m"

[[fact]]
name = "room"
from = "https://his.internal/x?y={key}"
fields = { "a-b" = "text" }
max_age = "60s"
signer = "x.pub"
profile = "pq-kxe"

[[fact]]
name = "bed"
from = "htps://his.internal/x"
fields = { a = "flag" }
max_age = "60s"
"#;
    std::fs::write(&path, text).unwrap();
    let ended = run(&state, &["config", "validate", path.to_str().unwrap()]);
    assert_eq!(ended.code, 3);
    let name = path.display();
    for (code, place, said) in [
        ("LG-C007", "6:8", "lower-case letters, digits and underscores"),
        ("LG-C006", "5:1", "signer = \"FILE.pub\""),
        ("LG-C007", "8:20", "`as_of` is no field"),
        ("LG-C007", "9:11", "\"soon\" is no time span"),
        ("LG-C007", "13:8", "loopback"),
        ("LG-C008", "19:8", "two facts are called \"ward\""),
        ("LG-C007", "20:8", "did you mean mcp:calendar/list?"),
        ("LG-C007", "21:10", "has 0 fields"),
        ("LG-C005", "22:11", "too short or too long"),
        ("LG-C005", "23:12", "too short or too long"),
        ("LG-C012", "31:11", "did you mean \"pq-kex\"?"),
        ("LG-C007", "35:8", "did you mean `https`?"),
    ] {
        let found = ended.stderr.split("\n\n").any(|block| {
            block.contains(&format!("error[{code}]"))
                && block.contains(&format!("{name}:{place}"))
                && block.contains(said)
        });
        assert!(found, "{code} at {place}: {said}\nin:\n{}", ended.stderr);
    }
    // A type that is none is told before anything else.
    let text = "[[fact]]\nname = \"a\"\nfrom = \"file:x\"\nmax_age = \"1s\"\nfields = { b = \"txt\" }\n";
    std::fs::write(&path, text).unwrap();
    let ended = run(&state, &["config", "validate", path.to_str().unwrap()]);
    assert!(ended.stderr.contains("did you mean \"text\"?"), "{}", ended.stderr);
}
