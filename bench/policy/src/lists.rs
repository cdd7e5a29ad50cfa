//! `tools/list` reduced to what a caller could ever use.

use anyhow::{Result, ensure};
use lockgate_mcp::{Limits, Message, list};
use lockgate_policy::{Policies, Query};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Plan;
use crate::clock::{median, timed};
use crate::workload::{TOOLS, World, caller, files, tool_definition};

/// What one way of filtering needed.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) tools: usize,
    pub(crate) kept: usize,
    /// The median of the repetitions.
    pub(crate) ms: f64,
}

/// Times that filtering is repeated: each time with a set that nobody asked before, and with one that was asked.
const REPEATED: [usize; 2] = [3, 25];

/// A role that may do nothing on two of the ten servers, whatever its permits say.
const EXCEPT: &str = "forbid(principal in Lockgate::Role::\"role-3\", action, resource in Lockgate::Server::\"s8\");\n\
                      forbid(principal in Lockgate::Role::\"role-3\", action, resource in Lockgate::Server::\"s9\");\n";

/// Measures filtering.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Row>> {
    eprintln!("tools/list of {TOOLS} tools by {} rules", plan.many);
    let world = World::new();
    let mut files = files(plan.many);
    files.push(("except.cedar".to_owned(), EXCEPT.to_owned()));
    let list = tools()?;
    let mut rows = Vec::new();
    let mut first = Vec::new();
    let mut again = Vec::new();
    let mut kept = 0;
    for _ in 0..REPEATED[0] {
        let policies = world.parse(&files)?;
        let (time, filtered) = timed(|| filter(&list, &policies));
        first.push(time.as_secs_f64() * 1e3);
        kept = list::items(&filtered?, "tools")?.len();
        for _ in 0..REPEATED[1] {
            let (time, filtered) = timed(|| filter(&list, &policies));
            again.push(time.as_secs_f64() * 1e3);
            ensure!(list::items(&filtered?, "tools")?.len() == kept, "the second look shows another list");
        }
    }
    ensure!(kept > 0 && kept < TOOLS, "{kept} of {TOOLS} tools shown");
    for (what, times) in [("the first time", first), ("from the cache", again)] {
        rows.push(Row { what, tools: TOOLS, kept, ms: median(times.into_iter()) });
    }
    Ok(rows)
}

/// The list of all servers' tools, each under `server_tool`.
fn tools() -> Result<Message> {
    let tool = |number: usize| tool_definition(&format!("s{}_t{}", number / 100, number % 100));
    let tools: Vec<Value> = (0..TOOLS).map(tool).collect();
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {"tools": tools}});
    Ok(Message::decode(answer.to_string().into(), &Limits::default())?)
}

fn filter(list: &Message, policies: &Policies) -> Result<Message> {
    let caller = caller("role-3")?;
    Ok(list::retain(list, "tools", |item| {
        let Some((server, tool)) = item.name.split_once('_') else { return false };
        policies.allows(&Query {
            caller: &caller,
            server,
            method: "tools/call",
            name: Some(tool),
            posture: None,
            loopback: true,
        })
    })?)
}
