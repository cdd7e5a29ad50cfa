//! What a run stands on: the upstream, gateways of their own for each part, and nginx.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockgate_crypto::{Algorithm, PrivateKey, Profile, Suite, profile};
use lockgate_identity::enrol::ProvenKey;
use lockgate_identity::verifier::Expect;
use lockgate_identity::{AGENT_LIFETIME, Authority, Leaf, NODE_LIFETIME, Request, Role, SpiffeId};
use lockgate_transport::{Dialer, Trust, dialer};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{LOAD_CORE, Process, TESTED_CORE};
use crate::upstream;

/// Address of everything in a run, and the name in nginx's certificate.
pub(crate) const HOST: &str = "127.0.0.1";
/// Time for nginx to listen.
const NGINX_READY_MAX: Duration = Duration::from_secs(5);

/// The upstream, and the folder that disappears with the run.
pub(crate) struct Bed {
    pub(crate) upstream: Process,
    pub(crate) upstream_port: u16,
    pub(crate) lockgate: PathBuf,
    // Dropped last: nothing writes into it by then.
    folder: TempDir,
}

impl Bed {
    /// Starts the upstream, and finds the gateway's binary.
    pub(crate) async fn prepare(lockgate: Option<&Path>) -> Result<Self> {
        let this = env::current_exe().context("cannot find this program's own file")?;
        let beside = this.parent().context("a program is in a folder")?;
        let lockgate = lockgate.map_or_else(|| beside.join("lockgate"), Path::to_owned);
        ensure!(
            lockgate.is_file(),
            "{} is missing; build it: cargo build --release --package lockgate, or name it with --lockgate",
            lockgate.display()
        );
        // Not in the system's folder for temporary files: the audit log is to be synced to a real disk.
        let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(beside)?;
        let mut upstream = Process::start(LOAD_CORE, &this, &["upstream"])?;
        let upstream_port = upstream.ready().await?.parse().context("the upstream prints its port")?;
        Ok(Self { upstream, upstream_port, lockgate, folder })
    }

    /// A command as others would type it, without the places that only this run has.
    pub(crate) fn shown(&self, command: &str) -> String {
        let folder = self.folder.path();
        let binaries = folder.parent().unwrap_or(folder);
        let command = command.replace(&*folder.to_string_lossy(), "DIR");
        command.replace(&*binaries.to_string_lossy(), "target/release")
    }

    /// How many records the audit log of a gateway holds, by the gateway's own check of the whole chain.
    pub(crate) fn audited(&self, name: &str) -> Result<Value> {
        let mut verify = Command::new(&self.lockgate);
        verify.args(["audit", "verify", "--output", "json", "--state"]).arg(self.folder.path().join(name));
        let verify = verify.output()?;
        let said = String::from_utf8_lossy(&verify.stdout);
        ensure!(verify.status.success(), "the audit log does not hold: {said}");
        Ok(serde_json::from_str::<Value>(&said)?["records"].take())
    }
}

/// A gateway with a fresh state, and a connector's identity for it.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) port: u16,
    pub(crate) authority: Authority,
    pub(crate) suite: Suite,
    /// The leaf of the agent that the starter policy permits.
    pub(crate) leaf: Leaf,
    pub(crate) state: PathBuf,
}

impl Gateway {
    /// The path of the upstream behind a gateway.
    pub(crate) const PATH: &str = "/servers/bench/mcp";

    /// Starts a gateway with every stage on, as `lockgate gateway` does by default.
    pub(crate) async fn start(bed: &Bed, name: &str) -> Result<Self> {
        Self::start_with(bed, name, profile::default(), "").await
    }

    /// Starts one that may hold so many links.
    pub(crate) async fn start_for(bed: &Bed, name: &str, links_max: usize) -> Result<Self> {
        let settings = format!("[limits]\nlinks_max = {}\n", links_max.max(1_000));
        Self::start_with(bed, name, profile::default(), &settings).await
    }

    /// Starts one under a profile.
    pub(crate) async fn start_under(bed: &Bed, name: &str, profile: &str) -> Result<Self> {
        let settings = format!("[node]\nprofile = \"{profile}\"\n");
        Self::start_with(bed, name, profile::find(profile)?, &settings).await
    }

    async fn start_with(bed: &Bed, name: &str, profile: &'static Profile, settings: &str) -> Result<Self> {
        let state = bed.folder.path().join(name);
        let config = bed.folder.path().join(format!("{name}.toml"));
        fs::write(&config, settings)?;
        let config = config.to_str().context("the path of this folder is not Unicode")?;
        let shown = state.to_str().context("the path of this folder is not Unicode")?;
        let to = format!("bench=http://{HOST}:{}{}", bed.upstream_port, upstream::PATH);
        let mut arguments = vec!["gateway", "--to", &to, "--listen", "127.0.0.1:0", "--foreign", "off"];
        arguments.extend([
            "--config",
            config,
            "--admin",
            "127.0.0.1:0",
            "--state",
            shown,
            "--log",
            "warn",
            "--output",
            "json",
        ]);
        let mut process = Process::start(TESTED_CORE, &bed.lockgate, &arguments)?;
        let line = process.ready().await?;
        let ready: Value = serde_json::from_str(&line).context("the gateway's ready line is no JSON")?;
        let port = ready["endpoint"].as_str().and_then(|url| url.parse::<http::Uri>().ok()?.port_u16());
        let port = port.with_context(|| format!("the gateway names no endpoint with a port: {line}"))?;

        let authority = Authority::open(&state.join("authority"))?;
        let authority = authority.context("the gateway has made no authority in its state folder")?;
        let suite = profile.compile(1)?;
        let leaf = agent_leaf(&authority, suite.identities()[0])?;
        Ok(Self { process, port, authority, suite, leaf, state })
    }

    /// Dials like a connector.
    pub(crate) fn dialer(&self) -> Result<Dialer> {
        self.dialer_by(&self.suite, &self.leaf)
    }

    /// Dials by a suite and a leaf of one's own.
    pub(crate) fn dialer_by(&self, suite: &Suite, leaf: &Leaf) -> Result<Dialer> {
        let trust = Trust::own(&self.authority.bundle(), Expect::Node);
        Ok(Dialer::new(suite.clone(), Some(leaf), trust, dialer::Limits::default())?)
    }
}

/// A leaf of the agent that the starter policy permits.
pub(crate) fn agent_leaf(authority: &Authority, algorithm: &'static Algorithm) -> Result<Leaf> {
    let id = SpiffeId::agent(authority.trust_domain(), "local")?;
    let key = PrivateKey::generate(algorithm)?;
    issue(authority, key, id, Role::Agent)
}

fn issue(authority: &Authority, key: PrivateKey, id: SpiffeId, role: Role) -> Result<Leaf> {
    let (ips, lifetime) = match role {
        Role::Node => (vec![Ipv4Addr::LOCALHOST.into()], NODE_LIFETIME),
        Role::Agent => (Vec::new(), AGENT_LIFETIME),
    };
    let request = Request { key: ProvenKey::own(&key), id, role, dns_names: Vec::new(), ips, lifetime };
    let issued = authority.issue(&request, SystemTime::now())?;
    Ok(Leaf::new(vec![issued.certificate], key)?)
}

/// nginx as a TLS 1.3 reverse proxy with one worker, which keeps its upstream connections.
pub(crate) struct Nginx {
    pub(crate) process: Process,
    pub(crate) port: u16,
    suite: Suite,
    authority: Authority,
    pub(crate) config: String,
}

impl Nginx {
    /// Starts it with an ECDSA certificate of `gateway`'s authority.
    pub(crate) async fn start(bed: &Bed, gateway: &Gateway) -> Result<Self> {
        let program = program("nginx").context(
            "nginx is missing; `cargo xtask bench` installs it, or as root: apt-get install nginx",
        )?;
        let authority = Authority::open(&gateway.state.join("authority"))?;
        let authority = authority.context("the gateway's authority is gone")?;
        let folder = bed.folder.path().join("nginx");
        fs::create_dir(&folder)?;
        // The traditional one of the authority's roots: nginx knows no other.
        let permitted = profile::find("pq-transition")?.compile(1)?;
        let traditional = permitted.identities().last().context("a profile permits a signature")?;
        authority.ensure(&[traditional], SystemTime::now())?;
        let key = PrivateKey::generate(traditional)?;
        fs::write(folder.join("key.pem"), private_key_pem(&key))?;
        let id = SpiffeId::node(authority.trust_domain(), "nginx")?;
        fs::write(folder.join("leaf.pem"), issue(&authority, key, id, Role::Node)?.certificate_pem())?;

        // nginx cannot let the system choose; what was free a moment ago still is.
        let port = TcpListener::bind((HOST, 0))?.local_addr()?.port();
        let config = nginx_config(port, bed.upstream_port);
        let file = folder.join("nginx.conf");
        fs::write(&file, &config)?;
        let (prefix, file) = (folder.to_string_lossy().into_owned(), file.to_string_lossy().into_owned());
        let mut process =
            Process::start(TESTED_CORE, &program, &["-p", &prefix, "-c", &file, "-e", "stderr"])?;
        let until = Instant::now() + NGINX_READY_MAX;
        while TcpStream::connect((HOST, port)).is_err() {
            ensure!(process.is_running(), "nginx has ended, see what it says above: {}", process.command);
            if Instant::now() > until {
                bail!("nginx does not listen after {NGINX_READY_MAX:?}: {}", process.command);
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let suite = profile::find("pq-transition")?.compile(1)?;
        Ok(Self { process, port, suite, authority, config })
    }

    /// Dials it as any TLS client would, and verifies its certificate by address.
    pub(crate) fn dialer(&self) -> Result<Dialer> {
        let trust = Trust::own(&self.authority.bundle(), Expect::DnsName);
        Ok(Dialer::new(self.suite.clone(), None, trust, dialer::Limits::default())?)
    }
}

/// The whole configuration. Buffering is off, because an MCP proxy has to pass server-sent events one by one; the
/// buffer is as large as a TLS record, so that this costs nginx little. Nothing is logged.
fn nginx_config(port: u16, upstream_port: u16) -> String {
    format!(
        "daemon off; master_process off; worker_processes 1; pid nginx.pid; error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_timeout 1h; keepalive_requests 1000000000;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream bench {{ server {HOST}:{upstream_port}; keepalive 128; keepalive_requests 1000000000; keepalive_timeout 1h; }}
  server {{
    listen {HOST}:{port} ssl http2; ssl_protocols TLSv1.3; ssl_certificate leaf.pem; ssl_certificate_key key.pem;
    ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384; client_body_buffer_size 64k;
    location / {{ proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off; proxy_buffer_size 16k; proxy_buffers 8 16k; }}
  }}
}}
"
    )
}

/// A program of the path, or of the system's folders that a user's path may lack.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn private_key_pem(key: &PrivateKey) -> String {
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for line in key.to_pkcs8_der().chunks(48) {
        let _ = writeln!(pem, "{}", STANDARD.encode(line));
    }
    pem + "-----END PRIVATE KEY-----\n"
}
