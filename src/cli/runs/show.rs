//! `gantry runs show`.

use super::super::aside::aside;
use super::super::exit::{Exit, Failure};
use super::super::terminal::{self, Terminal};
use super::directory::{Directory, DirectoryChoice, now, plan_of};
use super::timeline;
use crate::config::Config;
use crate::engine::Timeline;

/// Arguments of `gantry runs show`.
#[derive(Debug, clap::Args)]
pub struct ShowArguments {
    /// The run's id, or its beginning
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    directory: DirectoryChoice,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(arguments: ShowArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let directory = arguments.directory.open(config)?;
    let told = timeline_of(&directory, &arguments.run, terminal).await?;
    if arguments.json {
        terminal::json(&told)?
    } else {
        terminal::data(&timeline::render(&told, now()))?
    }
    Ok(Exit::Ok)
}

/// The history of a run that is in the journal.
pub(super) async fn timeline_of(directory: &Directory, run: &str, terminal: Terminal) -> Result<Timeline, Failure> {
    let export = directory.export(run).await?;
    aside(move || {
        let plan = plan_of(&export.header.workflow, &export.source, export.header.digest.clone(), terminal)?;
        Timeline::new(&export, plan).map_err(|error| Failure::internal(format!("run `{}` cannot be replayed: {error}", export.header.run)))
    })
    .await
}
