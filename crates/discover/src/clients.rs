//! The clients that are known: where each keeps its servers, and how. One row a client; adding one is adding a row.
//!
//! Places are from the clients' own documentation and from public scanners, see `docs/discover.md`.

use crate::machine::System;

/// A client of MCP.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// Its name on the command line.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// How it writes a server that it starts.
    pub dialect: Dialect,
    /// Names of its process, without endings.
    pub processes: &'static [&'static str],
    /// Where it keeps servers.
    pub places: &'static [Place],
}

/// How a client writes the entry of a server that it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `command`, `args`, `env`.
    Plain,
    /// The same, with `type: "stdio"`.
    Typed,
    /// `type: "local"`, and the whole command line in `command`.
    Local,
    /// `type: stdio`, `cmd`, `args`, `envs`.
    Goose,
}

/// For whom a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The user.
    User,
    /// One project.
    Project,
    /// Everybody on the machine.
    System,
    /// A plugin or an extension of the client.
    Plugin,
}

/// On which systems.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum On {
    /// All.
    Any,
    /// This one.
    Only(System),
    /// Linux and macOS.
    Unix,
}

impl On {
    /// Whether it is this system.
    #[must_use]
    pub fn is(self, system: System) -> bool {
        match self {
            Self::Any => true,
            Self::Only(only) => only == system,
            Self::Unix => system != System::Windows,
        }
    }
}

/// A file, or several: `*` stands for one step of the path, `**` for any number.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// On which systems.
    pub on: On,
    /// For whom.
    pub scope: Scope,
    /// See [`crate::machine::Machine::path`].
    pub pattern: &'static str,
    /// The way to the map or list of servers; `*` stands for every member.
    pub keys: &'static [&'static str],
}

const fn user(pattern: &'static str, keys: &'static [&'static str]) -> Place {
    Place { on: On::Any, scope: Scope::User, pattern, keys }
}

const fn project(pattern: &'static str, keys: &'static [&'static str]) -> Place {
    Place { on: On::Any, scope: Scope::Project, pattern, keys }
}

const fn plugin(pattern: &'static str, keys: &'static [&'static str]) -> Place {
    Place { on: On::Any, scope: Scope::Plugin, pattern, keys }
}

const fn system(on: On, pattern: &'static str, keys: &'static [&'static str]) -> Place {
    Place { on, scope: Scope::System, pattern, keys }
}

const MCP_SERVERS: &[&str] = &["mcpServers"];
const LINUX: On = On::Only(System::Linux);
const MACOS: On = On::Only(System::Macos);
const WINDOWS: On = On::Only(System::Windows);

/// A row with plain entries.
const fn row(
    id: &'static str,
    name: &'static str,
    processes: &'static [&'static str],
    places: &'static [Place],
) -> Client {
    Client { id, name, dialect: Dialect::Plain, processes, places }
}

/// Every client that is known.
pub const CLIENTS: &[Client] = &[
    row(
        "claude-desktop",
        "Claude Desktop",
        &["claude-desktop", "Claude"],
        &[user("{app}/Claude/claude_desktop_config.json", MCP_SERVERS)],
    ),
    row(
        "claude-code",
        "Claude Code",
        &["claude"],
        &[
            user("{home}/.claude.json", MCP_SERVERS),
            user("{home}/.claude.json", &["projects", "*", "mcpServers"]),
            user("{CLAUDE_CONFIG_DIR|.claude}/.claude.json", MCP_SERVERS),
            project("{project}/.mcp.json", MCP_SERVERS),
            plugin("{CLAUDE_CONFIG_DIR|.claude}/plugins/cache/**/.mcp.json", MCP_SERVERS),
            system(LINUX, "/etc/claude-code/managed-mcp.json", MCP_SERVERS),
            system(MACOS, "/Library/Application Support/ClaudeCode/managed-mcp.json", MCP_SERVERS),
            system(WINDOWS, "{programfiles}/ClaudeCode/managed-mcp.json", MCP_SERVERS),
        ],
    ),
    row(
        "cursor",
        "Cursor",
        &["cursor", "Cursor"],
        &[
            user("{home}/.cursor/mcp.json", MCP_SERVERS),
            project("{project}/.cursor/mcp.json", MCP_SERVERS),
            plugin("{home}/.cursor/plugins/**/.mcp.json", MCP_SERVERS),
        ],
    ),
    Client {
        dialect: Dialect::Typed,
        ..row(
            "vscode",
            "VS Code",
            &["code", "Code", "code-insiders"],
            &[
                user("{app}/Code/User/mcp.json", &["servers"]),
                user("{app}/Code - Insiders/User/mcp.json", &["servers"]),
                user("{app}/Code/User/profiles/*/mcp.json", &["servers"]),
                user("{app}/Code/User/settings.json", &["mcp", "servers"]),
                user("{app}/Code - Insiders/User/settings.json", &["mcp", "servers"]),
                project("{project}/.vscode/mcp.json", &["servers"]),
                project(
                    "{project}/.devcontainer/devcontainer.json",
                    &["customizations", "vscode", "mcp", "servers"],
                ),
            ],
        )
    },
    row("copilot-cli", "Copilot CLI", &["copilot"], &[user("{home}/.copilot/mcp-config.json", MCP_SERVERS)]),
    row(
        "windsurf",
        "Windsurf",
        &["windsurf", "Windsurf"],
        &[
            user("{home}/.codeium/windsurf/mcp_config.json", MCP_SERVERS),
            project("{project}/.windsurf/mcp.json", MCP_SERVERS),
        ],
    ),
    row(
        "zed",
        "Zed",
        &["zed", "zed-editor", "Zed"],
        &[
            Place {
                on: LINUX,
                scope: Scope::User,
                pattern: "{app}/zed/settings.json",
                keys: &["context_servers"],
            },
            Place {
                on: MACOS,
                scope: Scope::User,
                pattern: "{app}/Zed/settings.json",
                keys: &["context_servers"],
            },
            Place {
                on: MACOS,
                scope: Scope::User,
                pattern: "{config}/zed/settings.json",
                keys: &["context_servers"],
            },
            Place {
                on: WINDOWS,
                scope: Scope::User,
                pattern: "{app}/Zed/settings.json",
                keys: &["context_servers"],
            },
            project("{project}/.zed/settings.json", &["context_servers"]),
        ],
    ),
    row(
        "codex",
        "Codex",
        &["codex"],
        &[
            user("{CODEX_HOME|.codex}/config.toml", &["mcp_servers"]),
            user("{CODEX_HOME|.codex}/*.config.toml", &["mcp_servers"]),
            project("{project}/.codex/config.toml", &["mcp_servers"]),
            system(On::Unix, "/etc/codex/config.toml", &["mcp_servers"]),
            system(WINDOWS, "{programdata}/OpenAI/Codex/config.toml", &["mcp_servers"]),
        ],
    ),
    row(
        "gemini-cli",
        "Gemini CLI",
        &["gemini"],
        &[
            user("{home}/.gemini/settings.json", MCP_SERVERS),
            project("{project}/.gemini/settings.json", MCP_SERVERS),
            system(LINUX, "/etc/gemini-cli/settings.json", MCP_SERVERS),
        ],
    ),
    row(
        "antigravity",
        "Antigravity",
        &["antigravity"],
        &[user("{home}/.gemini/antigravity/mcp_config.json", MCP_SERVERS)],
    ),
    Client {
        dialect: Dialect::Local,
        ..row(
            "opencode",
            "OpenCode",
            &["opencode"],
            &[
                user("{config}/opencode/opencode.json", &["mcp"]),
                user("{config}/opencode/opencode.jsonc", &["mcp"]),
                user("{OPENCODE_CONFIG_DIR|.opencode}/opencode.json", &["mcp"]),
                project("{project}/opencode.json", &["mcp"]),
                project("{project}/opencode.jsonc", &["mcp"]),
                system(On::Unix, "/etc/opencode/opencode.json", &["mcp"]),
                system(WINDOWS, "{programdata}/opencode/opencode.json", &["mcp"]),
            ],
        )
    },
    Client {
        dialect: Dialect::Goose,
        ..row(
            "goose",
            "Goose",
            &["goose", "goosed"],
            &[
                Place {
                    on: On::Unix,
                    scope: Scope::User,
                    pattern: "{config}/goose/config.yaml",
                    keys: &["extensions"],
                },
                Place {
                    on: WINDOWS,
                    scope: Scope::User,
                    pattern: "{app}/Block/goose/config/config.yaml",
                    keys: &["extensions"],
                },
            ],
        )
    },
    row(
        "cline",
        "Cline",
        &["cline"],
        &[
            user(
                "{app}/Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
                MCP_SERVERS,
            ),
            user("{CLINE_DIR|.cline}/data/settings/cline_mcp_settings.json", MCP_SERVERS),
        ],
    ),
    row(
        "roo",
        "Roo Code",
        &[],
        &[
            user(
                "{app}/Code/User/globalStorage/rooveterinaryinc.roo-cline/settings/mcp_settings.json",
                MCP_SERVERS,
            ),
            project("{project}/.roo/mcp.json", MCP_SERVERS),
        ],
    ),
    row(
        "kilo",
        "Kilo Code",
        &[],
        &[
            user("{app}/Code/User/globalStorage/kilocode.kilo-code/settings/mcp_settings.json", MCP_SERVERS),
            project("{project}/.kilocode/mcp.json", MCP_SERVERS),
        ],
    ),
    row(
        "kiro",
        "Kiro",
        &["kiro", "kiro-cli"],
        &[
            user("{home}/.kiro/settings/mcp.json", MCP_SERVERS),
            user("{home}/.kiro/agents/*.json", MCP_SERVERS),
            project("{project}/.kiro/settings/mcp.json", MCP_SERVERS),
        ],
    ),
    row(
        "amazon-q",
        "Amazon Q",
        &["q", "qchat"],
        &[
            user("{home}/.aws/amazonq/mcp.json", MCP_SERVERS),
            user("{home}/.aws/amazonq/agents/*.json", MCP_SERVERS),
            project("{project}/.amazonq/mcp.json", MCP_SERVERS),
        ],
    ),
    row(
        "continue",
        "Continue",
        &[],
        &[
            user("{home}/.continue/config.yaml", MCP_SERVERS),
            user("{home}/.continue/config.json", MCP_SERVERS),
            user("{home}/.continue/config.json", &["experimental", "modelContextProtocolServers"]),
            project("{project}/.continue/mcpServers/*.yaml", MCP_SERVERS),
        ],
    ),
    row(
        "mcporter",
        "MCPorter",
        &["mcporter"],
        &[
            user("{home}/.mcporter/mcporter.json", MCP_SERVERS),
            user("{home}/.mcporter/mcporter.jsonc", MCP_SERVERS),
            project("{project}/config/mcporter.json", MCP_SERVERS),
        ],
    ),
    row(
        "lm-studio",
        "LM Studio",
        &["lm-studio", "LM Studio"],
        &[user("{home}/.lmstudio/mcp.json", MCP_SERVERS)],
    ),
    row(
        "junie",
        "JetBrains Junie",
        &[],
        &[
            user("{home}/.junie/mcp/mcp.json", MCP_SERVERS),
            project("{project}/.junie/mcp/mcp.json", MCP_SERVERS),
        ],
    ),
    row("amp", "Amp", &["amp"], &[user("{config}/amp/settings.json", &["amp.mcpServers"])]),
    row(
        "qwen-code",
        "Qwen Code",
        &["qwen"],
        &[
            user("{home}/.qwen/settings.json", MCP_SERVERS),
            project("{project}/.qwen/settings.json", MCP_SERVERS),
        ],
    ),
    row(
        "crush",
        "Crush",
        &["crush"],
        &[
            user("{config}/crush/crush.json", &["mcp"]),
            project("{project}/crush.json", &["mcp"]),
            project("{project}/.crush.json", &["mcp"]),
        ],
    ),
];

/// A client by its name on the command line.
#[must_use]
pub fn find(id: &str) -> Option<&'static Client> {
    CLIENTS.iter().find(|client| client.id == id)
}

/// The client whose process has this name.
#[must_use]
pub fn of_process(name: &str) -> Option<&'static Client> {
    CLIENTS.iter().find(|client| client.processes.contains(&name))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rows_are_sound() {
        let ids: BTreeSet<_> = CLIENTS.iter().map(|client| client.id).collect();
        assert_eq!(ids.len(), CLIENTS.len(), "an id stands twice");
        for client in CLIENTS {
            for place in client.places {
                let is_project = place.pattern.starts_with("{project}/");
                assert_eq!(is_project, place.scope == Scope::Project, "{} {}", client.id, place.pattern);
                assert!(!place.keys.is_empty());
            }
        }
    }
}
