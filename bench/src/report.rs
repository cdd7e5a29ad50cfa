//! The table: where it was measured, by which commands, what came out, and what was aimed at.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::bed::{Bed, program};
use crate::statistics::median;
use crate::{Plan, RunArgs, calls, handshakes, memory};

mod agility;

/// Everything that a run found.
#[derive(Serialize)]
pub(crate) struct Report {
    schema: &'static str,
    quick: bool,
    /// What it was measured on and with, by name.
    setting: Vec<(&'static str, String)>,
    /// What was run, and what was negotiated.
    pub(crate) commands: Vec<String>,
    pub(crate) calls: Vec<calls::Row>,
    pub(crate) handshakes: Vec<handshakes::Row>,
    pub(crate) memory: Vec<memory::Row>,
    pub(crate) agility: Vec<crate::agility::Row>,
}

/// One aim of the project, and how near it this run came.
struct Aim {
    what: String,
    aimed: &'static str,
    reached: String,
    met: bool,
}

impl Report {
    /// A report without figures yet.
    pub(crate) fn begin(bed: &Bed, plan: &Plan, arguments: &RunArgs) -> Result<Self> {
        let words: Vec<String> = std::env::args().skip(2).collect();
        let nginx = program("nginx").map_or("none".to_owned(), |nginx| said(Command::new(nginx).arg("-V")));
        let mut git = Command::new("git");
        let rounds = format!(
            "{} rounds; calls {:?} each after {:?} of warm-up; {} handshakes; {} links",
            plan.rounds, plan.measured, plan.warm_up, plan.handshakes, plan.links
        );
        let setting = vec![
            ("date", jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M UTC").to_string()),
            ("commit", said(git.args(["describe", "--always", "--dirty", "--abbrev=12"]))),
            ("machine", machine()?),
            ("kernel", first_line("/proc/sys/kernel/osrelease")?),
            (
                "load average at the start",
                first_line("/proc/loadavg")?.split(' ').take(3).collect::<Vec<_>>().join(" "),
            ),
            ("gateway", said(Command::new(&bed.lockgate).arg("--version"))),
            ("nginx", nginx),
            ("measured", rounds),
        ];
        let commands =
            vec![["cargo xtask bench".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")];
        Ok(Self {
            schema: "lockgate.bench/1",
            quick: arguments.quick,
            setting,
            commands,
            calls: Vec::new(),
            handshakes: Vec::new(),
            memory: Vec::new(),
            agility: Vec::new(),
        })
    }

    /// The report for people.
    pub(crate) fn to_markdown(&self) -> String {
        let mut text = String::from("# Lockgate, measured\n\n");
        if self.quick {
            text.push_str("**A quick run: it shows that everything works; its figures are noise.**\n\n");
        }
        let setting = self.setting.iter().map(|(name, value)| vec![(*name).to_owned(), value.clone()]);
        text += &table(&["", ""], setting);
        let commands: String = self.commands.iter().map(|command| format!("{command}\n")).collect();
        let _ = write!(text, "\n## Commands\n\n```text\n{commands}```\n");
        let aims = self.aims();
        let aims = aims.into_iter().map(|aim| {
            vec![aim.what, aim.aimed.to_owned(), aim.reached, if aim.met { "yes" } else { "no" }.to_owned()]
        });
        text += "\n## Aims\n\n";
        text += &table(&["", "aim", "reached", "met"], aims);
        if !self.calls.is_empty() {
            text += CALLS;
            text += &table(&CALLS_HEAD, self.calls.iter().map(|row| self.call_cells(row)));
        }
        if !self.handshakes.is_empty() {
            text += HANDSHAKES;
            text += &table(&HANDSHAKES_HEAD, self.handshakes.iter().map(handshake_cells));
        }
        if !self.memory.is_empty() {
            text += MEMORY;
            text += &table(&MEMORY_HEAD, self.memory.iter().map(memory_cells));
        }
        if !self.agility.is_empty() {
            text += agility::INTRODUCTION;
            text += &table(&agility::HEAD, self.agility.iter().map(agility::cells));
        }
        text
    }

    /// Writes the table to `path`, and the figures beside it as JSON.
    pub(crate) fn write(&self, path: &Path, text: &str) -> Result<()> {
        let json = path.with_extension("json");
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        fs::write(&json, serde_json::to_string_pretty(self)? + "\n")
            .with_context(|| format!("cannot write {}", json.display()))?;
        eprintln!("written: {} and {}", path.display(), json.display());
        Ok(())
    }

    /// What the same case gave through nginx by the same protocol.
    fn nginx(&self, row: &calls::Row) -> Option<&calls::Row> {
        let name = row.target.strip_prefix("Lockgate")?;
        self.same_case(row).find(|other| other.target.strip_prefix("nginx") == Some(name))
    }

    fn same_case(&self, row: &calls::Row) -> impl Iterator<Item = &calls::Row> {
        let case = (row.era, row.result_kib, row.connections);
        self.calls.iter().filter(move |other| (other.era, other.result_kib, other.connections) == case)
    }

    fn call_cells(&self, row: &calls::Row) -> Vec<String> {
        let direct = self.same_case(row).find(|other| other.target == "direct");
        let nginx = self.nginx(row);
        let share = |of: Option<&calls::Row>| {
            of.map_or(String::new(), |of| format!("{:.2}", row.calls_per_s / of.calls_per_s))
        };
        vec![
            format!("{:?}", row.era).to_lowercase(),
            format!("{} KiB", row.result_kib),
            row.connections.to_string(),
            row.target.to_owned(),
            format!("{:.0}", row.calls_per_s),
            format!("{:.0}", row.p50_us),
            format!("{:.0}", row.p99_us),
            row.cpu_us.map_or(String::new(), |cpu| format!("{cpu:.0}")),
            share(direct),
            share(nginx),
            nginx.map_or(String::new(), |nginx| format!("{:+.0}", row.p50_us - nginx.p50_us)),
        ]
    }

    /// Aims of the parts that ran. The worst case counts; the median, and what the processor says, stand beside it.
    fn aims(&self) -> Vec<Aim> {
        let mut aims = Vec::new();
        for kib in [1, 64] {
            aims.extend(self.added_latency(kib));
            aims.extend(self.share_of_nginx(kib));
        }
        for row in self.handshakes.iter().filter(|row| row.aimed) {
            let (rate, cpu) = handshake_ratios(row);
            aims.push(Aim {
                what: format!("{} handshakes, of those in memory", row.kind),
                aimed: "≥ 0.85",
                reached: format!("{cpu:.2} by server CPU, {rate:.2} by rate"),
                met: cpu >= 0.85,
            });
        }
        for row in &self.memory {
            aims.push(Aim {
                what: format!("memory of an idle link, {}, {} links", row.protocol, row.links),
                aimed: "≤ 40 KiB",
                reached: format!("{:.1} KiB", row.kib_per_link),
                met: row.kib_per_link <= 40.0,
            });
        }
        aims.extend(agility::aims(&self.agility));
        aims
    }

    /// Lockgate's rows of one size, each with nginx's.
    fn beside_nginx(&self, kib: usize) -> impl Iterator<Item = (&calls::Row, &calls::Row)> {
        let of_size = self.calls.iter().filter(move |row| row.result_kib == kib);
        of_size.filter_map(|row| Some((row, self.nginx(row)?)))
    }

    fn added_latency(&self, kib: usize) -> Option<Aim> {
        let alone = self.beside_nginx(kib).filter(|(row, _)| row.connections == 1);
        let added: Vec<f64> = alone.map(|(row, nginx)| row.p50_us - nginx.p50_us).collect();
        let worst = added.iter().copied().reduce(f64::max)?;
        Some(Aim {
            what: format!("p50 added over nginx, {kib} KiB, one connection"),
            aimed: "≤ 150 µs",
            reached: format!("{worst:.0} µs at worst, median {:.0}", median(added)),
            met: worst <= 150.0,
        })
    }

    fn share_of_nginx(&self, kib: usize) -> Option<Aim> {
        let many = || self.beside_nginx(kib).filter(|(row, _)| row.connections > 1);
        let shares: Vec<f64> = many().map(|(row, nginx)| row.calls_per_s / nginx.calls_per_s).collect();
        let by_cpu = median(many().filter_map(|(row, nginx)| Some(nginx.cpu_us? / row.cpu_us?)));
        let worst = shares.iter().copied().reduce(f64::min)?;
        Some(Aim {
            what: format!("throughput, of nginx's, {kib} KiB, several connections"),
            aimed: "≥ 0.6",
            reached: format!(
                "{worst:.2} at worst, median {:.2}; by CPU per call {by_cpu:.2}",
                median(shares)
            ),
            met: worst >= 0.6,
        })
    }
}

const CALLS: &str = "\n## Tool calls (`cargo xtask bench --part calls`)

Closed loop, one call in flight on each connection. Direct is plain HTTP/1.1 without TLS. CPU is the proxy's processor
time for each call. Upstream and generator share a core: where that one is full before the proxy's is, the rates of the
faster proxy are the generator's, and CPU is the figure to compare.\n\n";
const CALLS_HEAD: [&str; 11] = [
    "era",
    "result",
    "connections",
    "target",
    "calls/s",
    "p50 µs",
    "p99 µs",
    "CPU µs/call",
    "of direct",
    "of nginx",
    "p50 − nginx µs",
];
const HANDSHAKES: &str = "\n## Handshakes (`cargo xtask bench --part handshakes`)

Certificates of the same algorithm on both sides, connection by connection. Both columns use the same two cores. The
first rows are what connectors do by default, with more rounds; the rest is every pair of a group and a signature.\n\n";
const HANDSHAKES_HEAD: [&str; 9] = [
    "group",
    "signature",
    "kind",
    "gateway/s",
    "in memory/s",
    "gateway of memory",
    "gateway server CPU µs",
    "memory server CPU µs",
    "memory of gateway CPU",
];
const MEMORY: &str = "\n## Idle links (`cargo xtask bench --part memory`)

Resident memory of the gateway before and after, each link having carried one call.\n\n";
const MEMORY_HEAD: [&str; 5] = ["protocol", "links", "before KiB", "after KiB", "KiB/link"];

fn handshake_ratios(row: &handshakes::Row) -> (f64, f64) {
    (row.gateway_per_s / row.memory_per_s, row.memory_cpu_us / row.gateway_cpu_us)
}

fn handshake_cells(row: &handshakes::Row) -> Vec<String> {
    let (wall, cpu) = handshake_ratios(row);
    let figures = [row.gateway_per_s, row.memory_per_s, row.gateway_cpu_us, row.memory_cpu_us];
    let [gateway_per_s, memory_per_s, gateway_cpu, memory_cpu] = figures.map(|figure| format!("{figure:.0}"));
    let (wall, cpu) = (format!("{wall:.2}"), format!("{cpu:.2}"));
    let (group, signature) = (row.group.to_owned(), row.signature.to_owned());
    vec![
        group,
        signature,
        row.kind.to_owned(),
        gateway_per_s,
        memory_per_s,
        wall,
        gateway_cpu,
        memory_cpu,
        cpu,
    ]
}

fn memory_cells(row: &memory::Row) -> Vec<String> {
    let (before, after) = (row.before_kib.to_string(), row.after_kib.to_string());
    let each = format!("{:.1}", row.kib_per_link);
    vec![row.protocol.to_owned(), row.links.to_string(), before, after, each]
}

/// A Markdown table. Bars and line breaks in cells do not break it.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(&head.iter().map(ToString::to_string).collect::<Vec<_>>());
    text += &line(&vec!["---".to_owned(); head.len()]);
    for row in rows {
        text +=
            &line(&row.iter().map(|cell| cell.replace('|', "\\|").replace('\n', " ")).collect::<Vec<_>>());
    }
    text
}

fn machine() -> Result<String> {
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let cores = fs::read_to_string("/proc/cpuinfo")
        .map_or(cores, |text| text.lines().filter(|line| line.starts_with("processor")).count());
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    Ok(format!("{model}, {cores} cores, {memory}"))
}

fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn first_line(path: &str) -> Result<String> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    Ok(text.trim().to_owned())
}

/// The first lines of what a program says of itself, on either output.
fn said(command: &mut Command) -> String {
    let Ok(output) = command.output() else { return "unknown".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines().take(2).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Era;

    fn row(target: &'static str, connections: usize, calls_per_s: f64, p50_us: f64) -> calls::Row {
        let (era, result_kib, p99_us) = (Era::Modern, 1, 2.0 * p50_us);
        calls::Row { era, result_kib, connections, target, calls_per_s, p50_us, p99_us, cpu_us: Some(40.0) }
    }

    fn report() -> Report {
        let calls = vec![
            row("direct", 1, 10_000.0, 100.0),
            row("nginx, HTTP/2", 1, 5_000.0, 200.0),
            row("Lockgate, HTTP/2", 1, 4_000.0, 260.0),
            row("nginx, HTTP/2", 16, 10_000.0, 900.0),
            row("Lockgate, HTTP/2", 16, 5_000.0, 2_000.0),
        ];
        let handshakes = vec![handshakes::Row {
            group: "group",
            signature: "signature",
            aimed: true,
            kind: "full",
            gateway_per_s: 900.0,
            memory_per_s: 1_000.0,
            gateway_cpu_us: 500.0,
            memory_cpu_us: 450.0,
        }];
        let (setting, commands) = (vec![("nginx", "a | b".to_owned())], Vec::new());
        let (memory, agility) = (Vec::new(), Vec::new());
        Report { schema: "test", quick: true, setting, commands, calls, handshakes, memory, agility }
    }

    #[test]
    fn a_table_survives_what_stands_in_its_cells() {
        let rows = [vec!["a | b".to_owned(), "two\nlines".to_owned()]];
        let expected = "| x | y |\n| --- | --- |\n| a \\| b | two lines |\n";
        assert_eq!(table(&["x", "y"], rows.into_iter()), expected);
    }

    #[test]
    fn ratios_are_taken_within_the_case_and_the_protocol() {
        let report = report();
        let cells = report.call_cells(&report.calls[2]);
        assert_eq!(cells[8..], ["0.40", "0.80", "+60"]);
        assert_eq!(report.call_cells(&report.calls[1])[8..], ["0.50", "", ""]);
        assert_eq!(report.call_cells(&report.calls[4])[8..], ["", "0.50", "+1100"]);
    }

    #[test]
    fn aims_say_what_was_reached_and_whether_that_is_enough() {
        let aims: Vec<_> = report().aims().into_iter().map(|aim| (aim.reached, aim.met)).collect();
        let expected = [
            ("60 µs at worst, median 60", true),
            ("0.50 at worst, median 0.50; by CPU per call 1.00", false),
            ("0.90 by server CPU, 0.90 by rate", true),
        ];
        assert_eq!(aims, expected.map(|(reached, met)| (reached.to_owned(), met)));
        let text = report().to_markdown();
        assert!(text.contains("noise") && text.contains("## Handshakes") && !text.contains("## Idle"));
    }
}
