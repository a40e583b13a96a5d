//! `gantry serve`: gantry as an A2A agent, over a registry that is named or running, else over what is built in, with its agents.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::arguments::{CallsChoice, ListenChoice, RegistryChoice};
use super::exit::{Exit, Failure, chain};
use super::local::has_registry;
use super::origins::{Origins, word};
use super::runs::{RUNS_DIR, ago};
use super::surroundings::{Surroundings, engine_options};
use super::terminal::{self, Terminal, say};
use super::up::{ReadyFile, StorageChoice};
use crate::agent;
use crate::config::Config;
use crate::control;
use crate::discovery::Discovery;
use crate::engine::embedded::{self, Embedded, Recovered};
use crate::engine::{Engine, Filter};
use crate::files;
use crate::journal::{DataDir, Journal, Memory, Retention, Sqlite};
use crate::server::{self, Server};
use crate::shutdown::Shutdown;
use crate::threads::Threads;
use crate::time::parse_duration;

/// How often ended runs are looked through for those that need not be kept any longer.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// Parked runs that are named; the others are counted.
const PARKED_NAMED: usize = 10;

/// How long the start waits for the registry to take the card.
const PUBLISH_PATIENCE: Duration = Duration::from_secs(2);

/// Arguments of `gantry serve`.
#[derive(Debug, clap::Args)]
#[command(
    mut_arg("data_dir", |it| it.help("Where runs are kept [default: gantry in the platform's place for state]")),
    mut_arg("ephemeral", |it| it.help("Keep runs only as long as the process runs"))
)]
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
    keeping: Keeping,
    #[command(flatten)]
    calls: CallsChoice,
    #[command(flatten)]
    profile: Profile,
}

/// What becomes of runs when the process ends, and afterwards.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Keeping {
    /// How long steps in flight may go on after Ctrl-C or SIGTERM before their runs are parked
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "30s")]
    pub(super) grace: Duration,
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
    arguments.calls.apply(&mut config);
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
    options.grace = options.grace.min(arguments.keeping.grace);
    let data_dir = arguments.storage.directory(&config)?;
    // Whoever can reach this server must not reach through it what only this machine should.
    config.allow_private_addresses.get_or_insert(options.bind.ip().is_loopback());
    let mut surroundings = Surroundings::find_or_await(&arguments.registry, &config, terminal).await?;
    let agents = surroundings.agent_client(&config);
    let origins = surroundings.origins();
    let keep = Keep {
        data_dir: data_dir.as_deref(),
        grace: arguments.keeping.grace,
        config: &config,
        origins: &origins,
        has_agents: surroundings.is_built_in(),
    };
    let orchestrator = Orchestrator::start(options, Arc::clone(&surroundings.discovery), agents, keep).await?;
    if let Some(watch) = surroundings.watch_for_registry() {
        orchestrator.beside(watch);
    }
    let (url, location) = (&orchestrator.url, &surroundings.location);
    terminal::data(&format!(
        "gantry is an A2A agent at {url}, with {location}\nits card: {url}/.well-known/agent-card.json\nCtrl-C stops it."
    ))?;
    if let Some(directory) = data_dir.as_deref().filter(|directory| surroundings.is_built_in() && has_registry(directory)) {
        let (directory, word) = (directory.display(), word(&directory.display().to_string()));
        say(&format!("the registry in {directory} is not served: `gantry up --data-dir {word}` does, with what was pushed to it"));
    }
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
    grace: Duration,
    /// Cancelled when no new work is wanted.
    closing: CancellationToken,
    /// Cancelled when nobody is served any longer.
    stop: CancellationToken,
    serving: JoinHandle<usize>,
    /// Those who control runs from outside, and the one who forgets runs.
    beside: TaskTracker,
    /// Who serves: they end when everything else has.
    _threads: Threads,
    /// Held as long as runs are written.
    _data_dir: Option<DataDir>,
}

impl Orchestrator {
    /// Listens, goes on with the runs that had not ended, and serves. Without a directory runs end with the process.
    pub(super) async fn start(
        mut options: server::Options,
        discovery: Arc<Discovery>,
        agents: agent::Client,
        keep: Keep<'_>,
    ) -> Result<Self, Failure> {
        let unavailable = |error: &dyn std::error::Error| Failure::unavailable(chain(error));
        // First: what fails from here on must fail before runs go on.
        let threads = Threads::begin().map_err(|error| unavailable(&error))?;
        let (journal, mut data_dir) = open_journal(keep.data_dir)?;
        options.limits.fit(files::open_max(), keep.has_agents);
        let bounds = embedded::Options { depth_max: options.limits.depth_runs_max, ..engine_options(keep.config, keep.has_agents) };
        let engine = Embedded::new(bounds, Arc::clone(&discovery), agents, journal);
        let bound = Server::bind(options, Arc::new(engine.clone()), discovery).await.map_err(|error| match &error {
            server::Error::Bind { address, .. } => {
                Failure::unavailable(format!("cannot start the orchestrator: port {}: {}", address.port(), chain(&error)))
                    .hint("stop what listens there, or choose another port with --port (0 lets the system choose)")
            }
            server::Error::Auth(_) => Failure::usage(chain(&error)).hint("these settings stand in the configuration file under [server]"),
            _ => Failure::usage(chain(&error)),
        })?;
        engine.serve_as(bound.url(), bound.own_skills());
        // Whoever waits for the ready file finds the card. A registry that is slow gets it later.
        let _slow = tokio::time::timeout(PUBLISH_PATIENCE, bound.publish()).await;
        let control = match &mut data_dir {
            Some(held) => {
                // Now that nothing keeps it from going on with what is there.
                keep.origins.note(held)?;
                Some(control::Listener::bind(held).await.map_err(|error| unavailable(&error))?)
            }
            None => None,
        };
        let recovered = engine.recover().await.map_err(|error| unavailable(&error))?;
        tell_recovered(&recovered);
        let (url, address, stop) = (bound.url().to_owned(), bound.address(), CancellationToken::new());
        let (beside, closing) = (TaskTracker::new(), bound.closing());
        if let Some(control) = control {
            beside.spawn(control.serve(engine.clone(), closing.clone(), stop.clone()));
            let retention = (keep.config.keep_runs_for, keep.config.keep_runs_max);
            beside.spawn(stop.clone().run_until_cancelled_owned(forget(engine.clone(), retention)));
        }
        beside.close();
        let serving = tokio::spawn(bound.on(threads.clone()).serve(stop.clone()));
        Ok(Self { url, address, engine, grace: keep.grace, closing, stop, serving, beside, _threads: threads, _data_dir: data_dir })
    }

    /// Does something as long as it serves.
    fn beside(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.beside.spawn(self.stop.clone().run_until_cancelled_owned(work));
    }

    /// Takes nothing new from this moment, lets steps in flight end within the grace period, parks the other runs for the next
    /// start, and says which. Until then tasks can be read and followed.
    pub(super) async fn shutdown(self) {
        self.closing.cancel();
        let left = self.engine.shutdown(self.grace).await;
        self.stop.cancel();
        match self.serving.await {
            Ok(0) => {}
            Ok(cut) => say(&format!("{cut} connections were cut off")),
            Err(error) => say(&format!("the endpoint ended badly: {error}")),
        }
        self.beside.wait().await;
        if self._data_dir.is_some() {
            tell_parked(&self.engine, left).await;
        } else if left > 0 {
            say(&format!("{left} runs were cut off: nothing is kept of them"));
        }
    }
}

/// What an orchestrator keeps.
pub(super) struct Keep<'a> {
    /// Where; without it runs end with the process.
    pub(super) data_dir: Option<&'a Path>,
    /// How long steps in flight may go on after the wish to stop.
    pub(super) grace: Duration,
    /// How long ended runs are kept.
    pub(super) config: &'a Config,
    /// Where the agents of its runs are found.
    pub(super) origins: &'a Origins,
    /// Whether they are in this process.
    pub(super) has_agents: bool,
}

/// The journal of a data directory, held against other processes; one in memory without a directory.
pub(super) fn open_journal(data_dir: Option<&Path>) -> Result<(Arc<dyn Journal>, Option<DataDir>), Failure> {
    let Some(directory) = data_dir else { return Ok((Arc::new(Memory::default()), None)) };
    let held = DataDir::lock(&directory.join(RUNS_DIR)).map_err(|error| Failure::of_journal(&error))?;
    let journal = Sqlite::open(held.path()).map_err(|error| Failure::of_journal(&error))?;
    Ok((Arc::new(journal), Some(held)))
}

/// Forgets ended runs at once and every hour.
async fn forget(engine: Embedded, (age_max, runs_max): (Duration, usize)) {
    let mut hours = tokio::time::interval(PRUNE_EVERY);
    loop {
        hours.tick().await;
        let retention = Retention { ended_before: Some(ago(age_max)), runs_max: Some(runs_max) };
        match engine.prune(retention).await {
            Ok(0) => {}
            Ok(runs) => tracing::info!(runs, "ended runs forgotten"),
            Err(error) => tracing::warn!(%error, "ended runs could not be forgotten"),
        }
    }
}

fn tell_recovered(recovered: &Recovered) {
    match recovered.resumed {
        0 => {}
        1 => say("1 run that had not ended goes on"),
        runs => say(&format!("{runs} runs that had not ended go on")),
    }
    for run in &recovered.stuck {
        say(&format!("run {run} cannot go on; the reason is in the log"));
    }
}

/// Says what goes on at the next start.
async fn tell_parked(engine: &Embedded, runs: usize) {
    let filter = Filter { unfinished: true, runs_max: Some(PARKED_NAMED), ..Filter::default() };
    let parked = match engine.list(&filter).await {
        Ok(runs) => runs,
        Err(error) => return say(&format!("the journal does not say what was parked: {error}")),
    };
    for run in &parked {
        say(&format!("parked for the next start: run {} of {} ({})", run.run, run.workflow, run.status.as_str()));
    }
    if runs > parked.len() {
        say(&format!("… and {} more: {runs} runs are parked in all", runs - parked.len()));
    }
}

#[cfg(test)]
mod tests;
