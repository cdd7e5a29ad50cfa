//! The processes of a run: pinned, measured from outside, and stopped with it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStdout;
use tokio::time::timeout;

/// The core of what is under test.
pub(crate) const TESTED_CORE: usize = 0;
/// The core of the upstream and of the load generator.
pub(crate) const LOAD_CORE: usize = 1;

/// Time for a process to say that it is ready. A gateway makes its keys first, which takes well below a second.
const READY_MAX: Duration = Duration::from_secs(30);
/// Open files beside the links themselves: upstream connections, libraries, logs.
const OPEN_FILES_SPARE: u64 = 512;

/// A process that is killed when it is dropped. Nothing that it holds is worth a graceful end.
pub(crate) struct Process {
    child: Child,
    /// How it was started.
    pub(crate) command: String,
}

impl Process {
    /// Starts a program on one core.
    pub(crate) fn start(core: usize, program: &Path, arguments: &[&str]) -> Result<Self> {
        let command = format!("taskset -c {core} {} {}", program.display(), arguments.join(" "));
        let child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => anyhow!("`taskset` is missing; on Debian: apt-get install util-linux"),
                _ => anyhow!("cannot start {command}: {error}"),
            })?;
        Ok(Self { child, command })
    }

    /// The first line that it prints, which says that it is ready.
    pub(crate) async fn ready(&mut self) -> Result<String> {
        let output = self.child.stdout.take().context("a process is waited for once")?;
        let mut lines = BufReader::new(ChildStdout::from_std(output)?).lines();
        let first = timeout(READY_MAX, lines.next_line()).await;
        let first = first.with_context(|| format!("not ready after {READY_MAX:?}: {}", self.command))?;
        first?.with_context(|| format!("ended before it was ready, see what it says above: {}", self.command))
    }

    /// Whether it is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pins the calling thread, and what it starts from now on, to a core.
pub(crate) fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| {
        format!("core {core} cannot be used; the benchmark needs cores {TESTED_CORE} and {LOAD_CORE}")
    })
}

/// Allows this process and its children as many open files as `links` need, at least.
pub(crate) fn raise_open_files(links: usize) -> Result<()> {
    let needed = links as u64 + OPEN_FILES_SPARE;
    let limit = getrlimit(Resource::Nofile);
    let enough = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed);
    if enough(limit.current) {
        return Ok(());
    }
    let maximum = if enough(limit.maximum) { limit.maximum } else { Some(needed) };
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).with_context(|| {
        format!("{links} links need {needed} open files; allow them first, as root: ulimit -n {needed}")
    })
}

/// Processor time of a process so far, user and system, in seconds; it is counted in hundredths.
pub(crate) fn cpu_s(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))
        .context("a measured process has ended, see what it says above")?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("/proc/{process}/stat has another form: {stat}"))?;
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// `utime` and `stime`, the 14th and 15th field of proc_pid_stat(5), counted from behind the name, which may contain
/// anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some(user + system)
}

/// Resident memory of a process, in KiB.
pub(crate) fn resident_kib(process: u32) -> Result<u64> {
    memory_kib(process, "VmRSS:")
}

/// Most resident memory that a process ever had, in KiB.
pub(crate) fn peak_kib(process: u32) -> Result<u64> {
    memory_kib(process, "VmHWM:")
}

fn memory_kib(process: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))
        .context("a measured process has ended, see what it says above")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    match line.and_then(|line| line.trim().strip_suffix(" kB")).and_then(|kib| kib.parse().ok()) {
        Some(kib) => Ok(kib),
        None => bail!("/proc/{process}/status has no {name} in kB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 9 9 20 0 1 0 100 1000 10";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_can_be_measured() {
        let this = std::process::id();
        assert!(cpu_s(this).is_ok_and(|seconds| seconds >= 0.0));
        assert!(resident_kib(this).is_ok_and(|kib| kib > 100));
        assert!(cpu_s(u32::MAX).is_err());
    }
}
