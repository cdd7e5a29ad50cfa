//! Settings that are valid: addresses are addresses, names are names, nothing stands twice.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockgate_crypto::note::NoteKey;
use lockgate_crypto::{Profile, Profiles};
use lockgate_facts::FactShape;
use lockgate_privacy::Rules;
use lockgate_proxy::scopes::Scopes;

use super::attest::AttestPlan;
use super::check::nearest;
use super::credential::CredentialPlan;
use super::crypto::CryptoPlan;
use super::target::is_name;
use super::tree::Tree;
use super::{
    Audit, Config, DetectPlan, ExportPlan, FactPlan, Limits, LogFormat, Target, TelemetryPlan, WitnessPlan,
};
use crate::diagnostic::Diagnostic;

/// Name of the listener for tunnels of connectors.
pub(crate) const TUNNEL: &str = "tunnel";

/// Name of the listener for clients without a connector.
pub(crate) const FOREIGN: &str = "foreign";

/// Everything that a node needs to know before it does anything.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Name of this node.
    pub(crate) name: String,
    /// SPIFFE trust domain.
    pub(crate) trust_domain: String,
    /// Host names and addresses under which clients reach this node, besides those it listens on.
    pub(crate) names: Vec<String>,
    /// Where clients without a connector reach it, if that is not where it listens.
    pub(crate) url: Option<String>,
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
    /// What policy is told of the world.
    pub(crate) facts: Vec<FactPlan>,
    /// Keys of the logs that this node witnesses.
    pub(crate) witnessed: Vec<NoteKey>,
    /// Who cosigns this node's log.
    pub(crate) witnesses: Vec<WitnessPlan>,
    /// Where audit records are brought.
    pub(crate) exports: Vec<ExportPlan>,
    pub(crate) telemetry: Option<TelemetryPlan>,
    /// Profiles, document, exceptions.
    pub(crate) crypto: CryptoPlan,
    /// How agents prove what they are, and who they are by that.
    pub(crate) attest: AttestPlan,
    /// What of scopes calls need.
    pub(crate) scopes: Scopes,
    /// Bounds.
    pub(crate) limits: Limits,
    /// The record of calls.
    pub(crate) audit: Audit,
    /// Cedar files; none means those of the state directory.
    pub(crate) policy_files: Vec<PathBuf>,
    /// Whether records keep what is said in all calls, encrypted.
    pub(crate) record_arguments: bool,
    /// Whom calls are about.
    pub(crate) subjects: Rules,
    /// What follows from findings.
    pub(crate) detect: DetectPlan,
    /// The key of the sealed store, if it lies elsewhere.
    pub(crate) secrets_key: Option<PathBuf>,
    /// Where the admin interface listens.
    pub(crate) admin: SocketAddr,
    /// Whether the dashboard may decide about what waits for a person.
    pub(crate) admin_write: bool,
    /// What is told on stderr.
    pub(crate) log_level: String,
    /// How it is told.
    pub(crate) log_format: LogFormat,
}

/// A socket to listen on, and under which profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListenerPlan {
    /// In status, records and commands; unique on the node.
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) profile: &'static Profile,
    pub(crate) tls: Option<TlsFiles>,
    /// Whether each call needs an identity.
    pub(crate) identity_required: bool,
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
    pub(crate) profile: &'static Profile,
    /// Groups by which policies can name it.
    pub(crate) groups: Vec<String>,
    /// Where it is run, two capital letters.
    pub(crate) country: Option<String>,
    /// What it is shown of the sealed store.
    pub(crate) credential: Option<CredentialPlan>,
    /// The certificate that it is shown.
    pub(crate) client_certificate: Option<TlsFiles>,
}

impl Settings {
    /// Gives every value its type; collects every error.
    pub(super) fn resolve(config: &Config, tree: &Tree) -> Result<Self, Vec<Diagnostic>> {
        let profiles = Profiles::shipped();
        let mut resolver = Resolver { tree, base: tree.folder(), profiles, problems: Vec::new() };
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

    /// Every place that this node reaches by https, with its profile: servers, facts, issuers of tokens, the authorization servers
    /// of servers, exports, the collector of telemetry, witnesses.
    pub(crate) fn https(&self) -> impl Iterator<Item = (String, &'static Profile)> {
        let servers = self.servers.iter().filter(|plan| plan.is_https());
        let servers = servers.map(|plan| (plan.name.clone(), plan.profile));
        let facts = self.facts.iter().filter_map(|plan| Some((plan.place(), plan.profile()?)));
        let issuers = self.attest.tokens.iter().filter_map(|plan| Some((plan.place(), plan.profile()?)));
        let exports = self.exports.iter().filter_map(|plan| Some((plan.place(), plan.profile?)));
        let exchanges = self.servers.iter().filter_map(|plan| plan.credential.as_ref()?.asks());
        let telemetry = self.telemetry.iter();
        let telemetry = telemetry.filter_map(|plan| Some((TelemetryPlan::PLACE.to_owned(), plan.profile?)));
        let witnesses = self.witnesses.iter().filter_map(|plan| Some((plan.place(), plan.profile?)));
        servers.chain(facts).chain(issuers).chain(exchanges).chain(exports).chain(telemetry).chain(witnesses)
    }

    /// What the facts look like, which policies are read against.
    pub(crate) fn fact_shapes(&self) -> Vec<FactShape> {
        self.facts.iter().map(|plan| FactShape::clone(&plan.shape)).collect()
    }

    /// Whether there is a place of this name that is reached by https.
    pub(crate) fn is_https(&self, place: &str) -> bool {
        self.https().any(|(name, _)| name == place)
    }
}

impl ServerPlan {
    /// Whether it is reached through TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.target.is_https()
    }
}

pub(super) struct Resolver<'a> {
    tree: &'a Tree,
    /// Where relative paths start: the file's folder, or the working directory.
    pub(super) base: PathBuf,
    /// Those that can be named.
    pub(super) profiles: Profiles,
    pub(super) problems: Vec<Diagnostic>,
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
        let is_base = |url: &str| {
            url.trim_end_matches('/').starts_with("https://") && is_origin(url.trim_end_matches('/'))
        };
        if let Some(url) = node.url.as_deref().filter(|url| !is_base(url)) {
            self.problem(
                "LG-C007",
                "node.url",
                format!("\"{url}\" is not where a node is reached"),
                "write it like https://gw.example or https://gw.example:8444, without a path",
            );
        }
        let (profiles, document) = self.profiles(&config.crypto);
        self.profiles = profiles;
        let profile = self.profile("node.profile", &node.profile);
        let exceptions = self.exceptions(config);
        let crypto = self.crypto(config, document, exceptions);
        let listen = self.address("node.listen", &node.listen);
        let foreign = self.foreign(node.foreign.as_deref(), listen);
        let further = self.listeners(config);
        let servers = self.servers(config);
        let facts = self.facts(config);
        let exports = self.exports(config);
        let telemetry = self.telemetry(config);
        let (witnessed, witnesses) = (self.witnessed(config), self.witnesses(config));
        let admin = self.admin(&config.admin.listen);
        let attest = self.attest(config);
        let scopes = self.scopes(config);
        let subjects = self.subjects(config);
        let detect = self.detect(config);
        let settings = Settings {
            name: node.name.clone(),
            trust_domain: node.trust_domain.clone(),
            names: node.names.clone(),
            url: node.url.as_ref().map(|url| url.trim_end_matches('/').to_owned()),
            agent_lifetime: Duration::from_secs(node.agent_lifetime_s),
            origins: node.origins.clone(),
            tunnel: ListenerPlan {
                name: TUNNEL.to_owned(),
                address: listen?,
                profile: profile?,
                tls: None,
                // Through the tunnel come connectors only.
                identity_required: true,
            },
            foreign: foreign?,
            further: further?,
            servers: servers?,
            facts: facts?,
            exports: exports?,
            telemetry: telemetry?,
            witnessed: witnessed?,
            witnesses: witnesses?,
            crypto,
            attest,
            scopes,
            limits: config.limits.clone(),
            audit: config.audit.clone(),
            record_arguments: config.policy.record_arguments,
            subjects,
            detect,
            policy_files: config.policy.files.iter().map(|file| self.base.join(file)).collect(),
            secrets_key: config.secrets.key.as_ref().map(|key| self.base.join(key)),
            admin: admin?,
            admin_write: config.admin.write,
            log_level: config.log.level.clone(),
            log_format: config.log.format,
        };
        self.addresses_differ(&settings);
        self.exceptions_fit(&settings);
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
        let profile = self.profile("node.foreign", "pq-kex")?;
        let name = FOREIGN.to_owned();
        // Policy says what the anonymous may do.
        Some(Some(ListenerPlan { name, address, profile, tls: None, identity_required: false }))
    }

    fn listeners(&mut self, config: &Config) -> Option<Vec<ListenerPlan>> {
        let names = self.names(config);
        let plans: Vec<Option<ListenerPlan>> = config
            .listener
            .iter()
            .zip(names)
            .enumerate()
            .map(|(n, (listener, name))| {
                let address = self.address(&format!("listener.{n}.address"), &listener.address);
                let profile = self.profile(&format!("listener.{n}.profile"), &listener.profile);
                let tls = listener.tls.as_ref().map(|tls| TlsFiles {
                    certificate: self.base.join(&tls.certificate),
                    key: self.base.join(&tls.key),
                });
                let identity_required = listener.identity_required;
                Some(ListenerPlan { name, address: address?, profile: profile?, tls, identity_required })
            })
            .collect();
        plans.into_iter().collect()
    }

    /// The names of further listeners: each one's own, or one that nobody else has.
    fn names(&mut self, config: &Config) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for (n, listener) in config.listener.iter().enumerate() {
            let given = |name: &str| config.listener.iter().any(|other| other.name.as_deref() == Some(name));
            let Some(name) = &listener.name else {
                let numbered = (2..).map(|n| format!("listener-{n}"));
                let mut free = std::iter::once("listener".to_owned()).chain(numbered);
                let free = free.find(|name| !names.contains(name) && !given(name));
                names.push(free.expect("there are more numbers than listeners"));
                continue;
            };
            let path = format!("listener.{n}.name");
            if !is_name(name) {
                let hint = "write lower-case letters, digits and single hyphens, at most 32 letters";
                self.problem("LG-C007", &path, format!("\"{name}\" is no listener name"), hint);
            }
            if [TUNNEL, FOREIGN].contains(&name.as_str()) || names.contains(name) {
                let what = format!("two listeners are called \"{name}\"");
                self.problem("LG-C008", &path, what, "give one of them another name");
            }
            names.push(name.clone());
        }
        names
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

    pub(super) fn profile(&mut self, path: &str, name: &str) -> Option<&'static Profile> {
        match self.profiles.find(name) {
            Ok(profile) => Some(profile),
            Err(_) => {
                let known = self.profiles.all();
                let hint = match nearest(name, known.iter().map(|profile| profile.alias)) {
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

    pub(super) fn problem(&mut self, code: &'static str, path: &str, what: String, hint: &str) {
        let problem = self.placed(path, Diagnostic::new(code, what).hint(hint));
        self.problems.push(problem);
    }

    /// Where a setting stands, for people.
    pub(super) fn place(&self, path: &str) -> Option<String> {
        self.tree.place(path)
    }

    /// The same with the place of a setting.
    pub(super) fn placed(&self, path: &str, mut problem: Diagnostic) -> Diagnostic {
        problem.place = self.tree.place(path);
        problem
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
