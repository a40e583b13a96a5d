//! `gantry serve`: gantry as an A2A agent, over a registry that is named, running or built in.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::arguments::{ListenChoice, RegistryChoice};
use super::exit::{Exit, Failure, chain};
use super::surroundings::Surroundings;
use super::terminal::{self, Terminal, say};
use super::up::{ReadyFile, StorageChoice};
use crate::agent;
use crate::config::Config;
use crate::discovery::Discovery;
use crate::engine::embedded::{self, Embedded};
use crate::journal::{DataDir, Journal, Memory, Sqlite};
use crate::server::{self, Server};
use crate::shutdown::Shutdown;

/// The folder of the data directory that holds runs.
const RUNS_DIR: &str = "runs";
/// How long agents may take to be told that their calls are over.
const GRACE: Duration = Duration::from_secs(10);

/// Arguments of `gantry serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArguments {
    /// The port; 0 lets the system choose [default: 8000]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// The URL that callers use, when it is another than the address
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    #[command(flatten)]
    listen: ListenChoice,
    #[command(flatten)]
    registry: RegistryChoice,
    #[command(flatten)]
    storage: StorageChoice,
    #[command(flatten)]
    profile: Profile,
}

/// What the agent offers, over the configuration.
#[derive(Debug, Clone, Default, clap::Args)]
struct Profile {
    /// Offer no streams
    #[arg(long)]
    no_streaming: bool,
    /// Offer no webhooks
    #[arg(long)]
    no_push: bool,
    /// Serve an extended card
    #[arg(long)]
    extended_card: bool,
    /// Require callers to speak an extension; may be repeated
    #[arg(long, value_name = "URI")]
    required_extension: Vec<String>,
    /// Do not push the card to the registry
    #[arg(long)]
    no_publish: bool,
}

impl Profile {
    fn apply(&self, options: &mut server::Options) {
        let card = &mut options.card;
        card.streaming &= !self.no_streaming;
        card.push_notifications &= !self.no_push;
        card.extended |= self.extended_card;
        card.required_extensions.extend(self.required_extension.iter().cloned());
        if self.no_publish {
            card.publish = None;
        }
    }
}

pub(super) async fn execute(
    arguments: ServeArguments,
    mut config: Config,
    terminal: Terminal,
    shutdown: &Shutdown,
) -> Result<Exit, Failure> {
    arguments.listen.apply(&mut config);
    let mut options = config.server.clone();
    if arguments.listen.host.is_some() {
        options.bind.set_ip(config.host);
    }
    if let Some(port) = arguments.port {
        options.bind.set_port(port);
    }
    if arguments.public_url.is_some() {
        options.public_url = arguments.public_url;
    }
    arguments.profile.apply(&mut options);
    let data_dir = arguments.storage.directory(&config)?;
    let surroundings = Surroundings::find_or_show(&arguments.registry, &config, terminal, None).await?;
    let agents = surroundings.agent_client(&config);
    let orchestrator = Orchestrator::start(options, Arc::clone(&surroundings.discovery), agents, data_dir.as_deref()).await?;
    let (url, location) = (&orchestrator.url, &surroundings.location);
    terminal::data(&format!(
        "gantry is an A2A agent at {url}, with {location}\nits card: {url}/.well-known/agent-card.json\nCtrl-C stops it."
    ))?;
    let addresses = json!({ "pid": std::process::id(), "url": url, "address": orchestrator.address.to_string(), "data_dir": data_dir });
    let ready = arguments.listen.ready_file.as_deref().map(|path| ReadyFile::write(path, &addresses)).transpose()?;
    shutdown.requested().cancelled().await;
    say("stopping; interrupt again to leave at once");
    drop(ready);
    orchestrator.shutdown().await;
    surroundings.shutdown().await;
    Ok(Exit::Ok)
}

/// The endpoint and its engine, running.
pub(super) struct Orchestrator {
    /// The URL in its card.
    pub(super) url: String,
    /// Where it listens.
    pub(super) address: SocketAddr,
    engine: Embedded,
    stop: CancellationToken,
    serving: JoinHandle<usize>,
    /// Held as long as runs are written.
    _data_dir: Option<DataDir>,
}

impl Orchestrator {
    /// Listens, goes on with the runs that had not ended, and serves. Without a directory runs end with the process.
    pub(super) async fn start(
        options: server::Options,
        discovery: Arc<Discovery>,
        agents: agent::Client,
        data_dir: Option<&Path>,
    ) -> Result<Self, Failure> {
        let unavailable = |error: &dyn std::error::Error| Failure::unavailable(chain(error));
        let (journal, data_dir): (Arc<dyn Journal>, _) = match data_dir {
            None => (Arc::new(Memory::default()), None),
            Some(directory) => {
                let locked = DataDir::lock(&directory.join(RUNS_DIR)).map_err(|error| unavailable(&error))?;
                let journal = Sqlite::open(locked.path()).map_err(|error| unavailable(&error))?;
                (Arc::new(journal), Some(locked))
            }
        };
        let engine = Embedded::new(embedded::Options::default(), Arc::clone(&discovery), agents, journal);
        let bound = Server::bind(options, Arc::new(engine.clone()), discovery).await.map_err(|error| match &error {
            server::Error::Bind { address, .. } => {
                unavailable(&error).hint(format!("another program may listen on port {}; choose another with --port", address.port()))
            }
            _ => Failure::usage(chain(&error)),
        })?;
        engine.serve_as(bound.url());
        let recovered = engine.recover().await.map_err(|error| unavailable(&error))?;
        if recovered.resumed > 0 {
            say(&format!("{} runs that had not ended go on", recovered.resumed));
        }
        for run in &recovered.stuck {
            say(&format!("run {run} cannot go on; the reason is in the log"));
        }
        let (url, address, stop) = (bound.url().to_owned(), bound.address(), CancellationToken::new());
        let serving = tokio::spawn(bound.serve(stop.clone()));
        Ok(Self { url, address, engine, stop, serving, _data_dir: data_dir })
    }

    /// Stops accepting, drains, then ends the runs of this process: durable ones go on at the next start.
    pub(super) async fn shutdown(self) {
        self.stop.cancel();
        match self.serving.await {
            Ok(0) => {}
            Ok(cut) => say(&format!("{cut} connections were cut off")),
            Err(error) => say(&format!("the endpoint ended badly: {error}")),
        }
        self.engine.shutdown(GRACE).await;
    }
}
