//! How a command ends: the documented exit codes, and failures with what happened and what to do next.

use std::fmt;
use std::process::ExitCode;

use crate::journal;
use crate::workflow::Diagnostic;

/// The exit codes, as `--help` and the README document them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// The run or task failed, or a workflow is invalid.
    Failed,
    /// The command line, the configuration or the input is wrong.
    Usage,
    /// A registry, an agent, a workflow, a task or a port is not there.
    Unavailable,
    /// A fault of gantry's own, or of the machine.
    Internal,
    /// An agent's task waits for an answer.
    Waiting,
    /// Interrupted by Ctrl-C or SIGTERM.
    Interrupted,
}

impl Exit {
    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Unavailable => 3,
            Self::Internal => 4,
            Self::Waiting => 5,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Shown at the end of `gantry --help`.
pub(super) const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    the run or task failed, or a workflow is invalid
  2    the command line, the configuration or the input is wrong
  3    a registry, an agent, a workflow, a task or a port is not available
  4    a fault of gantry itself or of the machine
  5    the agent's task waits for an answer
  130  interrupted

Settings come from flags, then the environment (GANTRY_REGISTRY, GANTRY_DATA_DIR, GANTRY_MODEL, …),
then a file (--config, GANTRY_CONFIG, or gantry/config.toml where the platform keeps such files).";

/// Why a command did not do it.
#[derive(Debug)]
pub struct Failure {
    /// How the process ends.
    pub exit: Exit,
    /// What happened, a lower-case fragment that names the thing.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
    /// What is wrong with the workflow, when that is why.
    pub diagnostics: Vec<Diagnostic>,
    /// Shown as it is instead of the message: the diagnostics with their snippets.
    pub rendered: Option<String>,
}

impl Failure {
    /// A failure without a hint.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, diagnostics: Vec::new(), rendered: None }
    }

    /// The command line, the configuration or the input is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Something outside is not there.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unavailable, message)
    }

    /// A fault of gantry's own, or of the machine.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Exit::Internal, message)
    }

    /// A journal cannot be opened, or not written: its damage is a fault of the machine.
    pub fn of_journal(error: &journal::Error) -> Self {
        Self::new(if error.is_damage() { Exit::Internal } else { Exit::Unavailable }, chain(error))
    }

    /// The same, with what to do next.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rendered {
            Some(rendered) => f.write_str(rendered.trim_end())?,
            None => write!(f, "error: {}", self.message)?,
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// An error with every cause behind it, as one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
