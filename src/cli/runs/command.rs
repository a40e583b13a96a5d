//! The subcommands of `gantry runs`.

use super::super::exit::{Exit, Failure};
use super::super::terminal::Terminal;
use super::{answer, cancel, export, follow, list, prune, retry, show};
use crate::config::Config;

/// `gantry runs …`.
#[derive(Debug, clap::Subcommand)]
pub enum RunsCommand {
    /// List runs, newest change first
    List(list::ListArguments),
    /// Show the history of a run: every attempt, when, how long, by whom
    Show(show::ShowArguments),
    /// Show what happens in a run until it ends
    Follow(follow::FollowArguments),
    /// End a run
    Cancel(cancel::CancelArguments),
    /// Go on where a run failed or was canceled, in a new run that keeps what completed steps were told
    Retry(retry::RetryArguments),
    /// Answer a step that waits
    Answer(answer::AnswerArguments),
    /// Write a run with its workflow and events as one JSON file, for `gantry replay`
    Export(export::ExportArguments),
    /// Forget runs that ended, or one that cannot be read
    Prune(prune::PruneArguments),
}

pub(in crate::cli) async fn execute(command: RunsCommand, config: Config, terminal: Terminal) -> Result<Exit, Failure> {
    match command {
        RunsCommand::List(arguments) => list::execute(arguments, &config).await,
        RunsCommand::Show(arguments) => show::execute(arguments, &config, terminal).await,
        RunsCommand::Follow(arguments) => follow::execute(arguments, &config, terminal).await,
        RunsCommand::Cancel(arguments) => cancel::execute(arguments, &config).await,
        RunsCommand::Retry(arguments) => retry::execute(arguments, &config).await,
        RunsCommand::Answer(arguments) => answer::execute(arguments, &config, terminal).await,
        RunsCommand::Export(arguments) => export::execute(arguments, &config).await,
        RunsCommand::Prune(arguments) => prune::execute(arguments, &config, terminal).await,
    }
}
