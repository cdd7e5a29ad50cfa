//! Servers that lie, dawdle or speak something else.

use std::io;
use std::sync::Arc;

use lockgate_transport::probe::report::{Answer, Whose};
use lockgate_transport::probe::{Limits, ProbeError, Report};
use rustls::NamedGroup;
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::world::{World, listener};
use super::{Level, found, groups, limits, probe, versions};

/// The last bytes of a ServerHello's random without a sentinel.
const NO_SENTINEL: [u8; 8] = [7; 8];
const SENTINEL: [u8; 8] = *b"DOWNGRD\x01";

/// A server whose answer to everything is `answer`, after it has read something.
async fn always(answer: Vec<u8>) -> u16 {
    serve(move |mut stream, _| {
        let answer = answer.clone();
        async move {
            stream.write_all(&answer).await?;
            stream.shutdown().await
        }
    })
    .await
}

/// A server that gives each connection and the first segment that it sent to `handle`.
async fn serve<F>(handle: impl Fn(TcpStream, Vec<u8>) -> F + Send + 'static) -> u16
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut first = vec![0; 16_384];
            if let Ok(count @ 1..) = stream.read(&mut first).await {
                first.truncate(count);
                tokio::spawn(handle(stream, first));
            }
        }
    });
    port
}

fn server_hello(random_end: [u8; 8], cipher: u16, extensions: &[u8]) -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([7; 24]);
    body.extend(random_end);
    body.push(0);
    body.extend(cipher.to_be_bytes());
    body.push(0);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut record = vec![22, 3, 3];
    record.extend(u16::try_from(body.len() + 4).unwrap().to_be_bytes());
    record.extend([2, 0]);
    record.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    record.extend(body);
    record
}

/// Extensions that choose TLS 1.3 and a share of this group.
fn tls13(group: u16) -> Vec<u8> {
    let mut extensions = vec![0, 43, 0, 2, 3, 4, 0, 51, 0, 5];
    extensions.extend(group.to_be_bytes());
    extensions.extend([0, 1, 9]);
    extensions
}

async fn fails(port: u16, limits: Limits) -> ProbeError {
    probe(port, limits).await.unwrap_err()
}

#[tokio::test]
async fn a_port_without_tls_is_told_apart() {
    let port = always(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()).await;
    let error = fails(port, limits()).await;
    assert!(matches!(error, ProbeError::NotTls { .. }), "{error}");
    assert!(error.to_string().contains("HTTP/1.1 400"), "{error}");
    let error = fails(always(Vec::new()).await, limits()).await;
    assert!(matches!(error, ProbeError::NotTls { .. }), "{error}");
}

#[tokio::test]
async fn a_port_without_a_server_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    assert!(matches!(fails(port, limits()).await, ProbeError::Connect { .. }));
}

#[tokio::test]
async fn a_server_that_never_answers_ends_the_probe() {
    let port = serve(|mut stream, _| async move {
        stream.read_to_end(&mut Vec::new()).await?;
        Ok(())
    })
    .await;
    let error = fails(port, Limits { answer_ms_max: 50, ..limits() }).await;
    assert!(matches!(error, ProbeError::NotTls { .. }), "{error}");
    let error = fails(port, Limits { probe_ms_max: 50, ..limits() }).await;
    assert!(matches!(error, ProbeError::Deadline { .. }), "{error}");
}

#[tokio::test]
async fn a_name_that_cannot_be_sent_is_refused() {
    let prober = lockgate_transport::probe::Prober::new(limits());
    let error = prober.probe("127.0.0.1", 1, Some("not a name"), |_| {}).await.unwrap_err();
    assert!(matches!(error, ProbeError::Name { .. }), "{error}");
}

#[tokio::test]
async fn connections_are_bounded() {
    let port = always(server_hello(NO_SENTINEL, 0x1301, &tls13(0x001d))).await;
    let error = fails(port, Limits { connections_max: 5, ..limits() }).await;
    assert!(matches!(error, ProbeError::Connections { connections_max: 5, .. }), "{error}");
}

/// A server that says yes to everything by one and the same answer says nothing.
#[tokio::test]
async fn a_choice_of_what_was_not_offered_is_no_answer() {
    let port = always(server_hello(NO_SENTINEL, 0x1301, &tls13(0x4242))).await;
    let report = probe(port, limits()).await.unwrap();
    assert_eq!(groups(&report), [""; 0]);
    let answer = &report.groups[0].offer.answer;
    assert!(matches!(answer, Answer::Unclear { why } if why.contains("0x4242")), "{answer:?}");
    assert_eq!(report.group_order.whose, Whose::Single);
    assert!(report.handshakes.is_empty() && report.chains.is_empty());
    assert!(!report.quantum_safe.key_exchange && !report.quantum_safe.authentication);
    assert!(found(&report, Level::Bad, "key exchange"));
}

#[tokio::test]
async fn a_server_of_tls_1_2_alone_is_reported_whole() {
    let port = always(server_hello(NO_SENTINEL, 0xc02f, &[])).await;
    let report = probe(port, limits()).await.unwrap();
    assert_eq!(versions(&report), ["TLSv1.2"]);
    assert!(found(&report, Level::Bad, "versions") && found(&report, Level::Bad, "key exchange"));
    // Without TLS 1.3 there is nothing that a sentinel could warn of.
    assert!(report.versions.iter().all(|version| version.sentinel.is_none()));
    assert!(report.connections < 12, "{}", report.connections);
}

/// Checklist 5: whether a server's downgrade to TLS 1.2 could be seen.
#[tokio::test]
async fn checklist_05_a_missing_downgrade_sentinel_is_seen() {
    for (end, expected) in [(NO_SENTINEL, false), (SENTINEL, true)] {
        let port = serve(move |mut stream, hello| async move {
            // The supported_versions extension of a client that knows TLS 1.3 only.
            let modern = hello.windows(7).any(|bytes| bytes == [0, 43, 0, 3, 2, 3, 4]);
            let answer = if modern {
                server_hello(end, 0x1301, &tls13(0x001d))
            } else {
                server_hello(end, 0xc02f, &[])
            };
            stream.write_all(&answer).await
        })
        .await;
        let report = probe(port, limits()).await.unwrap();
        assert_eq!(versions(&report), ["TLSv1.3", "TLSv1.2"]);
        assert_eq!(report.versions[1].sentinel, Some(expected));
        assert_eq!(found(&report, Level::Bad, "versions"), !expected);
    }
}

/// Our listener behind a middlebox: `blocks` sees the first segment, and what it blocks is refused by an alert.
async fn behind(blocks: impl Fn(&[u8]) -> bool + Send + Sync + 'static, limits: Limits) -> Report {
    let world = World::new();
    let tls = Arc::new(world.tls("pq-hybrid", &world.node()));
    let listener = listener().await;
    let server = listener.local();
    tokio::spawn(async move {
        loop {
            let accepted = listener.accept().await.unwrap();
            let tls = Arc::clone(&tls);
            tokio::spawn(async move {
                if let Ok(mut link) = lockgate_transport::secure(accepted, &tls, &Default::default()).await {
                    let _ = link.io.read_to_end(&mut Vec::new()).await;
                }
            });
        }
    });
    let blocks = Arc::new(blocks);
    let port = serve(move |mut client, first| {
        let blocks = Arc::clone(&blocks);
        async move {
            if blocks(&first) {
                client.write_all(&[21, 3, 3, 0, 2, 2, 40]).await?;
                return client.shutdown().await;
            }
            let mut server = TcpStream::connect(server).await?;
            server.write_all(&first).await?;
            tokio::io::copy_bidirectional(&mut client, &mut server).await?;
            Ok(())
        }
    })
    .await;
    probe(port, limits).await.unwrap()
}

/// Checklist 1, from the other side: a middlebox that knows a list and refuses the rest is found out.
#[tokio::test]
async fn checklist_01_a_middlebox_that_refuses_unknown_groups_is_found() {
    let grease = |hello: &[u8]| {
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut &*hello).unwrap();
        let Ok(Some(accepted)) = acceptor.accept() else { return false };
        let groups = accepted.client_hello().named_groups().unwrap_or_default().to_vec();
        groups.contains(&NamedGroup::from(0x0a0a))
    };
    let report = behind(grease, limits()).await;
    assert!(report.tolerance.unknown_values.is_no());
    assert_eq!(report.tolerance.intolerant_of, ["groups", "key shares"]);
    assert!(found(&report, Level::Bad, "tolerance"));
    assert!(report.quantum_safe.key_exchange);
}

#[tokio::test]
async fn a_middlebox_that_wants_a_hello_in_one_segment_is_found() {
    let torn = |segment: &[u8]| {
        let length = segment.get(3..5).map(|length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        segment[0] == 22 && length.is_none_or(|length| segment.len() < 5 + length)
    };
    // Long enough that the first half is read alone, however busy the machine is.
    let report = behind(torn, Limits { split_ms: 2_000, ..limits() }).await;
    assert!(report.tolerance.large_hello.is_yes(), "{:?}", report.tolerance);
    assert!(report.tolerance.split_hello.is_no(), "{:?}", report.tolerance);
    assert!(found(&report, Level::Bad, "tolerance"));
}
