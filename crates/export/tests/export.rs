//! Every record arrives at least once, whatever the other side does.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockgate_export::{Exporter, HttpSink, Keep, Line, Sink, Source, Standing, SyslogSink, Token};
use lockgate_transport::http::{Limits, Pool, Target};
use lockgate_transport::{Dialer, dialer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// A log of records 1 to `last`, without those before `first`.
struct Memory {
    first: u64,
    last: Arc<AtomicU64>,
}

fn line(seq: u64) -> Line {
    let kind = if seq.is_multiple_of(2) { "call" } else { "refusal" };
    let text = json!({"schema": "lockgate.audit/1", "seq": seq, "prev": "0", "time": "2026-11-22T14:00:00.000001Z",
        "kind": kind, "outcome": "ok", "agent": "spiffe://d/agent/a", "method": "tools/call", "name": "echo"});
    Line { seq, text: text.to_string() }
}

impl Source for Memory {
    fn read(&mut self, next: u64, records: usize, _bytes: usize) -> Result<(Vec<Line>, u64), String> {
        let last = self.last.load(Ordering::SeqCst);
        Ok(((next.max(self.first)..=last).take(records).map(line).collect(), last))
    }
}

#[derive(Default)]
struct Cursor(AtomicU64);

impl Keep for Cursor {
    fn load(&self) -> Result<Option<u64>, String> {
        Ok(Some(self.0.load(Ordering::SeqCst)).filter(|next| *next > 0))
    }

    fn save(&self, next: u64) -> Result<(), String> {
        self.0.store(next, Ordering::SeqCst);
        Ok(())
    }
}

struct Secret;

impl Token for Secret {
    fn read(&self) -> Result<Zeroizing<String>, String> {
        Ok(Zeroizing::new("t0ken\n".to_owned()))
    }
}

struct Run {
    standing: Arc<Standing>,
    cursor: Arc<Cursor>,
    last: Arc<AtomicU64>,
    end: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

fn run(sink: Sink, (first, last): (u64, u64), cursor: Arc<Cursor>, kinds: &[&str]) -> Run {
    let standing = Arc::new(Standing::default());
    let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    let exporter = Exporter { name: "test".to_owned(), sink, kinds, standing: standing.clone() };
    let (last, end) = (Arc::new(AtomicU64::new(last)), CancellationToken::new());
    let source = Memory { first, last: last.clone() };
    let task = tokio::spawn(exporter.run(source, cursor.clone(), end.clone()));
    Run { standing, cursor, last, end, task }
}

impl Run {
    async fn until(&self, what: impl Fn(&Standing) -> bool) {
        let wait = async {
            while !what(&self.standing) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| {
            panic!("{:?}", self.standing.view());
        });
    }

    async fn stop(self) {
        self.end.cancel();
        self.task.await.unwrap();
    }
}

/// A request as it came: its head and its body.
type Asked = (String, String);

/// Answers each request with the next of `answers`, the last one for ever.
async fn server(answers: Vec<&'static str>) -> (u16, mpsc::UnboundedReceiver<Asked>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = mpsc::unbounded_channel();
    let at = Arc::new(AtomicU64::new(0));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, answers.clone(), at.clone(), tell.clone()));
        }
    });
    (port, told)
}

async fn talk(
    mut stream: TcpStream,
    answers: Vec<&'static str>,
    at: Arc<AtomicU64>,
    tell: mpsc::UnboundedSender<Asked>,
) {
    let mut bytes = Vec::new();
    loop {
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let whole = end + 4 + length.parse::<usize>().unwrap();
        while bytes.len() < whole {
            if stream.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body = String::from_utf8_lossy(&bytes[end + 4..whole]).into_owned();
        bytes.drain(..whole);
        let number = usize::try_from(at.fetch_add(1, Ordering::SeqCst)).unwrap();
        let answer = answers[number.min(answers.len() - 1)];
        tell.send((head, body)).unwrap();
        if answer.is_empty() {
            return;
        }
        let (status, body) = answer.split_once('|').unwrap();
        let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(text.as_bytes()).await.unwrap();
    }
}

fn http(port: u16, path: &'static str) -> HttpSink {
    let url = format!("http://127.0.0.1:{port}{path}").parse().unwrap();
    let dialer = Arc::new(Dialer::plain(dialer::Limits::default()));
    let pool = Pool::new(Target::new(&url, dialer).unwrap(), Limits::default());
    HttpSink { pool, path: path.parse().unwrap(), token: Some(Arc::new(Secret)), node: "gw".to_owned() }
}

/// The numbers of the records in the bodies of OTLP requests.
fn numbers(asked: &mut mpsc::UnboundedReceiver<Asked>) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Ok((_, body)) = asked.try_recv() {
        let body: Value = serde_json::from_str(&body).unwrap();
        for record in body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().unwrap() {
            let line = record["body"]["stringValue"].as_str().unwrap();
            numbers.push(serde_json::from_str::<Value>(line).unwrap()["seq"].as_u64().unwrap());
        }
    }
    numbers
}

#[tokio::test]
async fn a_collector_that_refuses_breaks_off_and_takes_a_part_gets_everything_in_the_end() {
    let answers = vec![
        "503 Service Unavailable|try later",
        "",
        r#"200 OK|{"partialSuccess":{"rejectedLogRecords":"3","errorMessage":"too \u001b[31mold"}}"#,
        "200 OK|{}",
    ];
    let (port, mut asked) = server(answers).await;
    let run = run(Sink::Otlp(http(port, "/v1/logs")), (1, 700), Arc::default(), &[]);
    run.until(|standing| standing.view().problem.is_some()).await;
    run.until(|standing| standing.view().sent == 700).await;
    let view = run.standing.view();
    assert_eq!((view.behind, view.next_seq, view.lost, &view.problem), (0, 701, 0, &None), "{view:?}");
    run.last.store(702, Ordering::SeqCst);
    run.until(|standing| standing.view().sent == 702).await;
    let numbers = numbers(&mut asked);
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 702);
    assert_eq!(numbers.len(), 702 + 3 * 512, "three batches were sent in vain");
    run.stop().await;
}

#[tokio::test]
async fn a_restart_goes_on_where_it_was_and_what_is_gone_is_said() {
    let (port, mut asked) = server(vec!["200 OK|"]).await;
    let cursor = Arc::new(Cursor(AtomicU64::new(11)));
    let first = run(Sink::Otlp(http(port, "/v1/logs")), (16, 20), cursor.clone(), &["call"]);
    first.until(|standing| standing.view().next_seq == 21).await;
    assert_eq!(first.standing.view().lost, 5);
    assert_eq!(cursor.0.load(Ordering::SeqCst), 21);
    first.stop().await;
    assert_eq!(numbers(&mut asked), [16, 18, 20], "only the kinds that were asked for");
    let again = run(Sink::Otlp(http(port, "/v1/logs")), (16, 22), cursor, &[]);
    again.until(|standing| standing.view().next_seq == 23).await;
    assert_eq!(again.standing.view().lost, 0);
    again.stop().await;
    assert_eq!(numbers(&mut asked), [21, 22]);
}

#[tokio::test]
async fn otlp_is_what_its_specification_says() {
    let (port, mut asked) = server(vec!["200 OK|{}"]).await;
    let run = run(Sink::Otlp(http(port, "/v1/logs")), (1, 1), Arc::default(), &[]);
    let (head, body) = asked.recv().await.unwrap();
    assert!(head.starts_with("post /v1/logs http/1.1"), "{head}");
    assert!(head.contains("content-type: application/json") && head.contains("authorization: bearer t0ken"));
    let body: Value = serde_json::from_str(&body).unwrap();
    let record = &body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["timeUnixNano"], "1795356000000001000");
    assert_eq!(
        (&record["severityNumber"], &record["eventName"]),
        (&json!(9), &json!("lockgate.audit.refusal"))
    );
    let has = |key: &str, value: Value| {
        let attributes = record["attributes"].as_array().unwrap();
        assert!(attributes.contains(&json!({"key": key, "value": value})), "{key}: {attributes:?}");
    };
    has("lockgate.audit.seq", json!({"intValue": "1"}));
    has("mcp.method.name", json!({"stringValue": "tools/call"}));
    has("gen_ai.tool.name", json!({"stringValue": "echo"}));
    run.stop().await;
}

#[tokio::test]
async fn splunk_is_asked_until_the_batch_is_indexed() {
    let answers = vec![
        r#"200 OK|{"text":"Success","code":0,"ackId":4}"#,
        r#"200 OK|{"acks":{"4":false}}"#,
        r#"200 OK|{"acks":{"4":true}}"#,
        r#"200 OK|{"text":"Invalid token","code":4}"#,
        r#"200 OK|{"text":"Success","code":0}"#,
    ];
    let (port, mut asked) = server(answers).await;
    let run = run(Sink::Splunk(http(port, "/services/collector/event")), (1, 2), Arc::default(), &[]);
    run.until(|standing| standing.view().sent == 2).await;
    let (head, body) = asked.recv().await.unwrap();
    assert!(head.contains("authorization: splunk t0ken"), "{head}");
    let events: Vec<Value> =
        serde_json::Deserializer::from_str(&body).into_iter().collect::<Result<_, _>>().unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(
        (&events[1]["event"]["seq"], &events[1]["sourcetype"], &events[1]["time"]),
        (&json!(2), &json!("lockgate:audit"), &json!(1_795_356_000.000_001))
    );
    let channel = |head: &str| {
        head.lines().find_map(|line| line.strip_prefix("x-splunk-request-channel: ").map(str::to_owned))
    };
    let (question, body) = asked.recv().await.unwrap();
    assert!(question.starts_with("post /services/collector/ack") && body == r#"{"acks":[4]}"#, "{question}");
    assert_eq!(channel(&head).map(|channel| channel.len()), Some(36));
    assert_eq!(channel(&head), channel(&question));
    run.last.store(3, Ordering::SeqCst);
    run.until(|standing| standing.view().problem.is_some_and(|problem| problem.contains("Invalid token")))
        .await;
    run.until(|standing| standing.view().sent == 3).await;
    run.stop().await;
}

/// Reads frames, each behind its length.
async fn frames(stream: &mut TcpStream, count: usize) -> Vec<String> {
    let mut frames = Vec::new();
    for _ in 0..count {
        let mut length = 0;
        loop {
            match stream.read_u8().await.unwrap() {
                b' ' => break,
                digit => length = length * 10 + usize::from(digit - b'0'),
            }
        }
        let mut frame = vec![0; length];
        stream.read_exact(&mut frame).await.unwrap();
        frames.push(String::from_utf8(frame).unwrap());
    }
    frames
}

#[tokio::test]
async fn syslog_sends_again_what_a_broken_connection_may_have_lost() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dialer = Arc::new(Dialer::plain(dialer::Limits::default()));
    let sink = SyslogSink { dialer, host: "127.0.0.1".to_owned(), port, node: "gw".to_owned() };
    let run = run(Sink::Syslog(sink), (1, 3), Arc::default(), &[]);
    let (mut first, _) = listener.accept().await.unwrap();
    let before = frames(&mut first, 3).await;
    assert!(before[1].starts_with("<110>1 ") && before[1].contains("[lockgate seq=\"2\"]"), "{before:?}");
    drop(first);
    run.last.store(4, Ordering::SeqCst);
    let (mut second, _) = listener.accept().await.unwrap();
    let after = frames(&mut second, 4).await;
    assert_eq!(after[..3], before, "what was in doubt");
    assert!(after[3].contains("seq=\"4\""), "{after:?}");
    run.until(|standing| standing.view().next_seq == 5).await;
    run.stop().await;
}

#[tokio::test]
async fn a_file_may_be_renamed_away_and_one_that_cannot_be_written_holds_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("here/audit.jsonl");
    let run = run(Sink::File(path.clone()), (1, 2), Arc::default(), &[]);
    run.until(|standing| standing.view().problem.is_some()).await;
    std::fs::create_dir(folder.path().join("here")).unwrap();
    run.until(|standing| standing.view().sent == 2).await;
    std::fs::rename(&path, folder.path().join("old")).unwrap();
    run.last.store(3, Ordering::SeqCst);
    run.until(|standing| standing.view().sent == 3).await;
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&folder.path().join("old")), format!("{}\n{}\n", line(1).text, line(2).text));
    assert_eq!(read(&path), format!("{}\n", line(3).text));
    assert_eq!(run.cursor.0.load(Ordering::SeqCst), 4);
    run.stop().await;
}
