//! MCP servers that talk over stdin and stdout, run as children.
//!
//! A [`Child`] is three parts: [`Stdin`] takes lines, [`Lines`] gives lines, and the [`Handle`] knows the
//! process. Each child leads a process group of its own, so that what it forks ends with it. It is stopped as
//! the MCP specification of the stdio transport asks: its stdin is closed, then `SIGTERM`, then `SIGKILL`,
//! each after a named grace. Whatever happens to the gateway, the kernel kills the child with it
//! (`PR_SET_PDEATHSIG`), and a task reaps it, so that no zombie stays.

mod clock;
mod error;
mod keeper;
mod kernel;
mod lines;
mod process;
mod spawner;
mod stderr;
mod stdin;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokio::process::{ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::Semaphore;

pub use clock::Due;
pub use error::ChildError;
pub use keeper::{Exit, Handle, StoppedBy};
pub use lines::{LineError, Lines};
pub use stdin::Stdin;

use clock::Activity;
use keeper::Kept;
use process::Process;
use stderr::Tail;

/// Variables that a child inherits. The rest of the environment may hold secrets that are not its business; a
/// server that needs more gets it by [`Spec::env`].
pub const INHERITED: &[&str] =
    &["HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"];

/// What to run.
#[derive(Clone, Default)]
pub struct Spec {
    /// The configured name of the server, for logs and errors.
    pub server: String,
    /// The program: a path, or a name to look up in `PATH`.
    pub program: String,
    /// Its arguments, passed as they are; no shell is involved.
    pub args: Vec<String>,
    /// Variables added to the [`INHERITED`] ones, or put in their place. May hold secrets: never printed.
    pub env: BTreeMap<String, String>,
    /// The working directory; that of the gateway if `None`.
    pub cwd: Option<PathBuf>,
}

/// What children may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Children alive at the same time. A process costs tens of megabytes: a request flood must not fork the
    /// machine to death.
    pub children_max: usize,
    /// Bytes of one line of output: the largest MCP message with a margin.
    pub line_bytes_max: usize,
    /// Bytes of standard error kept for error messages.
    pub stderr_tail_bytes_max: usize,
    /// Seconds without a line in either direction after which [`Handle::due`] reports [`Due::Idle`].
    pub idle_s_max: Option<u64>,
    /// Seconds of life after which [`Handle::due`] reports [`Due::Life`]. Bounds what a slow leak can take.
    pub life_s_max: Option<u64>,
    /// Milliseconds that a child gets to exit after its stdin was closed.
    pub eof_grace_ms_max: u64,
    /// Milliseconds that its group gets to exit after `SIGTERM`; then `SIGKILL`.
    pub term_grace_ms_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            children_max: 64,
            line_bytes_max: 17 * 1024 * 1024,
            stderr_tail_bytes_max: 4 * 1024,
            idle_s_max: Some(900),
            life_s_max: None,
            eof_grace_ms_max: 2_000,
            term_grace_ms_max: 3_000,
        }
    }
}

/// A running child. Dropping the parts stops it in the background.
#[derive(Debug)]
pub struct Child {
    /// Takes messages.
    pub stdin: Stdin,
    /// Gives messages.
    pub stdout: Stdout,
    /// The process.
    pub handle: Handle,
}

/// The messages of a child, line by line.
#[derive(Debug)]
pub struct Stdout {
    lines: Lines<ChildStdout>,
    activity: Arc<Activity>,
}

impl Stdout {
    /// The next line that is not blank; `None` when the child has closed its output. Cancel-safe.
    ///
    /// # Errors
    /// [`LineError`]; after `TooLong` the next call goes on with the next line.
    pub async fn next_line(&mut self) -> Result<Option<bytes::Bytes>, LineError> {
        let line = self.lines.next_line().await;
        self.activity.touch();
        line
    }
}

/// Starts children and caps their number.
#[derive(Debug, Clone)]
pub struct Spawner {
    limits: Arc<Limits>,
    places: Arc<Semaphore>,
}

impl Spawner {
    /// A spawner with its own cap of `limits.children_max`.
    pub fn new(limits: Limits) -> Self {
        Self { places: Arc::new(Semaphore::new(limits.children_max)), limits: Arc::new(limits) }
    }

    /// Children alive now, those being stopped included.
    pub fn alive(&self) -> usize {
        self.limits.children_max - self.places.available_permits()
    }

    /// Starts `spec`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`ChildError`]: the cap is reached, the program is not found or not executable, or the system refuses.
    pub async fn spawn(&self, spec: &Spec) -> Result<Child, ChildError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| ChildError::TooMany {
            server: spec.server.clone(),
            children_max: self.limits.children_max,
        })?;
        let explain = |source| ChildError::explain(spec, source);
        error::check(spec)?;
        let mut child = spawner::spawn(command(spec)).await.map_err(explain)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Process::adopt(child).map_err(explain)?;
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            unreachable!("the three pipes are set up by `command`");
        };
        let stdin = stdin::Pipe::new(ChildStdin::from_std(stdin).map_err(explain)?);
        let stdout = ChildStdout::from_std(stdout).map_err(explain)?;
        let stderr = ChildStderr::from_std(stderr).map_err(explain)?;

        let tail = Tail::new(self.limits.stderr_tail_bytes_max);
        let drain = stderr::drain(stderr, Arc::clone(&tail), spec.server.clone());
        let kept = Kept { process, stdin: Arc::clone(&stdin), tail, stderr: tokio::spawn(drain), place };
        let activity = Arc::new(Activity::start());
        tracing::info!(server = %spec.server, program = %spec.program, pid = kept.process.id(), "child started");
        Ok(Child {
            stdin: Stdin::new(stdin, Arc::clone(&activity)),
            stdout: Stdout {
                lines: Lines::new(stdout, self.limits.line_bytes_max),
                activity: Arc::clone(&activity),
            },
            handle: keeper::keep(kept, activity, Arc::clone(&self.limits)),
        })
    }
}

/// The command of `spec`: a clean environment, three pipes, its own process group, bound to our life.
fn command(spec: &Spec) -> Command {
    let mut command = Command::new(&spec.program);
    command
        .args(&spec.args)
        .env_clear()
        .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .envs(&spec.env)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    if let Some(cwd) = &spec.cwd {
        command.current_dir(cwd);
    }
    kernel::die_with_parent(&mut command);
    command
}

impl Limits {
    fn eof_grace(&self) -> Duration {
        Duration::from_millis(self.eof_grace_ms_max)
    }

    fn term_grace(&self) -> Duration {
        Duration::from_millis(self.term_grace_ms_max)
    }
}

impl std::fmt::Debug for Spec {
    /// The values of `env` may be secrets, and arguments may too: only names are shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spec")
            .field("server", &self.server)
            .field("program", &self.program)
            .field("args", &format_args!("[{} redacted]", self.args.len()))
            .field("env", &self.env.keys())
            .field("cwd", &self.cwd)
            .finish()
    }
}
