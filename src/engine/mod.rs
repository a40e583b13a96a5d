//! Drives runs: carries out what the interpreter commands, tells it what happened, and lets others watch.
//!
//! Used by `server` and `cli`. An engine never decides what happens next.

mod api;
pub mod embedded;
mod input;
mod own;

mod export;
mod history;
mod payload;
mod replay;
mod retry;
mod watchers;

pub use api::{Engine, Error, Filter, Next, Page, RETRY_OF_LABEL, RunSummary, Start, Started, Subscription, Update, called, waiting_step};
pub use export::{Export, ExportHeader};
pub use history::{Entry, EntryStatus, Timeline};
pub use input::check as check_input;
pub use own::{OwnReply, OwnSkills};
pub use replay::{Divergence, Replayed, replay};
