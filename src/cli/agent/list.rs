//! `gantry agent list`.

use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::super::arguments::RegistryChoice;
use super::super::exit::{Exit, Failure};
use super::super::runs::RUNS_DIR;
use super::super::surroundings::Surroundings;
use super::super::terminal::{self, Terminal, one_line, say, table};
use crate::agent::{Circuit, GateStatus};
use crate::config::Config;
use crate::control::{self, Reply, Wish};
use crate::discovery::AgentEntry;
use crate::time::humanize;

/// How long the gantry that runs here has to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// Arguments of `gantry agent list`.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    #[command(flatten)]
    registry: RegistryChoice,
    /// The data directory of the gantry that calls them [default: gantry in the platform's place for state]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An agent, and how the gantry that runs here gets on with it.
#[derive(Serialize)]
struct Line {
    #[serde(flatten)]
    entry: AgentEntry,
    /// None when no gantry runs, or it has not called it lately.
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<GateStatus>,
}

pub(super) async fn execute(arguments: ListArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let surroundings = Surroundings::find_or_start(&arguments.registry, config, terminal, None).await?;
    let agents = surroundings.discovery.agents().await.map_err(|error| surroundings.failure(error))?;
    let statuses = statuses(arguments.data_dir.or_else(|| config.data_dir())).await;
    let called = statuses.is_some();
    let agents: Vec<Line> = agents
        .into_iter()
        .map(|entry| {
            let calls = statuses.iter().flatten().find(|status| status.is_of(&entry.card)).cloned();
            Line { entry, calls }
        })
        .collect();
    if arguments.json {
        terminal::json(&agents)?;
    } else {
        let rows: Vec<Vec<String>> = agents.iter().map(|line| row(line, called)).collect();
        let mut headers = vec!["NAME", "VERSION", "SKILLS", "ADDRESS", "REPOSITORY"];
        if called {
            headers.extend(["CIRCUIT", "CALLS"]);
        }
        terminal::data(&table(&headers, &rows))?;
        for status in agents.iter().filter_map(|line| line.calls.as_ref()) {
            if let Some(why) = &status.why {
                say(&format!("{} is left alone after {}", one_line(&status.agent, 40), one_line(why, 300)));
            }
        }
        say(&format!(
            "{} in {}",
            if agents.len() == 1 { "1 agent".to_owned() } else { format!("{} agents", agents.len()) },
            surroundings.location
        ));
    }
    surroundings.shutdown().await;
    Ok(Exit::Ok)
}

/// What the gantry that holds the directory says of the agents it calls. None runs, mostly, and nobody waits for one that hangs.
async fn statuses(data_dir: Option<PathBuf>) -> Option<Vec<GateStatus>> {
    let asked = async {
        let mut asked = control::ask(&data_dir?.join(RUNS_DIR), &Wish::Agents).await.ok()?;
        match asked.next().await.ok()? {
            Reply::Done(statuses) => serde_json::from_value(statuses).ok(),
            Reply::Refused(_)
            | Reply::Misfit(_)
            | Reply::Broken(_)
            | Reply::Snapshot(_)
            | Reply::Update(_)
            | Reply::Parked
            | Reply::Stopped => None,
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.ok()?
}

fn row(line: &Line, called: bool) -> Vec<String> {
    let Line { entry, calls } = line;
    let skills: Vec<&str> = entry.card.skills.iter().map(|skill| skill.id.as_str()).collect();
    let address = entry.card.interfaces.first().map_or("", |interface| interface.url.as_str());
    let mut row = vec![
        one_line(&entry.card.name, 40),
        one_line(&entry.card.version, 20),
        one_line(&skills.join(","), 80),
        one_line(address, 80),
        entry.repository.as_deref().map_or_else(|| "given by hand".to_owned(), |repository| one_line(repository, 60)),
    ];
    if called {
        let (circuit, in_flight) = calls.as_ref().map_or_else(Default::default, |calls| (circuit(calls), in_flight(calls)));
        row.extend([circuit, in_flight]);
    }
    row
}

fn circuit(calls: &GateStatus) -> String {
    match (calls.circuit, calls.wait_ms) {
        (Circuit::Open, Some(wait)) => format!("open for {}", humanize(Duration::from_millis(wait))),
        (Circuit::Open, None) => "open".to_owned(),
        (Circuit::HalfOpen, _) => "half-open".to_owned(),
        (Circuit::Closed, _) => "closed".to_owned(),
    }
}

fn in_flight(calls: &GateStatus) -> String {
    match calls.waiting {
        0 => calls.in_flight.to_string(),
        waiting => format!("{} and {waiting} waiting", calls.in_flight),
    }
}
