//! `lockgate approvals …`: calls that wait for a person.

use std::collections::HashSet;
use std::time::Duration;

use lockgate_admin::{ApproveRequest, HeldCall, HeldCalls, RejectRequest, Versioned};

use super::crypto::whoever;
use super::identity::time;
use crate::cli::{ApprovalsArgs, ApprovalsVerb, Global, Output};
use crate::client;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{Table, print, print_document, print_line, visible};
use crate::signals;
use crate::state::State;

/// Letters of the arguments in a list; `show` has them whole.
const ARGUMENTS_SHOWN: usize = 60;

/// How often whoever watches asks, in milliseconds: a person does not notice less, and the node does not notice it.
const LOOK_MS: u64 = 500;

/// Runs the verb.
pub(crate) async fn run(args: &ApprovalsArgs, global: &Global) -> Result<Exit, Failure> {
    let verb = match (&args.verb, args.watch) {
        (Some(_), true) => {
            return Err(Diagnostic::new("LG-U001", "--watch and a verb ask for two different things")
                .hint("watch: lockgate approvals --watch")
                .into());
        }
        (None, true) => return watch(args.output.output, global).await,
        (Some(verb), false) => verb,
        (None, false) => &ApprovalsVerb::List(args.output),
    };
    let admin = client::admin(&State::locate(global.state.as_deref())?)?;
    match verb {
        ApprovalsVerb::List(output) => {
            let calls = admin.held_calls().await.map_err(|error| client::unanswered(&error))?;
            list(&calls, output.output);
        }
        ApprovalsVerb::Show { id, output } => {
            let call = admin.held_call(id).await.map_err(|error| client::unanswered(&error))?;
            show(&call, output.output);
        }
        ApprovalsVerb::Approve { id, lifetime, output } => {
            let request = ApproveRequest { lifetime_s: lifetime.map(|lifetime| lifetime.0), by: whoever() };
            let call = admin.approve_call(id, &request).await.map_err(|error| client::unanswered(&error))?;
            let said = format!(
                "The call {} passes once when {} makes it again, until {}.\n",
                call.id,
                visible(&call.agent),
                time(call.until_ms)
            );
            decided(&call, &said, output.output);
        }
        ApprovalsVerb::Reject { id, reason, output } => {
            let request = RejectRequest { reason: reason.clone(), by: whoever() };
            let call = admin.reject_call(id, &request).await.map_err(|error| client::unanswered(&error))?;
            let said = format!(
                "The call {} is refused; {} is told so until {}.\n",
                call.id,
                visible(&call.agent),
                time(call.until_ms)
            );
            decided(&call, &said, output.output);
        }
    }
    Ok(Exit::Ok)
}

/// Shows calls that wait, each once, until somebody stops it.
async fn watch(output: Output, global: &Global) -> Result<Exit, Failure> {
    if output == Output::Json {
        return Err(Diagnostic::new("LG-U001", "a watch has no end, so it cannot be one JSON document")
            .hint("one JSON line for each call: lockgate approvals --watch --output jsonl")
            .into());
    }
    let stop = signals::stop()?;
    let admin = client::admin(&State::locate(global.state.as_deref())?)?;
    if output == Output::Human {
        eprintln!("Calls that wait are shown as they come; Ctrl-C ends this.");
    }
    let mut shown: HashSet<(String, u64)> = HashSet::new();
    loop {
        let asked = tokio::select! {
            () = stop.cancelled() => return Ok(Exit::Ok),
            asked = admin.held_calls() => asked.map_err(|error| client::unanswered(&error))?,
        };
        let waiting: Vec<&HeldCall> = asked.calls.iter().filter(|call| call.state == "pending").collect();
        // One that waits anew has the id that it had before.
        let of = |call: &HeldCall| (call.id.clone(), call.since_ms);
        waiting.iter().filter(|call| !shown.contains(&of(call))).for_each(|call| tell(call, output));
        // What waits no more is forgotten, so that this does not grow.
        shown = waiting.into_iter().map(of).collect();
        tokio::select! {
            () = stop.cancelled() => return Ok(Exit::Ok),
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
        }
    }
}

/// One call that has begun to wait.
fn tell(call: &HeldCall, output: Output) {
    match output {
        Output::Human => print(&format!(
            "{}  {}  {}  {}  {}\n    {}\n",
            time(call.since_ms),
            call.id,
            visible(&call.agent),
            visible(&what(call)),
            visible(&shortened(call)),
            visible(&call.reason),
        )),
        Output::Json | Output::Jsonl => print_line(call),
    }
}

/// The beginning of the arguments.
fn shortened(call: &HeldCall) -> String {
    let arguments = call.arguments.as_deref().unwrap_or("-");
    let mut shown: String = arguments.chars().take(ARGUMENTS_SHOWN).collect();
    if shown.len() < arguments.len() {
        shown.push('…');
    }
    shown
}

fn decided(call: &HeldCall, said: &str, output: Output) {
    match output {
        Output::Human => print(said),
        Output::Json | Output::Jsonl => print_line(&Versioned::of(call)),
    }
}

fn list(calls: &HeldCalls, output: Output) {
    match output {
        Output::Human if calls.calls.is_empty() => print("No call waits for approval.\n"),
        Output::Human => {
            let mut table = Table::new(&["ID", "STATE", "SINCE", "AGENT", "CALL", "ARGUMENTS"]);
            for call in &calls.calls {
                let (since, arguments) = (time(call.since_ms), shortened(call));
                table.row(&[&call.id, &call.state, &since, &call.agent, &what(call), &arguments]);
            }
            print(&table.render(0));
        }
        Output::Jsonl => calls.calls.iter().for_each(print_line),
        Output::Json => print_document(&Versioned::of(calls)),
    }
}

/// Method, server and name of a call.
fn what(call: &HeldCall) -> String {
    let name = call.name.as_deref().map(|name| format!("/{name}")).unwrap_or_default();
    format!("{} {}{name}", call.method, call.server)
}

fn show(call: &HeldCall, output: Output) {
    match output {
        Output::Human => {
            let by = call.by.as_deref().map(|by| format!(" by {}", visible(by))).unwrap_or_default();
            let reason = call.rejection.as_deref().filter(|reason| !reason.is_empty());
            let reason = reason.map(|reason| format!(": {}", visible(reason))).unwrap_or_default();
            // An approval is for these, too.
            let beside: String =
                call.beside.iter().map(|text| format!("beside     {}\n", visible(text))).collect();
            print(&format!(
                "id         {}\nstate      {}{by}{reason}\nagent      {}\ncall       {}\narguments  {}\n{beside}why        {}\n\
                 policies   {}\nsince      {}\nuntil      {}\n",
                call.id,
                call.state,
                visible(&call.agent),
                visible(&what(call)),
                visible(call.arguments.as_deref().unwrap_or("none")),
                visible(&call.reason),
                visible(&call.policies.join(", ")),
                time(call.since_ms),
                time(call.until_ms)
            ));
            if call.state == "pending" {
                print(&format!(
                    "\napprove it: lockgate approvals approve {0}\nreject it:  lockgate approvals reject {0} --reason TEXT\n",
                    call.id
                ));
            }
        }
        Output::Json | Output::Jsonl => print_document(&Versioned::of(call)),
    }
}
