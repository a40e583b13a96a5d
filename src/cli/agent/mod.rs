//! `gantry agent …`: the agent cards of the registry.

mod command;

mod list;
mod push;
mod show;

pub(super) use command::{AgentCommand, execute};
