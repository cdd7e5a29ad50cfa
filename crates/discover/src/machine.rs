//! Where things are on a machine, computed and never asked for, so that every system can be looked at on any.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Whose rules about places hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    /// Linux and the other systems that follow the XDG base directories.
    Linux,
    /// macOS.
    Macos,
    /// Windows.
    Windows,
}

impl System {
    /// The system that this program runs on.
    #[must_use]
    pub fn this() -> Self {
        match std::env::consts::OS {
            "macos" => Self::Macos,
            "windows" => Self::Windows,
            _ => Self::Linux,
        }
    }
}

/// One user's view of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Whose rules hold.
    pub system: System,
    /// The user's home.
    pub home: PathBuf,
    /// What stands before absolute paths: `/` outside of tests.
    pub root: PathBuf,
    /// Environment variables that move places, such as `XDG_CONFIG_HOME` and `CODEX_HOME`.
    pub variables: BTreeMap<String, String>,
}

/// Variables that clients let their users move their configuration with.
pub const VARIABLES: &[&str] = &[
    "XDG_CONFIG_HOME",
    "APPDATA",
    "ProgramData",
    "ProgramFiles",
    "CODEX_HOME",
    "CLAUDE_CONFIG_DIR",
    "OPENCODE_CONFIG_DIR",
    "CLINE_DIR",
];

impl Machine {
    /// This machine and its user. `None` without a home.
    #[must_use]
    pub fn this() -> Option<Self> {
        let home = std::env::home_dir().filter(|home| home.is_absolute())?;
        let value = |name: &&str| Some(((*name).to_owned(), std::env::var(name).ok()?));
        Some(Self {
            system: System::this(),
            home,
            root: PathBuf::from("/"),
            variables: VARIABLES.iter().filter_map(value).collect(),
        })
    }

    /// The homes of Windows users, as the Windows Subsystem for Linux shows them.
    #[must_use]
    pub fn windows_beside(&self) -> Vec<Self> {
        let users = self.root.join("mnt/c/Users");
        let Ok(entries) = std::fs::read_dir(users) else { return Vec::new() };
        let homes =
            entries.flatten().map(|entry| entry.path()).filter(|home| home.join("AppData/Roaming").is_dir());
        let machine = |home| Self {
            system: System::Windows,
            home,
            root: self.root.join("mnt/c"),
            variables: BTreeMap::new(),
        };
        homes.take(16).map(machine).collect()
    }

    fn variable(&self, name: &str) -> Option<PathBuf> {
        self.variables.get(name).filter(|value| !value.is_empty()).map(PathBuf::from)
    }

    /// Where programs keep what belongs to the user.
    #[must_use]
    pub fn app(&self) -> PathBuf {
        match self.system {
            System::Linux => self.config(),
            System::Macos => self.home.join("Library/Application Support"),
            System::Windows => self.variable("APPDATA").unwrap_or_else(|| self.home.join("AppData/Roaming")),
        }
    }

    fn config(&self) -> PathBuf {
        let given = self.variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute());
        given.unwrap_or_else(|| self.home.join(".config"))
    }

    /// The path of a pattern of the table. `{home}`, `{app}`, `{config}` and `{project}` lead it, or `{NAME|REST}`: the
    /// variable NAME, else REST below the home. An absolute one is the system's.
    #[must_use]
    pub fn path(&self, pattern: &str, project: &Path) -> PathBuf {
        let Some((place, rest)) = pattern.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
            return self.root.join(pattern.trim_start_matches('/'));
        };
        let base = match place {
            "home" => self.home.clone(),
            "app" => self.app(),
            "config" => self.config(),
            "project" => project.to_owned(),
            "programdata" => self.variable("ProgramData").unwrap_or_else(|| self.root.join("ProgramData")),
            "programfiles" => {
                self.variable("ProgramFiles").unwrap_or_else(|| self.root.join("Program Files"))
            }
            other => {
                let (name, rest) = other.split_once('|').unwrap_or((other, ""));
                self.variable(name).unwrap_or_else(|| self.home.join(rest))
            }
        };
        base.join(rest.trim_start_matches('/'))
    }
}
