//! Real children: that they talk, end, and leave nothing behind.
#![allow(clippy::unwrap_used)] // a test fails by its panic

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use lockgate_transport::child::{Child, ChildError, Exit, Limits, LineError, Spawner, Spec, StoppedBy};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// Graces so long that reaching their end means failure.
const PATIENT: u64 = 60_000;

async fn within<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(50);
    tokio::time::timeout(limit, future).await.expect("the step hangs")
}

fn limits(eof_grace_ms_max: u64, term_grace_ms_max: u64) -> Limits {
    Limits { eof_grace_ms_max, term_grace_ms_max, line_bytes_max: 1_000, ..Limits::default() }
}

fn spec(program: &str, args: &[&str]) -> Spec {
    Spec {
        server: "test".into(),
        program: program.into(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        ..Spec::default()
    }
}

fn shell(script: &str) -> Spec {
    spec("sh", &["-c", script])
}

async fn start(limits: Limits, spec: &Spec) -> Child {
    Spawner::new(limits).spawn(spec).await.unwrap()
}

async fn line(child: &mut Child) -> Option<Bytes> {
    within(child.stdout.next_line()).await.unwrap()
}

/// No process of this id, not even a zombie.
fn is_gone(id: u32) -> bool {
    let pid = Pid::from_raw(id.try_into().unwrap()).unwrap();
    test_kill_process(pid) == Err(Errno::SRCH)
}

#[tokio::test]
async fn a_child_echoes_lines_and_ends_with_its_input() {
    let mut child = start(limits(PATIENT, PATIENT), &spec("cat", &[])).await;
    for message in ["{\"id\":1}", "{\"id\":\"zwei\"}"] {
        within(child.stdin.send(message.as_bytes())).await.unwrap();
        assert_eq!(line(&mut child).await.unwrap(), message);
    }
    // A pretty-printed message is still one line.
    within(child.stdin.send(b"{\r\n  \"id\": 3\n}")).await.unwrap();
    assert_eq!(line(&mut child).await.unwrap(), "{    \"id\": 3 }");

    let exit = within(child.handle.stop()).await;
    let expected = Exit { code: Some(0), signal: None, stopped_by: StoppedBy::EndOfFile };
    assert_eq!(exit, expected);
    assert_eq!(line(&mut child).await, None);
    assert!(is_gone(child.handle.id()));
    assert!(within(child.stdin.send(b"late")).await.is_err());
}

#[tokio::test]
async fn a_child_that_dies_is_reported_with_its_last_words() {
    let child = start(limits(PATIENT, PATIENT), &shell("echo 'no such model' >&2; exit 3")).await;
    let exit = within(child.handle.exited()).await;
    assert_eq!((exit.code, exit.stopped_by), (Some(3), StoppedBy::Itself));
    assert_eq!(exit.to_string(), "exited with code 3 by itself");
    assert_eq!(child.handle.stderr_tail(), "no such model");
    assert_eq!(child.handle.exit(), Some(exit));
    assert!(is_gone(child.handle.id()));
}

#[tokio::test]
async fn a_child_that_ignores_the_end_of_input_is_terminated() {
    let child = start(limits(1, PATIENT), &spec("sleep", &["1000"])).await;
    let exit = within(child.handle.stop()).await;
    assert_eq!((exit.signal, exit.stopped_by), (Some(15), StoppedBy::Term));
    assert!(is_gone(child.handle.id()));
}

#[tokio::test]
async fn a_child_that_hangs_is_killed() {
    // An ignored signal stays ignored in what the shell executes.
    let mut child = start(limits(1, 1), &shell("trap '' TERM; echo ready; exec sleep 1000")).await;
    assert_eq!(line(&mut child).await.unwrap(), "ready");
    let exit = within(child.handle.stop()).await;
    assert_eq!((exit.signal, exit.stopped_by), (Some(9), StoppedBy::Kill));
    assert!(is_gone(child.handle.id()));
}

#[tokio::test]
async fn what_a_child_forks_ends_with_it() {
    // Both the one that was told to stop and the one that exits first leave a grandchild with the pipe open.
    for script in ["sleep 1000 & echo up; wait", "sleep 1000 & echo up; read line"] {
        let mut child = start(limits(1, PATIENT), &shell(script)).await;
        assert_eq!(line(&mut child).await.unwrap(), "up");
        within(child.handle.stop()).await;
        // The end of the output: nobody holds the other end of the pipe any more.
        assert_eq!(line(&mut child).await, None, "{script}");
    }
}

#[tokio::test]
async fn a_dropped_child_is_stopped_in_the_background() {
    let child = start(limits(1, 1), &spec("sleep", &["1000"])).await;
    let Child { stdin, mut stdout, handle } = child;
    drop((stdin, handle));
    assert_eq!(within(stdout.next_line()).await.unwrap(), None);
}

#[test]
fn a_child_does_not_outlive_the_runtime() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let child = runtime.block_on(start(limits(PATIENT, PATIENT), &spec("sleep", &["1000"])));
    let id = child.handle.id();
    assert!(!is_gone(id));
    drop(runtime);
    assert!(is_gone(id));
}

#[tokio::test]
async fn a_flood_without_line_end_is_one_error() {
    let script = "head -c 300000 /dev/zero | tr '\\0' x; echo; echo ok";
    let mut child = start(limits(PATIENT, PATIENT), &shell(script)).await;
    let error = within(child.stdout.next_line()).await.unwrap_err();
    assert!(matches!(error, LineError::TooLong { line_bytes_max: 1_000 }), "{error}");
    assert_eq!(line(&mut child).await.unwrap(), "ok");
    assert_eq!(line(&mut child).await, None);
}

#[tokio::test]
async fn a_cancelled_send_leaves_no_half_line() {
    let dir = tempfile::tempdir().unwrap();
    let gate = fifo(dir.path());
    let generous = Limits { line_bytes_max: 1_000_000, ..limits(PATIENT, PATIENT) };
    // The child reads nothing until the gate is opened and closed.
    let script = format!("read line <'{}'; exec cat", gate.display());
    let mut child = start(generous, &shell(&script)).await;
    let long = vec![b'a'; 300_000];
    tokio::select! {
        biased;
        _ = child.stdin.send(&long) => panic!("a pipe takes no 300 kB"),
        () = std::future::ready(()) => {}
    }
    let opener = on_thread(move || std::fs::write(gate, "go\n"));
    within(opener).await.unwrap();
    let Child { mut stdin, mut stdout, handle } = child;
    let (sent, lines) = within(async {
        tokio::join!(stdin.send(b"next"), async {
            let first = stdout.next_line().await.unwrap().unwrap();
            let second = stdout.next_line().await.unwrap().unwrap();
            (first, second)
        })
    })
    .await;
    sent.unwrap();
    assert_eq!(lines.0, long);
    assert_eq!(lines.1, "next");
    within(handle.stop()).await;
}

#[tokio::test]
async fn a_child_that_does_not_read_can_still_be_stopped() {
    let child = start(limits(1, PATIENT), &spec("sleep", &["1000"])).await;
    let Child { mut stdin, handle, .. } = child;
    let (sent, exit) = within(async { tokio::join!(stdin.send(&[b'a'; 300_000]), handle.stop()) }).await;
    assert_eq!(sent.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    assert_eq!(exit.stopped_by, StoppedBy::Term);
}

#[tokio::test]
async fn the_environment_is_clean() {
    let inherited = lockgate_transport::child::INHERITED;
    // Whatever else this process has in its environment stands for the secrets of a gateway.
    assert!(std::env::vars().any(|(name, _)| !inherited.contains(&name.as_str())));
    let mut spec = spec("env", &[]);
    spec.env.insert("TOKEN".into(), "secret".into());
    assert!(!format!("{spec:?}").contains("secret"));
    let mut child = start(limits(PATIENT, PATIENT), &spec).await;
    let mut names = Vec::new();
    while let Some(line) = line(&mut child).await {
        let line = String::from_utf8(line.to_vec()).unwrap();
        names.push(line.split('=').next().unwrap().to_owned());
    }
    assert!(names.contains(&"TOKEN".to_owned()) && names.contains(&"PATH".to_owned()), "{names:?}");
    let foreign: Vec<_> =
        names.iter().filter(|name| *name != "TOKEN" && !inherited.contains(&name.as_str())).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
}

#[tokio::test]
async fn what_cannot_be_started_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let plain = dir.path().join("plain.txt");
    std::fs::write(&plain, "not a program").unwrap();
    let missing = dir.path().join("missing");
    let spawner = Spawner::new(limits(1, 1));

    let error = spawner.spawn(&spec("no-such-program", &[])).await.unwrap_err();
    assert!(matches!(error, ChildError::NotFound { path: Some(_), .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("'no-such-program' was not found in PATH (") && text.contains("install it"),
        "{text}"
    );

    let error = spawner.spawn(&spec(missing.to_str().unwrap(), &[])).await.unwrap_err();
    assert!(matches!(error, ChildError::NotFound { path: None, .. }), "{error}");

    let error = spawner.spawn(&spec(plain.to_str().unwrap(), &[])).await.unwrap_err();
    assert!(matches!(error, ChildError::NotExecutable { .. }), "{error}");

    let mut elsewhere = spec("cat", &[]);
    elsewhere.cwd = Some(missing);
    let error = spawner.spawn(&elsewhere).await.unwrap_err();
    assert!(matches!(error, ChildError::NoDirectory { .. }), "{error}");
    assert_eq!(spawner.alive(), 0);
}

#[tokio::test]
async fn the_number_of_children_is_capped() {
    let spawner = Spawner::new(Limits { children_max: 1, ..limits(PATIENT, PATIENT) });
    let first = spawner.spawn(&spec("cat", &[])).await.unwrap();
    let error = spawner.spawn(&spec("cat", &[])).await.unwrap_err();
    assert!(matches!(error, ChildError::TooMany { children_max: 1, .. }), "{error}");
    within(first.handle.stop()).await;
    assert_eq!(spawner.alive(), 0);
    spawner.spawn(&spec("cat", &[])).await.unwrap();
}

/// Blocking work on a thread that the runtime does not wait for, so that a test that hangs fails.
async fn on_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || sender.send(work()).ok());
    receiver.await.expect("the thread panicked")
}

fn fifo(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("fifo");
    mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR).unwrap();
    path
}

const ROLE: &str = "LOCKGATE_TEST_FIFO";

/// Not a test of its own: the gateway that the next test kills.
#[tokio::test]
#[ignore = "run by kill_nine_of_the_gateway_takes_its_children"]
async fn gateway_with_a_child() {
    let Some(fifo) = std::env::var_os(ROLE) else {
        return;
    };
    // The child writes once it runs, and keeps the fifo open for as long as it lives.
    let script = format!("exec 3>'{}'; echo up >&3; exec sleep 1000", Path::new(&fifo).display());
    let _child = start(limits(PATIENT, PATIENT), &shell(&script)).await;
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn kill_nine_of_the_gateway_takes_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = fifo(dir.path());
    let mut gateway = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "gateway_with_a_child", "--ignored"])
        .env(ROLE, &fifo)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let reader = on_thread(move || {
        let mut pipe = std::fs::File::open(fifo).unwrap();
        let mut up = [0; 3];
        pipe.read_exact(&mut up).unwrap();
        pipe
    });
    let mut pipe = within(reader).await;
    gateway.start_kill().unwrap();
    within(gateway.wait()).await.unwrap();
    // The end of the fifo: its only writer, the child, is dead.
    let end = on_thread(move || std::io::copy(&mut pipe, &mut std::io::sink()));
    assert_eq!(within(end).await.unwrap(), 0);
}
