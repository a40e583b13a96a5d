//! `gantry runs prune`.

use std::time::Duration;

use serde_json::json;

use super::super::exit::{Exit, Failure, chain};
use super::super::terminal::say;
use super::directory::{Directory, DirectoryChoice, ago};
use crate::config::Config;
use crate::control::{self, Wish};
use crate::journal::{DataDir, Journal, Retention, Sqlite};
use crate::time::parse_duration;

/// Arguments of `gantry runs prune`.
#[derive(Debug, clap::Args)]
#[group(id = "rule", required = true, multiple = true, args = ["older_than", "keep"])]
pub struct PruneArguments {
    /// Forget runs that ended longer ago: `30d`, `12h`
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    older_than: Option<Duration>,
    /// Keep the latest N ended runs and forget the others
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    #[command(flatten)]
    directory: DirectoryChoice,
}

pub(super) async fn execute(arguments: PruneArguments, config: &Config) -> Result<Exit, Failure> {
    let directory = arguments.directory.open(config)?;
    let retention = Retention { ended_before: arguments.older_than.map(ago), runs_max: arguments.keep };
    let wish = Wish::Prune { ended_before: retention.ended_before, runs_max: retention.runs_max };
    let forgotten =
        if control::answers(&directory.path).await { directory.ask(&wish).await? } else { alone(&directory, retention).await? };
    let runs = forgotten["forgotten"].as_u64().unwrap_or_default();
    say(&format!("{runs} ended run{} forgotten in {}", if runs == 1 { " was" } else { "s were" }, directory.data_dir.display()));
    Ok(Exit::Ok)
}

/// Nobody drives runs there: the directory is held for the moment it takes.
async fn alone(directory: &Directory, retention: Retention) -> Result<serde_json::Value, Failure> {
    let unavailable = |error: crate::journal::Error| Failure::unavailable(chain(&error));
    if directory.journal()?.is_none() {
        return Ok(json!({ "forgotten": 0 }));
    }
    let _held = DataDir::lock(&directory.path).map_err(unavailable)?;
    let journal = Sqlite::open(&directory.path).map_err(unavailable)?;
    Ok(json!({ "forgotten": journal.prune(retention).await.map_err(unavailable)? }))
}
