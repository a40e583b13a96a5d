//! How the server is configured.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use crate::router;
use crate::time::parse_duration;

/// Everything about the endpoint. Each part has defaults that are safe on one's own machine.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Where to listen. Port 0 takes a free one.
    pub bind: SocketAddr,
    /// The URL callers use, when it is not the address that is listened on (behind a proxy, in a container).
    pub public_url: Option<String>,
    /// Further paths that answer like `/`, such as `/a2a`.
    pub paths: Vec<String>,
    /// The card.
    pub card: CardOptions,
    /// Who may call.
    pub auth: AuthOptions,
    /// Bounds.
    pub limits: LimitOptions,
    /// Webhooks.
    pub push: PushOptions,
    /// Which workflow a request without a skill runs.
    pub router: router::Options,
    /// A repeated `messageId` of the same caller gives the same task.
    pub deduplicate: bool,
    /// One artifact per finished step beside the one of the output.
    pub step_artifacts: bool,
    /// HTTPS, when given.
    pub tls: Option<TlsOptions>,
    /// How long a shutdown waits for open requests.
    #[serde(deserialize_with = "duration")]
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bind: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000),
            public_url: None,
            paths: Vec::new(),
            card: CardOptions::default(),
            auth: AuthOptions::default(),
            limits: LimitOptions::default(),
            push: PushOptions::default(),
            router: router::Options::default(),
            deduplicate: true,
            step_artifacts: true,
            tls: None,
            grace: Duration::from_secs(30),
        }
    }
}

/// What the card says.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CardOptions {
    /// A file to use instead of the built-in template.
    pub template: Option<PathBuf>,
    /// The agent's name, instead of the template's.
    pub name: Option<String>,
    /// Where the card is pushed in the registry; none: nowhere.
    pub publish: Option<String>,
    /// How often it is looked whether the card that was pushed is still the one that is served: its skills follow the workflows.
    #[serde(deserialize_with = "duration")]
    pub publish_every: Duration,
    /// Whether every workflow is a skill of its own, and in which card.
    pub workflow_skills: WorkflowSkills,
    /// Streams.
    pub streaming: bool,
    /// Calls webhooks.
    pub push_notifications: bool,
    /// Serves a card of its own to `GetExtendedAgentCard`.
    pub extended: bool,
    /// URIs of extensions that callers must speak.
    pub required_extensions: Vec<String>,
    /// Also carries the members that 0.3 clients and the prototype's agents read.
    pub older_members: bool,
}

impl Default for CardOptions {
    fn default() -> Self {
        Self {
            template: None,
            name: None,
            publish: Some("agents/gantry".to_owned()),
            publish_every: Duration::from_secs(30),
            workflow_skills: WorkflowSkills::Public,
            streaming: true,
            push_notifications: true,
            extended: false,
            required_extensions: Vec::new(),
            older_members: true,
        }
    }
}

/// Whether workflows are skills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkflowSkills {
    /// In every card.
    Public,
    /// In the extended card only.
    Extended,
    /// They are not.
    Off,
}

/// Who may call.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthOptions {
    /// Bearer tokens and API keys (`Authorization: Bearer …` or `X-API-Key: …`).
    pub tokens: Vec<Token>,
    /// Whether callers without a token are served. Unset: only on a loopback address and only if there are no tokens.
    pub anonymous: Option<bool>,
}

/// A caller and its secret.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Token {
    /// The caller. Tasks belong to it; several tokens may name the same one.
    pub caller: String,
    /// The secret itself.
    #[serde(default)]
    pub token: Option<String>,
    /// Or its SHA-256 in hex, so that the file holds no secret.
    #[serde(default)]
    pub sha256: Option<String>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("caller", &self.caller).finish_non_exhaustive()
    }
}

/// Bounds of the endpoint.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOptions {
    /// Largest body of a request.
    pub body_bytes_max: usize,
    /// Bytes of bodies that may be under way at once; more are refused with 503.
    pub body_bytes_total_max: usize,
    /// Deepest nesting of a request's JSON.
    pub depth_max: usize,
    /// Requests under way at once; more are refused with 503. Fewer where the process may not open so many files.
    pub requests_max: usize,
    /// Requests a second of one caller; more are refused with 429. None: no limit.
    pub rate_per_second: Option<u32>,
    /// Connections at once; more wait in the system's queue. There are more of them than requests: who has one can be told that it is too
    /// much.
    pub connections_max: usize,
    /// Time for the headers of a request.
    #[serde(deserialize_with = "duration")]
    pub header_timeout: Duration,
    /// Time for the body of a request.
    #[serde(deserialize_with = "duration")]
    pub body_timeout: Duration,
    /// Time a client may leave what we send unread.
    #[serde(deserialize_with = "duration")]
    pub write_timeout: Duration,
    /// Bytes that wait for one reader of a stream before it is cut, unless all of them came within the last second. It can subscribe again.
    pub stream_bytes_max: usize,
    /// Tasks kept; the oldest that have ended go first.
    pub tasks_max: usize,
    /// How long a task that has ended, or waits for its caller, stays in memory when a durable journal has it: later it is read from there.
    /// Shorter while there are more than 500 and others come.
    #[serde(deserialize_with = "duration")]
    pub ended_tasks_stay: Duration,
    /// Messages kept in a task's history.
    pub history_max: usize,
    /// How deep runs may nest across agents.
    pub depth_runs_max: u32,
}

impl Default for LimitOptions {
    fn default() -> Self {
        Self {
            body_bytes_max: 4 * 1024 * 1024,
            body_bytes_total_max: 256 * 1024 * 1024,
            depth_max: 100,
            requests_max: 10_000,
            rate_per_second: None,
            connections_max: 11_000,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(10),
            stream_bytes_max: 256 * 1024,
            tasks_max: 20_000,
            ended_tasks_stay: Duration::from_secs(20),
            history_max: 200,
            depth_runs_max: crate::limits::RUN_DEPTH_MAX,
        }
    }
}

/// Files that a process has open beside its connections: the journal, what it listens on, what its threads wait with.
const FILES_BESIDE: usize = 64;

impl LimitOptions {
    /// Bounds connections by the files that the process may open, of which a request that calls an agent needs two, or three when the agent
    /// is in the same process, and requests by the connections, of which some are left to say that it is too much.
    pub(crate) fn fit(&mut self, files: Option<usize>, has_agents: bool) {
        let Some(files) = files else { return };
        let fitting = (files.saturating_sub(FILES_BESIDE) / if has_agents { 3 } else { 2 }).max(1);
        if self.connections_max <= fitting {
            return;
        }
        self.connections_max = fitting;
        self.requests_max = self.requests_max.min((self.connections_max * 10 / 11).max(1));
        let (connections_max, requests_max) = (self.connections_max, self.requests_max);
        tracing::info!(files, connections_max, requests_max, "fewer connections and requests at once: the process may not open more files");
    }
}

/// Webhooks.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PushOptions {
    /// Loopback, private and link-local addresses may be called.
    pub allow_private_addresses: bool,
    /// Networks that may be called all the same. Not a setting: whoever starts the server on one's own machine gives them.
    #[serde(skip)]
    pub allow_networks: Vec<IpNet>,
    /// Most webhooks of a task.
    pub configs_max: usize,
    /// Most webhooks of tasks that have not ended: each keeps its task in memory.
    pub webhooks_max: usize,
    /// Notifications that wait for one webhook; more are dropped and counted.
    pub queue_max: usize,
    /// Calls under way at once, over all webhooks.
    pub concurrency: usize,
    /// Tries of one notification.
    pub attempts_max: u32,
    /// Time one call may take.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// Before the second try; doubled with each.
    #[serde(deserialize_with = "duration")]
    pub backoff: Duration,
}

impl Default for PushOptions {
    fn default() -> Self {
        Self {
            allow_private_addresses: false,
            allow_networks: Vec::new(),
            configs_max: 8,
            webhooks_max: 20_000,
            queue_max: 256,
            concurrency: 64,
            attempts_max: 5,
            timeout: Duration::from_secs(15),
            backoff: Duration::from_millis(500),
        }
    }
}

/// HTTPS.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsOptions {
    /// PEM file with the certificate chain.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub key: PathBuf,
}

/// Durations are written as authors of workflows write them: `30`, `"500ms"`, `"5m"`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(f64),
        Text(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Seconds(seconds) => crate::time::from_seconds(seconds),
        Written::Text(text) => parse_duration(&text),
    }
    .map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;
    use crate::time::humanize;

    /// The page on the endpoint tells the bounds; whoever changes one changes both.
    #[test]
    fn the_bounds_are_those_of_the_documentation() {
        let page = include_str!("../../docs/A2A.md").split_whitespace().collect::<Vec<_>>().join(" ");
        let limits = LimitOptions::default();
        let LimitOptions { body_bytes_max, body_timeout, ended_tasks_stay, depth_runs_max, rate_per_second, .. } = limits;
        let thousands = |count: usize| format!("{}_{:03}", count / 1000, count % 1000);
        for said in [
            format!("`limits.body_bytes_max` ({} MiB)", body_bytes_max >> 20),
            format!("`limits.body_timeout` ({} s)", body_timeout.as_secs()),
            format!("for {} s (`server.limits.ended_tasks_stay`)", ended_tasks_stay.as_secs()),
            format!("`server.limits.depth_runs_max` ({depth_runs_max})"),
            format!("requests_max = {} #", thousands(limits.requests_max)),
            format!("connections_max = {} #", thousands(limits.connections_max)),
            format!("tasks_max = {} #", thousands(limits.tasks_max)),
        ] {
            assert!(page.contains(&said), "{said}");
        }
        assert_eq!((depth_runs_max, rate_per_second), (crate::limits::RUN_DEPTH_MAX, None));
    }

    /// Bounds that would contradict each other.
    #[test]
    fn the_bounds_fit_each_other() {
        let limits = LimitOptions::default();
        assert!(limits.body_bytes_max <= limits.body_bytes_total_max, "the largest body fits");
        assert!(limits.requests_max <= limits::RUNS_MAX && limits.requests_max <= limits.tasks_max, "who is let in can begin a run");
        assert!(limits.requests_max < limits.connections_max, "who comes when all are taken is told");
        assert!(limits.body_bytes_max >= limits::RUN_INPUT_BYTES_MAX, "the largest input can be sent");
        assert!(limits.header_timeout <= limits.body_timeout, "{}", humanize(limits.header_timeout));
    }

    #[test]
    fn connections_and_requests_fit_into_the_files_that_may_be_open() {
        for (files, set, expected) in [
            (None, (11_000, 10_000), (11_000, 10_000)),
            (Some(524_288), (11_000, 10_000), (11_000, 10_000)),
            (Some(22_064), (11_000, 10_000), (11_000, 10_000)),
            (Some(20_000), (11_000, 10_000), (9_968, 9_061)),
            (Some(1024), (11_000, 10_000), (480, 436)),
            (Some(1024), (100, 32), (100, 32)),
            (Some(1024), (32, 32), (32, 32)),
            (Some(1), (11_000, 10_000), (1, 1)),
        ] {
            let mut limits = LimitOptions { connections_max: set.0, requests_max: set.1, ..LimitOptions::default() };
            limits.fit(files, false);
            assert_eq!((limits.connections_max, limits.requests_max), expected, "{files:?} {set:?}");
        }
        let mut limits = LimitOptions::default();
        limits.fit(Some(1024), true);
        assert_eq!((limits.connections_max, limits.requests_max), (320, 290), "with agents of its own");
    }
}
