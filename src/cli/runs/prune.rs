//! `gantry runs prune`.

use std::time::Duration;

use serde_json::json;

use super::super::aside::aside;
use super::super::exit::{Exit, Failure, chain};
use super::super::terminal::{Terminal, one_line, say};
use super::directory::{DEAF_HINT, Directory, DirectoryChoice, ago, plan_of};
use crate::config::Config;
use crate::control::{self, Wish};
use crate::engine::{Export, Timeline};
use crate::ids::RunId;
use crate::journal::{self, DataDir, Header, Journal, Record, Retention, Sqlite};
use crate::time::parse_duration;

/// Arguments of `gantry runs prune`.
#[derive(Debug, clap::Args)]
#[group(id = "rule", required = true, multiple = true, args = ["runs", "older_than", "keep"])]
pub struct PruneArguments {
    /// Forget these runs, by their ids or their beginnings: each has ended, or cannot be read
    #[arg(value_name = "RUN", conflicts_with_all = ["older_than", "keep"])]
    runs: Vec<String>,
    /// Forget runs that ended longer ago: `30d`, `12h`
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    older_than: Option<Duration>,
    /// Keep the latest N ended runs and forget the others
    #[arg(long, value_name = "N")]
    keep: Option<usize>,
    #[command(flatten)]
    directory: DirectoryChoice,
}

pub(super) async fn execute(arguments: PruneArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let directory = arguments.directory.open(config)?;
    Sqlite::check(&directory.path).map_err(|error| Failure::of_journal(&error))?;
    if !arguments.runs.is_empty() {
        for run in &arguments.runs {
            forget(&directory, run, terminal).await?;
        }
        return Ok(Exit::Ok);
    }
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
    let unavailable = |error: journal::Error| Failure::of_journal(&error);
    if directory.journal()?.is_none() {
        return Ok(json!({ "forgotten": 0 }));
    }
    let _held = DataDir::lock(&directory.path).map_err(unavailable)?;
    let journal = Sqlite::open(&directory.path).map_err(unavailable)?;
    Ok(json!({ "forgotten": journal.prune(retention).await.map_err(unavailable)? }))
}

/// Forgets one run, and says what it was.
async fn forget(directory: &Directory, text: &str, terminal: Terminal) -> Result<(), Failure> {
    let (journal, record) = directory.find(text).await?;
    let Header { run, workflow, version, started_at, .. } = record.header.clone();
    let what = format!("run {run} of {} {}, started {started_at}", one_line(&workflow, 60), one_line(&version, 40));
    let why = match record.status.is_terminal() {
        true => record.status.as_str().to_owned(),
        false => match unreadable(&journal, record, terminal).await? {
            Some(why) => format!("it has not ended, and cannot be read: {why}"),
            None => return Err(not_ended(directory, &run).await),
        },
    };
    drop(journal);
    say(&format!("{what}: {why}"));
    if control::answers(&directory.path).await {
        directory.ask(&Wish::Forget { run: run.clone() }).await?;
    } else {
        let unavailable = |error: journal::Error| Failure::of_journal(&error);
        let _held = DataDir::lock(&directory.path).map_err(unavailable)?;
        let journal = Sqlite::open(&directory.path).map_err(unavailable)?;
        if !journal.forget(&run).await.map_err(unavailable)? {
            return Err(Failure::new(Exit::Failed, format!("run `{run}` is part of a run that has not ended, and may ask for it")));
        }
    }
    say(&format!("run {run} is forgotten"));
    Ok(())
}

/// What ends it depends on who drives it.
async fn not_ended(directory: &Directory, run: &RunId) -> Failure {
    let failure = Failure::new(Exit::Failed, format!("run `{run}` has not ended"));
    let holder = if control::answers(&directory.path).await { None } else { DataDir::holder(&directory.path) };
    match holder {
        Some(holder) => failure.hint(format!("{holder}, which holds the data directory, takes no commands; {DEAF_HINT}")),
        None => failure.hint(format!("`gantry runs cancel {run}{}` ends it", directory.option())),
    }
}

/// Why a run cannot be read; none when it can be. What fails for now is an error.
async fn unreadable(journal: &Sqlite, record: Record, terminal: Terminal) -> Result<Option<String>, Failure> {
    let events = match journal.events(&record.header.run).await {
        Ok(events) => events,
        Err(journal::Error::Damaged { what, .. }) => return Ok(Some(what)),
        Err(journal::Error::NotFound(_)) => return Ok(Some("it has no events".to_owned())),
        Err(error) => return Err(Failure::internal(chain(&error))),
    };
    let export = Export::new(record, events);
    aside(move || {
        let header = &export.header;
        let Ok(plan) = plan_of(&header.workflow, &export.source, header.digest.clone(), terminal) else {
            return Ok(Some("its workflow is none that this gantry knows".to_owned()));
        };
        Ok(Timeline::new(&export, plan).err().map(|mismatch| mismatch.to_string()))
    })
    .await
}
