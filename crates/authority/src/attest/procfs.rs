//! What the kernel says of a process, and how long it stays true.
//!
//! A process id is a number that is used again. All facts are therefore read between two looks at a process descriptor
//! (pidfd), which names one process for ever: if that process still lives after its entry in `/proc` was read, the
//! entry was its own.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::executable::{self, Executable, interpreter};
use super::{Attested, Kind};
use crate::AuthorityError;

/// Largest file of `/proc` that is read, in bytes: `status`, `cgroup` and a command line's beginning fit.
const FACTS_BYTES_MAX: u64 = 64 << 10;
/// What was read of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) pid: u32,
    pub(super) parent: u32,
    /// Effective.
    pub(super) uid: u32,
    /// Effective.
    pub(super) gid: u32,
    /// `None` where we may not look: another user's process.
    pub(super) executable: Option<Executable>,
    pub(super) argv0: Option<String>,
    pub(super) cgroup: Option<String>,
}

/// The process behind a descriptor.
pub(super) fn pid_of(pidfd: BorrowedFd<'_>) -> io::Result<Option<u32>> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = bounded(Path::new(&path))?;
    let pid = field(&text, "Pid:").and_then(|pid| pid.parse::<i64>().ok());
    // Minus one: it has ended. Zero: it is in another PID namespace, where our /proc does not reach.
    Ok(pid.and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0))
}

/// Whether the process behind a descriptor has not ended: the descriptor turns readable when it does.
pub(super) fn lives(pidfd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut asked = [PollFd::from_borrowed_fd(pidfd, PollFlags::IN)];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ready = poll(&mut asked, Some(&now))?;
    Ok(ready == 0)
}

/// Reads everything of the process behind a descriptor.
///
/// # Errors
/// [`AuthorityError::Refused`] if it has ended meanwhile, or became another program.
pub(super) fn read(by: Kind, pidfd: BorrowedFd<'_>) -> Result<Facts, AuthorityError> {
    let gone = || AuthorityError::refused(by, "alive", "the process has ended");
    let unreadable = |path: PathBuf| move |source| AuthorityError::Io { action: "read", path, source };
    let fdinfo = || PathBuf::from("/proc/self/fdinfo");
    let pid = pid_of(pidfd).map_err(unreadable(fdinfo()))?.ok_or_else(|| {
        AuthorityError::refused(
            by,
            "process id",
            "the process has ended, or is in a PID namespace beside ours",
        )
    })?;
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let read = read_folder(&folder, pid);
    // Only now is it certain that what was read was of this process.
    if !lives(pidfd).map_err(unreadable(fdinfo()))? {
        return Err(gone());
    }
    match read {
        Ok(Some(facts)) => Ok(facts),
        Ok(None) => Err(AuthorityError::refused(
            by,
            "unchanged",
            format!("process {pid} became another program while it was looked at"),
        )),
        Err(source) if source.kind() == io::ErrorKind::NotFound => Err(gone()),
        Err(source) => Err(AuthorityError::Io { action: "read", path: folder, source }),
    }
}

/// `None` if the process ran another program in the middle.
fn read_folder(folder: &Path, pid: u32) -> io::Result<Option<Facts>> {
    let exe = folder.join("exe");
    let executable = Executable::read(&exe)?;
    let status = bounded(&folder.join("status"))?;
    let number = |name, nth: usize| {
        let found =
            field(&status, name).and_then(|line| line.split_ascii_whitespace().nth(nth)?.parse().ok());
        found.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("no {name} in its status")))
    };
    let facts = Facts {
        pid,
        parent: number("PPid:", 0)?,
        uid: number("Uid:", 1)?,
        gid: number("Gid:", 1)?,
        executable,
        argv0: bounded(&folder.join("cmdline")).ok().and_then(|line| first_argument(&line)),
        cgroup: bounded(&folder.join("cgroup")).ok().and_then(|lines| unified_cgroup(&lines)),
    };
    // The same file as before everything else was read, so that all facts are of one program.
    let unchanged = match &facts.executable {
        Some(seen) => seen.is_still(&exe),
        None => executable::target(&exe).is_none(),
    };
    Ok(unchanged.then_some(facts))
}

/// A file of `/proc`, whose size is not known before.
fn bounded(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FACTS_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What stands behind the name of a line. A process chooses its own name, which stands in the first line of `status`
/// with its line breaks escaped.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// What the process calls itself; it can write there what it likes.
fn first_argument(line: &str) -> Option<String> {
    let first = line.split('\0').next()?;
    // Replacement characters: it was no text.
    (!first.is_empty() && !first.contains('\u{fffd}')).then(|| first.to_owned())
}

/// The path in the unified hierarchy (cgroups(7)), as seen from our namespace; `None` if it lies outside.
fn unified_cgroup(lines: &str) -> Option<String> {
    let path = lines.lines().find_map(|line| line.strip_prefix("0::"))?;
    let inside = path.starts_with('/') && !path.split('/').any(|step| step == "..");
    (inside && !path.ends_with(" (deleted)")).then(|| path.to_owned())
}

/// The id of a container in a control group's path: 64 hexadecimal digits, alone or between a prefix such as `docker-`
/// and `.scope`.
pub(super) fn container(cgroup: &str) -> Option<&str> {
    cgroup.rsplit('/').find_map(|step| {
        let step = step.strip_suffix(".scope").unwrap_or(step);
        let id = step.rsplit(['-', ':']).next().unwrap_or(step);
        (id.len() == 64 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))).then_some(id)
    })
}

/// The systemd unit that a control group belongs to: its innermost service.
pub(super) fn unit(cgroup: &str) -> Option<&str> {
    cgroup.rsplit('/').find(|step| step.ends_with(".service") && step.len() > ".service".len())
}

impl Facts {
    /// Says the facts with names of a kind, `unix` or `parent`.
    pub(super) fn tell(&self, kind: &str, attested: &mut Attested) {
        attested.add(&format!("{kind}:uid"), &self.uid.to_string());
        if let Some(argv0) = &self.argv0 {
            attested.add(&format!("{kind}:argv0"), argv0);
        }
        let Some(executable) = &self.executable else {
            attested.notes.push(format!(
                "the executable of process {} cannot be read (another user's); run the gateway as root or with CAP_SYS_PTRACE to have it proven",
                self.pid
            ));
            return;
        };
        attested.add(&format!("{kind}:sha256"), &executable.sha256);
        match executable.path.as_deref().and_then(|path| Some((path, path.to_str()?))) {
            Some((path, text)) => {
                attested.add(&format!("{kind}:path"), text);
                if let Some(name) = interpreter(path) {
                    attested.add(&format!("{kind}:interpreter"), name);
                    attested.notes.push(format!(
                        "{text} runs scripts: the hash is the interpreter's, and says nothing about the script"
                    ));
                }
            }
            None => attested.notes.push(format!(
                "the executable of process {} was deleted or replaced since it started; it has no path",
                self.pid
            )),
        }
    }
}

/// The descriptor of a process that is known by its number, for callers that check afterwards that the number was its.
pub(super) fn open(pid: u32) -> io::Result<std::os::fd::OwnedFd> {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
    Ok(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?)
}

/// Reads the parent's number again.
pub(super) fn parent_of(pid: u32) -> io::Result<u32> {
    let status = bounded(Path::new(&format!("/proc/{pid}/status")))?;
    let parent = field(&status, "PPid:").and_then(|line| line.parse().ok());
    parent.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// As [`read`], with the descriptor owned.
pub(super) fn read_owned(by: Kind, pidfd: &impl AsFd) -> Result<Facts, AuthorityError> {
    read(by, pidfd.as_fd())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::{Child, Command};

    use lockgate_crypto::digest;

    use super::*;

    fn sleeping(program: &Path) -> Child {
        // A program that was just written is busy while a test beside this one forks with it open.
        let child = loop {
            match Command::new(program).arg("60").spawn() {
                Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
                child => break child.unwrap(),
            }
        };
        // Until exec is through, /proc shows the test itself, and for a moment no arguments.
        for _ in 0..200 {
            if fs::read_link(format!("/proc/{}/exe", child.id()))
                .is_ok_and(|exe| exe == fs::canonicalize(program).unwrap())
                && fs::read(format!("/proc/{}/cmdline", child.id())).is_ok_and(|line| !line.is_empty())
            {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        child
    }

    fn ended(mut child: Child) {
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_living_process_is_read_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("napper");
        fs::copy("/bin/sleep", &program).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let child = sleeping(&program);
        let pidfd = open(child.id()).unwrap();
        let facts = read_owned(Kind::Process, &pidfd).unwrap();
        assert_eq!(facts.pid, child.id());
        assert_eq!(facts.parent, std::process::id());
        assert_eq!(facts.uid, rustix::process::geteuid().as_raw());
        assert_eq!(facts.argv0.as_deref(), program.to_str());
        let executable = facts.executable.unwrap();
        assert_eq!(executable.path.as_deref(), Some(fs::canonicalize(&program).unwrap().as_path()));
        assert_eq!(executable.sha256, digest::hex(&digest::sha256(&fs::read("/bin/sleep").unwrap())));

        // Replaced on the disk: what runs is still the old file, and has no path any more.
        fs::remove_file(&program).unwrap();
        fs::copy("/bin/true", &program).unwrap();
        let facts = read_owned(Kind::Process, &pidfd).unwrap();
        let now = facts.executable.clone().unwrap();
        assert_eq!((now.path, now.sha256), (None, executable.sha256));
        let mut attested = Attested::new(Kind::Process, String::new());
        facts.tell("unix", &mut attested);
        assert!(!attested.selectors.iter().any(|s| s.as_str().starts_with("unix:path")), "{attested:?}");

        ended(child);
        let error = read_owned(Kind::Process, &pidfd).unwrap_err().to_string();
        assert!(error.contains("ended"), "{error}");
        assert!(!lives(pidfd.as_fd()).unwrap());
    }

    #[test]
    fn a_zombie_does_not_live() {
        let mut child = sleeping(Path::new("/bin/sleep"));
        let pidfd = open(child.id()).unwrap();
        child.kill().unwrap();
        for _ in 0..200 {
            if !lives(pidfd.as_fd()).unwrap() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(read_owned(Kind::Process, &pidfd).is_err());
        child.wait().unwrap();
    }

    #[test]
    fn control_groups() {
        let id = "0123456789abcdef".repeat(4);
        for (path, found) in [
            (format!("/system.slice/docker-{id}.scope"), Some(id.as_str())),
            (format!("/docker/{id}"), Some(&id)),
            (format!("/kubepods.slice/kubepods-pod1.slice/cri-containerd-{id}.scope"), Some(&id)),
            (format!("/kubepods/pod1/{id}"), Some(&id)),
            ("/user.slice/user-1000.slice".to_owned(), None),
            (format!("/docker/{}", &id[1..]), None),
            (format!("/docker/{}", id.to_uppercase()), None),
        ] {
            assert_eq!(container(&path), found, "{path}");
        }
        assert_eq!(unit("/system.slice/bill.service"), Some("bill.service"));
        assert_eq!(unit("/user.slice/user@1.service/app.slice/a.scope"), Some("user@1.service"));
        assert_eq!(unit("/system.slice/.service"), None);
        assert_eq!(unified_cgroup("1:name=systemd:/x\n0::/a/b\n").as_deref(), Some("/a/b"));
        assert_eq!(unified_cgroup("0::/../../evil\n"), None);
        assert_eq!(unified_cgroup("1:cpu:/x\n"), None);
    }

    #[test]
    fn fields_are_read_at_the_start_of_a_line() {
        let status = "Name:\tx\\nUid:\t0\nPPid:\t7\nUid:\t1\t2\t3\t4\n";
        assert_eq!(field(status, "Uid:"), Some("1\t2\t3\t4"));
        assert_eq!(field(status, "PPid:"), Some("7"));
        assert_eq!(field(status, "Gid:"), None);
    }
}
