//! The subcommands of `gantry task`.

use std::time::Duration;

use super::super::exit::{Exit, Failure};
use super::super::terminal::Terminal;
use super::{cancel, get, list, subscribe};
use crate::config::Config;
use crate::time::parse_duration;

/// How long an agent may take to say something of a task that it knows already.
const TIMEOUT: Duration = Duration::from_secs(30);

/// `gantry task …`.
#[derive(Debug, clap::Subcommand)]
pub enum TaskCommand {
    /// Show a task: its state, what the agent says, and its results
    Get(get::GetArguments),
    /// Cancel a task
    Cancel(cancel::CancelArguments),
    /// Follow a task until it ends
    Subscribe(subscribe::SubscribeArguments),
    /// List tasks, the one that moved last first; A2A 1.0 alone has this
    List(list::ListArguments),
}

/// How long to wait.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct TimeoutChoice {
    /// Wait no longer than this [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

impl TimeoutChoice {
    pub(super) fn duration(self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }
}

pub(in crate::cli) async fn execute(command: TaskCommand, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    match command {
        TaskCommand::Get(arguments) => get::execute(arguments, config, terminal).await,
        TaskCommand::Cancel(arguments) => cancel::execute(arguments, config).await,
        TaskCommand::Subscribe(arguments) => subscribe::execute(arguments, config, terminal).await,
        TaskCommand::List(arguments) => list::execute(arguments, config).await,
    }
}
