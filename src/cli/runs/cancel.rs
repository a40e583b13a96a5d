//! `gantry runs cancel`.

use super::super::exit::{Exit, Failure};
use super::super::terminal::say;
use super::directory::DirectoryChoice;
use crate::config::Config;
use crate::control::Wish;

/// Arguments of `gantry runs cancel`.
#[derive(Debug, clap::Args)]
pub struct CancelArguments {
    /// The run's id, or its beginning
    #[arg(value_name = "RUN")]
    run: String,
    /// Why, for those who look at the run later
    #[arg(long, value_name = "TEXT", default_value = "at the command line")]
    reason: String,
    #[command(flatten)]
    directory: DirectoryChoice,
}

pub(super) async fn execute(arguments: CancelArguments, config: &Config) -> Result<Exit, Failure> {
    let directory = arguments.directory.open(config)?;
    let (_, record) = directory.find(&arguments.run).await?;
    let run = record.header.run;
    directory.ask(&Wish::Cancel { run: run.clone(), reason: arguments.reason }).await?;
    say(&format!("run {run} is to end; its agents and handlers are told"));
    Ok(Exit::Ok)
}
