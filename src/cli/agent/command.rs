//! The subcommands of `gantry agent`.

use super::super::exit::{Exit, Failure};
use super::super::terminal::Terminal;
use super::{list, push, show};
use crate::config::Config;

/// `gantry agent …`.
#[derive(Debug, clap::Subcommand)]
pub enum AgentCommand {
    /// List the agents of the registry and their skills
    List(list::ListArguments),
    /// Show an agent's card, or the agent that is chosen for a skill
    Show(show::ShowArguments),
    /// Push agent cards to the registry
    Push(push::PushArguments),
}

pub(in crate::cli) async fn execute(command: AgentCommand, config: Config, terminal: Terminal) -> Result<Exit, Failure> {
    match command {
        AgentCommand::List(arguments) => list::execute(arguments, &config, terminal).await,
        AgentCommand::Show(arguments) => show::execute(arguments, &config, terminal).await,
        AgentCommand::Push(arguments) => push::execute(arguments, &config, terminal).await,
    }
}
