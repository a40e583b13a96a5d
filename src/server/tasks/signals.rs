//! What of a task others wait for, and how whoever follows its run is told, without keeping the task in memory.

use tokio::sync::watch;

use super::trouble::Trouble;
use crate::a2a::TaskState;

/// What of a task others wait for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signs {
    pub(super) state: TaskState,
    /// How closely its run is followed.
    pub(super) attention: Attention,
    /// A script or dialogue is to end; a run is cancelled through its engine.
    pub(super) is_given_up: bool,
    /// Why nothing more is heard of its run.
    pub(super) trouble: Option<Trouble>,
    /// Whoever follows the run is to look how it stands.
    pub(super) is_doubted: bool,
}

/// How closely the run of a task is followed. Most tasks are looked at once, at their end; until somebody wants to see more, a run
/// is waited for and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attention {
    End,
    Wanted,
    /// Everything that has happened is in the record, and what happens is added to it.
    Followed,
}

/// What of a task others wait for, without keeping the task in memory.
#[derive(Debug, Clone)]
pub(in crate::server) struct Signals(pub(super) watch::Receiver<Signs>);

impl Signals {
    /// Waits until somebody wants to see what happens to the run. False when the task has left memory before.
    pub(in crate::server) async fn wanted(&mut self) -> bool {
        self.0.wait_for(|signs| signs.attention >= Attention::Wanted).await.is_ok()
    }

    /// Waits until somebody doubts the record. False when the task has left memory before.
    pub(in crate::server) async fn doubted(&mut self) -> bool {
        self.0.wait_for(|signs| signs.is_doubted).await.is_ok()
    }
}
