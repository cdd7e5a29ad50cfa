//! Settings that are valid: addresses are addresses, names are names, nothing stands twice.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::check::nearest;
use super::target::is_name;
use super::tree::Tree;
use super::{Audit, Config, Limits, LogFormat, Target};
use crate::diagnostic::Diagnostic;

/// Everything that a node needs to know before it does anything.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// Name of this node.
    pub(crate) name: String,
    /// SPIFFE trust domain.
    pub(crate) trust_domain: String,
    /// Host names and addresses under which clients reach this node, besides those it listens on.
    pub(crate) names: Vec<String>,
    /// Life of the certificates of agents.
    pub(crate) agent_lifetime: Duration,
    /// Web origins that may call.
    pub(crate) origins: Vec<String>,
    /// For tunnels of connectors.
    pub(crate) tunnel: ListenerPlan,
    /// For clients without a connector.
    pub(crate) foreign: Option<ListenerPlan>,
    /// Further listeners.
    pub(crate) further: Vec<ListenerPlan>,
    /// The servers behind the gateway.
    pub(crate) servers: Vec<ServerPlan>,
    /// Bounds.
    pub(crate) limits: Limits,
    /// The record of calls.
    pub(crate) audit: Audit,
    /// Cedar files; none means those of the state directory.
    pub(crate) policy_files: Vec<PathBuf>,
    /// Where the admin interface listens.
    pub(crate) admin: SocketAddr,
    /// What is told on stderr.
    pub(crate) log_level: String,
    /// How it is told.
    pub(crate) log_format: LogFormat,
}

/// A socket to listen on, and under which profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenerPlan {
    pub(crate) address: SocketAddr,
    pub(crate) profile: &'static lockgate_crypto::Profile,
    pub(crate) tls: Option<TlsFiles>,
}

/// A certificate from outside; paths are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// A server to put behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerPlan {
    pub(crate) name: String,
    pub(crate) target: Target,
    /// Environment and working directory, of stdio servers only.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) cwd: Option<PathBuf>,
    /// Roots and profile, of https:// servers only.
    pub(crate) roots: Option<PathBuf>,
    pub(crate) profile: &'static lockgate_crypto::Profile,
}

impl Settings {
    /// Gives every value its type; collects every error.
    pub(super) fn resolve(config: &Config, tree: &Tree) -> Result<Self, Vec<Diagnostic>> {
        let mut resolver = Resolver { tree, base: tree.folder(), problems: Vec::new() };
        let settings = resolver.settings(config);
        match settings {
            Some(settings) if resolver.problems.is_empty() => Ok(settings),
            _ => Err(resolver.problems),
        }
    }

    /// All listeners, the tunnel's first.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = &ListenerPlan> {
        std::iter::once(&self.tunnel).chain(&self.foreign).chain(&self.further)
    }
}

struct Resolver<'a> {
    tree: &'a Tree,
    /// Where relative paths start: the file's folder, or the working directory.
    base: PathBuf,
    problems: Vec<Diagnostic>,
}

impl Resolver<'_> {
    fn settings(&mut self, config: &Config) -> Option<Settings> {
        let node = &config.node;
        if !is_name(&node.name) {
            self.problem(
                "LG-C007",
                "node.name",
                format!("\"{}\" is no node name", node.name),
                "write lower-case letters, digits and hyphens",
            );
        }
        if let Err(error) =
            format!("spiffe://{}/node/{}", node.trust_domain, "x").parse::<lockgate_identity::SpiffeId>()
        {
            self.problem(
                "LG-C007",
                "node.trust_domain",
                format!("\"{}\" is no trust domain: {error}", node.trust_domain),
                "write it like lockgate.internal",
            );
        }
        for (n, host) in node.names.iter().enumerate() {
            if !is_host(host) {
                self.problem(
                    "LG-C007",
                    &format!("node.names.{n}"),
                    format!("\"{host}\" is no host name and no IP address"),
                    "write it like gw.example or 192.0.2.1, without scheme and port",
                );
            }
        }
        for (n, origin) in node.origins.iter().enumerate() {
            if !is_origin(origin) {
                self.problem(
                    "LG-C007",
                    &format!("node.origins.{n}"),
                    format!("\"{origin}\" is no web origin"),
                    "write it like https://inspector.example, without a path",
                );
            }
        }
        let profile = self.profile("node.profile", &node.profile);
        let listen = self.address("node.listen", &node.listen);
        let foreign = self.foreign(node.foreign.as_deref(), listen);
        let further = self.listeners(config);
        let servers = self.servers(config);
        let admin = self.admin(&config.admin.listen);
        let settings = Settings {
            name: node.name.clone(),
            trust_domain: node.trust_domain.clone(),
            names: node.names.clone(),
            agent_lifetime: Duration::from_secs(node.agent_lifetime_s),
            origins: node.origins.clone(),
            tunnel: ListenerPlan { address: listen?, profile: profile?, tls: None },
            foreign: foreign?,
            further: further?,
            servers: servers?,
            limits: config.limits.clone(),
            audit: config.audit.clone(),
            policy_files: config.policy.files.iter().map(|file| self.base.join(file)).collect(),
            admin: admin?,
            log_level: config.log.level.clone(),
            log_format: config.log.format,
        };
        self.addresses_differ(&settings);
        Some(settings)
    }

    fn foreign(&mut self, text: Option<&str>, listen: Option<SocketAddr>) -> Option<Option<ListenerPlan>> {
        let address = match text {
            Some("off") => return Some(None),
            Some(text) => self.address("node.foreign", text)?,
            None => match listen? {
                listen if !listen.ip().is_loopback() => return Some(None),
                listen if listen.port() == 0 => listen,
                listen => SocketAddr::new(listen.ip(), listen.port().checked_add(1)?),
            },
        };
        Some(Some(ListenerPlan { address, profile: self.profile("node.foreign", "pq-kex")?, tls: None }))
    }

    fn listeners(&mut self, config: &Config) -> Option<Vec<ListenerPlan>> {
        let plans: Vec<Option<ListenerPlan>> = config
            .listener
            .iter()
            .enumerate()
            .map(|(n, listener)| {
                let address = self.address(&format!("listener.{n}.address"), &listener.address);
                let profile = self.profile(&format!("listener.{n}.profile"), &listener.profile);
                let tls = listener.tls.as_ref().map(|tls| TlsFiles {
                    certificate: self.base.join(&tls.certificate),
                    key: self.base.join(&tls.key),
                });
                Some(ListenerPlan { address: address?, profile: profile?, tls })
            })
            .collect();
        plans.into_iter().collect()
    }

    fn servers(&mut self, config: &Config) -> Option<Vec<ServerPlan>> {
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
                let place = self.tree.place(&format!("server.{first}.name")).unwrap_or_default();
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

    fn server(&mut self, n: usize, server: &super::Server) -> Option<ServerPlan> {
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
        Some(ServerPlan {
            name: server.name.clone(),
            target,
            env: server.env.clone(),
            cwd: server.cwd.as_ref().map(|cwd| self.base.join(cwd)),
            roots: server.roots.as_ref().map(|roots| self.base.join(roots)),
            profile: self.profile(&format!("{path}.profile"), &server.profile)?,
        })
    }

    /// A setting that cannot have an effect is a mistake of whoever wrote it.
    fn server_keys_fit(&mut self, path: &str, server: &super::Server, target: &Target) {
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

    fn admin(&mut self, text: &str) -> Option<SocketAddr> {
        let address = self.address("admin.listen", text)?;
        if !address.ip().is_loopback() {
            self.problem(
                "LG-C007",
                "admin.listen",
                format!("the admin interface cannot listen on {address}"),
                "it has no tunnel, so it stays on loopback: 127.0.0.1:PORT or [::1]:PORT",
            );
            return None;
        }
        Some(address)
    }

    fn address(&mut self, path: &str, text: &str) -> Option<SocketAddr> {
        let text = text.replacen("localhost:", &format!("{}:", Ipv4Addr::LOCALHOST), 1);
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                self.problem(
                    "LG-C007",
                    path,
                    format!("\"{text}\" is no address"),
                    "write IP:PORT, like 127.0.0.1:8443, [::1]:8443, or 0.0.0.0:8443 for every interface",
                );
                None
            }
        }
    }

    fn profile(&mut self, path: &str, name: &str) -> Option<&'static lockgate_crypto::Profile> {
        match lockgate_crypto::profile::find(name) {
            Ok(profile) => Some(profile),
            Err(_) => {
                let aliases = lockgate_crypto::profile::all().iter().map(|profile| profile.alias);
                let hint = match nearest(name, aliases) {
                    Some(near) => format!("did you mean \"{near}\"? List them: lockgate crypto profiles"),
                    None => "list them: lockgate crypto profiles".to_owned(),
                };
                self.problem("LG-C012", path, format!("no profile is called \"{name}\""), &hint);
                None
            }
        }
    }

    fn addresses_differ(&mut self, settings: &Settings) {
        let mut all = vec![("node.listen".to_owned(), settings.tunnel.address)];
        all.extend(settings.foreign.iter().map(|foreign| ("node.foreign".to_owned(), foreign.address)));
        all.extend(
            settings
                .further
                .iter()
                .enumerate()
                .map(|(n, plan)| (format!("listener.{n}.address"), plan.address)),
        );
        all.push(("admin.listen".to_owned(), settings.admin));
        for (n, (path, address)) in all.iter().enumerate() {
            if let Some((first, _)) =
                all[..n].iter().find(|(_, other)| other == address && address.port() != 0)
            {
                let what = format!("{} and {} share the address {address}", shown(first), shown(path));
                self.problem(
                    "LG-C008",
                    path,
                    what,
                    "give one of them another port; port 0 lets the system choose",
                );
            }
        }
    }

    fn problem(&mut self, code: &'static str, path: &str, what: String, hint: &str) {
        let mut problem = Diagnostic::new(code, what).hint(hint);
        problem.place = self.tree.place(path);
        self.problems.push(problem);
    }
}

impl Tree {
    fn folder(&self) -> PathBuf {
        let folder = self.source.path.as_deref().and_then(Path::parent);
        folder.map_or_else(PathBuf::new, Path::to_owned)
    }
}

/// A path for people: `listener`, not `listener.0.address`.
fn shown(path: &str) -> &str {
    path.split_once(".0").map_or(path, |(list, _)| list)
}

fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
        || (!text.is_empty()
            && text.len() <= 253
            && text.split('.').all(|label| {
                !label.is_empty()
                    && label.len() <= 63
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            }))
}

/// A scheme and an authority, nothing else (RFC 6454, section 6.1).
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '@', '?', '#', ' ']))
}
