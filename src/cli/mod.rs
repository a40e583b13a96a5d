//! The command line: one file (or folder) per subcommand.
//!
//! Data goes to standard output, everything else to standard error. What agents and registries say is shown, never obeyed.

mod arguments;
mod aside;
mod dispatch;

mod agent;
mod completions;
mod registry;
mod replay;
mod run;
mod runs;
mod sample_agents;
mod send;
mod serve;
mod task;
mod up;
mod workflow;

mod answer;
mod callee;

mod diagnostics;
mod local;
mod origins;
mod replaced;
mod surroundings;

mod exit;
mod terminal;

pub use arguments::{Arguments, Command, Global};
pub use dispatch::{dispatch, load_config};
pub use exit::{Exit, Failure};
pub use terminal::Terminal;
