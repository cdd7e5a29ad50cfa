//! Targets on `lockgate-discover`: configurations of clients, and what answers to a probe.

use std::sync::LazyLock;

use lockgate_discover::clients::Dialect;
use lockgate_discover::edit::{self, Start};
use lockgate_discover::entry::entries;
use lockgate_discover::launch::{Launch, meaning};
use lockgate_discover::network::answer::{self, Answer};
use lockgate_discover::registry;
use lockgate_discover::secret::{KEY_BYTES, Redactor};
use lockgate_discover::tree::{self, Format, Limits};

/// The format and the dialect in the first byte, then a file.
pub const CONFIG_SEEDS: &[&[u8]] = &[
    b"\x00// c\n{\"m\":{\"a\":{\"command\":\"npx\",\"args\":[\"-y\",\"p@1.2.3\"],\"env\":{\"TOKEN\":\"ghp_0123456789abcdef\"},},/* , */\"b\":{\"url\":\"https://u:p@h/x?k=v\"}}}",
    b"\x01[m.a]\ncommand = \"uvx\" # c\nargs = ['s==1']\n[m.a.env]\nK = 'v'\n[m.b]\nurl = \"http://h/sse\"\n",
    b"\x02m:\n  a: # c\n    cmd: docker\n    args: [run, -i, 'img:1']\n    envs:\n      K: v\n  b:\n    type: sse\n    uri: https://h/sse\n",
    b"\x06m:\n  - name: a\n    command: npx\n    args:\n      - x\n  - name: b\n    command: |\n      x y\n",
    b"\x0am: &a\n  a: {command: x}\n  b: *a\n",
];

static LIMITS: LazyLock<Limits> = LazyLock::new(|| Limits { values_max: 5_000, ..Limits::default() });

/// Any bytes are a configuration or not; a server in one can be moved, and nothing else is then another, or it cannot.
pub fn config(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let format = [Format::Json, Format::Toml, Format::Yaml][usize::from(kind % 4 % 3)];
    let dialect = [Dialect::Plain, Dialect::Typed, Dialect::Local, Dialect::Goose][usize::from(kind / 4 % 4)];
    let Ok(root) = tree::read(text, format, &LIMITS) else { return };
    assert!(root.span.end <= text.len());
    let redactor = Redactor::new([1; KEY_BYTES]);
    let (found, _) = entries(&root, &["m"], &LIMITS);
    let command = ["/bin/lockgate", "connect", "--local", "a"].map(str::to_owned);
    for entry in found.iter().take(4) {
        match &entry.launch {
            Ok(Launch::Stdio(words)) => {
                let (shown, _) = redactor.command(words);
                assert_eq!(shown.len(), words.len());
                let _ = meaning(words);
            }
            Ok(Launch::Http(url)) => drop(redactor.url(url)),
            Err(_) => {}
        }
        // It compares what came out itself; what it lets through can be read again.
        if let Ok(edited) =
            edit::start(text, format, (&["m"], dialect), &[Start { entry, command: &command }], &LIMITS)
        {
            assert!(tree::read(&edited, format, &LIMITS).is_ok());
        }
    }
}

/// Status and kind in the first byte, then a body.
pub const SURVEY_SEEDS: &[&[u8]] = &[
    b"\x00{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"supportedVersions\":[\"2026-07-28\"],\"serverInfo\":{\"name\":\"s\"},\"tools\":[{\"name\":\"t\",\"annotations\":{\"destructiveHint\":true}}]}}",
    b"\x01event: endpoint\ndata: /messages\n\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\"}}\n\n",
    b"\x02{\"resource\":\"https://h\",\"authorization_servers\":[]}",
    b"\x00{\"serverInfo\":{\"name\":\"n\"},\"transport\":{\"endpoint\":\"/mcp\"}}",
    b"\x00{\"servers\":[{\"server\":{\"name\":\"n\",\"packages\":[{\"registryType\":\"oci\",\"identifier\":\"h:1/n:2\"}]}}],\"metadata\":{\"nextCursor\":\"x\"}}",
];

/// Any bytes are an answer or not; what is taken of one is bounded, and leads nowhere else.
pub fn survey(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    let answer = Answer {
        status: [200, 200, 401, 400][usize::from(kind % 4)],
        kind: ["application/json", "text/event-stream"][usize::from(kind % 2)].to_owned(),
        challenge: (kind % 4 == 2).then(|| String::from_utf8_lossy(body).into_owned()),
        body: body.to_vec(),
    };
    for verdict in [answer::modern(&answer), answer::legacy(&answer)].into_iter().flatten() {
        assert!(verdict.name.is_none_or(|name| name.chars().count() <= 200));
    }
    assert!(answer::tools(&answer, 3).len() <= 3);
    let path = answer::card(&answer).and_then(|card| card.path);
    assert!(path.is_none_or(|path| path.starts_with('/') && !path.starts_with("//")));
    let _ = (answer::protected_resource(&answer), answer::opens_events(&answer));
    if let Ok(page) = serde_json::from_slice(body) {
        let _ = registry::read_page(&page);
    }
}
