//! The gate: every stage that a change must pass, in the order in which failure is cheapest.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Result, bail};

use crate::{
    dashboard,
    peers::{self, Peers},
    process,
    tally::Tally,
    tidy,
};

/// One stage of the gate.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// Whether a run without names includes it.
    by_default: bool,
    run: fn(&Path) -> Result<Tally>,
}

/// All stages, in order.
pub(crate) const STAGES: [Stage; 11] = [
    Stage { name: "fmt", about: "every file is formatted", by_default: true, run: fmt },
    Stage { name: "tidy", about: "crate edges, file rules", by_default: true, run: tidy::run },
    Stage { name: "clippy", about: "no warning anywhere", by_default: true, run: clippy },
    Stage { name: "unit", about: "every Rust test, golden files too", by_default: true, run: unit },
    Stage { name: "golden", about: "the command line's transcripts", by_default: false, run: golden },
    Stage { name: "fuzz", about: "a short run of every fuzz target", by_default: true, run: fuzz },
    Stage {
        name: "conformance",
        about: "the official MCP suite: direct, through connector and gateway, and foreign",
        by_default: true,
        run: conformance,
    },
    Stage {
        name: "wire",
        about: "what that suite is blind to: bytes, disconnects, misbehaving servers",
        by_default: true,
        run: wire,
    },
    Stage {
        name: "interop",
        about: "real MCP clients and servers, TLS with OpenSSL and Node.js, and how they follow changes",
        by_default: true,
        run: interop,
    },
    Stage {
        name: "ui",
        about: "the dashboard's types and units, and that ui/dist is what its source builds to",
        by_default: true,
        run: dashboard::run,
    },
    Stage {
        name: "browser",
        about: "Chromium on a listener, on the dashboard and on reports, whose OSCAL compliance-trestle reads",
        by_default: true,
        run: browser,
    },
];

/// Runs the stages with these names, or the whole gate; `false` when something failed.
///
/// # Errors
/// When there is no such stage.
pub(crate) fn run(root: &Path, names: &[String]) -> Result<bool> {
    let chosen = choose(names)?;
    let mut total = Tally::default();
    let mut lines = Vec::new();
    for (number, stage) in chosen.iter().enumerate() {
        println!("\n== {} ({} of {}): {} ==", stage.name, number + 1, chosen.len(), stage.about);
        let began = Instant::now();
        let tally = (stage.run)(root).unwrap_or_else(|error| {
            println!("error: {error:#}");
            Tally::one(false)
        });
        let seconds = began.elapsed().as_secs_f64();
        lines.push(format!("{:<12} {seconds:>7.1} s   {tally}", stage.name));
        total.add(tally);
    }
    println!("\n== summary ==");
    lines.iter().for_each(|line| println!("{line}"));
    println!("{total}");
    Ok(total.failed == 0)
}

fn choose(names: &[String]) -> Result<Vec<&'static Stage>> {
    for name in names {
        if !STAGES.iter().any(|stage| stage.name == name) {
            let known: Vec<&str> = STAGES.iter().map(|stage| stage.name).collect();
            bail!("there is no stage `{name}`; the stages are {}", known.join(", "));
        }
    }
    let chosen = STAGES.iter().filter(|stage| match names {
        [] => stage.by_default,
        _ => names.iter().any(|name| name == stage.name),
    });
    Ok(chosen.collect())
}

/// The fuzz targets are a workspace of their own, because libFuzzer needs another compiler.
const FUZZ: [&str; 2] = ["--manifest-path", "fuzz/Cargo.toml"];
/// And so is the comparison of policy engines, because the other engines do not ship.
const BENCH_POLICY: [&str; 2] = ["--manifest-path", "bench/policy/Cargo.toml"];
/// Seconds for each fuzz target in the gate; `cargo fuzz` runs them for as long as one likes.
const FUZZ_SECONDS: &str = "5";

fn fmt(root: &Path) -> Result<Tally> {
    each(
        root,
        &[
            &["fmt", "--all", "--check"],
            &["fmt", "--check", FUZZ[0], FUZZ[1]],
            &["fmt", "--check", BENCH_POLICY[0], BENCH_POLICY[1]],
        ],
    )
}

fn clippy(root: &Path) -> Result<Tally> {
    let deny = ["--", "--deny", "warnings"];
    let ours = [&["clippy", "--workspace", "--all-targets", "--locked"], &deny[..]].concat();
    let fuzz = [&["clippy", "--locked", FUZZ[0], FUZZ[1]], &deny[..]].concat();
    let bench = [&["clippy", "--locked", BENCH_POLICY[0], BENCH_POLICY[1]], &deny[..]].concat();
    each(root, &[&ours, &fuzz, &bench])
}

fn fuzz(root: &Path) -> Result<Tally> {
    each(root, &[&["run", "--locked", FUZZ[0], FUZZ[1], "--", "--seconds", FUZZ_SECONDS]])
}

/// Runs `cargo` with each list of words; each is one test.
fn each(root: &Path, commands: &[&[&str]]) -> Result<Tally> {
    let mut tally = Tally::default();
    for words in commands {
        let mut cargo = process::cargo(root);
        cargo.args(*words);
        tally.add(Tally::one(process::run(cargo, |_| {})?));
    }
    Ok(tally)
}

fn unit(root: &Path) -> Result<Tally> {
    // A solver and a JOSE library that others wrote; the tests that need one say so where it cannot be had.
    if let Err(error) = Peers::install(root) {
        println!("tests with programs of others are skipped: {error:#}");
    }
    if let Err(error) = peers::rsyslog() {
        println!("the test with rsyslog is skipped: {error:#}");
    }
    let mut cargo = process::cargo(root);
    cargo.args(["test", "--workspace", "--locked", "--no-fail-fast"]);
    counted(cargo)
}

fn golden(root: &Path) -> Result<Tally> {
    let mut cargo = process::cargo(root);
    cargo.args(["test", "--package", "lockgate", "--locked", "--no-fail-fast"]);
    counted(cargo)
}

fn conformance(root: &Path) -> Result<Tally> {
    scripts(root, &["conformance.mjs"])
}

fn wire(root: &Path) -> Result<Tally> {
    scripts(root, &["wire.mjs"])
}

fn interop(root: &Path) -> Result<Tally> {
    let nginx = peers::nginx()?;
    let names = [
        "interop.mjs",
        "policy.mjs",
        "tls.mjs",
        "journey.mjs",
        "agility.mjs",
        "moving.mjs",
        "looking.mjs",
        "workload.mjs",
        "issuer.mjs",
        "exchange.mjs",
        "telemetry.mjs",
    ];
    let mut more = vec![("TEST_NGINX", nginx)];
    match peers::promtool() {
        Ok(promtool) => more.push(("TEST_PROMTOOL", promtool)),
        Err(error) => println!("the test with promtool is skipped: {error:#}"),
    }
    scripts_with(root, &names, &more)
}

fn browser(root: &Path) -> Result<Tally> {
    let chromium = peers::browser()?;
    scripts_with(root, &["browser.mjs", "dashboard.mjs", "reports.mjs"], &[("TEST_CHROMIUM", chromium)])
}

fn scripts(root: &Path, names: &[&str]) -> Result<Tally> {
    scripts_with(root, names, &[])
}

/// Runs scripts of `tests/node` against the binaries of this workspace; `more` says by environment
/// variables where further programs are.
fn scripts_with(root: &Path, names: &[&str], more: &[(&str, PathBuf)]) -> Result<Tally> {
    let peers = Peers::install(root)?;
    let built = build(root)?;
    let folder = root.join("tests/node");
    let mut tally = Tally::default();
    for name in names {
        let mut node = Command::new(&peers.node);
        node.current_dir(root)
            .arg("--import")
            .arg(folder.join("lib/packages.mjs"))
            .arg(folder.join(name))
            .env("TEST_BINARIES", &built)
            .env("TEST_NODE_MODULES", &peers.modules)
            .env("TEST_NODE_NEWEST", &peers.node_newest)
            .env("TEST_NODE_CLASSICAL", &peers.node_classical)
            .envs(more.iter().map(|(name, path)| (name, path)))
            .env("TEST_PYTHON", &peers.python);
        tally.add(counted(node)?);
    }
    Ok(tally)
}

/// Builds the product and the fixtures, and says where they are.
fn build(root: &Path) -> Result<PathBuf> {
    let mut cargo = process::cargo(root);
    cargo.args(["build", "--locked", "--package", "lockgate", "--package", "lockgate-testkit"]);
    if !process::run(cargo, |_| {})? {
        bail!("the binaries cannot be built");
    }
    let mut cargo = process::cargo(root);
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&process::read(cargo)?)?;
    let target = metadata["target_directory"].as_str().unwrap_or("target");
    Ok(Path::new(target).join("debug"))
}

fn counted(command: Command) -> Result<Tally> {
    let mut tally = Tally::default();
    let succeeded = process::run(command, |line| tally.read(line))?;
    Ok(tally.judge(succeeded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_choose_stages_in_the_order_of_the_gate() {
        let names = ["unit".to_owned(), "fmt".to_owned()];
        let chosen = choose(&names).expect("two stages");
        assert_eq!(chosen.iter().map(|stage| stage.name).collect::<Vec<_>>(), ["fmt", "unit"]);
        assert!(choose(&["lunch".to_owned()]).is_err());
        let all = choose(&[]).expect("the gate");
        assert!(all.iter().all(|stage| stage.name != "golden"), "golden is part of unit");
    }
}
