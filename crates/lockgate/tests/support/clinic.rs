//! An MCP server with something worth protecting, which remembers what it was called with.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// A running server; it serves until the test ends.
pub(crate) struct Clinic {
    pub(crate) address: SocketAddr,
    calls: Arc<Mutex<Vec<Value>>>,
    asked: Arc<Mutex<usize>>,
}

/// What a tool does that is not of the clinic: from the params of its call to the result, or the error, as JSON text.
pub(crate) type Tool = fn(&Value) -> Option<Result<String, String>>;

impl Clinic {
    pub(crate) fn start() -> Self {
        Self::with(|_| None)
    }

    /// A server with a tool that is asked first.
    pub(crate) fn with(tool: Tool) -> Self {
        Self::listing(own_tools(), tool)
    }

    /// A server that lists these tools, of which one is asked first.
    pub(crate) fn listing(tools: Value, tool: Tool) -> Self {
        let tools = Arc::new(tools);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, asked) = (Arc::<Mutex<Vec<Value>>>::default(), Arc::<Mutex<usize>>::default());
        let (seen, count) = (Arc::clone(&calls), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (seen, count, tools) = (Arc::clone(&seen), Arc::clone(&count), Arc::clone(&tools));
                std::thread::spawn(move || serve(stream, (&seen, &count), (&tools, tool)));
            }
        });
        Self { address, calls, asked }
    }

    pub(crate) fn to(&self) -> String {
        format!("http://{}/mcp", self.address)
    }

    /// The arguments of every call that came through.
    pub(crate) fn calls(&self) -> Vec<Value> {
        self.calls.lock().unwrap().clone()
    }

    /// How many requests of any kind came.
    pub(crate) fn asked(&self) -> usize {
        *self.asked.lock().unwrap()
    }
}

fn serve(
    stream: TcpStream,
    (seen, count): (&Mutex<Vec<Value>>, &Mutex<usize>),
    (tools, tool): (&Value, Tool),
) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(body) = request(&mut reader) {
        *count.lock().unwrap() += 1;
        let message: Value = serde_json::from_slice(&body).unwrap_or_default();
        let scripted = if message["method"] == "tools/call" { tool(&message["params"]) } else { None };
        let said = match scripted {
            Some(Ok(result)) => Some(("result", result)),
            Some(Err(error)) => Some(("error", error)),
            None if message["method"] == "tools/list" => {
                Some(("result", json!({"tools": tools}).to_string()))
            }
            None => answer(&message, seen).map(|result| ("result", result.to_string())),
        };
        let written = match said {
            None => write!(stream, "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"),
            Some((member, said)) => {
                let id = &message["id"];
                let body = format!(r#"{{"jsonrpc":"2.0","id":{id},"{member}":{said}}}"#);
                let length = body.len();
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
                write!(stream, "{head}\r\nContent-Length: {length}\r\n\r\n{body}")
            }
        };
        if written.is_err() {
            return;
        }
    }
}

/// The body of the next request.
fn request(reader: &mut impl std::io::BufRead) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}

fn answer(message: &Value, seen: &Mutex<Vec<Value>>) -> Option<Value> {
    message.get("id")?;
    let both = |value: Value| json!({"content": [{"type": "text", "text": value.to_string()}], "structuredContent": value});
    Some(match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
            "serverInfo": {"name": "clinic", "version": "1"}}),
        "tools/call" => {
            seen.lock().unwrap().push(message["params"].clone());
            match message["params"]["name"].as_str().unwrap_or_default() {
                // It gives more than it was asked for, as many servers do.
                "get_customer" => {
                    both(json!({"name": "Ada", "email": "ada@example.org", "ssn": "078-05-1120"}))
                }
                "read_record" => both(json!({"patient": "p-1", "allergies": ["penicillin"]})),
                _ => both(json!({"kept": true})),
            }
        }
        _ => json!({}),
    })
}

fn tool(name: &str, properties: Value) -> Value {
    json!({"name": name, "description": name, "inputSchema": {"type": "object", "properties": properties}})
}

fn own_tools() -> Value {
    json!([
        tool(
            "get_customer",
            json!({"customer_id": {"type": "string"},
            "fields": {"type": "array", "items": {"type": "string"}}})
        ),
        tool("read_record", json!({"patient": {"type": "string"}})),
        tool("note", json!({"text": {"type": "string"}, "tags": {"type": "object"}})),
    ])
}
