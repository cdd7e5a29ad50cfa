//! What can keep a question from being answered.

use std::path::PathBuf;

/// Why there is no answer, ordered by whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum AnalysisError {
    /// The call that was asked about cannot be made.
    #[error("{what}")]
    Call {
        /// What is wrong with it.
        what: String,
        /// What to write instead.
        hint: String,
    },
    /// A file of cases, or a table in it, cannot be read.
    #[error("{}:{line}:{column}: {what}", file.display())]
    Cases {
        /// The file.
        file: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// The invariant is not one.
    #[error("{what}")]
    Invariant {
        /// What is wrong with it.
        what: String,
        /// What can be written.
        hint: String,
    },
    /// No solver is installed.
    #[error("no SMT solver is installed: {looked_for} is not on the path")]
    NoSolver {
        /// The program that was looked for.
        looked_for: String,
    },
    /// The solver started and then failed.
    #[error("the solver failed: {0}")]
    Solver(String),
    /// A mistake of ours, or of a library.
    #[error("{0}")]
    Bug(String),
}

impl AnalysisError {
    pub(crate) fn call(what: impl Into<String>, hint: impl Into<String>) -> Self {
        AnalysisError::Call { what: what.into(), hint: hint.into() }
    }

    pub(crate) fn invariant(what: impl Into<String>) -> Self {
        AnalysisError::Invariant {
            what: what.into(),
            hint: "write one of: never-touch WORD · never WHO tool SERVER/TOOL · only WHO can SERVER/TOOL; \
                   WHO is an agent (agent/x, spiffe://…), role/NAME or anyone; \
                   or Cedar: --never 'permit(principal, action, resource) when { … };'"
                .to_owned(),
        }
    }

    /// What to do about it, where there is more to say than the error says.
    pub fn hint(&self) -> Option<&str> {
        match self {
            AnalysisError::Call { hint, .. } | AnalysisError::Invariant { hint, .. } => Some(hint),
            _ => None,
        }
    }
}
