//! `lockgate doctor`: looks at everything that a node needs, changes nothing, and says what to do.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use lockgate_audit::witness::Seen;
use lockgate_crypto::profile;
use lockgate_identity::{Authority, TrustBundle};
use lockgate_policy::Options;
use serde::Serialize;

use crate::cli::{DoctorArgs, Global, Output};
use crate::client;
use crate::config::{self, Flags, Settings};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::node::policies::groups;
use crate::output::{print, print_document, print_line};
use crate::state::{State, private};
use crate::verbs::config::variables;
use crate::verbs::policy;
use crate::witnesses::Standing;

/// Clocks before this day are wrong, in seconds since the Unix epoch: 2026-11-22, when this program was written.
const BORN_S: i64 = 1_795_305_600;

/// How one check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    /// Nothing to check yet.
    Skipped,
    Problem,
}

/// One check.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    said: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Diagnostic>,
}

impl Check {
    fn of(name: &'static str, result: Result<String, Failure>) -> Self {
        match result {
            Ok(said) => Self { name, verdict: Verdict::Ok, said, problems: Vec::new() },
            Err(Failure(problems)) => {
                let said = problems.first().map_or_else(String::new, |first| first.what.clone());
                Self { name, verdict: Verdict::Problem, said, problems }
            }
        }
    }

    fn skipped(name: &'static str, said: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Skipped, said: said.into(), problems: Vec::new() }
    }
}

/// Runs the verb.
pub(crate) async fn run(args: &DoctorArgs, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    let flags = Flags { config: args.config.clone(), ..Flags::default() };
    let loaded = config::load(&flags, variables()).map(|(settings, ..)| settings);
    let settings = loaded.as_ref().ok().cloned();
    let running = state.is_locked();
    let checks = vec![
        Check::of("configuration", loaded.map(|_| "valid".to_owned())),
        Check::of("clock", clock().map_err(Into::into)),
        Check::of("profiles", profiles()),
        folder(&state),
        authority(&state),
        policies(&state, settings.as_ref()),
        audit(&state),
        witnesses(&state),
        gateways(&state),
        ports(settings.as_ref(), running),
        node(&state, running).await,
    ];
    let healthy = checks.iter().all(|check| check.verdict != Verdict::Problem);
    match args.output.output {
        Output::Human => print(&human(&checks, healthy)),
        Output::Jsonl => checks.iter().for_each(print_line),
        Output::Json => {
            #[derive(Serialize)]
            struct All {
                schema: &'static str,
                healthy: bool,
                checks: Vec<Check>,
            }
            print_document(&All { schema: "lockgate.doctor/1", healthy, checks });
        }
    }
    Ok(if healthy { Exit::Ok } else { Exit::Negative })
}

fn human(checks: &[Check], healthy: bool) -> String {
    let mut text = String::new();
    for check in checks {
        let mark = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Skipped => "-",
            Verdict::Problem => "PROBLEM",
        };
        text.push_str(&format!("{mark:8} {:14} {}\n", check.name, check.said));
        for problem in &check.problems {
            for line in problem.to_string().lines() {
                text.push_str(&format!("         {line}\n"));
            }
        }
    }
    text.push_str(if healthy {
        "\nNothing stands in the way.\n"
    } else {
        "\nMend the problems above, the first one first.\n"
    });
    text
}

fn clock() -> Result<String, Diagnostic> {
    let now = jiff::Timestamp::now();
    if now.as_second() < BORN_S {
        return Err(Diagnostic::new("LG-S001", format!("the clock says {now}, which is in the past"))
            .cause("certificates live for hours, so both ends need the right time")
            .hint("set the clock, for instance with: timedatectl set-ntp true"));
    }
    Ok(now.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// Each profile makes its handshakes with itself.
fn profiles() -> Result<String, Failure> {
    let mut problems = Vec::new();
    for profile in profile::all() {
        if let Err(problem) = crate::trouble::compile(profile, 1) {
            problems.push(problem);
        }
    }
    let names: Vec<&str> = profile::all().iter().map(|profile| profile.alias).collect();
    if problems.is_empty() {
        Ok(format!("{} pass their self-test", names.join(", ")))
    } else {
        Err(Failure(problems))
    }
}

fn folder(state: &State) -> Check {
    if !state.root().exists() {
        return Check::skipped(
            "state",
            format!("{} does not exist yet; a node makes it", state.root().display()),
        );
    }
    let mut problems = Vec::new();
    secrets(state.root(), &mut problems);
    let result = if problems.is_empty() {
        Ok(format!("{} is private", state.root().display()))
    } else {
        Err(Failure(problems))
    };
    Check::of("state", result)
}

/// Every folder, and every file that holds a secret, must be its owner's alone.
fn secrets(folder: &Path, problems: &mut Vec<Diagnostic>) {
    if let Err(problem) = private(folder) {
        problems.push(problem);
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let secret =
            ["roots.pem", "identity.pem", "node.json", "store.redb"].iter().any(|name| path.ends_with(name));
        if path.is_dir() {
            secrets(&path, problems);
        } else if secret && let Err(problem) = private(&path) {
            problems.push(problem);
        }
    }
}

fn authority(state: &State) -> Check {
    let path = Authority::bundle_path(&state.authority());
    if !path.exists() {
        return Check::skipped("authority", "none yet; a node makes it");
    }
    let read = || -> Result<String, Diagnostic> {
        let unusable =
            |error: &lockgate_identity::IdentityError| crate::trouble::identity(error, &state.authority());
        let bundle = TrustBundle::from_pem_file(&path).map_err(|error| unusable(&error))?;
        Authority::open(&state.authority()).map_err(|error| unusable(&error))?;
        let ends = bundle
            .roots()
            .iter()
            .map(lockgate_identity::Root::not_after)
            .min()
            .unwrap_or(SystemTime::UNIX_EPOCH);
        if ends <= SystemTime::now() {
            return Err(Diagnostic::new("LG-I006", "a root of the authority has ended")
                .hint("move DIR/authority away and start anew; every agent has to enrol again"));
        }
        Ok(format!(
            "{}, {} roots, fingerprint {}",
            bundle.trust_domain(),
            bundle.roots().len(),
            &bundle.fingerprint()[..16]
        ))
    };
    Check::of("authority", read().map_err(Into::into))
}

fn policies(state: &State, settings: Option<&Settings>) -> Check {
    let named: Vec<PathBuf> = settings.map(|settings| settings.policy_files.clone()).unwrap_or_default();
    let files = if named.is_empty() { state.policy_files().map_err(Failure::from) } else { Ok(named) };
    let files = match files {
        Ok(files) if files.is_empty() => {
            return Check::skipped("policy", "none yet; a node writes one that permits only you");
        }
        Ok(files) => policy::read(files),
        Err(failure) => Err(failure),
    };
    let shapes = settings.map(Settings::fact_shapes).unwrap_or_default();
    // Definitions of tools are not at hand; what needs them is a warning.
    let groups = settings.map(groups).unwrap_or_default();
    let options = Options {
        facts: &shapes,
        groups: &groups,
        trust_domain: settings.map_or("", |settings| &settings.trust_domain),
        ..Options::bare(1)
    };
    let parsed = files.and_then(|files| policy::parse_with(&files, &options, None));
    Check::of("policy", parsed.map(|policies| format!("{} policies are valid", policies.len())))
}

fn audit(state: &State) -> Check {
    if !state.audit().is_dir() {
        return Check::skipped("audit", "no log yet");
    }
    let verified = lockgate_audit::verify(&state.audit()).map_err(|error| match error {
        lockgate_audit::AuditError::Broken(found) => Diagnostic::new("LG-A001", found.to_string())
            .hint("see the place: lockgate audit verify; keep the files as evidence"),
        error => super::audit::unreadable(&error),
    });
    Check::of(
        "audit",
        verified
            .map(|report| format!("the chain of {} records is whole", report.records))
            .map_err(Into::into),
    )
}

/// Whether the gateways of this machine's connectors have shown one history each.
fn gateways(state: &State) -> Check {
    let folders = std::fs::read_dir(state.connectors()).into_iter().flatten().flatten();
    let seen: Vec<_> = folders.map(|entry| (entry.file_name(), entry.path().join("seen"))).collect();
    let seen: Vec<_> = seen.into_iter().filter(|(_, folder)| folder.is_dir()).collect();
    if seen.is_empty() {
        return Check::skipped("logs of gateways", "no connector has seen one yet");
    }
    let differ = seen.iter().filter(|(_, folder)| Seen::at(folder).differences() > 0);
    let problems: Vec<Diagnostic> = differ
        .map(|(name, folder)| {
            let what =
                format!("the audit log of {} is not the one that was seen before", name.to_string_lossy());
            let kept = folder.join("forks");
            Diagnostic::new("LG-A006", what)
                .hint(format!("the signed checkpoints that show it are in {}", kept.display()))
        })
        .collect();
    match problems.is_empty() {
        true => Check::of("logs of gateways", Ok(format!("{} go on from what was seen of them", seen.len()))),
        false => Check::of("logs of gateways", Err(Failure(problems))),
    }
}

/// Whether those who are to cosign the log do, and nobody has seen another history of it.
fn witnesses(state: &State) -> Check {
    let Some(standing) = Standing::read(state).filter(|standing| !standing.witnesses.is_empty()) else {
        return Check::skipped("witnesses", "nobody is asked to cosign the audit log");
    };
    let problems = standing.witnesses.iter().filter_map(|one| Some((one, one.problem.as_ref()?)));
    let problems: Vec<Diagnostic> = problems
        .map(|(one, problem)| {
            let what = format!("the witness {} does not cosign: {problem}", one.name);
            Diagnostic::new("LG-A006", what).hint("see all of them: lockgate audit witness")
        })
        .collect();
    match problems.is_empty() {
        true => Check::of("witnesses", Ok(format!("{} cosign the audit log", standing.witnesses.len()))),
        false => Check::of("witnesses", Err(Failure(problems))),
    }
}

/// Whether the addresses are free. A running node holds them itself.
fn ports(settings: Option<&Settings>, running: bool) -> Check {
    let Some(settings) = settings.filter(|_| !running) else {
        return Check::skipped(
            "addresses",
            if running { "held by the running node" } else { "unknown without a valid configuration" },
        );
    };
    let taken = |address: &SocketAddr| TcpListener::bind(address).err().map(|error| (*address, error));
    let problems: Vec<Diagnostic> = settings
        .listeners()
        .filter_map(|plan| taken(&plan.address))
        .map(|(address, error)| {
            Diagnostic::new("LG-N001", format!("cannot listen on {address}"))
                .because(&error)
                .hint(format!("see who has it: ss -ltnp 'sport = :{}'", address.port()))
        })
        .collect();
    let free: Vec<String> = settings.listeners().map(|plan| plan.address.to_string()).collect();
    Check::of(
        "addresses",
        if problems.is_empty() {
            Ok(format!("{} are free", free.join(", ")))
        } else {
            Err(Failure(problems))
        },
    )
}

async fn node(state: &State, running: bool) -> Check {
    if !running {
        return Check::skipped("node", "none runs on this state directory; start one: lockgate up");
    }
    let ask = async {
        let admin = client::admin(state)?;
        admin.ready().await.map_err(|error| client::unanswered(&error))?;
        admin.status().await.map_err(|error| client::unanswered(&error))
    };
    let answer: Result<lockgate_admin::Status, Diagnostic> = ask.await;
    let said = answer.map(|status| {
        let failing = if status.upstreams_failing > 0 {
            format!(", {} servers FAILING", status.upstreams_failing)
        } else {
            String::new()
        };
        format!("{} runs; servers {}, links {}{failing}", status.node, status.upstreams, status.links)
    });
    Check::of("node", said.map_err(Into::into))
}
