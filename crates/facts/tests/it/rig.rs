//! Specs, subjects, and a server that says what it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockgate_facts::{Absence, FactShape, FactType, Facts, From, Gathered, Outcome, Spec, Subject, Template};
use lockgate_transport::http::{Limits, Pool, Target};
use lockgate_transport::{Dialer, dialer};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const AGENT: &str = "spiffe://lockgate.internal/agent/ward";

pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

pub(crate) fn shape(key: Option<&str>) -> Arc<FactShape> {
    let fields = [("patient", FactType::Text), ("rooms", FactType::Integer)];
    Arc::new(FactShape {
        name: "appointment".to_owned(),
        fields: fields.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect(),
        key: key.map(str::to_owned),
    })
}

pub(crate) fn spec(from: From, key: Option<&str>) -> Spec {
    Spec { shape: shape(key), from, max_age_ms: 60_000, deadline_ms: 200 }
}

pub(crate) fn facts(spec: Spec) -> Facts {
    Facts::new(vec![spec], None)
}

/// Asks for the one fact, about patient p-1 unless told otherwise.
pub(crate) async fn ask(facts: &Facts, patient: &str, now_ms: u64) -> Gathered {
    let arguments = serde_json::json!({ "patient": patient }).to_string();
    let subject = Subject { agent: AGENT, server: "ehr", arguments_raw: Some(&arguments) };
    let shapes: Vec<_> = facts.shapes().into_iter().map(Arc::new).collect();
    facts.gather(&shapes, &subject, now_ms).await
}

pub(crate) fn rooms(gathered: &Gathered) -> Option<i64> {
    let record = gathered.values.get("appointment");
    assert_eq!(record.is_some(), gathered.used[0].outcome.is_present(), "{gathered:?}");
    record.map(|record| record["rooms"].as_i64().unwrap())
}

pub(crate) fn why(gathered: &Gathered) -> Absence {
    match &gathered.used[0].outcome {
        Outcome::Absent(why) => why.clone(),
        outcome => panic!("present: {outcome}"),
    }
}

pub(crate) fn record(rooms: i64) -> Value {
    serde_json::json!({"patient": "p-1", "rooms": rooms})
}

/// What a server does with each connection.
#[derive(Clone)]
pub(crate) enum Says {
    /// These bytes, and then the end.
    Bytes(Vec<u8>),
    /// These bytes, one by one, with a pause after each.
    Drip(Vec<u8>),
    /// Nothing, for ever.
    Nothing,
    /// The head of an answer, and then zeros without end.
    Endless(&'static str),
    /// JSON after a while.
    After(Duration, String),
}

/// An answer as it should be.
pub(crate) fn good(body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}")
        .into()
}

pub(crate) fn status(line: &str, further: &str) -> Vec<u8> {
    format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n{further}\r\n").into()
}

pub(crate) struct Server {
    pub(crate) facts: Facts,
    pub(crate) asked: Arc<AtomicUsize>,
    pub(crate) says: Arc<parking_lot::Mutex<Says>>,
    pub(crate) seen: Arc<parking_lot::Mutex<String>>,
}

impl Server {
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn say(&self, says: Says) {
        *self.says.lock() = says;
    }
}

/// A server, and a fact that comes from it, keyed by the patient.
pub(crate) async fn server(says: Says, change: impl FnOnce(&mut Spec)) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let says = Arc::new(parking_lot::Mutex::new(says));
    let seen = Arc::new(parking_lot::Mutex::new(String::new()));
    let (count, script, heard) = (Arc::clone(&asked), Arc::clone(&says), Arc::clone(&seen));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&count), Arc::clone(&script), Arc::clone(&heard)));
        }
    });
    let url = Template::parse(&format!("http://{address}/appointments?patient={{key}}")).unwrap();
    let dialer = Arc::new(Dialer::plain(dialer::Limits::default()));
    let pool = Pool::new(Target::new(url.origin(), dialer).unwrap(), Limits::default());
    let mut spec = spec(From::Http { url, pool }, Some("patient"));
    change(&mut spec);
    Server { facts: facts(spec), asked, says, seen }
}

async fn serve(
    mut stream: TcpStream,
    count: Arc<AtomicUsize>,
    says: Arc<parking_lot::Mutex<Says>>,
    seen: Arc<parking_lot::Mutex<String>>,
) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    *seen.lock() = String::from_utf8(request).unwrap();
    count.fetch_add(1, Ordering::SeqCst);
    let says = says.lock().clone();
    // Who asks may hang up in the middle.
    let _ = match says {
        Says::Bytes(bytes) => stream.write_all(&bytes).await,
        Says::Nothing => std::future::pending().await,
        Says::Drip(bytes) => {
            for byte in bytes {
                let _ = stream.write_all(&[byte]).await;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(())
        }
        Says::Endless(head) => {
            let mut written = stream.write_all(head.as_bytes()).await;
            while written.is_ok() {
                written = stream.write_all(&[b' '; 4096]).await;
            }
            written
        }
        Says::After(pause, body) => {
            tokio::time::sleep(pause).await;
            stream.write_all(&good(&body)).await
        }
    };
}
