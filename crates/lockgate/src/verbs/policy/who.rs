//! `lockgate policy who-can` and `what-can`.

use std::collections::BTreeSet;

use lockgate_analysis::Call;
use lockgate_analysis::who_can::{Ability, Can, Terms, ability, named_agents, named_roles, named_tools};
use serde::Serialize;

use super::{log, set, unanswered};
use crate::cli::{Output, PolicyArgs};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, print_document, print_line, visible};
use crate::state::State;

/// An agent of the trust domain that no rule names: what it can do, any member of its roles can.
const SOMEBODY: &str = "agent/somebody";

/// Lists who can use a tool.
pub(super) async fn who_can(
    state: &State,
    tool: &str,
    args: &PolicyArgs,
    output: Output,
) -> Result<Exit, Failure> {
    let (server, tool) = tool.split_once('/').ok_or_else(|| {
        Diagnostic::new("LG-P020", format!("{tool:?} is not SERVER/TOOL"))
            .hint("write the server's name, a slash and the tool's name: crm/get_customer")
    })?;
    let (background, set) = set::of_flags(state, args).await?;
    let mut callers: Vec<(String, Vec<String>)> =
        named_roles(&set.policies).into_iter().map(|role| (SOMEBODY.to_owned(), vec![role])).collect();
    let mut agents = named_agents(&set.policies);
    agents.extend(log::agents(state));
    agents.extend(["local-user".to_owned(), "anonymous".to_owned()]);
    callers.extend(agents.into_iter().map(|agent| (agent, Vec::new())));
    let mut abilities = Vec::new();
    for (agent, roles) in callers {
        let mut call = Call::tool(&agent, server, tool, 0);
        call.roles.clone_from(&roles);
        let mut found =
            ability(&call, &set.policies, &background.trust_domain).map_err(|error| unanswered(&error))?;
        if agent == SOMEBODY {
            found.agent = format!("role/{}", roles.join(", "));
        }
        abilities.push(found);
    }
    tell(abilities, By::Agent, output);
    Ok(Exit::Ok)
}

/// Lists what an agent can use.
pub(super) async fn what_can(
    state: &State,
    (agent, roles): (&str, &[String]),
    args: &PolicyArgs,
    output: Output,
) -> Result<Exit, Failure> {
    let (background, set) = set::of_flags(state, args).await?;
    let mut tools: BTreeSet<(String, String)> = background
        .tool_names()
        .map(|(server, tool)| (server.to_owned(), tool.to_owned()))
        .chain(log::tools(state))
        .collect();
    tools.extend(named_tools(&set.policies).iter().filter_map(|id| {
        let (server, tool) = id.split_once('/')?;
        Some((server.to_owned(), tool.to_owned()))
    }));
    let mut abilities = Vec::new();
    for (server, tool) in tools {
        let mut call = Call::tool(agent, &server, &tool, 0);
        call.roles = roles.to_vec();
        abilities.push(
            ability(&call, &set.policies, &background.trust_domain).map_err(|error| unanswered(&error))?,
        );
    }
    if abilities.is_empty() {
        return Err(Diagnostic::new("LG-U002", "no tool is known")
            .hint("name definitions of tools: --tools SERVER=FILE; or ask about one: lockgate policy who-can SERVER/TOOL")
            .into());
    }
    tell(abilities, By::Tool, output);
    Ok(Exit::Ok)
}

/// What the rows are of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Agent,
    Tool,
}

fn tell(mut abilities: Vec<Ability>, by: By, output: Output) {
    abilities.sort_by(|a, b| b.can.cmp(&a.can).then_with(|| (&a.agent, &a.what).cmp(&(&b.agent, &b.what))));
    match output {
        Output::Jsonl => abilities.iter().for_each(print_line),
        Output::Json => {
            #[derive(Serialize)]
            struct Document {
                schema: &'static str,
                abilities: Vec<Ability>,
            }
            print_document(&Document { schema: "lockgate.policy-can/1", abilities });
        }
        Output::Human => {
            for can in [Can::Always, Can::Sometimes, Can::Never] {
                let rows: Vec<&Ability> = abilities.iter().filter(|ability| ability.can == can).collect();
                print(&section(can, &rows, by));
            }
        }
    }
}

fn section(can: Can, rows: &[&Ability], by: By) -> String {
    let heading = match can {
        Can::Always => "Always",
        Can::Sometimes => "Sometimes",
        Can::Never => "Never",
    };
    let mut text = format!("{heading}\n");
    if rows.is_empty() {
        text.push_str("  none\n");
    }
    for row in rows {
        let name = if by == By::Agent { &row.agent } else { &row.what };
        text.push_str(&format!("  {}\n", visible(name)));
        if can == Can::Sometimes {
            row.permits.iter().for_each(|terms| text.push_str(&terms_text("if", terms)));
            row.forbids.iter().for_each(|terms| text.push_str(&terms_text("unless", terms)));
        }
    }
    text
}

fn terms_text(word: &str, terms: &Terms) -> String {
    let conditions = if terms.conditions.is_empty() {
        "always".to_owned()
    } else {
        terms.conditions.join("\n         and ")
    };
    let lines = format!("    {word} {} ({})\n         {conditions}\n", terms.id, terms.place);
    lines.lines().map(|line| format!("{}\n", visible(line))).collect()
}
