//! What runs: processes, their arguments, who started them and where they listen, as `/proc` of Linux says it.
//!
//! Only the processes of users whose `/proc` entries may be read show their sockets; the rest are seen by their arguments
//! alone. On other systems nothing is found, and that is said.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use crate::clients::{self, Client};
use crate::launch::{base, meaning};

/// Processes that are looked at; a machine has some hundreds.
const PROCESSES_MAX: usize = 50_000;
/// Bytes of a command line.
const ARGUMENTS_BYTES_MAX: u64 = 64 << 10;
/// Bytes of a table of sockets: about 200,000 of them.
const SOCKETS_BYTES_MAX: u64 = 32 << 20;
/// Descriptors of one process that are looked at.
const DESCRIPTORS_MAX: usize = 4_096;
/// Generations that are gone up to find who started a process.
const GENERATIONS_MAX: usize = 32;

/// A process. Not for showing: secrets may stand in its arguments.
#[derive(Clone, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's.
    pub parent: u32,
    /// Program and arguments.
    pub arguments: Vec<String>,
    /// TCP addresses at which it listens.
    pub listens: Vec<SocketAddr>,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process")
            .field("pid", &self.pid)
            .field("listens", &self.listens)
            .finish_non_exhaustive()
    }
}

impl Process {
    fn program(&self) -> &str {
        self.arguments.first().map_or("", |program| base(program))
    }
}

/// All processes of a machine.
#[derive(Debug, Clone, Default)]
pub struct Processes(BTreeMap<u32, Process>);

/// Reads `/proc`, or what is like it.
///
/// # Errors
/// Why it cannot be read, for people.
pub fn read(proc: &Path) -> Result<Processes, String> {
    let entries = fs::read_dir(proc).map_err(|error| format!("{}: {error}", proc.display()))?;
    let listening = listening(proc);
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let processes = pids.take(PROCESSES_MAX).filter_map(|pid: u32| {
        let process = one(&proc.join(pid.to_string()), pid, &listening)?;
        Some((pid, process))
    });
    Ok(Processes(processes.collect()))
}

fn one(folder: &Path, pid: u32, listening: &BTreeMap<u64, SocketAddr>) -> Option<Process> {
    let line = bounded(&folder.join("cmdline"), ARGUMENTS_BYTES_MAX)?;
    let arguments: Vec<String> = line.trim_end_matches('\0').split('\0').map(str::to_owned).collect();
    // Threads of the kernel have no arguments.
    arguments.first().filter(|program| !program.is_empty())?;
    let status = bounded(&folder.join("status"), ARGUMENTS_BYTES_MAX)?;
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    let mut listens: Vec<_> =
        sockets(&folder.join("fd")).iter().filter_map(|inode| listening.get(inode).copied()).collect();
    listens.sort_unstable();
    listens.dedup();
    Some(Process { pid, parent, arguments, listens })
}

fn bounded(path: &Path, bytes_max: u64) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Inodes of the sockets that a process holds; none where we may not look.
fn sockets(descriptors: &Path) -> Vec<u64> {
    let entries = fs::read_dir(descriptors).into_iter().flatten().flatten().take(DESCRIPTORS_MAX);
    let inode = |entry: fs::DirEntry| {
        let link = fs::read_link(entry.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    entries.filter_map(inode).collect()
}

/// Listening TCP sockets by their inode.
fn listening(proc: &Path) -> BTreeMap<u64, SocketAddr> {
    let tables =
        ["net/tcp", "net/tcp6"].iter().filter_map(|table| bounded(&proc.join(table), SOCKETS_BYTES_MAX));
    let tables: Vec<String> = tables.collect();
    tables.iter().flat_map(|table| table.lines()).filter_map(listener).collect()
}

/// A line of `/proc/net/tcp` of a socket that listens (state 0A).
fn listener(line: &str) -> Option<(u64, SocketAddr)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    (*fields.get(3)? == "0A").then_some(())?;
    let (address, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    // Addresses stand there in words of four bytes, each in the order of the machine.
    let words = (0..address.len() / 8).map(|n| u32::from_str_radix(address.get(n * 8..n * 8 + 8)?, 16).ok());
    let words: Vec<[u8; 4]> = words.map(|word| word.map(u32::to_ne_bytes)).collect::<Option<_>>()?;
    let ip = match words.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(*word)),
        [a, b, c, d] => {
            let bytes: Vec<u8> = [a, b, c, d].into_iter().flatten().copied().collect();
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))
        }
        _ => return None,
    };
    Some((fields.get(9)?.parse().ok()?, SocketAddr::new(ip.to_canonical(), port)))
}

/// A server that runs: one process, or several that started each other (`npx`, a shell, `node`).
#[derive(Debug, Clone)]
pub struct Running<'a> {
    /// The first of them.
    pub process: &'a Process,
    /// All of them, by number.
    pub pids: Vec<u32>,
    /// Where any of them listens.
    pub listens: Vec<SocketAddr>,
    /// The client that started it, if one did.
    pub client: Option<&'static Client>,
    /// Whether a node of ours started it, so that it is behind a gateway.
    pub behind_gateway: bool,
    /// Command lines of all of them, the first one first, to compare with configurations.
    pub commands: Vec<&'a [String]>,
}

impl Processes {
    /// Makes processes out of a list, for tests and other sources.
    #[must_use]
    pub fn of(list: Vec<Process>) -> Self {
        Self(list.into_iter().map(|process| (process.pid, process)).collect())
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Clients that run.
    #[must_use]
    pub fn clients(&self) -> BTreeSet<&'static str> {
        self.0
            .values()
            .filter_map(|process| clients::of_process(process.program()))
            .map(|client| client.id)
            .collect()
    }

    /// The processes that are MCP servers: by their arguments, or because `is_configured` says that some client has this
    /// command. Of those that started each other the first one counts.
    #[must_use]
    pub fn servers(&self, is_configured: &dyn Fn(&[String]) -> bool) -> Vec<Running<'_>> {
        let is_server: BTreeSet<u32> = self
            .0
            .values()
            .filter(|process| clients::of_process(process.program()).is_none())
            .filter(|process| looks_like_server(&process.arguments) || is_configured(&process.arguments))
            .map(|process| process.pid)
            .collect();
        let firsts = is_server
            .iter()
            .filter_map(|pid| self.0.get(pid))
            .filter(|process| !self.ancestors(process).any(|up| is_server.contains(&up.pid)));
        firsts.map(|first| self.running(first)).collect()
    }

    fn running<'a>(&'a self, first: &'a Process) -> Running<'a> {
        let family: Vec<&Process> = self
            .0
            .values()
            .filter(|process| {
                process.pid == first.pid || self.ancestors(process).any(|up| up.pid == first.pid)
            })
            .collect();
        let mut listens: Vec<SocketAddr> =
            family.iter().flat_map(|process| process.listens.iter().copied()).collect();
        listens.sort_unstable();
        listens.dedup();
        let mut commands = vec![first.arguments.as_slice()];
        commands.extend(
            family
                .iter()
                .filter(|process| process.pid != first.pid)
                .map(|process| process.arguments.as_slice()),
        );
        Running {
            process: first,
            pids: family.iter().map(|process| process.pid).collect(),
            listens,
            client: self.ancestors(first).find_map(|up| clients::of_process(up.program())),
            behind_gateway: self.ancestors(first).any(|up| is_node(&up.arguments)),
            commands,
        }
    }

    fn ancestors<'a>(&'a self, process: &Process) -> impl Iterator<Item = &'a Process> + use<'a> {
        let mut next = self.0.get(&process.parent).filter(|parent| parent.pid != process.pid);
        std::iter::from_fn(move || {
            let found = next?;
            next = self.0.get(&found.parent).filter(|parent| parent.pid != found.pid);
            Some(found)
        })
        .take(GENERATIONS_MAX)
    }

    /// Addresses at which anything listens that we may look into, with its program's name.
    #[must_use]
    pub fn listening(&self) -> Vec<(SocketAddr, String)> {
        self.0
            .values()
            .flat_map(|process| {
                process.listens.iter().map(|address| (*address, process.program().to_owned()))
            })
            .collect()
    }
}

/// Whether it is a node of ours that has servers behind it.
fn is_node(arguments: &[String]) -> bool {
    let Some((program, rest)) = arguments.split_first() else { return false };
    base(program) == "lockgate" && rest.iter().any(|word| matches!(word.as_str(), "up" | "gateway" | "wrap"))
}

/// Whether a command line is that of an MCP server: `mcp` stands as a word of its own in the program, the package, or what an
/// interpreter runs.
pub(crate) fn looks_like_server(arguments: &[String]) -> bool {
    let Some((program, rest)) = arguments.split_first() else { return false };
    if base(program) == "lockgate" {
        return rest.first().is_some_and(|verb| verb == "sample");
    }
    let meant = meaning(arguments);
    if meant.bridge.is_some() {
        return true;
    }
    let Some(package) = meant.package else {
        let interprets = [
            "node", "python", "python3", "deno", "bun", "ruby", "java", "php", "dotnet", "uv", "tsx",
            "ts-node",
        ];
        let program = base(program);
        let runs = interprets.iter().any(|name| {
            program == *name || program.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
        });
        // `node --inspect server.js`: the first word that is no flag. `python -m x`: what follows.
        let script = rest.iter().find(|word| !word.starts_with('-') && *word != "run").filter(|_| runs);
        return names_mcp(program) || script.is_some_and(|script| names_mcp(script));
    };
    names_mcp(&package.name)
}

/// Whether `mcp` stands in a path or name as a word of its own.
pub(crate) fn names_mcp(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    lower.contains("modelcontextprotocol")
        || lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "mcp" || word == "fastmcp")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn servers_are_told_by_their_arguments() {
        for line in [
            "npx -y @modelcontextprotocol/server-filesystem .",
            "node /x/node_modules/@scope/mcp-server/dist/index.js",
            "python3.12 -m mcp_server_time",
            "/usr/bin/mcp-server-git",
            "uvx mcp-server-fetch",
            "docker run -i mcp/time",
            "npx mcp-remote https://h/sse",
            "lockgate sample",
        ] {
            assert!(looks_like_server(&words(line)), "{line}");
        }
        for line in [
            "bash",
            "vim mcp-notes.md",
            "cat /x/mcp.json",
            "node server.js",
            "grep -r mcp .",
            "lockgate discover",
            "npx eslint mcp",
            "mcporter list",
        ] {
            assert!(!looks_like_server(&words(line)), "{line}");
        }
    }

    #[test]
    fn sockets_that_listen() {
        let v4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4242 1 0";
        assert_eq!(listener(v4), Some((4242, "127.0.0.1:8080".parse().unwrap())));
        let v6 = "   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7";
        assert_eq!(listener(v6), Some((7, "[::1]:80".parse().unwrap())));
        for bad in [
            "",
            "sl local_address",
            &v4.replace("0A", "01"),
            "0: zz:zz 0 0A 0 0 0 0 0 1",
            "0: 01:0050 0 0A 0 0 0 0 0 1",
        ] {
            assert_eq!(listener(bad), None, "{bad}");
        }
    }

    fn process(pid: u32, parent: u32, line: &str) -> Process {
        Process { pid, parent, arguments: words(line), listens: Vec::new() }
    }

    #[test]
    fn a_family_is_one_server_with_its_client() {
        let processes = Processes::of(vec![
            process(1, 0, "init"),
            process(10, 1, "/usr/bin/claude"),
            process(11, 10, "npx -y @modelcontextprotocol/server-time"),
            process(12, 11, "sh -c mcp-server-time"),
            process(13, 12, "node /x/mcp-server-time/index.js"),
            process(20, 1, "/usr/bin/lockgate gateway --config x"),
            process(21, 20, "uvx mcp-server-git"),
            process(30, 1, "node odd.js"),
            process(31, 31, "mcp-loop"),
        ]);
        let found = processes.servers(&|command| command == words("node odd.js"));
        let seen: Vec<_> = found
            .iter()
            .map(|one| {
                (one.process.pid, one.pids.len(), one.client.map(|client| client.id), one.behind_gateway)
            })
            .collect();
        assert_eq!(
            seen,
            [
                (11, 3, Some("claude-code"), false),
                (21, 1, None, true),
                (30, 1, None, false),
                (31, 1, None, false)
            ]
        );
        assert!(processes.clients().contains("claude-code"));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_is_found_with_what_it_listens_on() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let processes = read(Path::new("/proc")).unwrap();
        let me = &processes.0[&std::process::id()];
        assert!(me.listens.contains(&listener.local_addr().unwrap()));
    }

    #[test]
    fn a_strange_proc_is_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        assert!(read(&folder.path().join("none")).is_err());
        for (pid, line, status) in
            [("1", "a\0b\0", "PPid:\t0\n"), ("2", "", "PPid: 1"), ("3", "x\0", "nothing"), ("x", "y", "")]
        {
            fs::create_dir(folder.path().join(pid)).unwrap();
            fs::write(folder.path().join(pid).join("cmdline"), line).unwrap();
            fs::write(folder.path().join(pid).join("status"), status).unwrap();
        }
        assert_eq!(read(folder.path()).unwrap().len(), 1);
    }
}
