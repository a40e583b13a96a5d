//! `gantry workflow pull`.

use std::path::PathBuf;

use super::super::arguments::RegistryChoice;
use super::super::exit::{Exit, Failure};
use super::super::surroundings::Surroundings;
use super::super::terminal::{self, Terminal, say};
use crate::config::Config;

/// Arguments of `gantry workflow pull`.
#[derive(Debug, clap::Args)]
pub struct PullArguments {
    /// The workflow: `id`, `id:tag`, `id@sha256:…`, `host/repository:tag`
    workflow: String,
    /// Write it to this file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryChoice,
}

pub(super) async fn execute(arguments: PullArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let surroundings = Surroundings::find_or_show(&arguments.registry, config, terminal, Some(&arguments.workflow)).await?;
    let found = surroundings.discovery.workflow(&arguments.workflow).await.map_err(|error| surroundings.failure(error))?;
    let text = found.plan.source();
    match &arguments.output {
        None => terminal::data(text)?,
        Some(path) => {
            terminal::write_file(path, text).map_err(|error| Failure::usage(format!("cannot write `{}`: {error}", path.display())))?;
            say(&format!("{} ({}) → {}", found.plan.workflow().metadata.id, found.choice, path.display()));
        }
    }
    surroundings.shutdown().await;
    Ok(Exit::Ok)
}
