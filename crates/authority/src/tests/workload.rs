use std::process::Stdio;
use std::time::Duration;

use http::uri::PathAndQuery;
use lockgate_identity::TrustBundle;
use lockgate_identity::enrol::Enrolment;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::*;
use crate::workload::messages::{
    JwtSvidRequest, JwtSvidResponse, X509BundlesRequest, X509BundlesResponse, X509SvidRequest,
    X509SvidResponse,
};
use crate::workload::{enrol, whoami};

async fn channel(served: &Served) -> Grpc<Channel> {
    let endpoint = Endpoint::try_from(format!("unix:{}", served.socket.display())).unwrap();
    let mut grpc = Grpc::new(endpoint.connect().await.unwrap());
    grpc.ready().await.unwrap();
    grpc
}

fn with_header<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("workload.spiffe.io", MetadataValue::from_static("true"));
    request
}

async fn stream<Q, A>(
    served: &Served,
    method: &'static str,
    request: Request<Q>,
) -> Result<Streaming<A>, Status>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + Default + 'static,
{
    let path = PathAndQuery::from_static(method);
    let codec = ProstCodec::<Q, A>::default();
    channel(served).await.server_streaming(request, path, codec).await.map(tonic::Response::into_inner)
}

const SVIDS: &str = "/SpiffeWorkloadAPI/FetchX509SVID";
const BUNDLES: &str = "/SpiffeWorkloadAPI/FetchX509Bundles";

async fn svids(served: &Served) -> Result<Streaming<X509SvidResponse>, Status> {
    stream(served, SVIDS, with_header(X509SvidRequest {})).await
}

async fn first(served: &Served) -> Result<X509SvidResponse, Status> {
    svids(served).await?.message().await.map(|answer| answer.expect("an answer comes before the end"))
}

#[tokio::test]
async fn a_registered_process_gets_its_svid_and_another_at_each_change() {
    let office = Office::new("pq-kex");
    let served = serve(&office, vec![registration(&[&own_uid()], "billing", SvidKind::Stock)]);
    let mut stream = svids(&served).await.unwrap();
    let answer = stream.message().await.unwrap().unwrap();
    let svid = &answer.svids[0];
    assert_eq!((answer.svids.len(), svid.hint.as_str()), (1, ""));
    assert_eq!(svid.spiffe_id, "spiffe://example.org/agent/billing");
    // Key, certificate and root belong together, and are of what stock clients can read.
    let key = lockgate_crypto::PrivateKey::from_pkcs8_der(&svid.x509_svid_key).unwrap();
    assert!(SvidKind::Stock.is_made_of(key.algorithm()));
    let bundle = office.authority.bundle();
    let root = bundle.roots().iter().find(|root| root.algorithm() == key.algorithm()).unwrap();
    assert_eq!(svid.bundle, root.certificate().as_ref());
    assert!(svid.x509_svid.windows(key.spki_der().len()).any(|bytes| bytes == key.spki_der()));
    assert_eq!(*served.known.roles(&svid.spiffe_id), ["billing".to_owned()]);
    let event = office.events.lock()[0].clone();
    assert_eq!((event.method, event.refused), ("identity/svid", None));
    assert!(event.selectors.iter().any(|selector| selector.as_str().starts_with("unix:sha256:")));

    // Other registrations: judged again at once, with a key of its own for each identity.
    let two = ["billing", "audit"].map(|name| registration(&[&own_uid()], name, SvidKind::PostQuantum));
    served.workload.register(Registrations::new(two.to_vec()).unwrap()).unwrap();
    let next = stream.message().await.unwrap().unwrap();
    let hints: Vec<_> = next.svids.iter().map(|svid| svid.hint.as_str()).collect();
    assert_eq!(hints, ["billing", "audit"]);
    assert_ne!(next.svids[0].x509_svid_key, next.svids[1].x509_svid_key);

    // Revoked: one identity is left, then none, and the stream ends.
    office.revoke("spiffe://example.org/agent/billing");
    assert_eq!(stream.message().await.unwrap().unwrap().svids.len(), 1);
    office.revoke("spiffe://example.org/agent/audit");
    let error = stream.message().await.unwrap_err();
    assert_eq!((error.code(), error.message()), (Code::PermissionDenied, "the identity is revoked"));
}

#[tokio::test]
async fn without_the_header_a_registration_or_an_algorithm_there_is_nothing() {
    let office = Office::new("pq-hybrid");
    let served = serve(&office, vec![registration(&["unix:uid:4294967290"], "billing", SvidKind::Stock)]);
    let bare = stream::<_, X509SvidResponse>(&served, SVIDS, Request::new(X509SvidRequest {})).await;
    assert_eq!(bare.unwrap_err().code(), Code::InvalidArgument);
    let mut twice = with_header(X509SvidRequest {});
    twice.metadata_mut().append("workload.spiffe.io", MetadataValue::from_static("true"));
    let twice = stream::<_, X509SvidResponse>(&served, SVIDS, twice).await;
    assert_eq!(twice.unwrap_err().code(), Code::InvalidArgument);
    assert!(office.events.lock().is_empty(), "nobody was looked at");

    let error = first(&served).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(
        !error.message().contains("unix:"),
        "a stranger is not told what would help: {}",
        error.message()
    );
    let refusals = office.refusals();
    assert!(refusals[0].contains("unix:sha256:") && refusals[0].contains("[[register]]"), "{refusals:?}");

    // Registered, but no permitted algorithm is what the registration asks for.
    let stock = registration(&[&own_uid()], "billing", SvidKind::Stock);
    served.workload.register(Registrations::new(vec![stock]).unwrap()).unwrap();
    let error = first(&served).await.unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
    assert!(error.message().contains("stock"), "{}", error.message());
    assert!(office.refusals()[1].contains("post_quantum"), "{:?}", office.refusals());
    let quantum = registration(&[&own_uid()], "billing", SvidKind::PostQuantum);
    served.workload.register(Registrations::new(vec![quantum]).unwrap()).unwrap();
    first(&served).await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_issued() {
    let office = Office::new("pq-kex");
    let served = serve(&office, vec![registration(&[&own_uid()], "billing", SvidKind::Stock)]);
    *office.full.lock() = true;
    let error = first(&served).await.unwrap_err();
    assert_eq!(error.code(), Code::Unavailable);
    assert!(!error.message().contains("no space"), "{}", error.message());
}

#[tokio::test]
async fn bundles_are_of_the_kind_of_the_svid_and_told_again_when_they_change() {
    let office = Office::new("pq-kex");
    let served = serve(&office, vec![registration(&[&own_uid()], "billing", SvidKind::PostQuantum)]);
    let request = with_header(X509BundlesRequest {});
    let mut stream = stream::<_, X509BundlesResponse>(&served, BUNDLES, request).await.unwrap();
    let bundles = stream.message().await.unwrap().unwrap().bundles;
    let bundle = office.authority.bundle();
    let roots: Vec<u8> = bundle
        .roots()
        .iter()
        .filter(|root| SvidKind::PostQuantum.is_made_of(root.algorithm()))
        .flat_map(|root| root.certificate().to_vec())
        .collect();
    assert_eq!(bundles["spiffe://example.org"], roots);
    let algorithm = office.in_force.iter().copied().find(|a| SvidKind::PostQuantum.is_made_of(a)).unwrap();
    office.authority.rotate(algorithm, SystemTime::now(), Duration::from_secs(3600)).unwrap();
    served.workload.changed();
    let longer = stream.message().await.unwrap().unwrap().bundles;
    assert!(longer["spiffe://example.org"].len() > roots.len());
}

#[tokio::test]
async fn methods_that_are_not_offered_say_so() {
    let office = Office::new("pq-kex");
    let served = serve(&office, vec![registration(&[&own_uid()], "billing", SvidKind::Stock)]);
    for (audience, says) in [
        (Vec::new(), "audiences"),
        (vec![String::new()], "audiences"),
        (vec!["a".to_owned(); 9], "audiences"),
        (vec!["a".to_owned()], "no JWT-SVIDs"),
    ] {
        let request = with_header(JwtSvidRequest { audience, spiffe_id: String::new() });
        let path = PathAndQuery::from_static("/SpiffeWorkloadAPI/FetchJWTSVID");
        let codec = ProstCodec::<JwtSvidRequest, JwtSvidResponse>::default();
        let error = channel(&served).await.unary(request, path, codec).await.unwrap_err();
        assert!(error.message().contains(says), "{}", error.message());
    }
    let none =
        stream::<_, X509SvidResponse>(&served, "/SpiffeWorkloadAPI/Nothing", with_header(X509SvidRequest {}));
    assert_eq!(none.await.unwrap_err().code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_process_enrols_with_a_key_of_its_own() {
    let office = Office::new("pq-hybrid");
    let served = serve(&office, vec![registration(&[&own_uid()], "billing", SvidKind::Stock)]);
    let enrolment = Enrolment::begin(office.in_force[0]).unwrap();
    let enrolled = enrol(&served.socket, enrolment.request_pem()).await.unwrap();
    let bundle = TrustBundle::from_pem(&enrolled.authority).unwrap();
    let agent = enrolment.finish(&enrolled.certificate, bundle, SystemTime::now()).unwrap();
    assert_eq!(agent.id.path(), "/agent/billing");

    // A key of an algorithm that is not in force, and what is no request.
    let foreign = lockgate_crypto::profile::find("cnsa2").unwrap().identities()[0];
    let error = enrol(&served.socket, Enrolment::begin(foreign).unwrap().request_pem()).await.unwrap_err();
    assert!(error.to_string().contains("no certificate is issued"), "{error}");
    assert!(enrol(&served.socket, "-----BEGIN NONSENSE-----").await.is_err());
}

#[tokio::test]
async fn whoami_tells_what_is_proven_and_what_comes_of_it() {
    let office = Office::new("pq-kex");
    let served = serve(&office, vec![registration(&[&own_uid()], "billing", SvidKind::Stock)]);
    let me = whoami(&served.socket).await.unwrap();
    let own = std::env::current_exe().unwrap();
    assert!(me.selectors.contains(&format!("unix:path:{}", own.display())), "{me:?}");
    assert!(me.selectors.iter().any(|selector| selector.starts_with("parent:path:")), "{me:?}");
    assert_eq!(me.registrations[0].id, "spiffe://example.org/agent/billing");
    assert!(!me.registrations[0].revoked);
}

/// A script, so that the executable is not the test's own.
const ASK: &str = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n\
    s.sendall(b'GET /lockgate/whoami HTTP/1.1\\r\\nhost: x\\r\\naccept: application/json\\r\\nconnection: close\\r\\n\\r\\n')\n\
    d=b''\nwhile True:\n b=s.recv(65536)\n if not b: break\n d+=b\nsys.stdout.write(d.decode())\n";

#[tokio::test]
async fn a_script_is_known_as_its_interpreter_and_by_its_parent() {
    let office = Office::new("pq-kex");
    let served = serve(&office, Vec::new());
    let mut command = tokio::process::Command::new("python3");
    let output =
        command.args(["-c", ASK]).arg(&served.socket).stderr(Stdio::inherit()).output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let own = std::env::current_exe().unwrap();
    for expected in [
        "\"unix:interpreter:python\"".to_owned(),
        format!("\"parent:path:{}\"", own.display()),
        "says nothing about the script".to_owned(),
        "\"registrations\":[]".to_owned(),
    ] {
        assert!(text.contains(&expected), "{expected} is not in {text}");
    }
}

#[tokio::test]
async fn what_is_no_request_of_ours_gets_nothing() {
    let office = Office::new("pq-kex");
    let served = serve(&office, vec![registration(&[&own_uid()], "billing", SvidKind::Stock)]);
    for (request, says) in [
        ("GET /lockgate/whoami HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", "400"),
        ("GET /other HTTP/1.1\r\nhost: x\r\naccept: application/json\r\nconnection: close\r\n\r\n", "400"),
        (
            "POST /lockgate/enrol HTTP/1.1\r\nhost: x\r\naccept: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
            "400",
        ),
        (
            "POST /lockgate/enrol HTTP/1.1\r\nhost: x\r\naccept: application/json\r\ncontent-length: 400000\r\nconnection: close\r\n\r\n{}",
            "400",
        ),
    ] {
        let mut stream = tokio::net::UnixStream::connect(&served.socket).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let _ = stream.shutdown().await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {says}")), "{request}: {answer}");
    }
}

#[tokio::test]
async fn one_user_cannot_take_every_connection() {
    let office = Office::new("pq-kex");
    let served = serve(&office, Vec::new());
    let mut held = Vec::new();
    for _ in 0..64 {
        held.push(tokio::net::UnixStream::connect(&served.socket).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut over = tokio::net::UnixStream::connect(&served.socket).await.unwrap();
    let mut byte = [0];
    let closed = tokio::time::timeout(Duration::from_secs(5), over.read(&mut byte)).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    drop(held);
    tokio::time::sleep(Duration::from_millis(100)).await;
    whoami(&served.socket).await.unwrap();
}

#[tokio::test]
async fn a_socket_that_answers_and_a_file_are_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let first = listen(&path).unwrap();
    let error = listen(&path).unwrap_err().to_string();
    assert!(error.contains("another process answers"), "{error}");
    drop(first);
    assert!(!path.exists());
    // Left behind by one that was killed.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    drop(listen(&path).unwrap());
    std::fs::write(&path, "precious").unwrap();
    let error = listen(&path).unwrap_err().to_string();
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}
