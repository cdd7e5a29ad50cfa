//! What a deployment proposes: a role that permits what was shown and nothing else, and a server for the configuration.

use lockgate_openapi::{Catalogue, Tool};

use super::Paths;
use crate::cli::DeployArgs;
use crate::config::ApiPlan;

/// The tools by which a large API is searched.
const SEARCHING: [&str; 2] = ["search_operations", "activate_operations"];

/// Tools of one rule; a rule with more is not taken.
const RULE_TOOLS_MAX: usize = 200;

/// A role file at least privilege: each operation that is on, by its name.
pub(super) fn role(args: &DeployArgs, catalogue: &Catalogue, plan: &ApiPlan) -> String {
    let name = &args.name;
    let on: Vec<&Tool> = catalogue.tools.iter().filter(|tool| plan.is_on(tool)).collect();
    let list = |tools: &mut dyn Iterator<Item = &str>| {
        tools.map(|tool| format!("  {},\n", quoted(&format!("{name}/{tool}")))).collect::<String>()
    };
    let mut text = format!(
        "# Made by `lockgate deploy` for the API \"{name}\", and yours from now on: remove what nobody needs.\n"
    );
    text.push_str(&format!("[role]\nname = \"{name}-user\"\n"));
    if args.agent.is_empty() {
        text.push_str("# Whose it is: agents = [\"agent/billing-*\"], or by a registration. Until then it is nobody's.\n");
    } else {
        let agents: Vec<String> = args.agent.iter().map(|agent| quoted(agent)).collect();
        text.push_str(&format!("agents = [{}]\n", agents.join(", ")));
    }
    let mut reading: Vec<&str> =
        on.iter().filter(|tool| tool.is_safe()).map(|tool| tool.name.as_str()).collect();
    if on.len() > plan.listed_max {
        reading.extend(SEARCHING);
    }
    let writing: Vec<&str> =
        on.iter().filter(|tool| !tool.is_safe()).map(|tool| tool.name.as_str()).collect();
    for (what, tools) in [("Reads.", &reading), ("Does more than read.", &writing)] {
        for tools in tools.chunks(RULE_TOOLS_MAX) {
            let tools = list(&mut tools.iter().copied());
            text.push_str(&format!("\n# {what}\n[[allow]]\ntools = [\n{tools}]\n"));
        }
    }
    text.push_str("\n[end]\n");
    text
}

/// The server, as the configuration has it.
pub(super) fn fragment(args: &DeployArgs, paths: &Paths) -> String {
    let mut text = format!(
        "# Made by `lockgate deploy`. A node takes up changes of this file by itself, and ends the server when it is gone.\n\
         [[server]]\nname = {}\nto = {}\nbase_url = {}\n",
        quoted(&args.name),
        quoted(&format!("openapi:{}", paths.document.display())),
        quoted(&args.base_url),
    );
    let list = |values: &[String]| values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(", ");
    for (key, values) in
        [("allow", &args.allow), ("allow_unsafe", &args.allow_unsafe), ("networks", &args.network)]
    {
        if !values.is_empty() {
            text.push_str(&format!("{key} = [{}]\n", list(values)));
        }
    }
    if args.base_url.starts_with("https://") {
        text.push_str(&format!("profile = {}\n", quoted(&args.profile)));
        if let Some(roots) = args.roots.as_deref().and_then(|roots| std::path::absolute(roots).ok()) {
            text.push_str(&format!("roots = {}\n", quoted(&roots.display().to_string())));
        }
    }
    if let Some(secret) = &args.secret {
        let place = match (&args.secret_header, &args.secret_query, args.secret_basic) {
            (Some(header), ..) => format!(", header = {}", quoted(header)),
            (_, Some(query), _) => format!(", query = {}", quoted(query)),
            (_, _, true) => ", basic = true".to_owned(),
            _ => String::new(),
        };
        text.push_str(&format!("credential = {{ secret = {}{place} }}\n", quoted(secret)));
    }
    text
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
