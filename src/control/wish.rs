//! What is said over a control connection.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::RunId;
use crate::limits;
use crate::time::Timestamp;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "wish", rename_all = "snake_case")]
pub enum Wish {
    /// End a run.
    Cancel {
        /// Which.
        run: RunId,
        /// Why, for people.
        reason: String,
    },
    /// Answer a step that waits.
    Answer {
        /// Of which run.
        run: RunId,
        /// Its id or path; none for the only one.
        step: Option<String>,
        /// The answer.
        answer: Value,
        /// The text that it was read from, when the step may want that instead.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        text: Option<String>,
    },
    /// Go on where a run went wrong, in a new one.
    Retry {
        /// Which.
        run: RunId,
    },
    /// Forget ended runs.
    Prune {
        /// Those that ended before this moment.
        ended_before: Option<Timestamp>,
        /// All but the latest of them.
        runs_max: Option<usize>,
    },
    /// Forget one run that has ended or cannot be read.
    Forget {
        /// Which.
        run: RunId,
    },
    /// The agents that were called lately, whether they are, and how busy they are.
    Agents,
    /// The run as it stands, and every update after, until its end.
    Follow {
        /// Which.
        run: RunId,
    },
}

impl Wish {
    /// How long its first reply is waited for.
    pub(super) fn patience(&self) -> Duration {
        match self {
            Self::Prune { .. } => limits::CONTROL_PRUNE_TIMEOUT,
            Self::Cancel { .. } | Self::Answer { .. } | Self::Retry { .. } | Self::Forget { .. } | Self::Agents | Self::Follow { .. } => {
                limits::CONTROL_REPLY_TIMEOUT
            }
        }
    }
}

/// What comes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", content = "about", rename_all = "snake_case")]
pub enum Reply {
    /// It was done.
    Done(Value),
    /// It was not; why, for people.
    Refused(String),
    /// It was not, because what was given does not fit.
    Misfit(String),
    /// It was not, because of a fault: what the journal has of the run, say, is damaged.
    Broken(String),
    /// The run as it stands.
    Snapshot(Value),
    /// What changed.
    Update(Value),
    /// Nothing more is told of a run that has not ended: its gantry shuts down, and goes on with it at the next start.
    Parked,
    /// Nothing more is told of a run that has not ended: it stopped for a reason that the log of its gantry tells.
    Stopped,
}

/// How a listener is reached: the announcement in the lock file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Announcement {
    pub(super) process: u32,
    pub(super) address: std::net::SocketAddr,
    pub(super) secret: String,
}
