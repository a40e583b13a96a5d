//! Every setting, and where it comes from.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;
use figment::Figment;
use figment::providers::{Format, Toml};
use ipnet::IpNet;
use serde::Deserialize;

use super::error::{Error, describe};
use super::sources::{Environment, Named};
use super::values::{self, AgentPorts, LogFormat, Secret};
use crate::agent::{BreakerOptions, GateOptions};
use crate::engine::embedded::Choice;
use crate::{limits, sample_agents};

/// The port that the embedded registry takes when nobody says otherwise; also where a running one is looked for.
pub const REGISTRY_PORT: u16 = 5000;

/// Every setting, with its source already decided.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The registry to use, such as `http://localhost:5000`. None: look for a running one, else use an embedded one.
    pub registry: Option<String>,
    /// Where `gantry up` and `gantry serve` keep their runs, and `gantry up` its registry.
    pub data_dir: Option<PathBuf>,
    /// How long ended runs are kept, such as `"30d"`; checked at the start and every hour.
    #[serde(deserialize_with = "values::duration")]
    pub keep_runs_for: Duration,
    /// How many ended runs are kept, the latest.
    pub keep_runs_max: usize,
    /// Whether agents on loopback, private and link-local addresses may be called. Unset: they may, but not by a server that listens
    /// on more than loopback.
    pub allow_private_addresses: Option<bool>,
    /// Networks whose agents may be called all the same, such as `["10.1.0.0/16"]`.
    #[serde(deserialize_with = "values::networks")]
    pub allow_networks: Vec<IpNet>,
    /// Bearer credentials of agents by `host:port` or `host`; in the file alone.
    pub agent_credentials: BTreeMap<String, Secret>,
    /// Which of several agents for a skill is called.
    pub agent_choice: Choice,
    /// Whether the next of them is called when one is away.
    pub agent_failover: bool,
    /// Calls in flight to one agent; more wait.
    pub calls_per_agent_max: NonZeroUsize,
    /// Calls in flight to all of them; more wait. None: as many as the files that this process may open allow.
    pub calls_max: Option<NonZeroUsize>,
    /// When an agent is left alone because its calls fail, and for how long; in the file alone.
    pub breaker: BreakerOptions,
    /// The model that the sample agents ask, such as `command:claude -p` or `openai:gpt-4o`.
    pub model: Option<String>,
    /// The key for that model.
    pub model_api_key: Option<Secret>,
    /// The address on which servers listen.
    pub host: IpAddr,
    /// The embedded registry's port; 0 lets the system choose.
    pub registry_port: u16,
    /// What writing to the embedded registry needs, as a bearer token or a password. Without it whoever reaches it on this
    /// machine may write, and nobody elsewhere.
    pub registry_write_token: Option<Secret>,
    /// The sample agents' ports; 0 lets the system choose.
    pub agent_ports: AgentPorts,
    /// Which log lines are written, as `tracing` filters: `warn`, `gantry=debug`. None: as the subcommand likes it.
    pub log: Option<String>,
    /// How they are written.
    pub log_format: LogFormat,
    /// The A2A endpoint of `gantry serve`.
    pub server: crate::server::Options,
    /// Output without colours, as <https://no-color.org> says; only from the environment.
    #[serde(skip)]
    pub no_color: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            registry: None,
            data_dir: None,
            keep_runs_for: limits::RUN_AGE_MAX,
            keep_runs_max: limits::RUNS_KEPT_MAX,
            allow_private_addresses: None,
            allow_networks: Vec::new(),
            agent_credentials: BTreeMap::new(),
            agent_choice: Choice::default(),
            agent_failover: true,
            calls_per_agent_max: GateOptions::default().calls_per_agent_max,
            calls_max: None,
            breaker: BreakerOptions::default(),
            model: None,
            model_api_key: None,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            registry_port: REGISTRY_PORT,
            registry_write_token: None,
            agent_ports: AgentPorts(sample_agents::PORTS),
            log: None,
            log_format: LogFormat::Text,
            server: crate::server::Options::default(),
            no_color: false,
        }
    }
}

impl Config {
    /// Reads the file (`--config`, else `GANTRY_CONFIG`, else the platform's place, which may be missing) and the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let environment = std::env::vars_os().filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        Self::from_sources(file, environment, default_file())
    }

    fn from_sources(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        default_file: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let environment: Vec<(String, String)> = environment.collect();
        let named = file.map(Path::to_owned).or_else(|| lookup(&environment, "GANTRY_CONFIG").map(PathBuf::from));
        let text = match (&named, default_file) {
            (Some(path), _) => Some((path.clone(), read(path)?)),
            (None, Some(path)) if path.exists() => Some((path.clone(), read(&path)?)),
            (None, _) => None,
        };
        let mut figment = Figment::new();
        if let Some((path, text)) = &text {
            let toml = Toml::string(text);
            figment = figment.merge(Named::new(toml, path));
        }
        figment = figment.merge(Environment::new(&environment));
        let mut config: Self = figment.extract().map_err(describe)?;
        if config.model_api_key.is_none() {
            config.model_api_key = provider_key(config.model.as_deref(), &environment);
        }
        config.no_color = lookup(&environment, "NO_COLOR").is_some();
        Ok(config)
    }

    /// Where runs and the embedded registry's content are kept: the setting, else the platform's place for the state of programs.
    pub fn data_dir(&self) -> Option<PathBuf> {
        let default = || etcetera::choose_base_strategy().ok().map(|base| default_data_dir(base.state_dir(), &base.data_dir()));
        self.data_dir.clone().or_else(default)
    }
}

/// Runs are state that a program keeps, and not data that one would copy to another machine. Where the platform has no place for state it
/// is the one for data. So it is when an earlier gantry has begun there, whose runs and registry go on being used.
fn default_data_dir(state: Option<PathBuf>, data: &Path) -> PathBuf {
    let earlier = data.join("gantry");
    match state.map(|state| state.join("gantry")) {
        Some(place) if place.exists() || !earlier.exists() => place,
        Some(place) => {
            let (data_dir, place) = (earlier.display(), place.display());
            tracing::info!(%data_dir, %place, "the data directory of an earlier gantry goes on being used; move it to its place of today when nothing runs on it");
            earlier
        }
        None => earlier,
    }
}

/// The platform's place for the configuration file, whether or not it exists.
pub fn default_file() -> Option<PathBuf> {
    etcetera::choose_base_strategy().ok().map(|base| base.config_dir().join("gantry").join("config.toml"))
}

/// A secret in a variable that the command line names.
pub fn variable(name: &str) -> Option<Secret> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(Secret::new)
}

fn read(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

fn lookup(environment: &[(String, String)], key: &str) -> Option<String> {
    environment.iter().find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.clone())
}

/// The key in the variable that the provider's own tools read.
fn provider_key(model: Option<&str>, environment: &[(String, String)]) -> Option<Secret> {
    let variable = match model?.split_once(':')?.0.trim() {
        "openai" => "OPENAI_API_KEY",
        "anthropic" => "ANTHROPIC_API_KEY",
        _ => return None,
    };
    lookup(environment, variable).map(Secret::new)
}

#[cfg(test)]
mod tests;
