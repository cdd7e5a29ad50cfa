//! Why a child could not be started, and what to do about it.

use std::io;
use std::path::PathBuf;

use super::Spec;

/// A child was not started.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// No such program.
    #[error(
        "server '{server}': program '{program}' was not found{}; install it, or give its full path",
        searched(path.as_deref())
    )]
    NotFound {
        /// The configured name of the server.
        server: String,
        /// The program as configured.
        program: String,
        /// The `PATH` that was searched, if the program is a bare name.
        path: Option<String>,
    },
    /// The program exists but may not be executed.
    #[error(
        "server '{server}': '{program}' may not be executed; make it executable (chmod +x), or check the rights of its directory"
    )]
    NotExecutable {
        /// The configured name of the server.
        server: String,
        /// The program as configured.
        program: String,
    },
    /// The working directory does not exist.
    #[error("server '{server}': working directory '{}' is not a directory; create it or correct `cwd`", cwd.display())]
    NoDirectory {
        /// The configured name of the server.
        server: String,
        /// The directory as configured.
        cwd: PathBuf,
    },
    /// As many children as allowed are alive.
    #[error(
        "server '{server}': {children_max} children are alive already (children_max); close sessions or raise the limit"
    )]
    TooMany {
        /// The configured name of the server.
        server: String,
        /// The limit that was reached.
        children_max: usize,
    },
    /// The system refused.
    #[error("server '{server}': starting '{program}' failed: {source}")]
    System {
        /// The configured name of the server.
        server: String,
        /// The program as configured.
        program: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ChildError {
    pub(super) fn explain(spec: &Spec, source: io::Error) -> Self {
        let (server, program) = (spec.server.clone(), spec.program.clone());
        match source.kind() {
            io::ErrorKind::NotFound => {
                Self::NotFound { path: (!program.contains('/')).then(|| search_path(spec)), server, program }
            }
            io::ErrorKind::PermissionDenied => Self::NotExecutable { server, program },
            _ => Self::System { server, program, source },
        }
    }
}

/// `exec` reports a missing working directory and a missing program alike, so the first is looked at here.
pub(super) fn check(spec: &Spec) -> Result<(), ChildError> {
    match &spec.cwd {
        Some(cwd) if !cwd.is_dir() => {
            Err(ChildError::NoDirectory { server: spec.server.clone(), cwd: cwd.clone() })
        }
        _ => Ok(()),
    }
}

fn search_path(spec: &Spec) -> String {
    let configured = spec.env.get("PATH").cloned();
    configured.or_else(|| std::env::var("PATH").ok()).unwrap_or_default()
}

fn searched(path: Option<&str>) -> String {
    path.map_or_else(String::new, |path| format!(" in PATH ({path})"))
}
