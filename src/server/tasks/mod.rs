//! A2A tasks: what is kept of each, who watches it, and how updates of a run become its events.
//!
//! One run is exactly one task. Scripts and routing dialogues are tasks without a run, or before it. Everything a client
//! sees of a task passes through [`Task`], under its lock, so that every subscriber sees the same events in the same order.

mod follow;
mod parts;
mod queue;
mod script;
mod signals;
mod store;
mod talk;
mod task;
mod trouble;
mod unread;

pub(super) use follow::{AboutRun, Following, RUN_EXTENSION, follow};
pub(super) use queue::{Queue, Taken};
pub(super) use script::play;
pub(super) use store::Store;
pub(super) use talk::belonging;
pub(super) use task::{Bounds, Dialogue, Kind, NewTask, Task, now};
pub(super) use trouble::Trouble;
