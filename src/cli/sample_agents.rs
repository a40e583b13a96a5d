//! `gantry sample-agents`: the six agents alone, for a registry that lives elsewhere.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::arguments::{AgentPortsChoice, ListenChoice, ModelChoice};
use super::exit::{Exit, Failure};
use super::local::start_agents;
use super::terminal::{self, say, table};
use super::up::ReadyFile;
use crate::config::Config;
use crate::shutdown::Shutdown;

/// Arguments of `gantry sample-agents`.
#[derive(Debug, clap::Args)]
pub struct SampleAgentsArguments {
    #[command(flatten)]
    ports: AgentPortsChoice,
    #[command(flatten)]
    listen: ListenChoice,
    #[command(flatten)]
    model: ModelChoice,
}

pub(super) async fn execute(arguments: SampleAgentsArguments, mut config: Config, shutdown: &Shutdown) -> Result<Exit, Failure> {
    arguments.ports.apply(&mut config);
    arguments.listen.apply(&mut config);
    arguments.model.apply(&mut config);
    let stop = CancellationToken::new();
    let running = start_agents(config.host, config.agent_ports.0, &config, stop.clone()).await?;
    let rows: Vec<Vec<String>> =
        running.agents.iter().map(|agent| vec![agent.name.to_owned(), format!("{}/.well-known/agent-card.json", agent.url)]).collect();
    terminal::data(&format!("{}\nCtrl-C stops them.\n", table(&["AGENT", "CARD"], &rows)))?;
    let agents: serde_json::Map<String, Value> = running.agents.iter().map(|agent| (agent.name.to_owned(), json!(agent.url))).collect();
    let addresses = json!({"pid": std::process::id(), "agents": agents});
    let ready = arguments.listen.ready_file.as_deref().map(|path| ReadyFile::write(path, &addresses)).transpose()?;
    shutdown.requested().cancelled().await;
    say("stopping; interrupt again to leave at once");
    drop(ready);
    stop.cancel();
    running.stopped().await;
    Ok(Exit::Ok)
}
