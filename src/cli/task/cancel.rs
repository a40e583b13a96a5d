//! `gantry task cancel`.

use super::super::answer::{name, normalized};
use super::super::callee::{Callee, CalleeArguments};
use super::super::exit::{Exit, Failure};
use super::super::terminal::{self, one_line};
use super::command::TimeoutChoice;
use crate::config::Config;

/// Arguments of `gantry task cancel`.
#[derive(Debug, clap::Args)]
pub struct CancelArguments {
    #[command(flatten)]
    callee: CalleeArguments,
    /// The task
    #[arg(value_name = "ID")]
    id: String,
    /// Print JSON of A2A 1.0
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    timeout: TimeoutChoice,
}

pub(super) async fn execute(arguments: CancelArguments, config: &Config) -> Result<Exit, Failure> {
    let callee = Callee::find(&arguments.callee, config, Some(arguments.timeout.duration())).await?;
    let task = callee.within(callee.agent.cancel_task(&arguments.id)).await?;
    if arguments.json {
        terminal::json(&normalized(&task))?;
    } else {
        // An agent may need a while; then the state is not `canceled` yet.
        terminal::data(&format!("task {} is {}", one_line(&task.id, 200), name(task.status.state)))?;
    }
    Ok(Exit::Ok)
}
