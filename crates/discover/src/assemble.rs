//! Putting together what the sources say: the same server, found twice, is one node.
//!
//! A server is known by how it is reached: its command line, or its URL without what only one caller has in it. What is seen of it in
//! configurations, among processes, at a gateway and on the network is laid on one node, and only then it is judged.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{ConfigFile, Configs};
use crate::entry::Entry;
use crate::finding;
use crate::launch::{Launch, Meaning, Package, Pin, meaning};
use crate::map::{
    Authentication, ClientNode, Confidence, CredentialNode, GatewayNode, Link, Map, Node, PackageNode,
    Relation, SCHEMA, ServerNode, Source, Tls, Tool, Transport, Use,
};
use crate::process::{Processes, Running};
use crate::secret::Redactor;

pub(crate) use address::is_loopback;

mod address;
mod running;

pub use address::same_place;

/// A node of ours and what is behind it.
#[derive(Debug, Clone)]
pub struct Gateway {
    /// The node.
    pub node: GatewayNode,
    /// Names of its servers and how it reaches them.
    pub servers: Vec<(String, Launch)>,
}

/// A server that answered, or said that it is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its URL.
    pub url: String,
    /// How it spoke.
    pub transport: Transport,
    /// How sure it is.
    pub confidence: Confidence,
    /// How it wants callers to prove who they are.
    pub authentication: Authentication,
    /// What the link negotiated.
    pub tls: Option<Tls>,
    /// Its own name and version.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Its tools, if they were asked for.
    pub tools: Vec<Tool>,
}

/// A server that a cluster runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// Like `namespace/pod`.
    pub place: String,
    /// Its name there.
    pub name: String,
    /// Its image.
    pub image: Option<Package>,
    /// Where it is reached within the cluster.
    pub url: Option<String>,
}

/// What the registry says of a package or URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    /// Name in the registry, like `io.github.owner/server`.
    pub name: String,
    /// Newest version there.
    pub version: Option<String>,
    /// Packages: ecosystem and name.
    pub packages: Vec<(String, String)>,
    /// URLs.
    pub remotes: Vec<String>,
}

/// Puts a map together.
#[derive(Debug)]
pub struct Assembly<'a> {
    redactor: &'a Redactor,
    clients: BTreeMap<String, ClientNode>,
    servers: BTreeMap<String, ServerNode>,
    gateways: BTreeMap<String, GatewayNode>,
    packages: BTreeMap<String, PackageNode>,
    credentials: BTreeMap<String, BTreeSet<String>>,
    links: BTreeSet<Link>,
    /// Packages and arguments behind them, to recognise running ones by.
    runs: Vec<(String, Package, Vec<String>)>,
    /// Where HTTP servers are.
    places: Vec<(String, String)>,
    /// Files that others may read or write, or that could not be read.
    files: Vec<ConfigFile>,
    sources: Vec<Source>,
}

impl<'a> Assembly<'a> {
    /// An empty one.
    #[must_use]
    pub fn new(redactor: &'a Redactor) -> Self {
        Self {
            redactor,
            clients: BTreeMap::new(),
            servers: BTreeMap::new(),
            gateways: BTreeMap::new(),
            packages: BTreeMap::new(),
            credentials: BTreeMap::new(),
            links: BTreeSet::new(),
            runs: Vec::new(),
            places: Vec::new(),
            files: Vec::new(),
            sources: Vec::new(),
        }
    }

    /// Notes where was looked.
    pub fn source(
        &mut self,
        kind: &str,
        place: impl Into<String>,
        result: impl Into<String>,
        complete: bool,
    ) {
        self.sources.push(Source {
            kind: kind.to_owned(),
            place: place.into(),
            result: result.into(),
            complete,
        });
    }

    /// A node of ours. Gateways come first, so that what leads to them is seen to.
    pub fn gateway(&mut self, gateway: &Gateway) {
        let id = gateway.node.id.clone();
        for (name, launch) in &gateway.servers {
            let server = self.server(launch, name);
            let node = self.servers.get_mut(&server).expect("it was just made");
            (node.configured, node.behind_gateway) = (true, true);
            node.confidence = node.confidence.max(Confidence::Configured);
            self.link(&id, &server, Relation::Serves);
        }
        self.gateways.insert(id, gateway.node.clone());
    }

    /// Everything that configurations say.
    pub fn configs(&mut self, configs: &Configs) {
        for file in &configs.files {
            let id = format!("client:{}", file.client.id);
            let client = self.clients.entry(id.clone()).or_insert_with(|| ClientNode {
                id: id.clone(),
                name: file.client.name.to_owned(),
                files: Vec::new(),
                running: false,
            });
            let path = file.path.display().to_string();
            if !client.files.contains(&path) {
                client.files.push(path.clone());
            }
            for entry in &file.entries {
                self.entry(&id, file, entry);
            }
            self.files.push(ConfigFile { entries: Vec::new(), ..file.clone() });
        }
        let files: BTreeSet<_> = configs.files.iter().map(|file| &file.path).collect();
        let unread = configs.files.iter().filter(|file| file.problem.is_some()).count();
        let unread = if unread == 0 { String::new() } else { format!(", {unread} not read whole") };
        let result = format!("{} files with servers{unread}; {} projects", files.len(), configs.projects);
        self.source(
            "configurations",
            "this machine",
            result,
            unread.is_empty() && !configs.projects_truncated,
        );
    }

    fn entry(&mut self, client: &str, file: &ConfigFile, entry: &Entry) {
        let Ok(launch) = &entry.launch else { return };
        let path = file.path.display().to_string();
        let used = Use {
            client: client.to_owned(),
            name: entry.name.clone(),
            file: path.clone(),
            scope: format!("{:?}", file.scope).to_lowercase(),
            project: entry
                .within
                .clone()
                .or_else(|| file.project.as_ref().map(|project| project.display().to_string())),
            enabled: entry.enabled,
        };
        if let Launch::Stdio(command) = launch
            && let Meaning { ours: true, bridge, .. } = meaning(command)
        {
            return self.through_gateway(client, command, bridge.as_deref(), used);
        }
        let id = self.server(launch, &entry.name);
        let (pairs, mut seen) = (entry.env.iter().map(|pair| ("env", pair)), Vec::new());
        for (kind, (name, value)) in pairs.chain(entry.headers.iter().map(|pair| ("header", pair))) {
            // A header is sent for nothing else than to be let in.
            let sighting = self.redactor.sighting(kind, name, value).or_else(|| {
                let literal = kind == "header"
                    && name.eq_ignore_ascii_case("authorization")
                    && !crate::secret::is_reference(value);
                literal.then(|| crate::secret::Sighting {
                    place: format!("{kind} {name}"),
                    fingerprint: self.redactor.fingerprint(value),
                })
            });
            seen.extend(sighting);
        }
        let node = self.servers.get_mut(&id).expect("it was just made");
        node.confidence = node.confidence.max(Confidence::Configured);
        node.configured = true;
        node.direct |= entry.enabled;
        node.used_from.push(used);
        add_names(&mut node.env, entry.env.iter().map(|(name, _)| name));
        add_names(&mut node.headers, entry.headers.iter().map(|(name, _)| name));
        if node.authentication == Authentication::Unknown
            && entry.headers.iter().any(|(name, _)| {
                name.eq_ignore_ascii_case("authorization") || name.to_ascii_lowercase().contains("key")
            })
        {
            node.authentication = Authentication::Sent;
        }
        node.secrets.extend(seen);
        node.secrets.sort();
        node.secrets.dedup();
        for secret in node.secrets.clone() {
            self.credentials
                .entry(secret.fingerprint.clone())
                .or_default()
                .insert(format!("{path}: {} of {}", secret.place, entry.name));
            self.link(&id, &format!("credential:{}", secret.fingerprint), Relation::Holds);
        }
        self.link(client, &id, Relation::Uses);
    }

    /// An entry that is our own connector. The server is the gateway's, if it is known there.
    fn through_gateway(&mut self, client: &str, command: &[String], url: Option<&str>, used: Use) {
        let named =
            command.iter().position(|word| word == "--local").and_then(|at| command.get(at + 1)).cloned();
        let named = named.or_else(|| Some(url?.split("/servers/").nth(1)?.split('/').next()?.to_owned()));
        let origin = url.map(|url| url.split('/').take(3).collect::<Vec<_>>().join("/"));
        let known = self.gateways.values().find(|gateway| {
            origin.as_ref().is_none_or(|origin| gateway.listens.iter().any(|at| same_place(at, origin)))
        });
        let gateway = match known {
            Some(gateway) => gateway.id.clone(),
            None => {
                let name = origin.unwrap_or_else(|| "this machine".to_owned());
                let id = format!("gateway:{name}");
                let node = GatewayNode {
                    id: id.clone(),
                    name: name.clone(),
                    listens: vec![name],
                    profiles: Vec::new(),
                    links: 0,
                    links_quantum_safe: 0,
                    agents: Vec::new(),
                    running: false,
                };
                self.gateways.insert(id.clone(), node);
                id
            }
        };
        self.link(client, &gateway, Relation::Tunnel);
        let served: Vec<String> = self
            .links
            .iter()
            .filter(|link| link.from == gateway && link.relation == Relation::Serves)
            .map(|link| link.to.clone())
            .collect();
        for id in served {
            let node = self.servers.get_mut(&id).expect("a link leads to a node");
            if named.as_ref().is_none_or(|name| node.names.contains(name)) {
                node.used_from.push(used.clone());
            }
        }
    }

    /// Everything that runs.
    pub fn processes(&mut self, processes: &Processes) {
        for id in processes.clients() {
            if let Some(client) = self.clients.get_mut(&format!("client:{id}")) {
                client.running = true;
            }
        }
        let keys: BTreeSet<String> = self.servers.keys().cloned().collect();
        let is_configured =
            |command: &[String]| keys.contains(&server_id(self.redactor, &Launch::Stdio(command.to_vec())));
        let found = processes.servers(&is_configured);
        let count = found.len();
        for running in &found {
            self.running(running);
        }
        for (address, _) in processes.listening() {
            for (id, place) in &self.places {
                if address::is_local_port(place, address) {
                    self.servers.get_mut(id).expect("a place is a node's").running = true;
                }
            }
        }
        self.source(
            "processes",
            "this machine",
            format!("{} processes, {count} MCP servers among them", processes.len()),
            true,
        );
    }

    fn running(&mut self, running: &Running<'_>) {
        let known = running::known(running, &self.runs, |command| {
            let id = server_id(self.redactor, &Launch::Stdio(command.to_vec()));
            self.servers.contains_key(&id).then_some(id)
        });
        let by_port = || {
            let at = |address| self.places.iter().find(|(_, place)| address::is_local_port(place, address));
            running.listens.iter().find_map(|address| at(*address)).map(|(id, _)| id.clone())
        };
        let id = known.or_else(by_port).unwrap_or_else(|| {
            let id = self.server(&Launch::Stdio(running.process.arguments.clone()), "");
            let node = self.servers.get_mut(&id).expect("it was just made");
            if let (Transport::Stdio, Some(address)) = (node.transport, running.listens.first()) {
                // It waits for callers at a port, and nobody has to be its parent.
                (node.transport, node.authentication) = (Transport::Http, Authentication::Unknown);
                node.url = Some(format!("http://{address}"));
                self.places.push((id.clone(), format!("http://{address}")));
            }
            id
        });
        let node = self.servers.get_mut(&id).expect("it is known");
        node.running = true;
        node.behind_gateway |= running.behind_gateway;
        node.direct |= !running.behind_gateway && running.client.is_some();
        node.processes.extend(&running.pids);
        node.processes.sort_unstable();
        node.processes.dedup();
        add_names(&mut node.listens, running.listens.iter().map(ToString::to_string));
        if let Some(client) = running.client.filter(|_| !running.behind_gateway) {
            let from = format!("client:{}", client.id);
            self.clients.entry(from.clone()).or_insert_with(|| ClientNode {
                id: from.clone(),
                name: client.name.to_owned(),
                files: Vec::new(),
                running: true,
            });
            self.link(&from, &id, Relation::Uses);
        }
    }

    /// A server that answered on the network.
    pub fn seen(&mut self, seen: &Seen) {
        // A door of ours is no server of its own.
        let is_ours = |gateway: &GatewayNode| gateway.listens.iter().any(|at| same_place(at, &seen.url));
        if self.gateways.values().any(is_ours) {
            return;
        }
        let id = self.server(&Launch::Http(seen.url.clone()), seen.name.as_deref().unwrap_or_default());
        // A configured URL at the same host and port is the same server, whatever path was found first.
        let same = self
            .places
            .iter()
            .find(|(other, place)| *other != id && same_place(place, &seen.url))
            .map(|(other, _)| other.clone());
        let id = match same {
            Some(other) => {
                self.forget(&id);
                other
            }
            None => id,
        };
        let node = self.servers.get_mut(&id).expect("it is known");
        node.running = true;
        node.transport = seen.transport;
        node.confidence = node.confidence.max(seen.confidence);
        node.authentication = seen.authentication;
        node.tls = seen.tls.clone().or(node.tls.take());
        node.version = seen.version.clone().or(node.version.take());
        node.tools.clone_from(&seen.tools);
        add_names(&mut node.names, seen.name.iter());
    }

    fn forget(&mut self, id: &str) {
        self.servers.remove(id);
        self.places.retain(|(other, _)| other != id);
        self.links.retain(|link| link.from != id && link.to != id);
    }

    /// Endpoints with TLS: a URL, host and port of each.
    #[must_use]
    pub fn origins(&self) -> Vec<(String, String, u16)> {
        let mut found: Vec<_> = self.places.iter().filter_map(|(_, place)| address::https(place)).collect();
        found.sort();
        found.dedup();
        found
    }

    /// Lays the posture of an endpoint on the servers that are there.
    pub fn posture(&mut self, origin: &str, tls: &Tls) {
        for (id, place) in &self.places {
            if same_place(place, origin) {
                self.servers.get_mut(id).expect("a place is a node's").tls = Some(tls.clone());
            }
        }
    }

    /// A server of a cluster.
    pub fn placed(&mut self, placed: &Placed) {
        let launch = match (&placed.url, &placed.image) {
            (Some(url), _) => Launch::Http(url.clone()),
            (None, Some(image)) => Launch::Stdio(vec!["pod".to_owned(), placed.place.clone(), image.purl()]),
            (None, None) => return,
        };
        let id = self.server(&launch, &placed.name);
        if let Some(image) = &placed.image {
            self.package(&id, image);
        }
        let node = self.servers.get_mut(&id).expect("it was just made");
        (node.running, node.configured) = (true, true);
        if node.authentication == Authentication::Local {
            node.authentication = Authentication::Unknown;
        }
        add_names(&mut node.cluster, [&placed.place].into_iter());
    }

    /// What the registry says.
    pub fn registered(&mut self, registered: &Registered) {
        let named = |package: &Package| {
            registered
                .packages
                .iter()
                .any(|(ecosystem, name)| *ecosystem == package.ecosystem && *name == package.name)
        };
        let mut purls = BTreeSet::new();
        for node in self.packages.values_mut().filter(|node| named(&node.package)) {
            node.registered_as = Some(registered.name.clone());
            purls.insert(node.purl.clone());
        }
        let owner = registered.name.split('/').next().unwrap_or_default();
        for node in self.servers.values_mut() {
            let by_url = node
                .url
                .as_ref()
                .is_some_and(|url| registered.remotes.iter().any(|remote| same_place(remote, url)));
            if by_url || node.package.as_ref().is_some_and(|purl| purls.contains(purl)) {
                node.owner = Some(owner.to_owned());
                node.version = node.version.take().or_else(|| registered.version.clone());
            }
        }
    }

    /// The node of a server, made if it is new, and its id.
    fn server(&mut self, launch: &Launch, name: &str) -> String {
        let meant = match launch {
            Launch::Stdio(command) => meaning(command),
            Launch::Http(_) => Meaning::default(),
        };
        // What a bridge leads to is the server.
        let bridged = meant.bridge.clone().map(Launch::Http);
        let reached = bridged.as_ref().unwrap_or(launch);
        let id = server_id(self.redactor, reached);
        if !self.servers.contains_key(&id) {
            let (node, place) = self.fresh(&id, reached);
            if let Some(place) = place {
                self.places.push((id.clone(), place));
            }
            self.servers.insert(id.clone(), node);
        }
        let node = self.servers.get_mut(&id).expect("it is there");
        if !name.is_empty() {
            add_names(&mut node.names, [name].into_iter());
        }
        if let Launch::Stdio(command) = launch {
            let (shown, seen) = self.redactor.command(command);
            if node.command.is_empty() {
                node.command = shown;
            }
            node.secrets.extend(seen);
            node.secrets.sort();
            node.secrets.dedup();
        }
        if let Some(package) = meant.package {
            if let Launch::Stdio(command) = launch {
                self.runs.push((id.clone(), package.clone(), command.clone()));
            }
            self.package(&id, &package);
        }
        id
    }

    fn fresh(&self, id: &str, reached: &Launch) -> (ServerNode, Option<String>) {
        let (transport, authentication, url, secrets, place) = match reached {
            Launch::Stdio(_) => (Transport::Stdio, Authentication::Local, None, Vec::new(), None),
            Launch::Http(url) => {
                let (shown, secrets) = self.redactor.url(url);
                (Transport::Http, Authentication::Unknown, Some(shown), secrets, Some(url.clone()))
            }
        };
        let tls = url.as_ref().filter(|url| url.starts_with("http://")).map(|_| Tls::plain());
        let node = ServerNode {
            id: id.to_owned(),
            names: Vec::new(),
            transport,
            command: Vec::new(),
            url,
            package: None,
            pin: None,
            owner: None,
            version: None,
            confidence: Confidence::Likely,
            configured: false,
            running: false,
            behind_gateway: false,
            direct: false,
            authentication,
            tls,
            env: Vec::new(),
            headers: Vec::new(),
            secrets,
            processes: Vec::new(),
            listens: Vec::new(),
            tools: Vec::new(),
            used_from: Vec::new(),
            cluster: Vec::new(),
        };
        (node, place)
    }

    fn package(&mut self, server: &str, package: &Package) {
        let purl = package.purl();
        let id = format!("package:{purl}");
        let node = self.servers.get_mut(server).expect("a package is a server's");
        node.package = Some(purl.clone());
        node.pin = Some(node.pin.map_or(package.pin, |pin: Pin| pin.max(package.pin)));
        self.packages.entry(id.clone()).or_insert_with(|| PackageNode {
            id: id.clone(),
            purl,
            package: package.clone(),
            registered_as: None,
        });
        self.link(server, &id, Relation::RunsFrom);
    }

    fn link(&mut self, from: &str, to: &str, relation: Relation) {
        self.links.insert(Link { from: from.to_owned(), to: to.to_owned(), relation });
    }

    /// The map, with its findings.
    #[must_use]
    pub fn finish(mut self, at_ms: u64, took_ms: u64) -> Map {
        for node in self.servers.values_mut() {
            node.used_from.sort();
            node.used_from.dedup();
        }
        let credentials: Vec<CredentialNode> = self
            .credentials
            .into_iter()
            .map(|(fingerprint, places)| CredentialNode {
                id: format!("credential:{fingerprint}"),
                fingerprint,
                places: places.into_iter().collect(),
            })
            .collect();
        let servers: Vec<ServerNode> = self.servers.into_values().collect();
        let findings = finding::all(&servers, &credentials, &self.files);
        let nodes = (self.clients.into_values().map(Node::Client))
            .chain(self.gateways.into_values().map(Node::Gateway))
            .chain(servers.into_iter().map(|node| Node::Server(Box::new(node))))
            .chain(self.packages.into_values().map(Node::Package))
            .chain(credentials.into_iter().map(Node::Credential))
            .collect::<Vec<_>>();
        let known: BTreeSet<&str> = nodes.iter().map(Node::id).collect();
        let links = self
            .links
            .into_iter()
            .filter(|link| known.contains(link.from.as_str()) && known.contains(link.to.as_str()))
            .collect();
        Map { schema: SCHEMA.to_owned(), at_ms, took_ms, links, findings, sources: self.sources, nodes }
    }
}

impl Tls {
    /// No TLS at all.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            protocol: None,
            group: None,
            signature: None,
            cipher: None,
            quantum_safe_key_exchange: Some(false),
            quantum_safe_authentication: Some(false),
            groups: Vec::new(),
            signatures: Vec::new(),
            preference: None,
            downgrade: None,
        }
    }
}

fn server_id(redactor: &Redactor, launch: &Launch) -> String {
    let text = match launch {
        Launch::Stdio(command) => {
            let program = command.first().map_or("", |program| crate::launch::base(program));
            format!("stdio\0{program}\0{}", command.get(1..).unwrap_or_default().join("\0"))
        }
        Launch::Http(url) => format!("http\0{}", address::normal(url)),
    };
    format!("server:{}", redactor.fingerprint(&text))
}

fn add_names<T: Into<String> + AsRef<str>>(list: &mut Vec<String>, names: impl Iterator<Item = T>) {
    for name in names {
        if !list.iter().any(|known| known == name.as_ref()) {
            list.push(name.into());
        }
    }
}
