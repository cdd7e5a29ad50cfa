//! One look as lines of text: pure, so that it can be tested without a terminal.

use std::collections::BTreeMap;

use lockgate_live::{Edge, Second, Summary, WINDOW_S};

use super::Look;
use super::terminal::Size;
use crate::cli::Seconds;
use crate::output::visible;
use crate::verbs::tap::{brief, duration, short};

const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";
const RED: &str = "\u{1b}[31m";
const PLAIN: &str = "\u{1b}[0m";

/// Heights of a curve.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Rows of a table at most, where the screen has room.
const ROWS_MAX: usize = 12;

/// How to draw.
#[derive(Clone, Copy)]
pub(super) struct Mode {
    pub(super) paused: bool,
    pub(super) colour: bool,
}

/// The last whole second; nothing happened in one that is not there.
pub(super) fn last_second(summary: &Summary) -> Second {
    let last_s = summary.at_ms / 1000 - 1;
    let found = summary.seconds.iter().rev().take(3).find(|second| second.at_s == last_s);
    found.cloned().unwrap_or(Second { at_s: last_s, ..Second::default() })
}

/// The screen, no more lines than it has rows.
pub(super) fn draw(look: &Look, size: Size, mode: Mode) -> Vec<String> {
    let mut page = Page { lines: Vec::new(), columns: size.columns, colour: mode.colour };
    head(&mut page, look, mode.paused);
    rates(&mut page, &look.live.summary, look.status.calls_in_flight);
    groups(&mut page, look);
    let summary = &look.live.summary;
    let left = size.rows.saturating_sub(page.lines.len() + 2);
    let each = (left / 3).saturating_sub(2).clamp(1, ROWS_MAX);
    table(&mut page, "AGENT", &sums(&summary.edges, |edge| short(&edge.agent).to_owned()), each);
    table(
        &mut page,
        "SERVER AND TOOL",
        &sums(&summary.edges, |edge| format!("{} {}", edge.server, edge.tool)),
        each,
    );
    refusals(&mut page, summary, each);
    page.lines.truncate(size.rows);
    page.lines
}

struct Page {
    lines: Vec<String>,
    columns: usize,
    colour: bool,
}

impl Page {
    /// A line of parts, each with its style, cut to the width of the screen.
    fn line(&mut self, parts: &[(&str, &str)]) {
        let (mut text, mut left) = (String::new(), self.columns);
        for (style, part) in parts {
            let kept: String = part.chars().take(left).collect();
            left -= kept.chars().count();
            match self.colour && !style.is_empty() {
                true => text.push_str(&format!("{style}{kept}{PLAIN}")),
                false => text.push_str(&kept),
            }
        }
        self.lines.push(text);
    }
}

fn head(page: &mut Page, look: &Look, paused: bool) {
    let status = &look.status;
    let up = Seconds(look.live.summary.at_ms.saturating_sub(status.since_ms) / 1000);
    let state = match (paused, status.draining) {
        (true, _) => "  PAUSED",
        (_, true) => "  DRAINING",
        _ => "",
    };
    page.line(&[
        (BOLD, "lockgate top"),
        (
            "",
            &format!(
                "  {}  up {up}  epoch {}  policy {}",
                visible(&status.node),
                status.epoch,
                status.policy_generation
            ),
        ),
        (RED, state),
        (DIM, "   q quits, p pauses"),
    ]);
    let audit = match &status.audit.problem {
        None => format!("audit record {}", status.audit.seq),
        Some(problem) => format!("AUDIT LOG BROKEN: {}", brief(problem)),
    };
    let broken = if status.audit.problem.is_some() { RED } else { "" };
    page.line(&[
        (broken, &audit),
        ("", &format!("   threats {}   bans {}", status.threats, status.bans.len())),
    ]);
}

fn rates(page: &mut Page, summary: &Summary, in_flight: u64) {
    let second = last_second(summary);
    page.line(&[]);
    page.line(&[
        (BOLD, &format!("{:>6} calls/s", second.calls)),
        ("", "   "),
        (if second.refused > 0 { RED } else { "" }, &format!("{} refused/s", second.refused)),
        ("", "   "),
        (if second.failed > 0 { RED } else { "" }, &format!("{} failed/s", second.failed)),
        ("", &format!("   {in_flight} in flight   {} events dropped", summary.dropped)),
    ]);
    let latency = summary.latency;
    page.line(&[(
        "",
        &format!(
            "       p50 {}   p90 {}   p99 {}   p99.9 {}   over {WINDOW_S} s, {} calls",
            duration(latency.p50_us),
            duration(latency.p90_us),
            duration(latency.p99_us),
            duration(latency.p999_us),
            latency.count
        ),
    )]);
    let width = page.columns.saturating_sub(22).min(120);
    let series = |of: fn(&Second) -> u64| last(summary, width, of);
    page.line(&[(DIM, " calls "), ("", &curve(&series(|second| second.calls.into())))]);
    page.line(&[(DIM, "   p99 "), ("", &curve(&series(|second| second.p99_us)))]);
}

/// The last `count` whole seconds, with nothing where nothing happened.
fn last(summary: &Summary, count: usize, of: fn(&Second) -> u64) -> Vec<u64> {
    let now_s = summary.at_ms / 1000;
    let seconds: BTreeMap<u64, u64> =
        summary.seconds.iter().map(|second| (second.at_s, of(second))).collect();
    (1..=count as u64)
        .rev()
        .map(|ago| seconds.get(&now_s.saturating_sub(ago)).copied().unwrap_or(0))
        .collect()
}

fn curve(values: &[u64]) -> String {
    let top = values.iter().copied().max().unwrap_or(0);
    let step = |value: u64| match value {
        0 => ' ',
        value => STEPS[usize::try_from(value * 7 / top.max(1)).unwrap_or(0).min(7)],
    };
    values.iter().map(|value| step(*value)).collect()
}

fn groups(page: &mut Page, look: &Look) {
    let mut groups: BTreeMap<&str, (usize, bool)> = BTreeMap::new();
    for link in &look.links.links {
        let name = link.posture.as_ref().map_or("no tunnel", |posture| posture.group.as_str());
        let group = groups.entry(name).or_insert((0, true));
        group.0 += 1;
        group.1 &= link.quantum_safe == Some(true);
    }
    page.line(&[]);
    let all = look.links.links.len();
    page.line(&[(
        BOLD,
        &format!("LINKS BY GROUP  {all} live, {} quantum-safe", look.status.links_quantum_safe),
    )]);
    for (group, (count, safe)) in groups {
        let bar = "█".repeat((count * 30).div_ceil(all.max(1)));
        let (style, said) = if safe { ("", "") } else { (RED, "  NOT quantum-safe") };
        page.line(&[("", &format!("{count:>6}  {:<22} ", brief(group))), ("", &bar), (style, said)]);
    }
}

/// Edges with the same name, together, the busiest first.
fn sums(edges: &[Edge], name: impl Fn(&Edge) -> String) -> Vec<(String, Edge)> {
    let mut sums: BTreeMap<String, Edge> = BTreeMap::new();
    for edge in edges {
        let sum = sums.entry(name(edge)).or_default();
        sum.calls += edge.calls;
        sum.refused += edge.refused;
        sum.failed += edge.failed;
        sum.total_us += edge.total_us;
        sum.max_us = sum.max_us.max(edge.max_us);
    }
    let mut sums: Vec<(String, Edge)> = sums.into_iter().collect();
    sums.sort_by_key(|(_, sum)| std::cmp::Reverse(sum.calls));
    sums
}

fn table(page: &mut Page, name: &str, sums: &[(String, Edge)], rows_max: usize) {
    page.line(&[]);
    let width = page.columns.saturating_sub(58).clamp(16, 48);
    page.line(&[(
        BOLD,
        &format!(
            "{name:<width$}  {:>9}  {:>8}  {:>8}  {:>9}  {:>9}",
            "CALLS/min", "REFUSED", "FAILED", "MEAN", "MAX"
        ),
    )]);
    for (name, sum) in sums.iter().take(rows_max) {
        let name: String = match brief(name).trim() {
            "" => "(others)".to_owned(),
            name => name.chars().take(width).collect(),
        };
        let style = if sum.refused + sum.failed > 0 { RED } else { "" };
        page.line(&[
            ("", &format!("{name:<width$}  {:>9}  ", sum.calls)),
            (style, &format!("{:>8}  {:>8}", sum.refused, sum.failed)),
            ("", &format!("  {:>9}  {:>9}", duration(sum.total_us / sum.calls.max(1)), duration(sum.max_us))),
        ]);
    }
}

fn refusals(page: &mut Page, summary: &Summary, rows_max: usize) {
    if summary.refusals.is_empty() {
        return;
    }
    page.line(&[]);
    page.line(&[(BOLD, "LAST REFUSALS")]);
    for group in summary.refusals.iter().take(rows_max) {
        page.line(&[
            (RED, &format!("{:>5}× {:<8} ", group.count, group.verdict.name())),
            (
                "",
                &format!(
                    "{} → {} {}  ",
                    brief(short(&group.agent)),
                    brief(&group.server),
                    brief(&group.tool)
                ),
            ),
            (DIM, &brief(&group.reason)),
        ]);
    }
}

#[cfg(test)]
mod tests {
    use lockgate_admin::{AuditView, Links, LiveSummary, Status};
    use lockgate_live::{Latency, RefusalGroup, Verdict};

    use super::*;

    fn look() -> Look {
        let status = Status {
            version: "0".into(),
            node: "spiffe://a/node/b".into(),
            since_ms: 0,
            draining: false,
            listeners: Vec::new(),
            epoch: 3,
            links_below_epoch: 0,
            bans: Vec::new(),
            endings: Vec::new(),
            migration: None,
            authority: String::new(),
            policy_generation: 1,
            policies: 1,
            lost_forbids: Vec::new(),
            links: 0,
            links_quantum_safe: 0,
            sessions: 0,
            calls_in_flight: 2,
            upstreams: 1,
            upstreams_failing: 0,
            threats: 0,
            write: false,
            audit: AuditView { seq: 9, head_hash: String::new(), problem: None, checkpoint: None },
        };
        let hostile = "\u{1b}[2J\u{202e}<b>".to_owned() + &"x".repeat(10_000);
        let edges = (0..50).map(|n| Edge {
            agent: format!("{hostile}{n}"),
            server: hostile.clone(),
            tool: hostile.clone(),
            calls: 100 - n,
            refused: 1,
            ..Edge::default()
        });
        let second = Second { at_s: 99, calls: 700, p99_us: 900, ..Second::default() };
        let group = RefusalGroup {
            verdict: Verdict::Denied,
            rule: hostile.clone(),
            stage: String::new(),
            agent: hostile.clone(),
            server: hostile.clone(),
            tool: hostile.clone(),
            count: 3,
            first_ms: 1,
            last_ms: 2,
            last_id: 1,
            reason: hostile.clone(),
            hint: hostile.clone(),
        };
        let summary = Summary {
            at_ms: 100_500,
            latency: Latency { count: 700, p50_us: 80, ..Latency::default() },
            seconds: vec![second],
            edges: edges.collect(),
            refusals: vec![group],
            ..Summary::default()
        };
        Look { status, links: Links { links: Vec::new() }, live: LiveSummary { launch: 1, summary } }
    }

    #[test]
    fn a_screen_has_no_more_lines_and_letters_than_fit_and_nothing_foreign_in_it() {
        for (columns, rows) in [(80, 24), (20, 5), (200, 60), (1, 1)] {
            let lines = draw(&look(), Size { columns, rows }, Mode { paused: false, colour: false });
            assert!(lines.len() <= rows);
            for line in &lines {
                assert!(line.chars().count() <= columns, "{columns}: {line:?}");
                assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line:?}");
            }
        }
    }

    #[test]
    fn the_last_whole_second_is_shown_and_none_that_is_older() {
        let mut look = look();
        assert_eq!(last_second(&look.live.summary).calls, 700);
        look.live.summary.at_ms += 1_000;
        assert_eq!(last_second(&look.live.summary).calls, 0);
        let text =
            draw(&look, Size { columns: 100, rows: 40 }, Mode { paused: true, colour: true }).join("\n");
        assert!(text.contains("PAUSED") && text.contains("up 1m"), "{text}");
    }

    #[test]
    fn curves() {
        assert_eq!(curve(&[0, 1, 50, 100]), " ▁▄█");
        assert_eq!(curve(&[]), "");
    }
}
