//! What a server's command line or URL says: the package and how firmly it is pinned, and what a bridge leads to.
//!
//! Nothing is ever run to find out.

use serde::{Deserialize, Serialize};

/// How a client reaches a server. Not for showing: secrets may stand in it.
#[derive(Clone, PartialEq, Eq)]
pub enum Launch {
    /// A child process, by program and arguments.
    Stdio(Vec<String>),
    /// HTTP, by its URL.
    Http(String),
}

impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stdio(_) => "Stdio([redacted])",
            Self::Http(_) => "Http([redacted])",
        })
    }
}

/// How firmly a package is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pin {
    /// By the digest of its content.
    Digest,
    /// By an exact version.
    Version,
    /// By a name that its owner can move, like a tag of an image or a range of versions.
    Movable,
    /// By nothing: whatever is newest is run.
    None,
}

/// A package that a command fetches and runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Package {
    /// `npm`, `pypi` or `oci`.
    pub ecosystem: String,
    /// Its name there.
    pub name: String,
    /// What was asked for: a version, range, tag or digest.
    pub version: Option<String>,
    /// How firmly.
    pub pin: Pin,
}

impl Package {
    /// Its package URL (ECMA-427).
    #[must_use]
    pub fn purl(&self) -> String {
        let exact = self.version.as_deref().filter(|_| self.pin != Pin::None);
        let version = exact.map_or_else(String::new, |version| format!("@{}", encoded(version)));
        let name = self.name.split('/').map(encoded).collect::<Vec<_>>().join("/");
        format!("pkg:{}/{name}{version}", self.ecosystem)
    }
}

fn encoded(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(byte);
    text.bytes()
        .map(|byte| if plain(&byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// What a command line means.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Meaning {
    /// What it fetches and runs.
    pub package: Option<Package>,
    /// Where a bridge such as `mcp-remote` leads, as written.
    pub bridge: Option<String>,
    /// Whether it is our own connector, so that the server is behind a gateway.
    pub ours: bool,
}

/// Reads a command line.
#[must_use]
pub fn meaning(command: &[String]) -> Meaning {
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let Some((program, rest)) = words.split_first() else { return Meaning::default() };
    let program = base(program);
    if program == "lockgate" && rest.iter().any(|word| matches!(*word, "connect" | "wrap")) {
        let bridge = rest.iter().find(|word| word.starts_with("https://")).map(|url| (*url).to_owned());
        return Meaning { package: None, bridge, ours: true };
    }
    // `cmd /c npx …` on Windows, `env A=b npx …` and `sudo npx …` elsewhere.
    match program {
        "cmd" if rest.first().is_some_and(|flag| flag.eq_ignore_ascii_case("/c")) => {
            return meaning(&command[2..]);
        }
        "env" | "sudo" | "nice" | "exec" => {
            let skip = rest.iter().take_while(|word| word.contains('=') || word.starts_with('-')).count();
            return meaning(&command[1 + skip..]);
        }
        "sh" | "bash" | "zsh" | "dash" => {
            let script = rest
                .iter()
                .position(|word| word.starts_with('-') && word.ends_with('c'))
                .and_then(|at| rest.get(at + 1));
            return script.map_or_else(Meaning::default, |script| meaning(&words_of(script)));
        }
        _ => {}
    }
    let package = package(program, rest);
    let runs = package.as_ref().map_or(program, |package| package.name.as_str());
    let bridge = is_bridge(runs)
        .then(|| rest.iter().find(|word| word.starts_with("http://") || word.starts_with("https://")));
    Meaning { package, bridge: bridge.flatten().map(|url| (*url).to_owned()), ours: false }
}

/// Words of a line as a shell would split it, without what only a shell could do with them.
fn words_of(line: &str) -> Vec<String> {
    line.split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned()).collect()
}

/// The name of a program without its folder and its ending.
#[must_use]
pub fn base(program: &str) -> &str {
    let name = program.rsplit(['/', '\\']).next().unwrap_or(program);
    [".exe", ".cmd", ".bat", ".ps1"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

fn is_bridge(name: &str) -> bool {
    [
        "mcp-remote",
        "supergateway",
        "mcp-proxy",
        "mcp-remote-client",
        "@pyroprompts/mcp-stdio-to-streamable-http-adapter",
    ]
    .contains(&name)
}

fn package(program: &str, rest: &[&str]) -> Option<Package> {
    let after = |verbs: &[&str]| -> Option<usize> {
        verbs.iter().enumerate().all(|(n, verb)| rest.get(n) == Some(verb)).then_some(verbs.len())
    };
    let skip = match program {
        "npx" | "bunx" | "pnpx" => return npm(rest),
        "bun" => after(&["x"])?,
        "pnpm" | "yarn" => after(&["dlx"])?,
        "npm" => after(&["exec"]).or_else(|| after(&["x"]))?,
        "uvx" => return pypi(rest),
        "uv" => {
            return after(&["tool", "run"])
                .or_else(|| after(&["tool", "uvx"]))
                .and_then(|skip| pypi(&rest[skip..]));
        }
        "pipx" => return after(&["run"]).and_then(|skip| pypi(&rest[skip..])),
        "docker" | "podman" | "nerdctl" => {
            return after(&["run"])
                .or_else(|| after(&["container", "run"]))
                .and_then(|skip| image(&rest[skip..]));
        }
        "deno" => return rest.iter().find_map(|word| word.strip_prefix("npm:")).map(npm_named),
        _ => return None,
    };
    npm(&rest[skip..])
}

fn npm(words: &[&str]) -> Option<Package> {
    let given = words.iter().enumerate().find_map(|(at, word)| match *word {
        "-p" | "--package" => words.get(at + 1).copied(),
        word => word.strip_prefix("--package="),
    });
    given.or_else(|| words.iter().copied().find(|word| !word.starts_with('-'))).map(npm_named)
}

fn npm_named(text: &str) -> Package {
    let at = text.char_indices().skip(1).find(|(_, c)| *c == '@').map(|(at, _)| at);
    let (name, version) = at.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
    let pin = match version {
        None | Some("" | "latest" | "next" | "*") => Pin::None,
        Some(version) if is_exact(version) => Pin::Version,
        Some(_) => Pin::Movable,
    };
    package_of("npm", name, version, pin)
}

fn package_of(ecosystem: &str, name: &str, version: Option<&str>, pin: Pin) -> Package {
    Package {
        ecosystem: ecosystem.to_owned(),
        name: name.to_owned(),
        version: version.filter(|v| !v.is_empty()).map(str::to_owned),
        pin,
    }
}

/// `1.2.3`, perhaps with what semantic versioning lets stand behind it.
fn is_exact(version: &str) -> bool {
    let version = version.strip_prefix('v').unwrap_or(version);
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Vec<&str> = core.split('.').collect();
    parts.len() >= 3
        && parts.iter().all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

fn pypi(words: &[&str]) -> Option<Package> {
    const TAKES_VALUE: &[&str] =
        &["--python", "-p", "--with", "--index-url", "--extra-index-url", "--directory", "--index"];
    let mut named = None;
    let mut at = 0;
    while let Some(word) = words.get(at) {
        match *word {
            "--from" | "--spec" => {
                named = words.get(at + 1).copied();
                break;
            }
            word if TAKES_VALUE.contains(&word) => at += 1,
            word if word.starts_with('-') => {}
            word => {
                named = Some(word);
                break;
            }
        }
        at += 1;
    }
    let text = named?;
    let cut = text.find(['=', '>', '<', '~', '!', '@']).unwrap_or(text.len());
    let (name, rest) = text.split_at(cut);
    let name = name.split('[').next().unwrap_or(name);
    let version = rest.trim_start_matches(['=', '>', '<', '~', '!', '@']);
    let exact = (rest.starts_with("==") || rest.starts_with('@'))
        && version.starts_with(|c: char| c.is_ascii_digit())
        && !version.contains('*');
    let pin = match (version, exact) {
        ("" | "latest", _) => Pin::None,
        (_, true) => Pin::Version,
        _ => Pin::Movable,
    };
    Some(package_of("pypi", name, Some(version), pin))
}

fn image(words: &[&str]) -> Option<Package> {
    const TAKES_VALUE: &[&str] = &[
        "-e",
        "--env",
        "-v",
        "--volume",
        "-p",
        "--publish",
        "--name",
        "--network",
        "--net",
        "--mount",
        "-w",
        "--workdir",
        "-u",
        "--user",
        "--env-file",
        "--platform",
        "--entrypoint",
        "-l",
        "--label",
        "-m",
        "--memory",
        "--cpus",
        "--pull",
        "--add-host",
        "-h",
        "--hostname",
    ];
    let mut at = 0;
    let text = loop {
        let word = words.get(at)?;
        if TAKES_VALUE.contains(word) {
            at += 2;
        } else if word.starts_with('-') {
            at += 1;
        } else {
            break *word;
        }
    };
    if let Some((name, digest)) = text.split_once('@') {
        return Some(package_of("oci", name, Some(digest), Pin::Digest));
    }
    // A colon before the last slash is a port.
    let tag = text.rfind(':').filter(|at| !text[*at..].contains('/'));
    let (name, version) = tag.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
    let pin = if version.is_none_or(|tag| tag == "latest") { Pin::None } else { Pin::Movable };
    Some(package_of("oci", name, version, pin))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(line: &str) -> Meaning {
        meaning(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn packages_and_their_pins() {
        for (line, purl, pin) in [
            ("npx -y @scope/server", "pkg:npm/%40scope/server", Pin::None),
            ("npx -y @scope/server@latest .", "pkg:npm/%40scope/server", Pin::None),
            ("npx -y server@1.2.3", "pkg:npm/server@1.2.3", Pin::Version),
            ("npx --package=@s/p@1.2.3-beta.1 p", "pkg:npm/%40s/p@1.2.3-beta.1", Pin::Version),
            ("npx -y server@^1.2", "pkg:npm/server@%5E1.2", Pin::Movable),
            ("/opt/node/bin/npx server@1", "pkg:npm/server@1", Pin::Movable),
            ("cmd /c npx -y server", "pkg:npm/server", Pin::None),
            ("env A=b npx server@1.0.0", "pkg:npm/server@1.0.0", Pin::Version),
            ("npm exec server", "pkg:npm/server", Pin::None),
            ("pnpm dlx server@2.0.0", "pkg:npm/server@2.0.0", Pin::Version),
            ("uvx mcp-server-time", "pkg:pypi/mcp-server-time", Pin::None),
            ("uvx --python 3.12 mcp-server-time==1.2", "pkg:pypi/mcp-server-time@1.2", Pin::Version),
            ("uvx mcp-server-time@2026.1.1", "pkg:pypi/mcp-server-time@2026.1.1", Pin::Version),
            ("uvx --from mcp[cli]>=1 mcp", "pkg:pypi/mcp@1", Pin::Movable),
            ("uv tool run x==1.*", "pkg:pypi/x@1.%2A", Pin::Movable),
            ("pipx run x", "pkg:pypi/x", Pin::None),
            ("docker run -i --rm -e A mcp/time", "pkg:oci/mcp/time", Pin::None),
            ("docker run -i ghcr.io/o/s:1.2", "pkg:oci/ghcr.io/o/s@1.2", Pin::Movable),
            ("docker run localhost:5000/s", "pkg:oci/localhost:5000/s", Pin::None),
            ("podman run s@sha256:00", "pkg:oci/s@sha256:00", Pin::Digest),
            ("deno run npm:server@1.0.0", "pkg:npm/server@1.0.0", Pin::Version),
        ] {
            let package = read(line).package.unwrap_or_else(|| panic!("{line}"));
            assert_eq!((package.purl().as_str(), package.pin), (purl, pin), "{line}");
        }
        for line in [
            "",
            "node server.js",
            "python -m mcp_server",
            "uv run server.py",
            "docker ps",
            "npx",
            "docker run -e",
        ] {
            assert_eq!(read(line).package, None, "{line}");
        }
    }

    #[test]
    fn bridges_say_where_they_lead() {
        for (line, url) in [
            ("npx -y mcp-remote https://mcp.example/sse --header x", Some("https://mcp.example/sse")),
            ("npx supergateway --sse http://h:1/sse", Some("http://h:1/sse")),
            ("uvx mcp-proxy https://h/mcp", Some("https://h/mcp")),
            ("npx -y some-server https://h/", None),
            (
                "lockgate connect https://127.0.0.1:8443/servers/a/mcp",
                Some("https://127.0.0.1:8443/servers/a/mcp"),
            ),
        ] {
            assert_eq!(read(line).bridge.as_deref(), url, "{line}");
        }
        assert!(read("/usr/bin/lockgate connect --local a").ours);
        assert!(!read("lockgate-like connect").ours);
    }
}
