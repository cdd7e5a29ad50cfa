//! What is wrong with what was found, and what to do about it.

use std::collections::BTreeSet;

use crate::assemble::{is_loopback, same_place};
use crate::config::ConfigFile;
use crate::launch::Pin;
use crate::map::{Authentication, CredentialNode, Finding, ServerNode, Severity, Transport};

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its stable id.
    pub id: &'static str,
    /// Code that `lockgate explain` knows.
    pub code: &'static str,
}

macro_rules! kinds {
    ($($name:ident $id:literal $code:literal)+) => {
        $(const $name: Kind = Kind { id: $id, code: $code };)+
        /// Every kind of finding.
        pub const KINDS: &[Kind] = &[$($name),+];
    };
}

kinds! {
    SHADOW "shadow-server" "LG-G001"
    BYPASS "gateway-bypass" "LG-G002"
    UNPINNED "unpinned-package" "LG-G003"
    MOVABLE "movable-version" "LG-G004"
    PLAIN "plain-http" "LG-G005"
    OPEN "no-authentication" "LG-G006"
    CLASSICAL "classical-key-exchange" "LG-G007"
    SECRET "secret-in-config" "LG-G008"
    REUSED "secret-reused" "LG-G009"
    READABLE "config-readable-by-others" "LG-G010"
    WRITABLE "config-writable-by-others" "LG-G011"
    UNREAD "config-not-read" "LG-G012"
    EXPOSED "listens-on-all-addresses" "LG-G013"
    DESTRUCTIVE "destructive-tools-open" "LG-G014"
}

/// Permission bits of group and others to read, and to write.
const READ_BY_OTHERS: u32 = 0o044;
const WRITE_BY_OTHERS: u32 = 0o022;

/// All findings, the worst first.
pub(crate) fn all(
    servers: &[ServerNode],
    credentials: &[CredentialNode],
    files: &[ConfigFile],
) -> Vec<Finding> {
    let mut found = Vec::new();
    for server in servers {
        origin(server, &mut found);
        protection(server, &mut found);
        exposure(server, &mut found);
    }
    for credential in credentials.iter().filter(|credential| credential.places.len() > 1) {
        let what = format!("the same secret stands in {} places", credential.places.len());
        add(
            &mut found,
            REUSED,
            Severity::Low,
            &credential.id,
            what,
            "give each server a credential of its own, so that one that leaks can be revoked alone",
        );
    }
    file_findings(servers, files, &mut found);
    found.sort_by(|one, other| {
        other
            .severity
            .cmp(&one.severity)
            .then_with(|| (&one.code, &one.about).cmp(&(&other.code, &other.about)))
    });
    found
}

fn add(
    found: &mut Vec<Finding>,
    kind: Kind,
    severity: Severity,
    about: &str,
    what: impl Into<String>,
    fix: &str,
) {
    found.push(Finding {
        id: kind.id.to_owned(),
        code: kind.code.to_owned(),
        severity,
        about: about.to_owned(),
        what: what.into(),
        fix: fix.to_owned(),
    });
}

/// Who knows of it, and what it is run from.
fn origin(server: &ServerNode, found: &mut Vec<Finding>) {
    let is_local = server.url.as_ref().is_none_or(|url| is_loopback(url));
    if server.running && !server.configured && !server.behind_gateway {
        let severity = if is_local { Severity::High } else { Severity::Medium };
        let fix = "find out who started it; if it belongs here, put it behind the gateway (lockgate adopt, or [[server]]), else stop it";
        add(
            found,
            SHADOW,
            severity,
            &server.id,
            "it runs, and no client or gateway has it in a configuration",
            fix,
        );
    }
    if server.behind_gateway && server.direct {
        let who: BTreeSet<&str> = server
            .used_from
            .iter()
            .filter(|used| used.enabled)
            .map(|used| used.client.trim_start_matches("client:"))
            .collect();
        let who = if who.is_empty() {
            "a process".to_owned()
        } else {
            who.into_iter().collect::<Vec<_>>().join(", ")
        };
        let what = format!("it is behind the gateway, and {who} reaches it past the gateway");
        add(
            found,
            BYPASS,
            Severity::High,
            &server.id,
            what,
            "lockgate adopt, so that these calls are decided on and recorded, too",
        );
    }
    match (server.pin, &server.package) {
        (Some(Pin::None), Some(package)) => {
            let what = format!("{package} is run at whatever version is newest at that moment");
            add(
                found,
                UNPINNED,
                Severity::Medium,
                &server.id,
                what,
                "name an exact version (pkg@1.2.3, pkg==1.2.3) or an image's digest",
            );
        }
        (Some(Pin::Movable), Some(package)) => {
            let what = format!("{package} is named by a version or tag that its owner can move");
            add(
                found,
                MOVABLE,
                Severity::Low,
                &server.id,
                what,
                "name an exact version, or an image's digest (image@sha256:…)",
            );
        }
        _ => {}
    }
    if !server.secrets.is_empty() {
        let places: Vec<&str> = server.secrets.iter().map(|secret| secret.place.as_str()).collect();
        let what = format!("secrets stand in plain text: {}", places.join(", "));
        add(
            found,
            SECRET,
            Severity::Medium,
            &server.id,
            what,
            "let Lockgate hold them sealed (lockgate adopt, lockgate secret put), or refer to a variable or a key chain",
        );
    }
}

/// What protects the way to it.
fn protection(server: &ServerNode, found: &mut Vec<Finding>) {
    let Some(url) = &server.url else { return };
    if url.starts_with("http://") {
        let severity = if is_loopback(url) { Severity::Info } else { Severity::High };
        let what = match is_loopback(url) {
            true => "it is reached without TLS, on this machine only",
            false => "calls and results cross the network readable and changeable",
        };
        if server.direct || !is_loopback(url) {
            add(
                found,
                PLAIN,
                severity,
                &server.id,
                what,
                "put it behind a gateway on its own machine and reach it through a tunnel",
            );
        }
    } else if let Some(tls) = &server.tls
        && tls.quantum_safe_key_exchange == Some(false)
    {
        let group = tls.group.as_deref().unwrap_or("an unknown group");
        let what = format!(
            "its keys are exchanged by {group}: what is recorded today can be read once a quantum computer is there"
        );
        add(
            found,
            CLASSICAL,
            Severity::Medium,
            &server.id,
            what,
            "enable a hybrid group at the server, or put a gateway in front of it",
        );
    }
}

/// Who can reach it.
fn exposure(server: &ServerNode, found: &mut Vec<Finding>) {
    let open = server.authentication == Authentication::None && server.transport != Transport::Stdio;
    let is_local = server.url.as_ref().is_some_and(|url| is_loopback(url));
    if open {
        let severity = if is_local { Severity::Low } else { Severity::High };
        add(
            found,
            OPEN,
            severity,
            &server.id,
            "it answers whoever asks",
            "require tokens (RFC 9728), or let only the gateway reach it",
        );
        let destructive: Vec<&str> = server
            .tools
            .iter()
            .filter(|tool| tool.destructive == Some(true))
            .map(|tool| tool.name.as_str())
            .collect();
        if !destructive.is_empty() {
            let what = format!("anybody who reaches it can call what destroys: {}", destructive.join(", "));
            add(
                found,
                DESTRUCTIVE,
                Severity::High,
                &server.id,
                what,
                "put it behind a gateway with a role that permits what is needed",
            );
        }
    }
    let all = |address: &String| address.starts_with("0.0.0.0:") || address.starts_with("[::]:");
    if let Some(address) = server.listens.iter().find(|address| all(address)) {
        let what = format!("it listens at {address}, for every network that this machine is in");
        add(
            found,
            EXPOSED,
            Severity::Medium,
            &server.id,
            what,
            "have it listen at 127.0.0.1, and let others come through the gateway",
        );
    }
}

fn file_findings(servers: &[ServerNode], files: &[ConfigFile], found: &mut Vec<Finding>) {
    let mut told = BTreeSet::new();
    for file in files {
        let path = file.path.display().to_string();
        if !told.insert(path.clone()) {
            continue;
        }
        if let Some(problem) = &file.problem {
            let what =
                format!("{} keeps servers here, and it was not read whole: {problem}", file.client.name);
            add(
                found,
                UNREAD,
                Severity::Medium,
                &path,
                what,
                "mend the file; until then its servers are not in the map",
            );
        }
        let Some(mode) = file.mode else { continue };
        let holds = servers.iter().any(|server| {
            !server.secrets.is_empty() && server.used_from.iter().any(|used| used.file == path)
        });
        if mode & WRITE_BY_OTHERS != 0 {
            let what = format!("other users may write it (mode {mode:o}), and so choose what runs as you");
            add(found, WRITABLE, Severity::High, &path, what, &format!("chmod go-w '{path}'"));
        } else if mode & READ_BY_OTHERS != 0 && holds {
            let what = format!("it holds secrets, and other users may read it (mode {mode:o})");
            add(
                found,
                READABLE,
                Severity::High,
                &path,
                what,
                &format!("chmod go= '{path}', and replace the secrets"),
            );
        }
    }
}

/// Whether two findings are about the same thing.
#[must_use]
pub fn same(one: &Finding, other: &Finding) -> bool {
    one.id == other.id && (one.about == other.about || same_place(&one.about, &other.about))
}
