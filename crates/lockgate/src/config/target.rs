//! Where an MCP server is: `http://…`, `https://…` or `stdio:COMMAND ARGS`.

use std::fmt;

use super::api::ApiPlan;

/// Longest server name. It stands in every URL and before every tool name, and clients cap tool names at 64 letters.
const NAME_BYTES_MAX: usize = 32;

/// A server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// Streamable HTTP, with or without TLS.
    Http(http::Uri),
    /// A REST API, by its description.
    Api(Box<ApiPlan>),
    /// A child process that speaks over stdin and stdout.
    Stdio {
        /// Program and arguments; never empty.
        command: Vec<String>,
    },
}

impl Target {
    /// Reads `http://…`, `https://…` or `stdio:COMMAND ARGS`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(line) = text.strip_prefix("stdio:") {
            let command = shlex::split(line).ok_or("the command has a quote that is not closed")?;
            return Self::command(command);
        }
        let uri: http::Uri = text.parse().map_err(|_| form())?;
        match uri.scheme_str() {
            Some("http" | "https") => {}
            _ => return Err(form()),
        }
        let authority = uri.authority().ok_or_else(form)?;
        if authority.as_str().contains('@') {
            return Err(
                "a URL with a user name or password would end up in logs; it is not accepted".to_owned()
            );
        }
        Ok(Self::Http(uri))
    }

    /// Where it is reached by HTTP, if it is.
    pub(crate) fn uri(&self) -> Option<&http::Uri> {
        match self {
            Self::Http(uri) => Some(uri),
            Self::Api(plan) => Some(&plan.base),
            Self::Stdio { .. } => None,
        }
    }

    /// Whether it is reached through TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.uri().is_some_and(|uri| uri.scheme_str() == Some("https"))
    }

    /// A stdio server from a command line that is already split.
    pub(crate) fn command(command: Vec<String>) -> Result<Self, String> {
        match command.first() {
            Some(program) if !program.is_empty() => Ok(Self::Stdio { command }),
            _ => Err("the command is empty".to_owned()),
        }
    }

    /// A name for a server that nobody named: the program or package, or the first label of the host.
    pub(crate) fn suggest_name(&self) -> String {
        let raw = match self {
            Self::Api(_) => "",
            Self::Http(uri) => match uri.host() {
                Some(host) if host.parse::<std::net::IpAddr>().is_err() && !host.starts_with('[') => {
                    host.split('.').next().unwrap_or_default()
                }
                _ => "",
            },
            Self::Stdio { command } => package(command),
        };
        let name: String = raw
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let name = name.trim_matches('-');
        let name = &name[..name.len().min(NAME_BYTES_MAX)];
        if is_name(name) { name.to_owned() } else { "server".to_owned() }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(uri) => write!(f, "{uri}"),
            Self::Api(plan) => write!(f, "openapi:{}", plan.document.display()),
            Self::Stdio { command } => {
                write!(f, "stdio:")?;
                for (n, word) in command.iter().enumerate() {
                    let space = if n == 0 { "" } else { " " };
                    // A NUL cannot be quoted, and cannot be passed to a program either; showing the word is enough.
                    let quoted = shlex::try_quote(word).unwrap_or_else(|_| word.as_str().into());
                    write!(f, "{space}{quoted}")?;
                }
                Ok(())
            }
        }
    }
}

/// Splits `NAME=TARGET`; a target without a name is given back whole.
pub(crate) fn split_name(text: &str) -> (Option<&str>, &str) {
    match text.split_once('=') {
        Some((name, target)) if is_name(name) => (Some(name), target),
        _ => (None, text),
    }
}

/// Whether a server may have this name: a letter, then letters, digits and single hyphens.
pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.ends_with('-')
        && !name.contains("--")
}

/// What a command line runs: the package for npx, uvx and the like, otherwise the program.
fn package(command: &[String]) -> &str {
    let base = |word: &str| -> usize { word.rfind('/').map_or(0, |slash| slash + 1) };
    let program = &command[0][base(&command[0])..];
    let runs = match program {
        "npx" | "uvx" | "bunx" | "pipx" => {
            command[1..].iter().find(|word| !word.starts_with('-') && *word != "run")
        }
        _ => None,
    };
    let word = runs.map_or(program, |word| &word[base(word)..]);
    let word = word.split('@').next().unwrap_or(word);
    ["mcp-server-", "server-", "mcp-"].iter().find_map(|prefix| word.strip_prefix(prefix)).unwrap_or(word)
}

fn form() -> String {
    "write http://HOST:PORT/mcp, https://HOST/mcp or 'stdio:COMMAND ARGS'".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        assert!(matches!(Target::parse("http://127.0.0.1:3001/mcp"), Ok(Target::Http(_))));
        let stdio = Target::parse("stdio:npx -y 'a b'").unwrap();
        assert_eq!(stdio, Target::Stdio { command: vec!["npx".into(), "-y".into(), "a b".into()] });
        assert_eq!(stdio.to_string(), "stdio:npx -y 'a b'");
        for bad in ["", "stdio:", "stdio:'x", "ws://h", "/x", "http://", "http://u:p@h/"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names() {
        for (text, name, target) in [
            ("files=stdio:x", Some("files"), "stdio:x"),
            ("http://h/?a=b", None, "http://h/?a=b"),
            ("stdio:env A=b x", None, "stdio:env A=b x"),
        ] {
            assert_eq!(split_name(text), (name, target));
        }
        for (target, name) in [
            ("stdio:npx -y @modelcontextprotocol/server-filesystem .", "filesystem"),
            ("stdio:uvx mcp-server-time@1.0", "time"),
            ("stdio:/usr/bin/My_Tool -x", "my-tool"),
            ("http://127.0.0.1:3001/mcp", "server"),
            ("https://weather.example/mcp", "weather"),
        ] {
            assert_eq!(Target::parse(target).unwrap().suggest_name(), name, "{target}");
        }
        for bad in ["", "A", "-a", "a-", "a--b", "1a", "a/b", "a_b", &"a".repeat(33)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
