//! The table: where it was measured, what came out, and what was aimed at.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{Plan, arguments, decisions, lists, reload};

/// Everything that a run found.
#[derive(Serialize)]
pub(crate) struct Report {
    schema: &'static str,
    quick: bool,
    /// What it was measured on and with, by name.
    setting: Vec<(&'static str, String)>,
    pub(crate) decisions: Vec<decisions::Row>,
    pub(crate) arguments: Vec<arguments::Row>,
    pub(crate) reload: Vec<reload::Row>,
    pub(crate) lists: Vec<lists::Row>,
}

const DECISIONS: &str = "
## Decisions (`cargo xtask bench policy`)

A call with five arguments is judged: its arguments are read, typed and looked through, with the time and a fact, and
the rules of its role and tool are evaluated, and five rules for everybody. 1,000 tools are known in every case; each
has a rule for each of ten roles, as far as the rules go. All engines decide the same calls alike, which is checked
before they are measured. Lockgate holds the arguments against the tool's definition as well, and a denial of Lockgate's
says what would have been permitted; the others say no.
";

const ARGUMENTS: &str = "
## Looks into arguments

What decisions do only when a policy reads `context.input`, `context.scan` or `context.touched`. A search looks behind
encodings as well; nothing is found in these.
";

const RELOAD: &str = "
## Loading

Every policy is checked against the tools that it names. *Meanwhile* are decisions of another thread without a pause.
";

const LISTS: &str = "
## Lists

`tools/list` reduced to what the caller could call with some arguments at some time: by partial evaluation, remembered.
";

impl Report {
    /// A report without figures yet.
    pub(crate) fn begin(plan: &Plan) -> Result<Self> {
        let mut git = Command::new("git");
        git.args(["describe", "--always", "--dirty", "--abbrev=12"]);
        let load = first_line("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" ");
        let setting = vec![
            ("date", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string()),
            ("commit", said(&mut git)),
            ("machine", machine()),
            ("kernel", first_line("/proc/sys/kernel/osrelease")?),
            ("load average at the start", load),
            ("engines", "cedar-policy 4.14.1, cel 0.15, regorus 0.14.1".to_owned()),
            ("measured", format!("{} rounds of {:?} for each engine", plan.rounds, plan.turn)),
        ];
        Ok(Self {
            schema: "lockgate.bench-policy/1",
            quick: plan.quick,
            setting,
            decisions: Vec::new(),
            arguments: Vec::new(),
            reload: Vec::new(),
            lists: Vec::new(),
        })
    }

    /// The report for people.
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = String::from("# Policy, measured\n\n");
        if self.quick {
            text.push_str("**A quick run: it shows that everything works; its figures are noise.**\n\n");
        }
        let setting = self.setting.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
        text += &table(&["", ""], setting);
        text += "\n## Aims\n\n";
        text += &table(&["", "aim", "reached", "met"], self.aims().into_iter());
        text += DECISIONS;
        text.push('\n');
        let head = ["engine", "rules", "calls", "p50 µs", "p99 µs", "decisions measured"];
        text += &table(
            &head,
            self.decisions.iter().map(|row| {
                let times = row.times;
                vec![
                    row.engine.to_owned(),
                    row.rules.to_string(),
                    row.calls.to_owned(),
                    format!("{:.1}", times.p50_us),
                    format!("{:.1}", times.p99_us),
                    times.samples.to_string(),
                ]
            }),
        );
        text += ARGUMENTS;
        text.push('\n');
        text += &table(
            &["look", "arguments", "bytes", "p50 µs", "p99 µs"],
            self.arguments.iter().map(|row| {
                let (p50, p99) = (format!("{:.1}", row.times.p50_us), format!("{:.1}", row.times.p99_us));
                vec![row.what.to_owned(), row.arguments.to_owned(), row.bytes.to_string(), p50, p99]
            }),
        );
        text += RELOAD;
        text.push('\n');
        let head = ["what", "rules", "seconds", "p50 meanwhile µs", "p99 meanwhile µs"];
        text += &table(
            &head,
            self.reload.iter().map(|row| {
                let meanwhile = |of: fn(&crate::clock::Times) -> f64| {
                    row.meanwhile.as_ref().map_or(String::new(), |times| format!("{:.1}", of(times)))
                };
                vec![
                    row.what.to_owned(),
                    row.rules.to_string(),
                    format!("{:.3}", row.seconds),
                    meanwhile(|times| times.p50_us),
                    meanwhile(|times| times.p99_us),
                ]
            }),
        );
        text += LISTS;
        text.push('\n');
        text += &table(
            &["what", "tools", "shown", "ms"],
            self.lists.iter().map(|row| {
                vec![
                    row.what.to_owned(),
                    row.tools.to_string(),
                    row.kept.to_string(),
                    format!("{:.2}", row.ms),
                ]
            }),
        );
        text
    }

    /// The aims of the project, and how near this run came.
    fn aims(&self) -> Vec<Vec<String>> {
        let ours: Vec<f64> = self
            .decisions
            .iter()
            .filter(|row| row.engine == "Lockgate" && row.calls == "permitted")
            .map(|row| row.times.p50_us)
            .collect();
        let worst = ours.iter().copied().fold(0.0, f64::max);
        let best = ours.iter().copied().fold(f64::INFINITY, f64::min);
        let mut aims = vec![
            aim(
                "a decision with context, p50, worst size",
                "≤ 50 µs",
                format!("{worst:.1} µs"),
                worst <= 50.0,
            ),
            aim("… of the best size", "flat", format!("{:.2}", worst / best), worst / best <= 1.5),
        ];
        for row in self.reload.iter().filter(|row| !row.what.starts_with("the")) {
            let what = format!("{} rules {}", row.rules, row.what);
            aims.push(aim(&what, "≤ 1 s", format!("{:.3} s", row.seconds), row.seconds <= 1.0));
        }
        if let Some(row) = self.lists.last() {
            let what = format!("tools/list of {} tools {}", row.tools, row.what);
            aims.push(aim(&what, "≤ 5 ms", format!("{:.2} ms", row.ms), row.ms <= 5.0));
        }
        aims
    }

    /// Writes the table to `path`, and the figures beside it as JSON.
    pub(crate) fn write(&self, path: &Path, text: &str) -> Result<()> {
        let json = path.with_extension("json");
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        fs::write(&json, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("cannot write {}", json.display()))?;
        eprintln!("written: {} and {}", path.display(), json.display());
        Ok(())
    }
}

fn aim(what: &str, aimed: &str, reached: String, met: bool) -> Vec<String> {
    vec![what.to_owned(), aimed.to_owned(), reached, if met { "yes" } else { "no" }.to_owned()]
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&head.iter().map(ToString::to_string).collect::<Vec<_>>());
    text += &line(&vec!["---".to_owned(); head.len()]);
    text.extend(rows.map(|row| line(&row)));
    text
}

fn machine() -> String {
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{model}, {cores} cores, {}", field("/proc/meminfo", "MemTotal").unwrap_or_default())
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn first_line(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn said(command: &mut Command) -> String {
    let output = command.output().map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    output.unwrap_or_else(|_| "unknown".to_owned())
}
