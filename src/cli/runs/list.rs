//! `gantry runs list`.

use std::time::Duration;

use serde_json::json;

use super::super::exit::{Exit, Failure, chain};
use super::super::terminal::{self, one_line, say, table};
use super::directory::{DirectoryChoice, ago, now};
use crate::config::Config;
use crate::engine::RETRY_OF_LABEL;
use crate::interpreter::RunStatus;
use crate::journal::{Found, Journal, Query, Record};
use crate::time::{Timestamp, humanize, parse_duration};

/// Arguments of `gantry runs list`.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    #[command(flatten)]
    directory: DirectoryChoice,
    /// Only runs of this workflow
    #[arg(short, long, value_name = "ID")]
    workflow: Option<String>,
    /// Only runs in this status: running, input_required, completed, failed, canceled
    #[arg(long, value_name = "STATUS", value_parser = status)]
    status: Option<RunStatus>,
    /// Only runs that changed within this time: `90`, `30m`, `2h`, `7d`
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    since: Option<Duration>,
    /// Only runs that did not change within this time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    until: Option<Duration>,
    /// Most runs that are listed
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn status(text: &str) -> Result<RunStatus, String> {
    RunStatus::parse(&text.replace('-', "_"))
        .ok_or_else(|| "a status is one of running, input_required, completed, failed, canceled".to_owned())
}

pub(super) async fn execute(arguments: ListArguments, config: &Config) -> Result<Exit, Failure> {
    if let (Some(since), Some(until)) = (arguments.since, arguments.until)
        && since <= until
    {
        let what = format!("--since {} and --until {} leave no time between them", humanize(since), humanize(until));
        return Err(Failure::usage(what).hint("--since is the longer one: `--since 2h --until 1h`"));
    }
    let directory = arguments.directory.open(config)?;
    let query = Query {
        workflow: arguments.workflow,
        status: arguments.status,
        changed_after: arguments.since.map(ago),
        // Whatever its id: none comes before it at that moment.
        before: arguments.until.map(|until| (ago(until), String::new())),
        runs_max: Some(arguments.limit),
        ..Query::default()
    };
    let journal = directory.journal()?;
    let Found { records: shown, total } = match &journal {
        Some(journal) => journal.select(&query).await.map_err(|error| Failure::internal(chain(&error)))?,
        None => Found { records: Vec::new(), total: 0 },
    };
    // It goes through all runs, of which some are as they were before the damage.
    let exit = if journal.is_some_and(|journal| journal.damage().is_some()) { Exit::Internal } else { Exit::Ok };
    if arguments.json {
        terminal::json(&shown.iter().map(object).collect::<Vec<_>>())?;
        return Ok(exit);
    }
    if !shown.is_empty() {
        let now = now();
        let rows: Vec<Vec<String>> = shown.iter().map(|record| row(record, now)).collect();
        terminal::data(&table(&["RUN", "WORKFLOW", "STATUS", "STARTED", "LASTED", "NOTE"], &rows))?;
    }
    if arguments.until.is_some() {
        // How many there are in all counts the later ones, too.
        let bound = if shown.len() == arguments.limit { ", or more; --limit shows more" } else { "" };
        say(&format!("{} in {}{bound}", count_of(shown.len()), directory.data_dir.display()));
        return Ok(exit);
    }
    let more = if shown.len() < total { format!(", the latest {} shown; --limit shows more", shown.len()) } else { String::new() };
    say(&format!("{} in {}{more}", count_of(total), directory.data_dir.display()));
    Ok(exit)
}

fn count_of(runs: usize) -> String {
    if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") }
}

fn object(record: &Record) -> serde_json::Value {
    let header = &record.header;
    json!({
        "run": header.run, "workflow": header.workflow, "version": header.version, "digest": header.digest,
        "status": record.status, "started_at": header.started_at, "changed_at": record.changed_at, "labels": header.labels,
    })
}

fn row(record: &Record, now: Timestamp) -> Vec<String> {
    let header = &record.header;
    // What has not ended lasts until now, whenever it changed last.
    let lasted = match record.status.is_terminal() {
        true => humanize(Duration::from_millis(record.changed_at.since_ms(header.started_at))),
        false => format!("{}…", humanize(Duration::from_millis(now.since_ms(header.started_at)))),
    };
    let note = match (header.labels.get(RETRY_OF_LABEL), header.labels.get("parent")) {
        (Some(run), _) => format!("retry of {}", one_line(run, 40)),
        (None, Some(run)) => format!("part of {}", one_line(run, 40)),
        (None, None) => String::new(),
    };
    vec![
        header.run.to_string(),
        format!("{} {}", header.workflow, header.version),
        record.status.as_str().to_owned(),
        header.started_at.to_string(),
        lasted,
        note,
    ]
}
