//! Driving the real binary: run it to its end, or start it and wait for the line that says it is ready.
//!
//! Nothing here sleeps. Waiting is reading: a line, the end of a process, the answer of a server.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

/// Longest wait for anything, in seconds. A deadline for broken runs, never a measure of good ones.
pub(crate) const WAIT_S_MAX: u64 = 60;

/// What a command that ended left behind.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// The single JSON document on stdout.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error} in {:?}\n{}", self.stdout, self.stderr))
    }
}

/// The binary with a clean environment and its own state.
pub(crate) fn command(state: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockgate"));
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("HOME", state.parent().unwrap()).env("LOCKGATE_STATE", state);
    command
}

/// Runs to the end.
pub(crate) fn run(state: &Path, args: &[&str]) -> Ended {
    run_with(command(state).args(args), "")
}

/// Runs to the end, with text on stdin.
pub(crate) fn run_with(command: &mut Command, input: &str) -> Ended {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that fails early does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A place for a state directory, removed at the end.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    (folder, state)
}

/// A process that runs until it is dropped.
pub(crate) struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: mpsc::Receiver<String>,
    stderr: std::sync::Arc<std::sync::Mutex<String>>,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = std::sync::Arc::new(std::sync::Mutex::new(String::new()));
        let (kept, mut source) = (stderr.clone(), child.stderr.take().unwrap());
        std::thread::spawn(move || {
            let mut chunk = [0; 4096];
            while let Ok(read @ 1..) = source.read(&mut chunk) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
        });
        let stdin = child.stdin.take();
        Self { child, stdin, lines, stderr }
    }

    /// The next line on stdout.
    pub(crate) fn line(&self) -> String {
        let wait = Duration::from_secs(WAIT_S_MAX);
        self.lines
            .recv_timeout(wait)
            .unwrap_or_else(|error| panic!("no line ({error}); stderr:\n{}", self.stderr()))
    }

    /// The next line on stdout, if there is one before the process ends.
    pub(crate) fn maybe_line(&self) -> Option<String> {
        self.lines.recv_timeout(Duration::from_secs(WAIT_S_MAX)).ok()
    }

    pub(crate) fn json(&self) -> Value {
        let line = self.line();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
    }

    /// Writes one line to stdin.
    pub(crate) fn say(&mut self, message: &Value) {
        self.write(&format!("{message}\n"));
    }

    /// Writes one line to stdin, which the process may have left already.
    pub(crate) fn try_say(&mut self, message: &Value) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        let _ = stdin.write_all(format!("{message}\n").as_bytes()).and_then(|()| stdin.flush());
    }

    pub(crate) fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is open");
        stdin.write_all(text.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }

    /// Asks, and reads the answer with the same id; what comes before is returned with it.
    pub(crate) fn ask(&mut self, message: &Value) -> Value {
        self.say(message);
        self.answer(&message["id"])
    }

    /// Reads on until the answer to `id`.
    pub(crate) fn answer(&self, id: &Value) -> Value {
        loop {
            let message = self.json();
            if message["id"] == *id && message.get("method").is_none() {
                return message;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.stdin = None;
        // Reading to the end of stdout is waiting without a clock; then the process is about to be gone.
        while self.maybe_line().is_some() {}
        self.child.wait().unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A node on ports that the system chose.
pub(crate) struct Node {
    pub(crate) process: Running,
    pub(crate) ready: Value,
    pub(crate) state: PathBuf,
    _folder: Option<TempDir>,
}

impl Node {
    /// `up`: the sample server.
    pub(crate) fn up() -> Self {
        let (folder, state) = place();
        let mut node = Self::start(&state, &["up"]);
        node._folder = Some(folder);
        node
    }

    /// `gateway` with further arguments.
    pub(crate) fn gateway(args: &[&str]) -> Self {
        let (folder, state) = place();
        let mut node = Self::start(&state, &[&["gateway"], args].concat());
        node._folder = Some(folder);
        node
    }

    pub(crate) fn start(state: &Path, args: &[&str]) -> Self {
        let mut command = command(state);
        command.args(args).args(["--listen", "127.0.0.1:0", "--output", "json"]);
        let process = Running::start(&mut command);
        let ready = process.json();
        assert_eq!(ready["schema"], "lockgate.ready/1");
        Self { process, ready, state: state.to_owned(), _folder: None }
    }

    /// Base URL of the node.
    pub(crate) fn endpoint(&self) -> &str {
        self.ready["endpoint"].as_str().unwrap().strip_suffix("/mcp").unwrap()
    }

    pub(crate) fn url(&self, server: &str) -> String {
        format!("{}/servers/{server}/mcp", self.endpoint())
    }

    /// A connector over stdio on the same machine.
    pub(crate) fn connect(&self, server: &str) -> Running {
        Running::start(command(&self.state).args(["connect", &self.url(server)]))
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        run(&self.state, args)
    }
}

/// The first message of a legacy client.
pub(crate) fn initialize(id: u64) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }})
}

pub(crate) fn initialized() -> Value {
    json!({"jsonrpc": "2.0", "method": "notifications/initialized"})
}

/// A legacy session that is ready for calls.
pub(crate) fn shake_hands(connector: &mut Running) -> Value {
    let answer = connector.ask(&initialize(1));
    assert!(answer.get("result").is_some(), "{answer}\n{}", connector.stderr());
    connector.say(&initialized());
    answer
}

pub(crate) fn call(id: u64, tool: &str, arguments: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
}

/// A request of the modern era.
pub(crate) fn modern(id: u64, method: &str, mut params: Value) -> Value {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    });
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// Runs a fixture server of the test kit on its own thread until the test process ends.
pub(crate) fn serve<F, S>(
    listen: impl FnOnce(std::net::SocketAddr) -> F + Send + 'static,
) -> std::net::SocketAddr
where
    F: Future<Output = std::io::Result<(std::net::SocketAddr, S)>>,
    S: Future<Output = std::io::Result<()>>,
{
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (address, serving) = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
            sender.send(address).unwrap();
            let _ = serving.await;
        });
    });
    receiver.recv().unwrap()
}
