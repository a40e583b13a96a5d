//! Names to things, cached by digest: workflow references to plans, skills to agents. Also what is pushed: annotations derive from content.
//!
//! Used by `engine`, `server` and `cli`.

mod api;

pub use api::{AgentEntry, Discovery, Error, FoundAgent, FoundWorkflow, Options, WorkflowEntry};
