//! Handshakes of connectors: first by the default profile, then every group with every signature that a gateway
//! presents, certificates of that algorithm on both sides.
//!
//! Both candidates have the same two cores, both of them busy. Against the gateway, its core does the server's half
//! and the load's core the client's, with sockets between them. In memory, each core runs a client and a server of its
//! own that hand each other their bytes. What the server's half costs is told apart in both: by the gateway's
//! processor time, and in memory by the thread's clock around the server's steps.

use std::io::ErrorKind;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::future::try_join_all;
use lockgate_crypto::{Algorithm, Definition, Profile, Suite};
use lockgate_identity::verifier::{self, Expect};
use lockgate_identity::{Leaf, NODE_LIFETIME, NodeIdentity, SpiffeId};
use lockgate_transport::Dialer;
use rustix::time::{ClockId, clock_gettime};
use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::pki_types::ServerName;
use rustls::server::ServerSessionMemoryCache;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ServerConfig, ServerConnection};
use serde::Serialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Plan;
use crate::bed::{Bed, Gateway, HOST, agent_leaf};
use crate::process::{self, LOAD_CORE, TESTED_CORE};
use crate::statistics::median;

/// Handshakes under way at the gateway at the same time: enough that its core never waits.
const AT_ONCE: usize = 8;
/// Sessions that a server keeps, as many as a listener of the gateway.
const SESSIONS_MAX: usize = 2_048;

/// Medians over the rounds, of one kind of handshake.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) signature: &'static str,
    /// Whether the project's aim is about it.
    pub(crate) aimed: bool,
    /// `full` or `resumed`.
    pub(crate) kind: &'static str,
    pub(crate) gateway_per_s: f64,
    pub(crate) memory_per_s: f64,
    /// Processor time of the server's half.
    pub(crate) gateway_cpu_us: f64,
    pub(crate) memory_cpu_us: f64,
}

#[derive(Clone, Copy)]
struct Sample {
    per_s: f64,
    cpu_us: f64,
}

/// Measures full and resumed handshakes, the gateway and memory in turn.
pub(crate) async fn run(bed: &Bed, plan: &Plan) -> Result<Vec<Row>> {
    let gateway = Gateway::start(bed, "handshakes").await?;
    let case = Case { suite: gateway.suite.clone(), leaf: gateway.leaf.clone(), aimed: true };
    let mut rows = case.measure(&gateway, plan.rounds, plan.handshakes).await?;
    drop(gateway);

    let gateway = Gateway::start_under(bed, "pairs", "pq-transition").await?;
    for group in gateway.suite.groups() {
        for signature in gateway.suite.identities() {
            let case = Case::pair(&gateway, group, signature)?;
            rows.extend(case.measure(&gateway, TABLE_ROUNDS, plan.table_handshakes).await?);
        }
    }
    Ok(rows)
}

/// Rounds of each pair in the table, besides the one that warms up.
const TABLE_ROUNDS: usize = 3;

/// What both ends of a handshake go by.
struct Case {
    suite: Suite,
    leaf: Leaf,
    aimed: bool,
}

impl Case {
    /// Nothing but this group and this signature.
    fn pair(gateway: &Gateway, group: &Algorithm, signature: &'static Algorithm) -> Result<Self> {
        let cipher = gateway.suite.ciphers()[0].id.to_owned();
        let only = Profile::define(Definition {
            name: "bench@20261122".to_owned(),
            groups: vec![group.id.to_owned()],
            signatures: vec![signature.id.to_owned()],
            ciphers: vec![cipher],
            ..Definition::default()
        })?;
        let leaf = agent_leaf(&gateway.authority, signature)?;
        Ok(Self { suite: only.compile(1)?, leaf, aimed: false })
    }

    async fn measure(&self, gateway: &Gateway, rounds: usize, handshakes: usize) -> Result<Vec<Row>> {
        let (group, signature) = (self.suite.groups()[0].id, self.leaf.algorithm.id);
        let pair = Pair::new(gateway, self)?;
        let dialer = || Ok(gateway.dialer_by(&self.suite, &self.leaf)?.http1_only());
        let dialers = (0..AT_ONCE).map(|_| dialer()).collect::<Result<Vec<Dialer>>>()?;
        let mut rows = Vec::new();
        for (kind, resumed) in [("full", false), ("resumed", true)] {
            eprintln!("handshakes: {group}, {signature}, {kind}");
            let (mut sockets, mut memory) = (Vec::new(), Vec::new());
            // The first round warms up.
            for _ in 0..=rounds {
                sockets.push(self.through_sockets(gateway, &dialers, handshakes, resumed).await?);
                memory.push(in_memory(&pair, handshakes, resumed)?);
            }
            let of = |samples: &[Sample], figure: fn(&Sample) -> f64| median(samples[1..].iter().map(figure));
            rows.push(Row {
                group,
                signature,
                aimed: self.aimed,
                kind,
                gateway_per_s: of(&sockets, |sample| sample.per_s),
                memory_per_s: of(&memory, |sample| sample.per_s),
                gateway_cpu_us: of(&sockets, |sample| sample.cpu_us),
                memory_cpu_us: of(&memory, |sample| sample.cpu_us),
            });
        }
        Ok(rows)
    }

    /// `count` handshakes with the gateway, each on a connection of its own from its beginning to its end.
    async fn through_sockets(
        &self,
        gateway: &Gateway,
        dialers: &[Dialer],
        count: usize,
        resumed: bool,
    ) -> Result<Sample> {
        let process = gateway.process.id();
        let fresh = || -> Result<Dialer> { Ok(gateway.dialer_by(&self.suite, &self.leaf)?.http1_only()) };
        for dialer in dialers.iter().filter(|_| resumed) {
            self.connect(dialer, gateway.port, None).await?;
        }
        let each = count / dialers.len();
        let (cpu_before, begun) = (process::cpu_s(process)?, Instant::now());
        try_join_all(dialers.iter().map(|dialer| async move {
            for _ in 0..each {
                match resumed {
                    true => self.connect(dialer, gateway.port, Some(true)).await?,
                    // A dialer of its own has no session to resume.
                    false => self.connect(&fresh()?, gateway.port, Some(false)).await?,
                }
            }
            anyhow::Ok(())
        }))
        .await?;
        let made = (each * dialers.len()) as f64;
        Ok(Sample {
            per_s: made / begun.elapsed().as_secs_f64(),
            cpu_us: (process::cpu_s(process)? - cpu_before) * 1e6 / made,
        })
    }

    async fn connect(&self, dialer: &Dialer, port: u16, resumed: Option<bool>) -> Result<()> {
        let mut link = dialer.dial(HOST, port).await?;
        let posture = link.posture.take().context("a TLS link has a posture")?;
        ensure!(posture.group == self.suite.groups()[0].id, "another group: {posture:?}");
        if let Some(resumed) = resumed {
            ensure!(posture.resumed == resumed, "resumed: {}, expected: {resumed}", posture.resumed);
        }
        // Reading to the end takes in the ticket.
        link.io.shutdown().await?;
        match link.io.read_to_end(&mut Vec::new()).await {
            Err(error) if error.kind() != ErrorKind::UnexpectedEof => Err(error.into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// What both halves of a handshake in memory go by: what connector and gateway go by.
struct Pair {
    client: ClientConfig,
    server: ServerConfig,
}

impl Pair {
    fn new(gateway: &Gateway, case: &Case) -> Result<Self> {
        let (authority, suite) = (&gateway.authority, &case.suite);
        let id = SpiffeId::node(authority.trust_domain(), "memory")?;
        let now = std::time::SystemTime::now();
        let names = ["localhost".to_owned()];
        let addresses = [[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()];
        let NodeIdentity { leaves, .. } =
            authority.issue_node(&id, &names, &addresses, &[case.leaf.algorithm], NODE_LIFETIME, now)?;
        let leaf = leaves.first().context("a node has a leaf of every algorithm asked for")?;
        let bundle = authority.bundle();
        let groups: Vec<_> = suite.client_provider().kx_groups.iter().map(|group| group.name()).collect();
        let mut server = ServerConfig::builder_with_provider(suite.server_provider(&groups)?)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier::client(&bundle, suite))
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(leaf.certified_key())));
        server.send_tls13_tickets = 1;
        let mut client = ClientConfig::builder_with_provider(suite.client_provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous() // rustls's word for any verifier but its own
            .with_custom_certificate_verifier(verifier::server(&bundle, suite, Expect::Node))
            .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(case.leaf.certified_key())));
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { client, server })
    }

    /// The client with no session to resume.
    fn fresh_client(&self) -> Arc<ClientConfig> {
        let mut client = self.client.clone();
        client.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(64)));
        Arc::new(client)
    }

    /// `count` handshakes on this thread. How long all of it took, and what the server's half took of the processor.
    fn shake(&self, count: usize, resumed: bool) -> Result<(Duration, Duration)> {
        let mut server = self.server.clone();
        server.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
        let server = Arc::new(server);
        let mut client = self.fresh_client();
        if resumed {
            handshake(&client, &server, HandshakeKind::Full)?;
        }
        let (begun, mut server_cpu) = (Instant::now(), Duration::ZERO);
        for _ in 0..count {
            if !resumed {
                client = self.fresh_client();
            }
            let kind = if resumed { HandshakeKind::Resumed } else { HandshakeKind::Full };
            server_cpu += handshake(&client, &server, kind)?;
        }
        Ok((begun.elapsed(), server_cpu))
    }
}

/// `count` handshakes on each of the two cores.
fn in_memory(pair: &Pair, count: usize, resumed: bool) -> Result<Sample> {
    let on = |core| {
        move || {
            process::pin(core)?;
            pair.shake(count, resumed)
        }
    };
    let (one, other) = thread::scope(|scope| {
        let threads = (scope.spawn(on(TESTED_CORE)), scope.spawn(on(LOAD_CORE)));
        (threads.0.join(), threads.1.join())
    });
    let ended = |thread: thread::Result<_>| thread.map_err(|_| anyhow!("a handshake in memory panicked"))?;
    let (one, other): ((Duration, Duration), (Duration, Duration)) = (ended(one)?, ended(other)?);
    let count = count as f64;
    Ok(Sample {
        per_s: count / one.0.as_secs_f64() + count / other.0.as_secs_f64(),
        cpu_us: (one.1 + other.1).as_secs_f64() * 1e6 / (2.0 * count),
    })
}

/// One handshake, ticket included, and the processor time of its server.
fn handshake(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
    kind: HandshakeKind,
) -> Result<Duration> {
    let mut client = ClientConnection::new(Arc::clone(client), ServerName::try_from(HOST)?)?;
    let begun = thread_cpu();
    let mut server = ServerConnection::new(Arc::clone(server))?;
    let mut server_cpu = thread_cpu() - begun;
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        while client.wants_write() {
            client.write_tls(&mut wire)?;
        }
        let begun = thread_cpu();
        take_in(&mut server, &wire)?;
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire)?;
        }
        server_cpu += thread_cpu() - begun;
        take_in(&mut client, &wire)?;
        wire.clear();
    }
    ensure!(client.handshake_kind() == Some(kind), "{:?}, expected {kind:?}", client.handshake_kind());
    let begun = thread_cpu();
    drop(server);
    Ok(server_cpu + (thread_cpu() - begun))
}

fn take_in<D>(
    connection: &mut impl std::ops::DerefMut<Target = rustls::ConnectionCommon<D>>,
    mut wire: &[u8],
) -> Result<()>
where
    D: rustls::SideData,
{
    while !wire.is_empty() {
        connection.read_tls(&mut wire)?;
        connection.process_new_packets()?;
    }
    Ok(())
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}
