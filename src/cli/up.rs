//! `gantry up`: the orchestrator, the embedded registry, the sample agents and the example workflows in one process, until it is
//! told to stop.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::arguments::{AgentPortsChoice, CallsChoice, ListenChoice, ModelChoice};
use super::exit::{Exit, Failure};
use super::local::{Local, Seeded};
use super::origins::Origins;
use super::serve::{Keep, Keeping, Orchestrator};
use super::surroundings::agent_options;
use super::terminal::{self, say, table};
use crate::agent;
use crate::config::Config;
use crate::shutdown::Shutdown;

/// Arguments of `gantry up`.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("data_dir", |it| it.help("Where runs and the registry's content are kept [default: gantry in the platform's place for state]")),
    mut_arg("ephemeral", |it| it.help("Keep runs and the registry's content only as long as the process runs"))
)]
pub struct UpArguments {
    /// The orchestrator's port; 0 lets the system choose [default: 8000]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// The registry's port; 0 lets the system choose [default: 5000]
    #[arg(long, value_name = "PORT")]
    registry_port: Option<u16>,
    #[command(flatten)]
    agent_ports: AgentPortsChoice,
    #[command(flatten)]
    listen: ListenChoice,
    #[command(flatten)]
    storage: StorageChoice,
    #[command(flatten)]
    keeping: Keeping,
    #[command(flatten)]
    calls: CallsChoice,
    #[command(flatten)]
    model: ModelChoice,
}

/// Where a server keeps what must outlive it. The texts are those of `gantry registry serve`; servers that keep runs have their own.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct StorageChoice {
    /// Where the registry keeps its content [default: gantry in the platform's place for state]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Keep the registry's content only as long as the process runs
    #[arg(long, conflicts_with = "data_dir")]
    ephemeral: bool,
}

impl StorageChoice {
    /// The directory, absolute, for whoever reads it elsewhere in a ready file; none for a registry that is forgotten.
    pub(super) fn directory(&self, config: &Config) -> Result<Option<PathBuf>, Failure> {
        if self.ephemeral {
            return Ok(None);
        }
        let chosen = self.data_dir.clone().or_else(|| config.data_dir()).ok_or_else(|| {
            Failure::usage("there is no home directory to keep anything in").hint("choose a directory with --data-dir, or use --ephemeral")
        })?;
        let absolute = std::path::absolute(&chosen);
        absolute.map(Some).map_err(|error| Failure::usage(format!("the data directory `{}` cannot be: {error}", chosen.display())))
    }
}

pub(super) async fn execute(arguments: UpArguments, mut config: Config, shutdown: &Shutdown) -> Result<Exit, Failure> {
    arguments.agent_ports.apply(&mut config);
    arguments.listen.apply(&mut config);
    arguments.calls.apply(&mut config);
    arguments.model.apply(&mut config);
    let data_dir = arguments.storage.directory(&config)?;
    let mut local = Local::open(data_dir.as_deref())?;
    let port = arguments.registry_port.unwrap_or(config.registry_port);
    let registry = local.serve_registry(SocketAddr::new(config.host, port), &config).await?;
    local.start_agents(config.host, config.agent_ports.0, &config).await?;
    local.push_cards().await?;
    let workflows = local.seed().await?;
    let orchestrator = orchestrator(&arguments, &config, &local, data_dir.as_deref()).await?;
    let up = Up { orchestrator: &orchestrator.url, registry: url(registry), data_dir, workflows, local: &local };
    terminal::data(&up.table())?;
    let ready = arguments.listen.ready_file.as_deref().map(|path| ReadyFile::write(path, &up.addresses())).transpose()?;
    shutdown.requested().cancelled().await;
    say("stopping; interrupt again to leave at once");
    drop(ready);
    // First, so that its runs still find agents and registry while they drain.
    orchestrator.shutdown().await;
    local.shutdown().await;
    Ok(Exit::Ok)
}

/// Starts the endpoint over the embedded registry. Everything here is on this machine, so agents and webhooks on it are called.
async fn orchestrator(arguments: &UpArguments, config: &Config, local: &Local, data_dir: Option<&Path>) -> Result<Orchestrator, Failure> {
    let mut options = config.server.clone();
    if arguments.listen.host.is_some() {
        options.bind.set_ip(config.host);
    }
    if let Some(port) = arguments.port {
        options.bind.set_port(port);
    }
    let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let loopback = [IpNet::new_assert(loopback[0], 8).trunc(), IpNet::new_assert(loopback[1], 128)];
    options.grace = options.grace.min(arguments.keeping.grace);
    options.push.allow_networks.extend(loopback);
    let origins = Origins::up().with_model(arguments.model.model.as_deref());
    let keep = Keep { data_dir, grace: arguments.keeping.grace, config, origins: &origins, has_agents: true };
    let mut agents = agent_options(config);
    agents.allow.extend(loopback);
    // Whoever can reach this server must not reach through it what only this machine should.
    agents.allow_private_addresses = config.allow_private_addresses.unwrap_or(options.bind.ip().is_loopback());
    Orchestrator::start(options, Arc::clone(&local.discovery), agent::Client::new(agents), keep).await
}

/// `http://localhost:5000`: the name, because tools take a registry of that name for plain HTTP.
pub(super) fn url(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => format!("http://localhost:{}", address.port()),
        _ => format!("http://{address}"),
    }
}

/// What runs where.
struct Up<'a> {
    orchestrator: &'a str,
    registry: String,
    data_dir: Option<PathBuf>,
    workflows: Vec<Seeded>,
    local: &'a Local,
}

impl Up<'_> {
    fn table(&self) -> String {
        let agents = self.local.agents.iter().flat_map(|running| &running.agents);
        let stored =
            self.data_dir.as_ref().map_or_else(|| "nothing is kept".to_owned(), |directory| format!("kept in {}", directory.display()));
        let offers = "execute_workflow, route_request, every workflow".to_owned();
        let mut rows = vec![
            vec!["gantry".to_owned(), self.orchestrator.to_owned(), offers],
            vec!["registry".to_owned(), self.registry.clone(), stored],
        ];
        rows.extend(agents.map(|agent| vec![agent.name.to_owned(), agent.url.clone(), skills(&agent.card).join(", ")]));
        let mut text = table(&["WHAT", "WHERE", "OFFERS"], &rows);
        text.push_str("\nworkflows: ");
        let names = self.workflows.iter().map(|workflow| match &workflow.file {
            Some(file) => format!("{} ({})", workflow.id, file.display()),
            None => workflow.id.clone(),
        });
        text.push_str(&names.collect::<Vec<_>>().join(", "));
        // `gantry run` looks for a registry at the usual place only.
        let usual = self.registry.ends_with(&format!(":{}", crate::config::REGISTRY_PORT));
        let option = if usual { String::new() } else { format!("--registry {} ", self.registry) };
        let _ = writeln!(text, "\n\ngantry is up. Try: gantry run {option}\"Create a function to calculate prime numbers\"");
        let _ = writeln!(text, "or, as any A2A agent: gantry send {} \"Create a function to calculate prime numbers\"", self.orchestrator);
        text.push_str("Ctrl-C stops it.\n");
        text
    }

    fn addresses(&self) -> Value {
        let agents = self.local.agents.iter().flat_map(|running| &running.agents);
        let agents: serde_json::Map<String, Value> = agents.map(|agent| (agent.name.to_owned(), json!(agent.url))).collect();
        let workflows: Vec<&str> = self.workflows.iter().map(|workflow| workflow.id.as_str()).collect();
        json!({
            "pid": std::process::id(), "url": self.orchestrator, "gantry": self.orchestrator, "registry": self.registry, "agents": agents, "workflows": workflows,
            "data_dir": self.data_dir
        })
    }
}

fn skills(card: &Value) -> Vec<&str> {
    card.get("skills").and_then(Value::as_array).into_iter().flatten().filter_map(|skill| skill.get("id")?.as_str()).collect()
}

/// A file that exists, whole, exactly as long as everything in it answers.
pub(super) struct ReadyFile {
    path: PathBuf,
}

impl ReadyFile {
    pub(super) fn write(path: &Path, content: &Value) -> Result<Self, Failure> {
        let written = terminal::write_file(path, &format!("{content:#}\n"));
        written.map_err(|error| Failure::usage(format!("cannot write the ready file `{}`: {error}", path.display())))?;
        Ok(Self { path: path.to_owned() })
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // Gone already is as good.
        let _gone = std::fs::remove_file(&self.path);
    }
}
