//! Drives runs: carries out what the interpreter commands, tells it what happened, and lets others watch.
//!
//! Used by `server` and `cli`. An engine never decides what happens next.

mod api;
pub mod embedded;
mod input;

pub use api::{Engine, Error, Filter, Next, RunSummary, Start, Started, Subscription, Update};
pub use input::check as check_input;
