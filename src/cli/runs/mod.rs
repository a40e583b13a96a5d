//! `gantry runs …`: looks at the runs in a data directory, and reaches the gantry that drives them.
//!
//! What only reads opens the journal beside the process that writes it, or after its end. What changes a run goes through that process.

mod command;

mod answer;
mod cancel;
mod export;
mod follow;
mod list;
mod prune;
mod retry;
mod show;

mod directory;
mod timeline;

pub(super) use command::{RunsCommand, execute};
pub(super) use directory::{RUNS_DIR, ago, plan_of};
pub(super) use retry::{RetryArguments, execute as retry};
