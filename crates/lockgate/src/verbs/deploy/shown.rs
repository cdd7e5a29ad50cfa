//! A deployment as a person and as a program sees it.

use lockgate_openapi::{LeftOut, Notice, Tool};
use serde::Serialize;

use super::{Deployment, Outcome};
use crate::output::{Table, visible};

/// Operations that are shown; all of them are in `--output json`.
const ROWS_MAX: usize = 200;

/// What was left out that is shown.
const LEFT_OUT_MAX: usize = 10;

/// Whether an operation is on, and why.
fn why(deployment: &Deployment, tool: &Tool) -> &'static str {
    match (deployment.plan.is_on(tool), tool.is_safe()) {
        (true, true) => "on",
        (true, false) => "on: named",
        (false, true) => "off: not among --allow",
        (false, false) => "off: name it with --allow-unsafe",
    }
}

/// All that a person decides on.
pub(super) fn human(deployment: &Deployment) -> String {
    let catalogue = &deployment.catalogue;
    let on = deployment.on().count();
    let mut text = format!(
        "{} {} ({}): {} operations, {on} on\n",
        visible(&catalogue.title),
        visible(&catalogue.version),
        catalogue.dialect,
        catalogue.tools.len(),
    );
    let mut table = Table::new(&["TOOL", "METHOD", "PATH", "HINT", "STATE"]);
    for tool in catalogue.tools.iter().take(ROWS_MAX) {
        let path: String = tool.path.chars().take(60).collect();
        table.row(&[&tool.name, &tool.method, &path, tool.hints.word(), why(deployment, tool)]);
    }
    text.push_str(&table.render(2));
    if let Some(more) = catalogue.tools.len().checked_sub(ROWS_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("  and {more} more; all of them: --output json\n"));
    }
    if !catalogue.left_out.is_empty() {
        text.push_str(&format!("Left out, {}:\n", catalogue.left_out.len()));
        for one in catalogue.left_out.iter().take(LEFT_OUT_MAX) {
            text.push_str(&format!("  {} {}: {}\n", one.method, visible(&one.path), visible(&one.why)));
        }
    }
    for notice in catalogue.notices.iter().take(LEFT_OUT_MAX) {
        text.push_str(&format!("Look at {}: {}\n", visible(&notice.about), visible(&notice.what)));
    }
    if !catalogue.security.is_empty() {
        text.push_str(&format!("The API asks for: {}\n", visible(&catalogue.security.join("; "))));
    }
    if deployment.is_searched() {
        text.push_str(&format!(
            "More than {} are on, so clients search them (search_operations) and turn on what they need (activate_operations).\n",
            deployment.plan.listed_max
        ));
    }
    text.push_str(&format!(
        "\nServer, {}:\n{}",
        deployment.paths.fragment.display(),
        indented(&deployment.fragment)
    ));
    let role = match deployment.paths.role.exists() {
        true => format!(
            "\nRole: {} is there and stays as it is. It would be proposed as:\n",
            deployment.paths.role.display()
        ),
        false => format!("\nRole, {}:\n", deployment.paths.role.display()),
    };
    text.push_str(&role);
    let lines: Vec<&str> = deployment.role.lines().collect();
    text.push_str(&indented(&lines[..lines.len().min(ROWS_MAX)].join("\n")));
    text
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {}\n", visible(line))).collect()
}

/// What comes next.
pub(super) fn done(deployment: &Deployment, outcome: Outcome, restart_needed: &[String]) -> String {
    let name = &deployment.name;
    let mut text = match outcome {
        Outcome::Shown => "\nNothing was written (--dry-run).\n".to_owned(),
        Outcome::Written => {
            "\nWritten. No node runs here; start one and it serves it: lockgate gateway\n".to_owned()
        }
        Outcome::Served => format!(
            "\nServed now, at /servers/{name}/mcp. /mcp leads to all servers together, with names like {name}_OPERATION.\n"
        ),
    };
    if !restart_needed.is_empty() {
        text.push_str(&format!(
            "Changed too, but only a restart takes it up: {}\n",
            visible(&restart_needed.join("; "))
        ));
    }
    if outcome != Outcome::Shown {
        text.push_str(&format!(
            "The role is yours to review: {}\nTo end it, remove {}\n",
            deployment.paths.role.display(),
            deployment.paths.fragment.display()
        ));
    }
    text
}

/// The same for programs.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    schema: &'static str,
    server: &'a str,
    title: &'a str,
    dialect: &'a str,
    outcome: Outcome,
    searched: bool,
    operations: Vec<Row<'a>>,
    left_out: &'a [LeftOut],
    notices: &'a [Notice],
    security: &'a [String],
    config: &'a str,
    config_file: String,
    role: &'a str,
    role_file: String,
}

#[derive(Serialize)]
struct Row<'a> {
    tool: &'a str,
    method: &'a str,
    path: &'a str,
    hint: &'static str,
    on: bool,
    why: &'static str,
}

impl<'a> Report<'a> {
    pub(super) fn new(deployment: &'a Deployment, outcome: Outcome) -> Self {
        let row = |tool: &'a Tool| Row {
            tool: &tool.name,
            method: &tool.method,
            path: &tool.path,
            hint: tool.hints.word(),
            on: deployment.plan.is_on(tool),
            why: why(deployment, tool),
        };
        let catalogue = &deployment.catalogue;
        Self {
            schema: "lockgate.deploy/1",
            server: &deployment.name,
            title: &catalogue.title,
            dialect: &catalogue.dialect,
            outcome,
            searched: deployment.is_searched(),
            operations: catalogue.tools.iter().map(row).collect(),
            left_out: &catalogue.left_out,
            notices: &catalogue.notices,
            security: &catalogue.security,
            config: &deployment.fragment,
            config_file: deployment.paths.fragment.display().to_string(),
            role: &deployment.role,
            role_file: deployment.paths.role.display().to_string(),
        }
    }
}
