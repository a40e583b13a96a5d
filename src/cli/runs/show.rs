//! `gantry runs show`.

use serde::Serialize;

use super::super::aside::aside;
use super::super::exit::{Exit, Failure, chain};
use super::super::terminal::{self, Terminal};
use super::directory::{Directory, DirectoryChoice, now, plan_of, whole};
use super::timeline;
use crate::config::Config;
use crate::engine::{Export, ExportHeader, Timeline};
use crate::ids::RunId;
use crate::interpreter::RunStatus;
use crate::journal::{self, Journal as _, ROOT_LABEL, Record, STEP_LABEL, Sqlite};
use crate::limits;

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
    Ok(told.exit)
}

/// The history of a run, and the runs that its steps started.
#[derive(Serialize)]
pub(super) struct Told {
    #[serde(flatten)]
    pub(super) timeline: Timeline,
    /// In the order of their steps; of very many, some.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) children: Vec<Below>,
    /// Whether it may be more than that.
    #[serde(skip)]
    exit: Exit,
}

/// A run that a step of another started.
#[derive(Serialize)]
pub(super) struct Below {
    /// The path of the step.
    pub(super) step: String,
    pub(super) run: RunId,
    pub(super) workflow: String,
    pub(super) status: RunStatus,
}

/// What there is to tell of a run that is in the journal.
pub(super) async fn timeline_of(directory: &Directory, run: &str, terminal: Terminal) -> Result<Told, Failure> {
    let (journal, export) = directory.export(run).await?;
    let exit = whole(&journal, export.status);
    let children = below(&journal, &export).await.map_err(|error| Failure::internal(chain(&error)))?;
    let timeline = aside(move || {
        let plan = plan_of(&export.header.workflow, &export.source, export.header.digest.clone(), terminal)?;
        Timeline::new(&export, plan).map_err(|error| Failure::internal(format!("run `{}` cannot be replayed: {error}", export.header.run)))
    });
    Ok(Told { timeline: timeline.await?, children, exit })
}

async fn below(journal: &Sqlite, export: &Export) -> Result<Vec<Below>, journal::Error> {
    let ExportHeader { run, labels, .. } = &export.header;
    let root = labels.get(ROOT_LABEL).and_then(|root| RunId::parse(root).ok()).unwrap_or_else(|| run.clone());
    let members = journal.members(&root).await?;
    let mut below = Vec::new();
    for member in members.into_iter().filter(|member| member.parent.as_ref() == Some(run)).take(limits::HISTORY_CHILDREN_MAX) {
        match journal.record(&member.run).await {
            Ok(Record { mut header, status, .. }) => {
                let step = header.labels.remove(STEP_LABEL).unwrap_or_default();
                below.push(Below { step, run: header.run, workflow: header.workflow, status });
            }
            // It was forgotten just now.
            Err(journal::Error::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    below.sort_by(|a, b| a.step.cmp(&b.step));
    Ok(below)
}
