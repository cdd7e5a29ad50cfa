//! The largest handshake of the catalog, through every buffer on its way: SLH-DSA certificates and signatures of
//! 17 kB each on both sides, and a key share of 1,665 bytes. checklist 13
#![allow(clippy::unwrap_used)] // a test fails by its panic

mod world;

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lockgate_crypto::profile::{Definition, Profile};
use lockgate_crypto::{Suite, catalog};
use lockgate_identity::NodeIdentity;
use lockgate_transport::http::{self, Pool, Target};
use lockgate_transport::{Dialer, ServerTls, dialer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use world::{World, accept, listener, pair, settle, within};

const GROUP: &str = "SecP384r1MLKEM1024";
const SIGNATURE: &str = "SLH-DSA-SHA2-128f";
/// FIPS 205, table 2.
const SIGNATURE_BYTES: u64 = 17_088;
/// RFC 10024: an uncompressed P-384 point and an ML-KEM-1024 encapsulation key.
const SHARE_BYTES: u64 = 1_665;

fn largest() -> Suite {
    let list = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
    let definition = Definition {
        name: "largest@20261122".to_owned(),
        groups: list(&[GROUP]),
        signatures: list(&[SIGNATURE]),
        ciphers: list(&["TLS_AES_256_GCM_SHA384"]),
        ..Definition::default()
    };
    Profile::define(definition).unwrap().compile(1).unwrap()
}

struct Rig {
    world: World,
    node: NodeIdentity,
    suite: Suite,
}

impl Rig {
    fn new() -> Self {
        let suite = largest();
        let world = World::for_suites(std::slice::from_ref(&suite));
        Self { node: world.node_of(suite.identities()), world, suite }
    }

    fn tls(&self) -> ServerTls {
        ServerTls::new(self.suite.clone(), &self.node, &self.world.authority.bundle()).unwrap()
    }

    fn dialer(&self) -> Dialer {
        let agent = self.world.agent(SIGNATURE);
        let limits = dialer::Limits::default();
        Dialer::new(self.suite.clone(), Some(&agent), self.world.trust(), limits).unwrap()
    }
}

#[tokio::test]
async fn the_largest_mutual_handshake_completes_and_resumes() {
    let rig = Rig::new();
    let (listener, tls, dialer) = (listener().await, rig.tls(), rig.dialer());
    let mut bytes = Vec::new();
    for resumed in [false, true] {
        let (mut client, mut server) = pair(&dialer, &listener, &tls).await;
        settle(&mut client, &mut server).await;
        let posture = server.posture.unwrap();
        assert_eq!((posture.group.as_str(), posture.resumed), (GROUP, resumed));
        assert_eq!(posture.peer_signature.as_deref(), Some(SIGNATURE));
        assert_eq!(posture.own_signature.as_deref(), Some(SIGNATURE));
        bytes.push((posture.bytes_in, posture.bytes_out));
    }
    // In each direction a share, and a certificate and a transcript that are signed.
    let least = 2 * SIGNATURE_BYTES + SHARE_BYTES;
    assert!(bytes[0].0 > least && bytes[0].1 > least, "{bytes:?}");
    // Resuming carries the share and neither certificate nor signature, also out of a store of such sessions.
    assert!(bytes[1].0 < 3_000 && bytes[1].1 < 3_000, "{bytes:?}");
}

#[tokio::test]
async fn it_arrives_in_pieces_of_any_size() {
    let rig = Rig::new();
    let (listener, tls, dialer) = (listener().await, rig.tls(), rig.dialer());
    // A byte at a time is what a hostile or broken middlebox does; 536 is the least segment of IPv4.
    for piece in [1, 536] {
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = relay.local_addr().unwrap().port();
        let target = listener.local();
        tokio::spawn(async move {
            let (client, _) = relay.accept().await.unwrap();
            let server = TcpStream::connect(target).await.unwrap();
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let (client_in, client_out) = client.into_split();
            let (server_in, server_out) = server.into_split();
            tokio::join!(crumble(client_in, server_out, piece), crumble(server_in, client_out, piece));
        });
        let (client, server) = tokio::join!(within(dialer.dial("127.0.0.1", port)), accept(&listener, &tls));
        let (mut client, mut server) = (client.unwrap(), server.unwrap());
        assert_eq!(server.posture.as_ref().unwrap().peer_signature.as_deref(), Some(SIGNATURE));
        settle(&mut client, &mut server).await;
    }
}

/// Passes bytes on in pieces of at most `piece`.
async fn crumble(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin, piece: usize) {
    let mut buffer = vec![0; piece];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn a_pool_moves_over_the_largest_handshake() {
    let rig = Rig::new();
    let listener = listener().await;
    let url = format!("https://127.0.0.1:{}/", listener.local().port()).parse().unwrap();
    let target = Target::new(&url, Arc::new(rig.dialer())).unwrap();
    let pool = Pool::new(target, http::Limits::default());
    let tls = rig.tls();
    tokio::spawn(async move {
        loop {
            let link = accept(&listener, &tls).await.unwrap();
            let service = service_fn(async |request: Request<hyper::body::Incoming>| {
                let body = request.into_body().collect().await?.to_bytes();
                Ok::<_, hyper::Error>(Response::new(Full::new(body)))
            });
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            tokio::spawn(builder.serve_connection(TokioIo::new(link.io), service));
        }
    });
    for generation in 0..2 {
        let request = Request::post("/mcp").body(Full::new(Bytes::from(vec![b'x'; 100_000]))).unwrap();
        let response = within(pool.request(request)).await.unwrap();
        assert_eq!(within(response.into_body().collect()).await.unwrap().to_bytes().len(), 100_000);
        let links = pool.links();
        assert_eq!(links.last().unwrap().generation, generation);
        within(pool.replace()).await.unwrap();
    }
}

#[test]
fn nothing_in_the_catalog_is_larger() {
    use catalog::Kind;
    let can_be_made = catalog::all().iter().filter(|row| row.kind == Kind::Signature);
    let can_be_made = can_be_made.filter(|row| lockgate_crypto::PrivateKey::can_make(row));
    for row in can_be_made {
        let key = lockgate_crypto::PrivateKey::generate(row).unwrap();
        let scheme = row.code_point.unwrap().into();
        let signer = key.rustls_signing_key().choose_scheme(&[scheme]).unwrap();
        let signature = signer.sign(b"a message").unwrap();
        assert!(signature.len() as u64 <= SIGNATURE_BYTES, "{}: {}", row.id, signature.len());
    }
}
