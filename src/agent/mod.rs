//! Calls other agents: card → dialect → request → value, with a deadline, bounds and typed errors.
//!
//! Used by `engine`. Knows nothing of workflows, registries or the journal.

mod client;
mod error;

pub use client::{Call, Client, Options, Progress, Question, Remote, Reply};
pub use error::{Error, ErrorKind};
