//! A small HTTP API that remembers what it was asked.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What it was asked, each as its request line, headers in small letters, and body.
#[derive(Clone, Default)]
pub(crate) struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> String {
        self.all().pop().unwrap_or_default()
    }
}

/// Answers each request by what `answer` makes of its first line: a status line, headers and a body.
pub(crate) fn serve(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, asked, answer) = (listener.local_addr().unwrap(), Asked::default(), Arc::new(answer));
    let kept = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (kept, answer) = (kept.clone(), Arc::clone(&answer));
            std::thread::spawn(move || converse(stream, &kept, &*answer));
        }
    });
    (address, asked)
}

fn converse(stream: TcpStream, asked: &Asked, answer: &dyn Fn(&str) -> String) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let first = head.lines().next().unwrap_or_default().to_owned();
        asked.0.lock().unwrap().push(format!("{head}\n{}", String::from_utf8_lossy(&body)));
        if stream.write_all(answer(&first).as_bytes()).is_err() {
            return;
        }
    }
}

/// An answer with JSON.
pub(crate) fn json(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
