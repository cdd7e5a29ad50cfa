//! `[[server]]`: what is behind the gateway, and how it is reached.

use super::api;
use super::settings::{Resolver, ServerPlan};
use super::target::is_name;
use super::{Config, Server, Target, TlsFiles};

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
            (Some(to), true) if let Some(document) = to.strip_prefix(api::PREFIX) => {
                Ok(self.api(&path, server, document)?)
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
        let is_country = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_uppercase());
        if let Some(country) = server.country.as_deref().filter(|country| !is_country(country)) {
            self.problem(
                "LG-C007",
                &format!("{path}.country"),
                format!("\"{country}\" is no country code"),
                "write the two capital letters of ISO 3166-1, like DE or US",
            );
        }
        let credential = match &server.credential {
            Some(given) => {
                let path = format!("{path}.credential");
                Some(self.credential(&path, &server.name, given, &target)?)
            }
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
            country: server.country.clone(),
            credential,
            client_certificate: server.client_certificate.as_ref().map(|files| TlsFiles {
                certificate: self.base.join(&files.certificate),
                key: self.base.join(&files.key),
            }),
        })
    }

    /// A setting that cannot have an effect is a mistake of whoever wrote it.
    fn server_keys_fit(&mut self, path: &str, server: &Server, target: &Target) {
        let https = target.is_https();
        let api = matches!(target, Target::Api(_));
        let stdio = matches!(target, Target::Stdio { .. });
        for (key, given, fits, whose) in [
            ("env", !server.env.is_empty(), stdio, "a stdio server"),
            ("cwd", server.cwd.is_some(), stdio, "a stdio server"),
            ("roots", server.roots.is_some(), https, "an https:// server"),
            ("client_certificate", server.client_certificate.is_some(), https, "an https:// server"),
            ("base_url", server.base_url.is_some(), api, "a REST API"),
            ("allow", !server.allow.is_empty(), api, "a REST API"),
            ("allow_unsafe", !server.allow_unsafe.is_empty(), api, "a REST API"),
            ("search_above", server.search_above.is_some(), api, "a REST API"),
            ("networks", !server.networks.is_empty(), api, "a REST API"),
            ("keep", !server.keep.is_empty(), api, "a REST API"),
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
