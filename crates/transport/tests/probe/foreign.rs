//! Servers that others wrote. One that is not installed is passed over, and the test says so.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{env, fs};

use lockgate_transport::probe::Report;
use lockgate_transport::probe::report::{ClientCertificate, Moved, Whose};
use tempfile::TempDir;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::{Level, found, groups, limits, probe, signatures, survives_json, versions};

/// A program that runs until it is dropped, and its folder.
struct Server {
    _child: Child,
    _folder: TempDir,
    port: u16,
}

fn on_path(command: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // A user's path may lack the folder of servers.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders.map(|folder| folder.join(command)).find(|path| path.is_file());
    if found.is_none() {
        eprintln!("passed over: {command} is not installed");
    }
    found
}

/// The newest Node.js of `cargo xtask install`.
fn newest_node() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    let node = cache.join("lockgate/npm/node_modules/node-26-linux-x64/bin/node");
    if !node.is_file() {
        eprintln!("passed over: {} is not installed", node.display());
    }
    node.is_file().then_some(node)
}

/// A folder with a self-signed ECDSA certificate in `cert.pem` and `key.pem`.
async fn certificate() -> Option<TempDir> {
    let openssl = on_path("openssl")?;
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new(openssl)
        .current_dir(folder.path())
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "30"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .output()
        .await
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(folder)
}

/// Starts a program, waits for a line with `word`, and gives that line.
async fn start(mut command: Command, folder: &Path, from_stderr: bool, word: &str) -> (Child, String) {
    command.current_dir(folder).stdin(Stdio::piped()).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (stdout, stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let (said, other): (Box<dyn AsyncBufRead + Send + Unpin>, Box<dyn AsyncBufRead + Send + Unpin>) =
        if from_stderr {
            (Box::new(BufReader::new(stderr)), Box::new(BufReader::new(stdout)))
        } else {
            (Box::new(BufReader::new(stdout)), Box::new(BufReader::new(stderr)))
        };
    // What nobody reads would fill its pipe.
    tokio::spawn(drain(other));
    let mut lines = said.lines();
    while let Some(line) = super::world::within(lines.next_line()).await.unwrap() {
        if line.contains(word) {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, line);
        }
    }
    panic!("the server ended without saying {word:?}");
}

async fn drain(said: Box<dyn AsyncBufRead + Send + Unpin>) {
    let mut lines = said.lines();
    while let Ok(Some(line)) = lines.next_line().await {
        eprintln!("server: {line}");
    }
}

fn port_of(line: &str) -> u16 {
    line.rsplit(':').next().unwrap().trim().parse().unwrap()
}

async fn report_of(server: &Server) -> Report {
    let report = probe(server.port, limits()).await.unwrap();
    survives_json(&report);
    report
}

async fn openssl(arguments: &[&str]) -> Option<Server> {
    let folder = certificate().await?;
    let mut command = Command::new(on_path("openssl")?);
    command.args(["s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem", "-www"]);
    command.args(arguments);
    let (child, line) = start(command, folder.path(), false, "ACCEPT").await;
    Some(Server { port: port_of(&line), _child: child, _folder: folder })
}

#[tokio::test]
async fn openssl_with_its_defaults() {
    let Some(server) = openssl(&["-groups", "X25519:P-256:P-384"]).await else { return };
    let report = report_of(&server).await;
    assert_eq!(versions(&report)[..2], ["TLSv1.3", "TLSv1.2"]);
    assert_eq!(report.versions[1].sentinel, Some(true));
    assert_eq!(report.fallback_refused, Some(true));
    assert_eq!(groups(&report), ["X25519", "secp256r1", "secp384r1"]);
    assert!(
        report.groups.iter().any(|group| group.offer.id == "X25519MLKEM768" && group.offer.answer.is_no())
    );
    // It takes whatever the client shares, and asks by its own order where the client shares nothing.
    assert_eq!(report.group_order.whose, Whose::Server);
    assert_eq!(signatures(&report), ["ECDSA-P256-SHA256"]);
    assert_eq!(report.ciphers.iter().filter(|cipher| cipher.answer.is_yes()).count(), 3);
    assert!(report.tolerance.unknown_values.is_yes());
    // A classical server must stand the hello of a client that can do more.
    assert!(report.tolerance.large_hello.is_yes() && report.tolerance.split_hello.is_yes());
    let resumption = report.resumption.as_ref().unwrap();
    assert!(resumption.tickets > 0 && resumption.resumed == Some(true), "{resumption:?}");
    assert_eq!(report.client_certificate, Some(ClientCertificate::NotAsked));
    assert_eq!(report.chains[0].certificates[0].names, ["localhost"]);
    assert_eq!(report.chains[0].certificates[0].key, "ECDSA-P256-SHA256");
    assert!(found(&report, Level::Bad, "key exchange") && found(&report, Level::Warning, "authentication"));
}

#[tokio::test]
async fn openssl_that_speaks_tls_1_2_alone() {
    let Some(server) = openssl(&["-tls1_2"]).await else { return };
    let report = report_of(&server).await;
    assert_eq!(versions(&report), ["TLSv1.2"]);
    assert!(found(&report, Level::Bad, "versions"));
}

#[tokio::test]
async fn openssl_that_requires_a_client_certificate_and_knows_an_unknown_group() {
    let arguments =
        ["-groups", "P-521:X25519", "-serverpref", "-Verify", "1", "-no_ticket", "-num_tickets", "0"];
    let Some(server) = openssl(&arguments).await else { return };
    let report = report_of(&server).await;
    assert_eq!(groups(&report), ["X25519"]);
    assert_eq!(report.groups_unknown, ["0x0019"]);
    assert_eq!(report.client_certificate, Some(ClientCertificate::Required));
}

#[tokio::test]
async fn nginx() {
    let (Some(nginx), Some(folder)) = (on_path("nginx"), certificate().await) else { return };
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {name};\n"))
        .concat();
    let configuration = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr notice; events {{}}
         http {{ access_log off; {temporary}
           server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate cert.pem; ssl_certificate_key key.pem;
             ssl_protocols TLSv1.2 TLSv1.3; ssl_prefer_server_ciphers on; ssl_verify_client optional_no_ca;
             ssl_ecdh_curve secp384r1:X25519; }} }}"
    );
    fs::write(folder.path().join("nginx.conf"), configuration).unwrap();
    let mut command = Command::new(nginx);
    command
        .arg("-p")
        .arg(folder.path())
        .arg("-c")
        .arg(folder.path().join("nginx.conf"))
        .args(["-e", "stderr"]);
    drop(free);
    let (child, _) = start(command, folder.path(), true, "event method").await;
    let report = report_of(&Server { port, _child: child, _folder: folder }).await;
    assert_eq!(versions(&report), ["TLSv1.3", "TLSv1.2"]);
    assert_eq!(groups(&report), ["X25519", "secp384r1"]);
    assert_eq!((report.group_order.whose, &*report.group_order.order[0]), (Whose::Server, "secp384r1"));
    assert_eq!(report.client_certificate, Some(ClientCertificate::Asked));
    assert!(report.alpn.iter().all(|protocol| protocol.answer.is_yes()), "{:?}", report.alpn);
}

const NODE: &str = "
const tls = require('node:tls'); const { readFileSync } = require('node:fs');
const server = tls.createServer({
  cert: readFileSync('cert.pem'), key: readFileSync('key.pem'), ecdhCurve: process.argv[1],
  minVersion: 'TLSv1.3', ALPNProtocols: ['http/1.1'],
}, (link) => link.on('error', () => {}).on('data', () => {}).on('end', () => link.end()));
server.on('tlsClientError', () => {});
server.listen(0, '127.0.0.1', () => console.log(`listening:${server.address().port}`));
";

async fn node(groups: &str) -> Option<Server> {
    let (node, folder) = (newest_node()?, certificate().await?);
    let mut command = Command::new(node);
    command.args(["-e", NODE, groups]);
    let (child, line) = start(command, folder.path(), false, "listening").await;
    Some(Server { port: port_of(&line), _child: child, _folder: folder })
}

#[tokio::test]
async fn openssl_3_5_with_hybrid_groups() {
    let Some(server) = node("X25519MLKEM768:SecP384r1MLKEM1024:MLKEM1024:X25519").await else { return };
    let report = report_of(&server).await;
    assert_eq!(versions(&report), ["TLSv1.3"]);
    assert_eq!(groups(&report), ["X25519MLKEM768", "SecP384r1MLKEM1024", "MLKEM1024", "X25519"]);
    assert!(
        report
            .groups
            .iter()
            .filter(|group| group.offer.answer.is_yes())
            .all(|group| group.handshake.is_some())
    );
    assert!(report.quantum_safe.key_exchange && !report.quantum_safe.authentication);
    let share = report.traditional_share.as_ref().unwrap();
    assert_eq!(share.shared, "X25519");
    // One tuple: what the client shares is taken, whatever else it can do.
    assert_eq!(share.listed_first, Moved::Traditional { group: "X25519".to_owned() });
    assert!(found(&report, Level::Warning, "key exchange"), "{:?}", report.verdicts);
    let names: Vec<_> =
        report.alpn.iter().map(|protocol| (&*protocol.name, protocol.answer.is_yes())).collect();
    assert_eq!(names, [("h2", false), ("http/1.1", true)]);
    assert!(report.tolerance.unknown_values.is_yes());
}

#[tokio::test]
async fn openssl_3_5_with_tuples_of_groups() {
    let Some(server) = node("X25519MLKEM768/X25519").await else { return };
    let report = report_of(&server).await;
    let share = report.traditional_share.as_ref().unwrap();
    let moved = Moved::QuantumSafe { group: "X25519MLKEM768".to_owned() };
    assert_eq!((&share.listed_first, &share.listed_last), (&moved, &moved));
    assert!(!found(&report, Level::Warning, "key exchange"), "{:?}", report.verdicts);
}
