//! `[[server]]`: what is behind the gateway, and how it is reached.

use http::{HeaderName, header};

use super::settings::{CredentialPlace, CredentialPlan, Resolver, ServerPlan};
use super::target::is_name;
use super::{Config, Credential, Server, Target};

impl Resolver<'_> {
    pub(super) fn servers(&mut self, config: &Config) -> Option<Vec<ServerPlan>> {
        let mut plans = Vec::new();
        for (n, server) in config.server.iter().enumerate() {
            if !is_name(&server.name) {
                self.problem(
                    "LG-C007",
                    &format!("server.{n}.name"),
                    format!("\"{}\" is no server name", server.name),
                    "write lower-case letters, digits and single hyphens, at most 32 letters",
                );
            }
            if let Some(first) = config.server[..n].iter().position(|other| other.name == server.name) {
                let place = self.place(&format!("server.{first}.name")).unwrap_or_default();
                self.problem(
                    "LG-C008",
                    &format!("server.{n}.name"),
                    format!("two servers are called \"{}\"; the other is at {place}", server.name),
                    "give one of them another name; on the command line: --to NAME=TARGET",
                );
            }
            plans.push(self.server(n, server));
        }
        plans.into_iter().collect()
    }

    fn server(&mut self, n: usize, server: &Server) -> Option<ServerPlan> {
        let path = format!("server.{n}");
        let target = match (&server.to, server.command.is_empty()) {
            (Some(_), false) => {
                self.problem(
                    "LG-C007",
                    &format!("{path}.command"),
                    format!("server \"{}\" has both `to` and `command`", server.name),
                    "keep one: `to` for a URL or one line, `command` for a list of words",
                );
                return None;
            }
            (None, true) => {
                self.problem(
                    "LG-C006",
                    &path,
                    format!("server \"{}\" has neither `to` nor `command`", server.name),
                    "add to = \"http://HOST:PORT/mcp\" or command = [\"PROGRAM\", \"ARGUMENT\"]",
                );
                return None;
            }
            (Some(to), true) => Target::parse(to).map_err(|error| (format!("{path}.to"), error)),
            (None, false) => {
                Target::command(server.command.clone()).map_err(|error| (format!("{path}.command"), error))
            }
        };
        let target = match target {
            Ok(target) => target,
            Err((place, error)) => {
                self.problem(
                    "LG-C007",
                    &place,
                    format!("server \"{}\" cannot be reached this way", server.name),
                    &error,
                );
                return None;
            }
        };
        self.server_keys_fit(&path, server, &target);
        for (m, group) in server.groups.iter().enumerate().filter(|(_, group)| !is_name(group)) {
            self.problem(
                "LG-C007",
                &format!("{path}.groups.{m}"),
                format!("\"{group}\" is no group name"),
                "write lower-case letters, digits and single hyphens, at most 32 letters",
            );
        }
        let credential = match &server.credential {
            Some(credential) => Some(self.credential(&format!("{path}.credential"), credential, &target)?),
            None => None,
        };
        Some(ServerPlan {
            name: server.name.clone(),
            target,
            env: server.env.clone(),
            cwd: server.cwd.as_ref().map(|cwd| self.base.join(cwd)),
            roots: server.roots.as_ref().map(|roots| self.base.join(roots)),
            profile: self.profile(&format!("{path}.profile"), &server.profile)?,
            groups: server.groups.clone(),
            credential,
        })
    }

    fn credential(&mut self, path: &str, given: &Credential, target: &Target) -> Option<CredentialPlan> {
        let stdio = matches!(target, Target::Stdio { .. });
        let (header, env) = (given.header.is_some() || given.scheme.is_some(), given.env.is_some());
        let misplaced = match stdio {
            true if header || !env => Some("a stdio server takes it from a variable: add env = \"NAME\""),
            false if env => {
                Some("an HTTP server takes it from a header: remove env, or write header = \"NAME\"")
            }
            _ => None,
        };
        if let Some(hint) = misplaced {
            self.problem("LG-C007", path, "the credential cannot be presented this way".to_owned(), hint);
            return None;
        }
        if let Some(variable) = &given.env {
            let secret = given.secret.clone();
            return Some(CredentialPlan { secret, place: CredentialPlace::Variable(variable.clone()) });
        }
        let name = match given.header.as_deref().map_or(Ok(header::AUTHORIZATION), str::parse::<HeaderName>) {
            Ok(name) if !is_ours(&name) => name,
            _ => {
                let what =
                    format!("{:?} cannot be the credential's header", given.header.as_deref().unwrap_or(""));
                self.problem("LG-C007", &format!("{path}.header"), what, "write it like X-Api-Key");
                return None;
            }
        };
        // Only Authorization has schemes (RFC 9110, section 11.6.2).
        let usual = if name == header::AUTHORIZATION { "Bearer" } else { "" };
        let scheme = given.scheme.clone().unwrap_or_else(|| usual.to_owned());
        Some(CredentialPlan { secret: given.secret.clone(), place: CredentialPlace::Header { name, scheme } })
    }

    /// A setting that cannot have an effect is a mistake of whoever wrote it.
    fn server_keys_fit(&mut self, path: &str, server: &Server, target: &Target) {
        let https = matches!(target, Target::Http(uri) if uri.scheme_str() == Some("https"));
        let stdio = matches!(target, Target::Stdio { .. });
        for (key, given, fits, whose) in [
            ("env", !server.env.is_empty(), stdio, "a stdio server"),
            ("cwd", server.cwd.is_some(), stdio, "a stdio server"),
            ("roots", server.roots.is_some(), https, "an https:// server"),
        ] {
            if given && !fits {
                self.problem(
                    "LG-C007",
                    &format!("{path}.{key}"),
                    format!("`{key}` is for {whose}, and \"{}\" is none", server.name),
                    "remove the key, or change how the server is reached",
                );
            }
        }
    }
}

/// Headers that the protocol or the connection needs for itself.
fn is_ours(name: &HeaderName) -> bool {
    let text = name.as_str();
    text.starts_with("mcp-")
        || [
            "host",
            "connection",
            "content-type",
            "content-length",
            "transfer-encoding",
            "te",
            "upgrade",
            "accept",
        ]
        .contains(&text)
}
