//! Scripted answers: what a rule lets the agent say without running anything.
//!
//! A script is a list of acts carried out in order. A script of one `message` answers directly, without a task.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::a2a::{Part, TaskState};
use crate::time::parse_duration;

/// One act of a script.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "ActText")]
pub enum Act {
    /// Answers with a message instead of a task. Only as the one act of a script.
    Message(Said),
    /// The task moves to a state.
    Status {
        /// Which.
        state: ScriptState,
        /// What is said about it.
        message: Option<Said>,
    },
    /// A result, or a piece of one.
    Artifact(ArtifactAct),
    /// Nothing happens for this long.
    Delay(Duration),
}

/// The states a script can reach, as they are written in configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScriptState {
    /// Under way.
    Working,
    /// Waits for the caller; the next message on the task is matched against the rules again.
    InputRequired,
    /// Waits for credentials.
    AuthRequired,
    /// Done.
    Completed,
    /// Failed.
    Failed,
    /// Refused.
    Rejected,
    /// Canceled.
    Canceled,
}

impl ScriptState {
    /// The state of the task.
    pub fn task_state(self) -> TaskState {
        match self {
            Self::Working => TaskState::Working,
            Self::InputRequired => TaskState::InputRequired,
            Self::AuthRequired => TaskState::AuthRequired,
            Self::Completed => TaskState::Completed,
            Self::Failed => TaskState::Failed,
            Self::Rejected => TaskState::Rejected,
            Self::Canceled => TaskState::Canceled,
        }
    }
}

/// Something said: a text, or parts as A2A writes them.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Said {
    /// A text.
    Text(String),
    /// Parts.
    Parts {
        /// At least one.
        parts: Vec<Part>,
    },
}

impl Said {
    /// As parts.
    pub fn parts(&self) -> Vec<Part> {
        match self {
            Self::Text(text) => vec![Part::text(text.clone())],
            Self::Parts { parts } => parts.clone(),
        }
    }
}

/// A result, or a piece of one.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArtifactAct {
    /// Pieces of one artifact share it.
    #[serde(default = "artifact_id")]
    pub id: String,
    /// For people.
    #[serde(default)]
    pub name: Option<String>,
    /// The content.
    pub parts: Vec<Part>,
    /// The parts go behind those already sent.
    #[serde(default)]
    pub append: bool,
    /// Nothing follows for this artifact.
    #[serde(default)]
    pub last_chunk: bool,
}

fn artifact_id() -> String {
    "output".to_owned()
}

/// An act as it is written: exactly one of the members, `message` also beside `status`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActText {
    #[serde(default)]
    message: Option<Said>,
    #[serde(default)]
    status: Option<ScriptState>,
    #[serde(default)]
    artifact: Option<ArtifactAct>,
    #[serde(default)]
    delay: Option<String>,
}

impl TryFrom<ActText> for Act {
    type Error = String;

    fn try_from(text: ActText) -> Result<Self, String> {
        let ActText { message, status, artifact, delay } = text;
        match (message, status, artifact, delay) {
            (message, Some(state), None, None) => Ok(Self::Status { state, message }),
            (Some(said), None, None, None) => Ok(Self::Message(said)),
            (None, None, Some(artifact), None) => Ok(Self::Artifact(artifact)),
            (None, None, None, Some(delay)) => parse_duration(&delay).map(Self::Delay).map_err(str::to_owned),
            _ => Err("an act of `respond` is one of `message`, `status` (with or without `message`), `artifact` and `delay`".to_owned()),
        }
    }
}

/// What is wrong with a script as a whole, when something is.
pub(super) fn fault(acts: &[Act]) -> Option<&'static str> {
    let messages = acts.iter().filter(|act| matches!(act, Act::Message(_))).count();
    if acts.is_empty() {
        return Some("`respond` is empty");
    }
    if messages > 0 && acts.len() > 1 {
        return Some("a `message` without `status` answers instead of a task, so it must stand alone in `respond`");
    }
    let stops = |act: &Act| matches!(act, Act::Status { state, .. } if state.task_state() != TaskState::Working);
    let last_stops = acts.last().is_some_and(stops);
    if messages == 0 && (!last_stops || acts.iter().filter(|act| stops(act)).count() != 1) {
        return Some("`respond` must end with its only `status` that is terminal or waits for the caller");
    }
    None
}
