//! `gantry task …`: the tasks of any A2A agent.

mod command;

mod cancel;
mod get;
mod list;
mod subscribe;

pub(super) use command::{TaskCommand, execute};
