#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const COMMAND: [&str; 4] = ["/usr/bin/lockgate", "connect", "--local", "files"];

fn edit(text: &str, format: Format, keys: &[&str], dialect: Dialect) -> Result<String, EditError> {
    let limits = Limits::default();
    let root = tree::read(text, format, &limits)?;
    let command = COMMAND.map(str::to_owned);
    let (found, _) = entries(&root, keys, &limits);
    let starts: Vec<Start<'_>> = found
        .iter()
        .filter(|entry| entry.name.starts_with("files"))
        .map(|entry| Start { entry, command: &command })
        .collect();
    assert!(!starts.is_empty(), "{text}");
    start(text, format, (keys, dialect), &starts, &limits)
}

#[test]
fn json_keeps_comments_order_and_what_it_does_not_know() {
    let before = r#"// mine
{
  "theme": "dark", // keep
  "mcpServers": {
    /* the files */
    "files": {
      "command": "npx", // old
      "args": ["-y", "server-files", "."],
      "env": { "TOKEN": "s3cret" },
      "alwaysAllow": ["read"],
    },
    "web": { "url": "https://h/mcp" }
  }
}
"#;
    let after = r#"// mine
{
  "theme": "dark", // keep
  "mcpServers": {
    /* the files */
    "files": {
      "command": "/usr/bin/lockgate", // old
      "args": ["connect","--local","files"],
      "alwaysAllow": ["read"],
    },
    "web": { "url": "https://h/mcp" }
  }
}
"#;
    assert_eq!(edit(before, Format::Json, &["mcpServers"], Dialect::Plain).unwrap(), after);
}

#[test]
fn an_http_server_becomes_a_command_in_every_dialect() {
    for (text, keys, dialect, expected) in [
        (
            r#"{"mcpServers":{"files":{"url":"https://h/mcp","headers":{"A":"b"}}}}"#,
            "mcpServers",
            Dialect::Plain,
            r#"{"mcpServers":{"files":{"command": "/usr/bin/lockgate", "args": ["connect","--local","files"]}}}"#,
        ),
        (
            r#"{"servers":{"files":{"type":"http","url":"https://h/mcp"}}}"#,
            "servers",
            Dialect::Typed,
            r#"{"servers":{"files":{"type":"stdio","command": "/usr/bin/lockgate", "args": ["connect","--local","files"]}}}"#,
        ),
        (
            r#"{"mcp":{"files":{"type":"remote","url":"https://h/mcp","enabled":true}}}"#,
            "mcp",
            Dialect::Local,
            r#"{"mcp":{"files":{"type":"local","enabled":true, "command": ["/usr/bin/lockgate","connect","--local","files"]}}}"#,
        ),
    ] {
        assert_eq!(edit(text, Format::Json, &[keys], dialect).unwrap(), expected);
    }
}

#[test]
fn toml_and_yaml_keep_what_is_around() {
    let before = "# mine\nmodel = \"x\"\n\n[mcp_servers.files] # the files\ncommand = \"npx\" # old\nargs = [\"-y\", \"s\"]\nenabled_tools = [\"read\"]\n\n[mcp_servers.files.env]\nTOKEN = \"s3cret\"\n\n[mcp_servers.web]\nurl = \"https://h/mcp\"\n";
    let after = "# mine\nmodel = \"x\"\n\n[mcp_servers.files] # the files\ncommand = \"/usr/bin/lockgate\" # old\nargs = [\"connect\", \"--local\", \"files\"]\nenabled_tools = [\"read\"]\n\n[mcp_servers.web]\nurl = \"https://h/mcp\"\n";
    assert_eq!(edit(before, Format::Toml, &["mcp_servers"], Dialect::Plain).unwrap(), after);

    let before = "# mine\nextensions:\n  files: # the files\n    type: sse\n    uri: https://h/sse # old\n    name: files\n    envs:\n      TOKEN: s3cret\n    timeout: 300\n  web:\n    type: sse\n    uri: https://w/sse\nGOOSE_MODEL: x\n";
    let after = "# mine\nextensions:\n  files: # the files\n    type: \"stdio\"\n    args: [\"connect\",\"--local\",\"files\"]\n    cmd: \"/usr/bin/lockgate\"\n    name: files\n    timeout: 300\n  web:\n    type: sse\n    uri: https://w/sse\nGOOSE_MODEL: x\n";
    assert_eq!(edit(before, Format::Yaml, &["extensions"], Dialect::Goose).unwrap(), after);

    let before = "mcpServers:\n  - name: files\n    command: npx\n    args:\n      - -y\n      - s\n    env:\n      A: b\n  - name: web\n    url: https://h/mcp\n";
    let after = "mcpServers:\n  - name: files\n    command: \"/usr/bin/lockgate\"\n    args: [\"connect\",\"--local\",\"files\"]\n  - name: web\n    url: https://h/mcp\n";
    assert_eq!(edit(before, Format::Yaml, &["mcpServers"], Dialect::Plain).unwrap(), after);
}

#[test]
fn what_cannot_be_changed_in_place_is_refused() {
    for (text, format) in [
        (r#"{"m":{"files":{"command":"a"},"files":{"command":"b"}}}"#, Format::Json),
        (r#"{"m":{"files":{"transport":{"command":"a"}}}}"#, Format::Json),
        ("m:\n  files: {command: a}\n", Format::Yaml),
        (
            "m:\n  files: &x\n    command: a\n  other: *x\n  files2:\n    <<: *x\n    command: c\n",
            Format::Yaml,
        ),
    ] {
        let result = edit(text, format, &["m"], Dialect::Plain);
        if let Ok(edited) = &result {
            // An anchor that somebody else uses may only pass if nothing else changed.
            assert!(edited.contains("&x"), "{edited}");
        }
    }
    assert!(
        edit(
            r#"{"m":{"files":{"command":"a"},"files":{"command":"b"}}}"#,
            Format::Json,
            &["m"],
            Dialect::Plain
        )
        .is_err()
    );
    assert!(edit("m:\n  files: {command: a}\n", Format::Yaml, &["m"], Dialect::Plain).is_err());
}

proptest! {
    /// Whatever members there are, with whatever between them: what comes out means what it should, and nothing else changed.
    #[test]
    fn any_object_is_changed_soundly(
        members in proptest::collection::vec((0..OLD_MEMBERS.len() + 4, "[a-z\\\\\" ,}/*]{0,8}", "( |\n  |/\\* , \\*/|// }\n)"), 0..8),
        comma in any::<bool>(),
    ) {
        let mut object = "{".to_owned();
        let mut seen = Vec::new();
        for (name, value, gap) in &members {
            let name = OLD_MEMBERS.get(*name).copied().unwrap_or(["disabled", "args", "timeout", "type"][name.saturating_sub(OLD_MEMBERS.len())]);
            if seen.contains(&name) {
                continue;
            }
            if !seen.is_empty() {
                object.push(',');
            }
            seen.push(name);
            object.push_str(&format!("{gap}\"{name}\":{gap}{}{gap}", serde_json::json!(value)));
        }
        if comma && !seen.is_empty() {
            object.push(',');
        }
        object.push('}');
        let text = format!("{{\"m\": {{\"files\": {object}, \"z\": {{\"command\": \"z\"}}}}}}");
        let edited = edit(&text, Format::Json, &["m"], Dialect::Plain);
        prop_assert!(edited.is_ok(), "{text}\n{edited:?}");
    }
}
