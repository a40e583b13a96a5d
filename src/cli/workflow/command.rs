//! The subcommands of `gantry workflow`.

use super::super::exit::{Exit, Failure};
use super::super::terminal::Terminal;
use super::{list, pull, push, schema, show, validate};
use crate::config::Config;

/// `gantry workflow …`.
#[derive(Debug, clap::Subcommand)]
pub enum WorkflowCommand {
    /// List the workflows of the registry
    List(list::ListArguments),
    /// Show a workflow: metadata, steps, skills, and why this version
    Show(show::ShowArguments),
    /// Check workflow files and push them to the registry
    Push(push::PushArguments),
    /// Print a workflow's file, or write it
    Pull(pull::PullArguments),
    /// Check workflow files without running them; needs no registry
    Validate(validate::ValidateArguments),
    /// Print the JSON Schema of the workflow language, for editors
    Schema,
}

pub(in crate::cli) async fn execute(command: WorkflowCommand, config: Config, terminal: Terminal) -> Result<Exit, Failure> {
    match command {
        WorkflowCommand::List(arguments) => list::execute(arguments, &config, terminal).await,
        WorkflowCommand::Show(arguments) => show::execute(arguments, &config, terminal).await,
        WorkflowCommand::Push(arguments) => push::execute(arguments, &config, terminal).await,
        WorkflowCommand::Pull(arguments) => pull::execute(arguments, &config, terminal).await,
        WorkflowCommand::Validate(arguments) => validate::execute(&arguments, terminal),
        WorkflowCommand::Schema => schema::execute(),
    }
}
