//! `gantry workflow …`: what is in the registry, and files on their way there.

mod command;
mod references;

mod list;
mod pull;
mod push;
mod schema;
mod show;
mod validate;

pub(super) use command::{WorkflowCommand, execute};
