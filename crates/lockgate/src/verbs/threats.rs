//! `lockgate threats …`: what detection holds back until a person has looked at it, and what it is silent about.

use lockgate_admin::{SuppressRequest, SuppressionView, Threat, Threats, Versioned};

use super::crypto::whoever;
use super::identity::time;
use crate::cli::{Global, Output, SuppressArgs, ThreatsVerb};
use crate::client;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{fold, print, print_document, print_line, visible};
use crate::state::State;

mod past;

/// Runs the verb.
pub(crate) async fn run(verb: &ThreatsVerb, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    match verb {
        ThreatsVerb::Tune { since, output } => return past::tune(&state, *since, output.output),
        ThreatsVerb::Replay { since, ruleset, output } => {
            return past::replay(&state, *since, ruleset, output.output);
        }
        _ => {}
    }
    let admin = client::admin(&state)?;
    match verb {
        ThreatsVerb::List(output) => {
            let threats = admin.threats().await.map_err(|error| client::unanswered(&error))?;
            list(&threats, output.output);
        }
        ThreatsVerb::Show { id, output } => {
            let threats = admin.threats().await.map_err(|error| client::unanswered(&error))?;
            let found = threats.threats.into_iter().find(|threat| threat.id == *id).ok_or_else(|| {
                Diagnostic::new("LG-D003", format!("nothing is held under {:?}", visible(id)))
                    .hint("list what waits: lockgate threats list")
            })?;
            match output.output {
                Output::Human => print(&describe(&found)),
                Output::Json | Output::Jsonl => print_line(&found),
            }
        }
        ThreatsVerb::Approve { id, output } => {
            let approval = admin.approve_threat(id).await.map_err(|error| client::unanswered(&error))?;
            match output.output {
                Output::Human if approval.tool.is_empty() => {
                    print(&format!(
                        "Server {} can be used where it is reached now.\n",
                        visible(&approval.server)
                    ));
                }
                Output::Human => print(&format!(
                    "{} of server {} can be used again, with the definition {}.\n",
                    visible(&approval.tool),
                    visible(&approval.server),
                    approval.hash
                )),
                Output::Json | Output::Jsonl => print_line(&Versioned::of(&approval)),
            }
        }
        ThreatsVerb::Suppress(args) => {
            let made = admin.suppress(&request(args)?).await.map_err(|error| client::unanswered(&error))?;
            told(&made, "is suppressed", args.output.output);
        }
        ThreatsVerb::Unsuppress { id, output } => {
            let gone = admin.unsuppress(id).await.map_err(|error| client::unanswered(&error))?;
            told(&gone, "is told of again; it was suppressed", output.output);
        }
        ThreatsVerb::Tune { .. } | ThreatsVerb::Replay { .. } => {}
    }
    Ok(Exit::Ok)
}

fn request(args: &SuppressArgs) -> Result<SuppressRequest, Failure> {
    let until_ms = match &args.until {
        Some(text) => moment(text).ok_or_else(|| {
            Diagnostic::new("LG-U001", format!("{:?} is no moment", visible(text)))
                .hint("write a day or a time in UTC: --until 2027-01-31, --until 2027-01-31T18:00:00Z")
        })?,
        None => past::now_ms().saturating_add(args.lifetime.0.saturating_mul(1000)),
    };
    Ok(SuppressRequest {
        finding: args.finding.to_uppercase(),
        server: args.server.clone(),
        subject: args.tool.clone(),
        reason: args.reason.clone(),
        by: whoever(),
        until_ms,
    })
}

/// A day, which is its beginning in UTC, or a time.
fn moment(text: &str) -> Option<u64> {
    let time = match text.parse::<jiff::civil::Date>() {
        Ok(day) if !text.contains('T') => day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp(),
        _ => text.parse::<jiff::Timestamp>().ok()?,
    };
    u64::try_from(time.as_millisecond()).ok()
}

fn told(suppression: &SuppressionView, what: &str, output: Output) {
    match output {
        Output::Human => print(&format!("{} {what} {}\n", suppression.finding, covered(suppression))),
        Output::Json | Output::Jsonl => print_line(&Versioned::of(suppression)),
    }
}

fn covered(suppression: &SuppressionView) -> String {
    let about = match (&suppression.server, &suppression.subject) {
        (Some(server), Some(subject)) => format!("for {} of server {}", visible(subject), visible(server)),
        (Some(server), None) => format!("for server {}", visible(server)),
        _ => "everywhere".to_owned(),
    };
    format!(
        "{about} until {} (id {}, by {}): {}",
        time(suppression.until_ms),
        suppression.id,
        visible(&suppression.by),
        visible(&suppression.reason)
    )
}

fn list(threats: &Threats, output: Output) {
    match output {
        Output::Human => {
            if threats.threats.is_empty() {
                print("Nothing waits for approval.\n");
            }
            threats.threats.iter().for_each(|threat| print(&describe(threat)));
            for silent in &threats.suppressions {
                print(&format!("suppressed: {} {}\n", silent.finding, covered(silent)));
            }
        }
        Output::Jsonl => threats.threats.iter().for_each(print_line),
        Output::Json => print_document(&Versioned::of(threats)),
    }
}

fn describe(threat: &Threat) -> String {
    let what = match threat.tool.as_str() {
        "" => format!("server {}", visible(&threat.server)),
        tool => format!("tool {} of server {}", visible(tool), visible(&threat.server)),
    };
    let mut text = format!("{}  {what}, since {}\n", threat.id, time(threat.first_seen_ms));
    for finding in &threat.findings {
        text.push_str(&format!("  {} ({}): {}\n", finding.id, finding.severity, visible(&finding.reason)));
        if !finding.evidence.is_empty() {
            text.push_str(&fold(&visible(&finding.evidence), 4, 100));
        }
    }
    if !threat.classes.is_empty() {
        text.push_str(&format!("  what it amounts to: {}\n", threat.classes.join(", ")));
    }
    for change in &threat.changes {
        text.push_str(&format!("    {}\n", visible(change)));
    }
    text.push_str(&format!("  now: {}\n", visible(&threat.definition)));
    text.push_str(&format!("  approve it: lockgate threats approve {}\n\n", threat.id));
    text
}
