//! How a fixture is started, and how it says that it can be used.

use std::{io::Write, net::SocketAddr};

use serde_json::json;

/// Where a fixture takes its requests from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Streamable HTTP on this address; port 0 lets the system choose.
    Listen(SocketAddr),
    /// Newline-delimited JSON-RPC on standard input and output.
    Stdio,
}

impl Mode {
    /// Reads the fixture's arguments, without the program name. Loopback is the only place a
    /// fixture listens, because it has no access control at all.
    ///
    /// # Errors
    /// One sentence for the person who typed the command.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let arguments: Vec<String> = arguments.into_iter().collect();
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => Ok(Self::Listen(SocketAddr::from(([127, 0, 0, 1], 0)))),
            ["--stdio"] => Ok(Self::Stdio),
            ["--listen", address] => match address.parse::<SocketAddr>() {
                Ok(address) if address.ip().is_loopback() => Ok(Self::Listen(address)),
                Ok(address) => Err(format!("{address} is not a loopback address")),
                Err(_) => Err(format!("`{address}` is not IP:PORT, for example 127.0.0.1:0")),
            },
            _ => Err("usage: [--listen 127.0.0.1:PORT | --stdio]".to_owned()),
        }
    }
}

/// Prints the one line on standard output that tells a script that the fixture answers:
/// `{"schema":"lockgate.fixture/1","url":…,"observed":…}`.
///
/// # Errors
/// When standard output is closed, which means that nobody waits for the fixture any more.
pub fn announce(address: SocketAddr) -> std::io::Result<()> {
    let line = json!({
        "schema": "lockgate.fixture/1",
        "url": format!("http://{address}/mcp"),
        "observed": format!("http://{address}/observed"),
        "pid": std::process::id(),
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Mode, String> {
        Mode::parse(arguments.iter().map(ToString::to_string))
    }

    #[test]
    fn arguments_choose_the_mode() {
        assert_eq!(parse(&["--stdio"]), Ok(Mode::Stdio));
        let chosen = SocketAddr::from(([127, 0, 0, 1], 8080));
        assert_eq!(parse(&["--listen", "127.0.0.1:8080"]), Ok(Mode::Listen(chosen)));
        assert!(matches!(parse(&[]), Ok(Mode::Listen(address)) if address.port() == 0));
    }

    #[test]
    fn a_fixture_never_leaves_the_machine() {
        assert!(parse(&["--listen", "0.0.0.0:0"]).is_err());
        assert!(parse(&["--listen", "localhost"]).is_err());
        assert!(parse(&["--public"]).is_err());
    }
}
