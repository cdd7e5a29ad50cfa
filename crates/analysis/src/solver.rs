//! The SMT solver: a child process with limits on time and memory, gone when its owner is.
//!
//! Proofs are by `cedar-policy-symcc`, whose compiler from policies to formulas is verified in Lean, and by cvc5.

use std::time::Duration;

use cedar_policy_symcc::{CedarSymCompiler, solver::LocalSolver};
use tokio::process::Command;

use crate::error::AnalysisError;

/// The program, unless the variable `CVC5` names another.
const PROGRAM: &str = "cvc5";

/// Longest search for one answer, in milliseconds. Nearly all take less than 100; arithmetic on points in time takes
/// a second.
const QUERY_MS_MAX: u64 = 20_000;

/// What the solver may use of memory, in KiB (2 GiB): more than any question here has needed, and little enough not
/// to bring down a machine that also carries traffic.
const MEMORY_KIB_MAX: u64 = 2 << 20;

/// How long an answer may take in all, in milliseconds, before the process is given up: the solver keeps its own time,
/// and this is for when it does not.
const ANSWER_MS_MAX: u64 = QUERY_MS_MAX + 5_000;

/// A running solver.
pub(crate) struct Solver {
    program: String,
    answer_ms_max: u64,
    compiler: Option<CedarSymCompiler<LocalSolver>>,
}

/// What a solver said.
#[derive(Debug)]
pub(crate) enum Said<T> {
    /// An answer.
    Answer(T),
    /// None within its limits, and why.
    Nothing(String),
}

impl Solver {
    /// Finds a solver.
    ///
    /// # Errors
    /// [`AnalysisError::NoSolver`] if none is installed.
    pub(crate) fn find() -> Result<Self, AnalysisError> {
        let named = std::env::var("CVC5").ok().filter(|path| !path.is_empty());
        let program = named.unwrap_or_else(|| PROGRAM.to_owned());
        let is_there = |path: &std::path::Path| path.is_file();
        let found = if program.contains('/') {
            is_there(program.as_ref())
        } else {
            let path = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&path).any(|folder| is_there(&folder.join(&program)))
        };
        if !found {
            return Err(AnalysisError::NoSolver { looked_for: program });
        }
        Ok(Solver { program, answer_ms_max: ANSWER_MS_MAX, compiler: None })
    }

    /// Asks one question. A solver that fails is replaced before the next one.
    pub(crate) async fn ask<T>(
        &mut self,
        question: impl AsyncFnOnce(&mut CedarSymCompiler<LocalSolver>) -> cedar_policy_symcc::err::Result<T>,
    ) -> Result<Said<T>, AnalysisError> {
        let mut compiler = match self.compiler.take() {
            Some(compiler) => compiler,
            None => self.start()?,
        };
        let answer =
            tokio::time::timeout(Duration::from_millis(self.answer_ms_max), question(&mut compiler)).await;
        // After any failure the process may still be busy with the old question, so only a good one is kept.
        match answer {
            Ok(Ok(answer)) => {
                self.compiler = Some(compiler);
                Ok(Said::Answer(answer))
            }
            Ok(Err(cedar_policy_symcc::err::Error::SolverUnknown)) => {
                Ok(Said::Nothing("the solver found no answer within its limits".to_owned()))
            }
            Ok(Err(error)) => Ok(Said::Nothing(error.to_string())),
            Err(_) => Ok(Said::Nothing(format!("the solver took longer than {} ms", self.answer_ms_max))),
        }
    }

    fn start(&self) -> Result<CedarSymCompiler<LocalSolver>, AnalysisError> {
        let failed = |error: &dyn std::fmt::Display| AnalysisError::Solver(error.to_string());
        // The shell only sets the limit and then becomes the solver, so that killing it kills the solver.
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", "ulimit -v \"$1\" && shift && exec \"$@\"", "sh"])
            .arg(MEMORY_KIB_MAX.to_string())
            .arg(&self.program)
            .args(["--lang", "smt", "--strings-exp", "--incremental"])
            .arg(format!("--tlimit-per={QUERY_MS_MAX}"))
            .kill_on_drop(true);
        let solver = LocalSolver::from_command(&mut command).map_err(|error| failed(&error))?;
        CedarSymCompiler::new(solver).map_err(|error| failed(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A solver that never answers, as a stopped or looping one would.
    #[tokio::test]
    async fn a_solver_that_hangs_is_given_up_and_replaced() {
        let mut solver = Solver { program: "cat".to_owned(), answer_ms_max: 20, compiler: None };
        let said = solver.ask(async |_| std::future::pending().await).await.unwrap();
        assert!(matches!(said, Said::<()>::Nothing(why) if why.contains("longer than")));
        assert!(solver.compiler.is_none());
    }
}
