//! Why a task says nothing more although it has not ended. Its waiters and readers are told, so that none of them waits for ever or takes what
//! is there for a result.

/// Why nothing more is heard of a run that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Trouble {
    /// The journal cannot tell how it stands: nothing of the task may be believed then.
    Unreadable,
    /// It could not go on, for a reason that is in the log. The next start takes it up again.
    Stopped,
}

impl Trouble {
    /// What those are told who follow the task.
    pub(in crate::server) fn told(self) -> &'static str {
        match self {
            Self::Unreadable => "the record of the task cannot be read; the cause is in gantry's log",
            Self::Stopped => "the task's run has stopped before its end and goes on when gantry starts again; the cause is in gantry's log",
        }
    }
}
