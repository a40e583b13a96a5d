//! What gantry brings along, in this process: the embedded registry, the six sample agents, and the example workflows.
//!
//! `gantry up` serves it to others; `gantry run` and the lists use it by themselves on a machine that has nothing yet.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::diagnostics;
use super::exit::{Exit, Failure, chain};
use super::terminal::say;
use crate::a2a::Card;
use crate::config::Config;
use crate::discovery::{self, Discovery};
use crate::registry::{self, Layout, http};
use crate::sample_agents::{self, ApiKey, EMBEDDED_WORKFLOWS, ModelOptions, Running};
use crate::workflow;

/// How long servers may finish what they are answering.
const DRAIN: Duration = Duration::from_secs(10);
/// Where the registry of a data directory is.
const REGISTRY_DIR: &str = "registry";
/// The folder of workflows beside the process that goes over the built-in ones.
const WORKFLOWS_DIR: &str = "workflows";
/// Most files of that folder that are read.
const WORKFLOW_FILES_MAX: usize = 1_000;

/// The embedded registry and agents, running.
pub(super) struct Local {
    /// Finds things in the embedded registry.
    pub(super) discovery: Arc<Discovery>,
    layout: Arc<Layout>,
    /// The agents, when they were started.
    pub(super) agents: Option<Running>,
    servers: TaskTracker,
    stop: CancellationToken,
}

/// A workflow that was put into the registry.
#[derive(Debug, Clone)]
pub(super) struct Seeded {
    /// Its id.
    pub(super) id: String,
    /// The file it came from; none for a built-in one.
    pub(super) file: Option<PathBuf>,
}

/// Whether a data directory has a registry: then it is one of `gantry up`.
pub(super) fn has_registry(data_dir: &Path) -> bool {
    data_dir.join(REGISTRY_DIR).is_dir()
}

impl Local {
    /// An empty registry, in a directory or for this process only. Nothing listens yet.
    pub(super) fn open(data_dir: Option<&Path>) -> Result<Self, Failure> {
        Self::open_with(data_dir, discovery::Options::default())
    }

    fn open_with(data_dir: Option<&Path>, options: discovery::Options) -> Result<Self, Failure> {
        let layout = match data_dir {
            Some(directory) => Layout::open(directory.join(REGISTRY_DIR)),
            None => Layout::ephemeral(),
        };
        let layout = Arc::new(layout.map_err(|error| refused(data_dir, &error))?);
        let discovery = Arc::new(Discovery::new(layout.clone(), options));
        Ok(Self { discovery, layout, agents: None, servers: TaskTracker::new(), stop: CancellationToken::new() })
    }

    /// Everything for one run: agents on free ports, workflows, nothing that outlives the process.
    pub(super) async fn throwaway(config: &Config, options: discovery::Options) -> Result<Self, Failure> {
        let mut local = Self::open_with(None, options)?;
        let loopback = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
        local.start_agents(loopback, [0; 6], config).await?;
        for card in local.cards() {
            let card = Card::parse(card.to_string().as_bytes()).map_err(|error| Failure::internal(chain(&error)))?;
            local.discovery.add_card(card);
        }
        local.seed().await?;
        Ok(local)
    }

    /// The workflows alone, to look at.
    pub(super) async fn shelf(options: discovery::Options) -> Result<Self, Failure> {
        let local = Self::open_with(None, options)?;
        local.seed().await?;
        Ok(local)
    }

    /// Starts the sample agents.
    pub(super) async fn start_agents(&mut self, host: std::net::IpAddr, ports: [u16; 6], config: &Config) -> Result<(), Failure> {
        self.agents = Some(start_agents(host, ports, config, self.stop.clone()).await?);
        Ok(())
    }

    /// Serves the registry over HTTP; returns its address.
    pub(super) async fn serve_registry(&mut self, address: SocketAddr, config: &Config) -> Result<SocketAddr, Failure> {
        let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                Failure::unavailable(format!("cannot start the registry: port {} on {} is taken", address.port(), address.ip()))
                    .hint("stop what listens there, or choose another port with --registry-port (0 lets the system choose)")
            }
            _ => Failure::unavailable(format!("cannot start the registry: cannot listen on {address}: {error}")),
        })?;
        let bound = listener.local_addr().map_err(|error| Failure::internal(format!("a socket without an address: {error}")))?;
        let writes = match config.registry_write_token.as_ref().and_then(|token| http::WriteToken::new(token.expose())) {
            Some(token) => http::Writes::Token(token),
            None => http::Writes::Open,
        };
        let options = http::Options { writes, ..http::Options::default() };
        self.servers.spawn(http::serve(listener, self.layout.clone(), options, self.stop.clone()));
        Ok(bound)
    }

    /// The agents' cards.
    pub(super) fn cards(&self) -> impl Iterator<Item = &Value> {
        self.agents.iter().flat_map(|running| &running.agents).map(|agent| &agent.card)
    }

    /// Pushes the agents' cards into the registry.
    pub(super) async fn push_cards(&self) -> Result<(), Failure> {
        for card in self.cards() {
            let pushed = self.discovery.push_card(Bytes::from(card.to_string()), None, &[]).await;
            pushed.map_err(|error| Failure::internal(format!("cannot push a sample agent's card: {}", chain(&error))))?;
        }
        Ok(())
    }

    /// Pushes the built-in workflows, then those of the folder `workflows/`. A file there that is invalid is said and left out.
    pub(super) async fn seed(&self) -> Result<Vec<Seeded>, Failure> {
        let mut seeded = Vec::new();
        for (name, text) in EMBEDDED_WORKFLOWS {
            let pushed = self.push(name, text).await;
            let id = pushed.map_err(|problem| Failure::internal(format!("the built-in workflow {name} cannot be used: {problem}")))?;
            seeded.push(Seeded { id, file: None });
        }
        for file in workflow_files(Path::new(WORKFLOWS_DIR)) {
            let name = file.display().to_string();
            let pushed = match diagnostics::read(&file) {
                Ok(text) if EMBEDDED_WORKFLOWS.iter().any(|(_, built_in)| *built_in == text) => continue,
                Ok(text) => self.push(&name, &text).await,
                Err(failure) => Err(failure.message),
            };
            match pushed {
                Ok(id) => {
                    seeded.retain(|other: &Seeded| other.id != id);
                    seeded.push(Seeded { id, file: Some(file) });
                }
                Err(problem) => {
                    say(&format!("warning: left out {name}: {problem}\n  hint: `gantry workflow validate {name}` shows all of it"))
                }
            }
        }
        Ok(seeded)
    }

    async fn push(&self, name: &str, text: &str) -> Result<String, String> {
        let id = workflow::parse(text).workflow.map(|workflow| workflow.metadata.id.to_string());
        self.discovery.push_workflow(name, Bytes::copy_from_slice(text.as_bytes()), None, &[]).await.map_err(|error| chain(&error))?;
        id.ok_or_else(|| "it is not a valid workflow".to_owned())
    }

    /// Stops everything: servers finish what they are answering, within bounds.
    pub(super) async fn shutdown(self) {
        self.stop.cancel();
        let drained = async {
            if let Some(agents) = &self.agents {
                agents.stopped().await;
            }
            self.servers.close();
            self.servers.wait().await;
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("connections were still open after {DRAIN:?} and are cut");
        }
    }
}

/// Starts the sample agents with the model that is configured.
pub(super) async fn start_agents(
    host: std::net::IpAddr,
    ports: [u16; 6],
    config: &Config,
    stop: CancellationToken,
) -> Result<Running, Failure> {
    let key = config.model_api_key.as_ref().map(|key| ApiKey::new(key.expose()));
    let model = config.model.as_deref().map(|model| ModelOptions::parse(model, key)).transpose();
    let model = model.map_err(|error| Failure::usage(error.to_string()))?;
    sample_agents::start(sample_agents::Options { host, ports, model }, stop).await.map_err(|error| match &error {
        sample_agents::Error::PortTaken { .. } => Failure::unavailable(chain(&error)).hint("--agent-ports chooses other ports"),
        _ => Failure::new(Exit::Unavailable, chain(&error)),
    })
}

/// The workflow files of a folder, by name. A folder that is not there has none.
fn workflow_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let is_workflow = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).filter(is_workflow).take(WORKFLOW_FILES_MAX).collect();
    files.sort();
    files
}

/// Why the registry of a data directory cannot be opened.
fn refused(data_dir: Option<&Path>, error: &registry::Error) -> Failure {
    match (data_dir, error) {
        (Some(directory), registry::Error::Locked { root, holder }) => {
            let (directory, root) = (directory.display(), root.display());
            Failure::unavailable(format!("the data directory {directory} is held by {holder}, which keeps its registry there ({root})"))
                .hint("stop that process or use what it serves, or choose another directory with --data-dir")
        }
        _ => Failure::unavailable(chain(error)),
    }
}
