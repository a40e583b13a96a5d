//! `gantry task get`.

use super::super::answer::{Answer, Style, normalized};
use super::super::callee::{Callee, CalleeArguments};
use super::super::exit::{Exit, Failure};
use super::super::terminal::{self, Terminal};
use super::command::TimeoutChoice;
use crate::a2a::StreamResponse;
use crate::config::Config;

/// Arguments of `gantry task get`.
#[derive(Debug, clap::Args)]
pub struct GetArguments {
    #[command(flatten)]
    callee: CalleeArguments,
    /// The task
    #[arg(value_name = "ID")]
    id: String,
    /// How many messages of its history to ask for [default: as the agent likes]
    #[arg(long, value_name = "COUNT")]
    history: Option<u32>,
    /// Print JSON of A2A 1.0
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    timeout: TimeoutChoice,
}

/// That a task failed is an answer like any other here: the command has done what it should.
pub(super) async fn execute(arguments: GetArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let callee = Callee::find(&arguments.callee, config, Some(arguments.timeout.duration())).await?;
    let task = callee.within(callee.agent.get_task(&arguments.id, arguments.history)).await?;
    if arguments.json {
        terminal::json(&normalized(&task))?;
        return Ok(Exit::Ok);
    }
    let mut answer = Answer::new(&callee.url, Style::Human, terminal);
    answer.event(StreamResponse::Task(task))?;
    let _shows_what_is_next = answer.exit();
    Ok(Exit::Ok)
}
