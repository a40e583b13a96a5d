//! Decides what happens next: events in, commands out. The same events always give the same commands.
//!
//! Pure: no I/O, clock, randomness or async. Driven by `engine`, and by tests that feed it events.

mod command;
mod early;
mod error;
mod event;
mod finish;
mod retry;
mod run;
mod sequence;
mod snapshot;
mod state;
mod status;
mod steps;

#[cfg(test)]
mod tests;

pub use command::{Change, Command, Invocation, Timer, Transition};
pub use error::{ErrorClass, Mismatch, StepError, StepFailure};
pub use event::{AgentUsed, Ancestor, Event, Payload, Question, RemoteTask, SEMANTICS};
pub use run::{Run, Yielded};
pub use status::{Outcome, RunStatus, Snapshot, StepReport, StepStatus};
