//! Why nothing was found or pushed, and what to do about it.

use std::sync::Arc;

use crate::registry;
use crate::workflow::{Diagnostic, Severity};

/// Why nothing was found or pushed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No such workflow.
    #[error("no workflow `{reference}` in {location}{hint}")]
    NoWorkflow {
        /// As asked.
        reference: String,
        /// Where.
        location: String,
        /// ": did you mean …", or empty.
        hint: String,
    },
    /// What was asked for is no reference, no repository and no tag, so that nothing was asked.
    #[error("{0}")]
    BadName(String),
    /// No agent offers the skill.
    #[error("no agent offers the skill `{skill}`{hint}")]
    NoAgent {
        /// As asked.
        skill: String,
        /// ": did you mean …", or empty.
        hint: String,
    },
    /// The workflow has errors.
    #[error("workflow `{name}` has {}", problems(diagnostics))]
    Invalid {
        /// Which.
        name: String,
        /// Its text.
        text: Arc<str>,
        /// All of them.
        diagnostics: Vec<Diagnostic>,
    },
    /// Annotations and content contradict each other, or a card is none.
    #[error("{0}")]
    Contradiction(String),
    /// The registry did not answer.
    #[error("the registry failed: {0}")]
    Registry(Arc<registry::Error>),
}

impl Error {
    /// What to do next, as a sentence for people.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoWorkflow { .. } => {
                Some("`gantry workflow list` shows what is there; `gantry workflow push FILE` puts a workflow in".to_owned())
            }
            // What would be right stands in the text.
            Self::BadName(_) => None,
            Self::NoAgent { .. } => {
                Some("`gantry agent list` shows the agents and their skills; `gantry agent push CARD` adds one".to_owned())
            }
            Self::Invalid { diagnostics, .. } => diagnostics.iter().find(|one| one.severity == Severity::Error)?.hint.clone(),
            Self::Contradiction(_) => Some("push the file again with gantry, which derives the annotations from it".to_owned()),
            Self::Registry(error) if error.is_transient() => Some("check that the registry is up, then try again".to_owned()),
            Self::Registry(_) => None,
        }
    }

    /// The same for whoever is not on this machine: where the registry is stays untold, a path of this machine above all.
    pub fn without_place(&self) -> String {
        match self {
            Self::NoWorkflow { reference, hint, .. } => format!("no workflow `{reference}`{hint}"),
            Self::Registry(error) => match &**error {
                registry::Error::Io { .. } | registry::Error::Locked { .. } => {
                    "the registry failed: its directory cannot be used; the log of gantry says why".to_owned()
                }
                _ => self.to_string(),
            },
            Self::BadName(_) | Self::NoAgent { .. } | Self::Invalid { .. } | Self::Contradiction(_) => self.to_string(),
        }
    }

    /// A retry, later, may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_transient())
    }

    /// The registry answered, and what was asked for is not there.
    pub(super) fn is_not_found(&self) -> bool {
        matches!(self, Self::Registry(error) if matches!(**error, registry::Error::NotFound(_)))
    }
}

impl From<registry::Error> for Error {
    fn from(error: registry::Error) -> Self {
        match error {
            registry::Error::BadName { reason, .. } => Self::BadName(reason),
            error => Self::Registry(Arc::new(error)),
        }
    }
}

fn problems(diagnostics: &[Diagnostic]) -> String {
    let errors = diagnostics.iter().filter(|one| one.severity == Severity::Error).collect::<Vec<_>>();
    match errors.as_slice() {
        [] => "no usable content".to_owned(),
        [one] => format!("a problem in line {}: {}", one.line, one.message),
        [first, ..] => format!("{} problems, the first in line {}: {}", errors.len(), first.line, first.message),
    }
}
