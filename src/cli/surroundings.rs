//! What a command works with: the registry that is named, configured or running on this machine, else what is built into gantry.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::arguments::RegistryChoice;
use super::diagnostics;
use super::exit::{Failure, chain};
use super::local::Local;
use super::origins::Origins;
use super::terminal::{Terminal, say};
use crate::agent::{self, GateOptions};
use crate::config::{Config, REGISTRY_PORT};
use crate::discovery::{self, Discovery, Opener};
use crate::engine::embedded::{self, CallOptions};
use crate::files;
use crate::registry::{self, Reference, Remote, RemoteOptions, Scheme, Store};

/// How long a registry on this machine has to answer before it counts as absent. Refusals come at once; this is for what hangs.
const PROBE: Duration = Duration::from_millis(200);
/// As much of its answer as is read: status and headers.
const PROBE_BYTES_MAX: u64 = 4096;
/// How long it has to list its workflows, so that one that cannot is not waited for.
const PROBE_LIST: Duration = Duration::from_secs(2);
/// How long a registry that is named has to answer before a process that stays goes on without it.
const PING_PATIENCE: Duration = Duration::from_secs(1);
/// How long it has at most when it is asked again.
const PING_PATIENCE_MAX: Duration = Duration::from_secs(30);
/// First and longest rest between two questions whether it is there by now.
const AWAY_REST_MIN: Duration = Duration::from_millis(250);
const AWAY_REST_MAX: Duration = Duration::from_secs(5);
/// How long lookups are trusted within one command.
const TTL: Duration = Duration::from_secs(30);

/// What a command works with.
pub(super) struct Surroundings {
    /// Finds workflows and agents there.
    pub(super) discovery: Arc<Discovery>,
    /// For people: `the registry at http://localhost:5000`.
    pub(super) location: String,
    /// The registry's address.
    registry: Option<String>,
    terminal: Terminal,
    local: Option<Local>,
    /// The registry, when it was named and did not answer.
    away: Option<Remote>,
}

impl Surroundings {
    /// The registry, else the built-in workflows with agents of its own, started here and gone with the command.
    ///
    /// `reference` is the workflow that the user named, if any: the registry that stands in it may be asked, too.
    pub(super) async fn find_or_start(
        choice: &RegistryChoice,
        config: &Config,
        terminal: Terminal,
        reference: Option<&str>,
    ) -> Result<Self, Failure> {
        match Self::find(choice, config, terminal, reference).await? {
            Some(found) => Ok(found),
            None => Ok(Self::built_in(Local::throwaway(config, options(reference)).await?, terminal)),
        }
    }

    /// The registry, else the built-in workflows to look at. Nothing is started.
    pub(super) async fn find_or_show(
        choice: &RegistryChoice,
        config: &Config,
        terminal: Terminal,
        reference: Option<&str>,
    ) -> Result<Self, Failure> {
        match Self::find(choice, config, terminal, reference).await? {
            Some(found) => Ok(found),
            None => Ok(Self::built_in(Local::shelf(options(reference)).await?, terminal)),
        }
    }

    /// Like [`find_or_start`](Self::find_or_start), for a process that stays: a registry that is named and does not answer yet is waited
    /// for by whoever needs it, while all others are served. See [`watch_for_registry`](Self::watch_for_registry).
    pub(super) async fn find_or_await(choice: &RegistryChoice, config: &Config, terminal: Terminal) -> Result<Self, Failure> {
        let named = choice.registry.as_deref().or(config.registry.as_deref()).filter(|_| !choice.embedded);
        let Some(url) = named else { return Self::find_or_start(choice, config, terminal, None).await };
        let store = open(url)?;
        let why = match tokio::time::timeout(PING_PATIENCE, store.ping()).await {
            Ok(Ok(())) => return Ok(with(store, url, terminal, None)),
            Ok(Err(error @ registry::Error::Unavailable { .. })) => chain(&error),
            Ok(Err(error)) => return Err(unanswered(url, &error)),
            Err(_) => format!("it did not within {} s", PING_PATIENCE.as_secs()),
        };
        tracing::info!(registry = url, why, "the registry does not answer; what needs it waits");
        say(&format!("no registry answers at {url}: {why}; what needs it waits until one does"));
        let found = with(open(url)?, url, terminal, None);
        found.discovery.await_registry(true);
        Ok(Self { away: Some(store), ..found })
    }

    /// Asks for a registry that was away until it answers.
    pub(super) fn watch_for_registry(&mut self) -> Option<impl Future<Output = ()> + use<>> {
        let store = self.away.take()?;
        let discovery = Arc::clone(&self.discovery);
        Some(async move {
            until_it_answers(|| {
                let store = store.clone();
                async move { store.ping().await }
            })
            .await;
            tracing::info!("the registry answers");
            say("the registry answers");
            discovery.await_registry(false);
        })
    }

    /// The registry, or an error that says how to get one.
    pub(super) async fn require(choice: &RegistryChoice, config: &Config, terminal: Terminal) -> Result<Self, Failure> {
        Self::find(choice, config, terminal, None).await?.ok_or_else(|| {
            Failure::unavailable(format!("no registry is configured, and none answers on localhost:{REGISTRY_PORT}"))
                .hint("start one with `gantry up`, or name one with --registry or GANTRY_REGISTRY")
        })
    }

    async fn find(choice: &RegistryChoice, config: &Config, terminal: Terminal, reference: Option<&str>) -> Result<Option<Self>, Failure> {
        if choice.embedded {
            return Ok(None);
        }
        if let Some(url) = choice.registry.as_deref().or(config.registry.as_deref()) {
            return named(url, terminal, reference).await.map(Some);
        }
        if !answers(REGISTRY_PORT).await {
            return Ok(None);
        }
        let url = format!("http://localhost:{REGISTRY_PORT}");
        let found = with(open(&url)?, &url, terminal, reference);
        // Another registry may live on that port (it is everybody's default); only one with workflows is taken without being named.
        let has_workflows = tokio::time::timeout(PROBE_LIST, found.discovery.workflows()).await;
        Ok(matches!(has_workflows, Ok(Ok(workflows)) if !workflows.is_empty()).then_some(found))
    }

    fn built_in(local: Local, terminal: Terminal) -> Self {
        Self {
            discovery: local.discovery.clone(),
            location: "what is built into gantry".to_owned(),
            registry: None,
            terminal,
            local: Some(local),
            away: None,
        }
    }

    /// Whether the agents were started for the command.
    pub(super) fn is_built_in(&self) -> bool {
        self.local.is_some()
    }

    /// How another process finds the same agents.
    pub(super) fn origins(&self) -> Origins {
        self.registry.as_deref().map_or_else(Origins::built_in, Origins::registry)
    }

    /// A client for the agents that are found here.
    pub(super) fn agent_client(&self, config: &Config) -> agent::Client {
        // Agents that were started here are on loopback, whatever the policy for others says.
        let loopback: Option<ipnet::IpNet> = self.local.as_ref().and_then(|_| "127.0.0.0/8".parse().ok());
        let mut options = agent_options(config);
        options.allow.extend(loopback);
        agent::Client::new(options)
    }

    /// What an error of discovery is for the one at the command line.
    pub(super) fn failure(&self, error: discovery::Error) -> Failure {
        let hint = error.hint();
        let failure = match error {
            discovery::Error::Invalid { name, text, diagnostics } => return diagnostics::invalid(&name, &text, diagnostics, self.terminal),
            discovery::Error::Contradiction(_) => Failure::new(super::Exit::Failed, error.to_string()),
            discovery::Error::BadName(_) => Failure::usage(error.to_string()),
            discovery::Error::NoWorkflow { .. } | discovery::Error::NoAgent { .. } => Failure::unavailable(error.to_string()),
            discovery::Error::Registry(error) => Failure::unavailable(chain(&*error)),
        };
        Failure { hint, ..failure }
    }

    /// Stops what was started for the command.
    pub(super) async fn shutdown(self) {
        if let Some(local) = self.local {
            local.shutdown().await;
        }
    }
}

/// What the configuration says of calling agents.
pub(super) fn agent_options(config: &Config) -> agent::Options {
    let credential = |(host, secret): (&String, &crate::config::Secret)| (host.clone(), agent::Secret::new(secret.expose()));
    agent::Options {
        // Agents on this machine are the ordinary case for whoever sits at it.
        allow_private_addresses: config.allow_private_addresses.unwrap_or(true),
        allow: config.allow_networks.clone(),
        credentials: config.agent_credentials.iter().map(credential).collect(),
        ..agent::Options::default()
    }
}

/// What the configuration says of the engine, in a process that has the agents or has not.
pub(super) fn engine_options(config: &Config, has_agents: bool) -> embedded::Options {
    let gates = GateOptions {
        calls_per_agent_max: config.calls_per_agent_max,
        calls_max: config.calls_max.unwrap_or_else(|| calls_fitting(files::open_max(), has_agents)),
        breaker: config.breaker.clone(),
    };
    let calls = CallOptions { choice: config.agent_choice, failover: config.agent_failover, gates };
    embedded::Options { calls, ..embedded::Options::default() }
}

/// Three quarters of so many open files, and no more than the default. Each call is a connection, and has a second file where the process
/// has the agents; what listens, is stored and comes in needs files as well.
fn calls_fitting(files: Option<usize>, has_agents: bool) -> NonZeroUsize {
    let default = GateOptions::default().calls_max;
    let of_a_call = if has_agents { 2 } else { 1 };
    files.and_then(|files| NonZeroUsize::new(files / of_a_call / 4 * 3)).map_or(default, |fitting| fitting.min(default))
}

/// The registry that somebody named. It is asked once whether it is there: lookups would try for seconds before they say that.
async fn named(url: &str, terminal: Terminal, reference: Option<&str>) -> Result<Surroundings, Failure> {
    let store = open(url)?;
    store.ping().await.map_err(|error| unanswered(url, &error))?;
    Ok(with(store, url, terminal, reference))
}

/// Asks until the answer is that it is there: more and more seldom, and each time with more time to answer.
async fn until_it_answers<A: Future<Output = Result<(), E>>, E>(ask: impl Fn() -> A) {
    let (mut rest, mut patience) = (AWAY_REST_MIN, PING_PATIENCE);
    loop {
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(AWAY_REST_MAX);
        // One that is far away and slow is there, too.
        patience = (patience * 2).min(PING_PATIENCE_MAX);
        if let Ok(Ok(())) = tokio::time::timeout(patience, ask()).await {
            return;
        }
    }
}

fn unanswered(url: &str, error: &registry::Error) -> Failure {
    let hint = "start one with `gantry up`, name another with --registry, or use what is built in with --embedded";
    let message = match error {
        registry::Error::NotFound(_) | registry::Error::Invalid { .. } | registry::Error::Refused { .. } => {
            format!("what answers at {url} is not an OCI registry: {}", unlike(error))
        }
        _ => format!("no registry answers at {url}: {}", chain(error)),
    };
    Failure::unavailable(message).hint(hint)
}

/// What shows that somebody else answers: every registry has this path.
fn unlike(error: &registry::Error) -> String {
    match error {
        registry::Error::NotFound(_) => "it has no /v2/".to_owned(),
        registry::Error::Invalid { reason, .. } | registry::Error::Refused { reason, .. } => format!("GET /v2/: {reason}"),
        error => chain(error),
    }
}

fn with(store: Remote, url: &str, terminal: Terminal, reference: Option<&str>) -> Surroundings {
    let options = discovery::Options { ttl: TTL, ..options(reference) };
    let discovery = Arc::new(Discovery::new(Arc::new(store), options));
    Surroundings {
        discovery,
        location: format!("the registry at {url}"),
        registry: Some(url.to_owned()),
        terminal,
        local: None,
        away: None,
    }
}

/// Lookups may go to the registry that the user's own reference names, and to no other: references also come from workflows and
/// agents, and those must not choose where this process connects to.
fn options(reference: Option<&str>) -> discovery::Options {
    let named = reference.and_then(|reference| Reference::parse(reference).ok()).and_then(|reference| reference.registry);
    let open = named.map(|named| -> Opener {
        Arc::new(move |host: &str| {
            if host != named {
                let reason = "only the registry that the command line names is asked".to_owned();
                return Err(registry::Error::Refused { what: host.to_owned(), reason });
            }
            Ok(Arc::new(Remote::new(host, RemoteOptions::default())?) as Arc<dyn Store>)
        })
    });
    discovery::Options { open, ..discovery::Options::default() }
}

/// A registry by its URL, or by `host:port` alone.
fn open(url: &str) -> Result<Remote, Failure> {
    let (scheme, host) = match url.split_once("://") {
        Some(("http", host)) => (Scheme::Http, host),
        Some(("https", host)) => (Scheme::Https, host),
        Some(_) => return Err(not_a_registry(url, "it must begin with http:// or https://")),
        None => (Scheme::ByHost, url),
    };
    let options = RemoteOptions { scheme, ..RemoteOptions::default() };
    Remote::new(host.trim_end_matches('/'), options).map_err(|error| not_a_registry(url, &chain(&error)))
}

fn not_a_registry(url: &str, why: &str) -> Failure {
    Failure::usage(format!("`{url}` is not the address of a registry: {why}")).hint("for example http://localhost:5000")
}

/// Whether something on this port of this machine speaks the registry protocol.
///
/// Asked over a bare connection: an HTTP client with TLS takes longer to build than the answer takes, and every run would pay it.
async fn answers(port: u16) -> bool {
    let probe = async {
        let mut stream = TcpStream::connect(("localhost", port)).await.ok()?;
        let request = format!("GET /v2/ HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut reply = Vec::new();
        stream.take(PROBE_BYTES_MAX).read_to_end(&mut reply).await.ok()?;
        let reply = String::from_utf8_lossy(&reply).to_ascii_lowercase();
        let (status, headers) = reply.split_once("\r\n")?;
        let is_ok = status.split(' ').nth(1) == Some("200");
        Some(is_ok && headers.contains("docker-distribution-api-version:"))
    };
    matches!(tokio::time::timeout(PROBE, probe).await, Ok(Some(true)))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    async fn check(reply: &'static str, expected: bool) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(reply.as_bytes()).await.unwrap();
        };
        let ((), found) = tokio::join!(serve, answers(port));
        assert_eq!(found, expected, "{reply}");
    }

    #[test]
    fn calls_take_three_quarters_of_the_files_at_most() {
        let default = crate::limits::CALLS_MAX;
        for (files, expected) in [
            (Some(1024), 768),
            (Some(4096), 3072),
            (Some(26_664), 19_998),
            (Some(26_668), default),
            (Some(524_288), default),
            // Too few to be a quarter of anything, and unlimited.
            (Some(3), default),
            (None, default),
        ] {
            assert_eq!(calls_fitting(files, false).get(), expected, "{files:?}");
        }
        assert_eq!(calls_fitting(Some(1024), true).get(), 384, "both ends of each are here");
        let config = Config { calls_max: NonZeroUsize::new(7), ..Config::default() };
        assert_eq!(engine_options(&config, true).calls.gates.calls_max.get(), 7, "who sets it means it");
        for has_agents in [false, true] {
            let calls_max = engine_options(&Config::default(), has_agents).calls.gates.calls_max;
            assert_eq!(calls_max, calls_fitting(files::open_max(), has_agents), "of the files of this process");
        }
    }

    #[tokio::test]
    async fn only_a_registry_is_taken_for_one() {
        check("HTTP/1.1 200 OK\r\nDocker-Distribution-Api-Version: registry/2.0\r\n\r\n{}", true).await;
        check("HTTP/1.1 403 Forbidden\r\nServer: AirTunes/1\r\n\r\n", false).await;
        check("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", false).await;
        check("SSH-2.0-x\r\n", false).await;
        check("", false).await;
    }

    /// When a registry is asked that says no after so long, and yes the eighth time, and when it is known to be there, in milliseconds.
    async fn asked(says_no_after: Duration, says_yes_after: Duration) -> (Vec<u128>, u128) {
        let (begun, asked) = (Instant::now(), RefCell::new(Vec::new()));
        until_it_answers(|| async {
            asked.borrow_mut().push(begun.elapsed().as_millis());
            let is_last = asked.borrow().len() == 8;
            tokio::time::sleep(if is_last { says_yes_after } else { says_no_after }).await;
            if is_last { Ok(()) } else { Err(()) }
        })
        .await;
        (asked.into_inner(), begun.elapsed().as_millis())
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_that_is_away_is_asked_more_and_more_seldom_and_waited_for_longer_and_longer() {
        let at_once = asked(Duration::ZERO, Duration::ZERO).await;
        assert_eq!(at_once, (vec![250, 750, 1_750, 3_750, 7_750, 12_750, 17_750, 22_750], 22_750));
        // It has 2, 4, 8, 16 and then always 30 seconds.
        let never = asked(Duration::from_secs(3600), Duration::from_secs(29)).await;
        assert_eq!(never, (vec![250, 2_750, 7_750, 17_750, 37_750, 72_750, 107_750, 142_750], 171_750));
    }

    #[tokio::test]
    async fn nobody_there_is_no_registry() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert!(!answers(port).await);
    }
}
