//! `gantry runs retry`.

use super::super::exit::{Exit, Failure};
use super::super::terminal::{self, say};
use super::directory::DirectoryChoice;
use crate::config::Config;
use crate::control::Wish;

/// Arguments of `gantry runs retry`.
#[derive(Debug, clap::Args)]
pub struct RetryArguments {
    /// The run's id, or its beginning
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    directory: DirectoryChoice,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn execute(arguments: RetryArguments, config: &Config) -> Result<Exit, Failure> {
    let directory = arguments.directory.open(config)?;
    let (_, record) = directory.find(&arguments.run).await?;
    let old = record.header.run;
    let started = directory.ask(&Wish::Retry { run: old.clone() }).await?;
    if arguments.json {
        terminal::json(&started)?;
        return Ok(Exit::Ok);
    }
    let run = started["run"].as_str().unwrap_or_default();
    terminal::data(run)?;
    if started["new"] == false {
        say(&format!("run {old} was retried before, as run {run}; when that has failed, too, retry that"));
    } else {
        let option = directory.option();
        say(&format!("run {run} goes on where run {old} went wrong; `gantry runs follow {run}{option}` shows it"));
    }
    Ok(Exit::Ok)
}
