//! `lockgate tap`: what happens, as it happens, one line an event.

use std::io::IsTerminal as _;

use lockgate_admin::{Client, LiveQuery, Seen};
use lockgate_live::{Call, Event, Filter, LinkChange, Note, Numbered, Verdict, What};

use crate::cli::{Global, Output, TapArgs};
use crate::client;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, visible};
use crate::state::State;

/// Longest name that a line shows, in letters: what is longer hides the rest of the line.
const NAME_LETTERS_MAX: usize = 80;

/// Longest reason that a line shows, in letters.
const REASON_LETTERS_MAX: usize = 300;

/// Runs the verb until it is interrupted or the node ends.
pub(crate) async fn run(args: &TapArgs, global: &Global) -> Result<Exit, Failure> {
    let query = query(args)?;
    let admin = client::admin(&State::locate(global.state.as_deref())?)?;
    let output = args.output.output;
    let shown = Shown { output, colour: output == Output::Human && has_colour() };
    let from = before(&admin, &query, args, &shown).await?;
    let query = LiveQuery { after: Some(from), ..query };
    let mut last: Option<String> = None;
    loop {
        let tap = admin.tap(&query, last.as_deref()).await;
        let mut tap = tap.map_err(|error| client::unanswered(&error))?;
        loop {
            match tap.next().await.map_err(|error| client::unanswered(&error))? {
                Seen::Begun { missed: 0 } => {}
                Seen::Begun { missed } => eprintln!("{missed} events are not kept any more"),
                Seen::Event(json) => shown.line(&json),
                Seen::End => {
                    eprintln!("the node ends");
                    return Ok(Exit::Ok);
                }
                Seen::Cut { missed } => {
                    eprintln!("too slow: {missed} events were lost; going on with what is kept");
                    break;
                }
            }
        }
        last = tap.last().map(str::to_owned);
    }
}

fn query(args: &TapArgs) -> Result<LiveQuery, Diagnostic> {
    let query = LiveQuery {
        agent: args.agent.clone(),
        server: args.server.clone(),
        tool: args.tool.clone(),
        verdict: args.verdict.clone(),
        kind: args.kind.clone(),
        ..LiveQuery::default()
    };
    let checked: Result<Filter, _> = query.filter();
    match checked {
        Ok(_) => Ok(query),
        Err(error) => Err(Diagnostic::new("LG-U001", visible(&error.to_string()))
            .hint("see what can be filtered by: lockgate tap --help")),
    }
}

/// Shows what was asked for of what is past; gives the number that the stream goes on from.
async fn before(admin: &Client, query: &LiveQuery, args: &TapArgs, shown: &Shown) -> Result<u64, Failure> {
    let query = LiveQuery { limit: Some(args.last.into()), ..query.clone() };
    let live = admin.live(&query).await.map_err(|error| client::unanswered(&error))?;
    live.events.iter().for_each(|event| shown.line(event.get()));
    Ok(live.last)
}

/// Whether colour reaches somebody who wants it (<https://no-color.org>).
pub(crate) fn has_colour() -> bool {
    std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

struct Shown {
    output: Output,
    colour: bool,
}

impl Shown {
    fn line(&self, json: &str) {
        let line = match self.output {
            Output::Json | Output::Jsonl => json.to_owned(),
            Output::Human => match serde_json::from_str::<Numbered>(json) {
                Ok(Numbered { event, .. }) => sentence(&event, self.colour),
                // Of another version: as it is, but for what moves the cursor.
                Err(_) => visible(json),
            },
        };
        print(&format!("{line}\n"));
    }
}

/// An event in one line. All that comes from outside is escaped.
fn sentence(event: &Event, colour: bool) -> String {
    let time = clock(event.at_ms);
    let (word, paint, rest) = match &event.what {
        What::Call(call) => (call.verdict.name(), paint(call.verdict), told_call(call)),
        What::Link(change) => {
            (change.state.as_str(), if change.state == "refused" { RED } else { DIM }, told_link(change))
        }
        What::Note(note) => {
            (note.topic.as_str(), if note.outcome == "ok" { CYAN } else { RED }, told_note(note))
        }
    };
    let word = visible(word);
    match colour {
        true => format!("{DIM}{time}{PLAIN}  {paint}{word:<9}{PLAIN}  {rest}"),
        false => format!("{time}  {word:<9}  {rest}"),
    }
}

const PLAIN: &str = "\u{1b}[0m";
const DIM: &str = "\u{1b}[2m";
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const YELLOW: &str = "\u{1b}[33m";
const CYAN: &str = "\u{1b}[36m";

fn paint(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => GREEN,
        Verdict::Held | Verdict::Cancelled => YELLOW,
        _ => RED,
    }
}

/// The time of day in UTC, as the audit log has it.
fn clock(at_ms: u64) -> String {
    let ms = at_ms % 86_400_000;
    format!("{:02}:{:02}:{:02}.{:03}Z", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000)
}

fn told_call(call: &Call) -> String {
    let name = call.name.as_deref().map(|name| format!(" {}", brief(name))).unwrap_or_default();
    let server = if call.server.is_empty() { "-" } else { &call.server };
    let mut text = format!(
        "{} → {} {}{name}  {}",
        brief(short(call.agent())),
        brief(server),
        brief(if call.method.is_empty() { "-" } else { &call.method }),
        duration(call.duration_us)
    );
    if let Some(stage) = &call.stage {
        text.push_str(&format!("  at {}", visible(stage)));
    }
    if !call.policies.is_empty() && call.verdict != Verdict::Ok {
        text.push_str(&format!(" by {}", brief(&call.policies.join(", "))));
    }
    if let Some(reason) = &call.reason {
        text.push_str(&format!(": {}", within(&visible(reason), REASON_LETTERS_MAX)));
    }
    for found in &call.findings {
        text.push_str(&format!("  [{}]", visible(&found.id)));
    }
    if call.link.quantum_safe == Some(false) {
        text.push_str(&format!(
            "  NOT quantum-safe ({})",
            visible(call.link.weakest.as_deref().unwrap_or("?"))
        ));
    }
    text
}

fn told_link(change: &LinkChange) -> String {
    let link = &change.link;
    let mut text = format!("{} ⇄ {}", brief(short(&link.agent)), visible(&link.listener));
    if let Some(peer) = &link.peer {
        text.push_str(&format!("  from {}", visible(peer)));
    }
    if let Some(group) = &link.group {
        let safe = if link.quantum_safe == Some(true) { "quantum-safe" } else { "NOT quantum-safe" };
        let kind = if link.resumed { "resumed" } else { "full" };
        let took = link.handshake_us.map(duration).unwrap_or_default();
        text.push_str(&format!("  {} {safe}, {kind} handshake {took}", visible(group)));
    }
    if let Some(reason) = &change.reason {
        let stage = change.stage.as_deref().unwrap_or("?");
        text.push_str(&format!("  at {}: {}", visible(stage), within(&visible(reason), REASON_LETTERS_MAX)));
    }
    text
}

fn told_note(note: &Note) -> String {
    let parts = [note.server.as_deref(), note.method.as_deref(), note.name.as_deref()];
    let mut words: Vec<String> = parts.into_iter().flatten().map(brief).collect();
    words.extend(note.agent.as_deref().map(|agent| format!("by {}", brief(short(agent)))));
    words.extend(note.findings.iter().map(|id| format!("[{}]", visible(id))));
    if note.outcome != "ok" {
        words.insert(0, visible(&note.outcome));
    }
    let mut text = words.join(" ");
    if let Some(reason) = &note.reason {
        let gap = if text.is_empty() { "" } else { ": " };
        text.push_str(&format!("{gap}{}", within(&visible(reason), REASON_LETTERS_MAX)));
    }
    text
}

/// The name at the end of a SPIFFE id; other names as they are.
pub(crate) fn short(agent: &str) -> &str {
    let path = agent.strip_prefix("spiffe://").and_then(|id| id.split_once('/'));
    path.map_or(agent, |(_, path)| path.strip_prefix("agent/").unwrap_or(path))
}

/// Foreign text made harmless, and no longer than a line can take.
pub(crate) fn brief(text: &str) -> String {
    within(&visible(text), NAME_LETTERS_MAX)
}

fn within(text: &str, letters_max: usize) -> String {
    if text.chars().count() <= letters_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(letters_max).collect();
    format!("{kept}…")
}

/// Microseconds in the unit that reads best: `85 µs`, `1.2 ms`, `3.4 s`.
pub(crate) fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lockgate_live::LinkFacts;

    use super::*;

    #[test]
    fn nothing_foreign_moves_the_cursor() {
        let link = LinkFacts {
            agent: "spiffe://a/agent/\u{1b}[2Jx\u{202e}".into(),
            listener: "tunnel\r".into(),
            peer: Some("\u{7}".into()),
            group: Some("\u{9b}31m".into()),
            ..LinkFacts::default()
        };
        let change = LinkChange {
            state: "refused\n".into(),
            link: Arc::new(link),
            stage: Some("\u{0}".into()),
            reason: Some(format!("a\u{1b}]0;title\u{7}{}", "x".repeat(9_000))),
        };
        let event = Event { at_ms: 3_723_004, seq: None, what: What::Link(Box::new(change)) };
        let line = sentence(&event, false);
        assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line:?}");
        assert!(line.starts_with("01:02:03.004Z") && line.chars().count() < 600, "{line}");
        let painted = sentence(&event, true);
        assert_eq!(painted.matches('\u{1b}').count(), 4, "only our own colours: {painted:?}");
    }

    #[test]
    fn names_and_durations_read_well() {
        for (agent, name) in [
            ("spiffe://lockgate.local/agent/laptop", "laptop"),
            ("spiffe://lockgate.local/node/a", "node/a"),
            ("local-user", "local-user"),
        ] {
            assert_eq!(short(agent), name);
        }
        assert_eq!([85, 1_250, 3_490_000].map(duration), ["85 µs", "1.2 ms", "3.4 s"]);
    }
}
