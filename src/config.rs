//! Settings: built-in defaults, then the configuration file, then `GANTRY_…` in the environment, then flags.
//!
//! The only place that reads the environment. Used by the CLI, which hands every other module what it needs as data.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcetera::BaseStrategy;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

use crate::agent::{BreakerOptions, GateOptions};
use crate::engine::embedded::Choice;
use crate::{limits, sample_agents};

/// The port that the embedded registry takes when nobody says otherwise; also where a running one is looked for.
pub const REGISTRY_PORT: u16 = 5000;

const PREFIX: &str = "GANTRY_";
/// Variables under the same prefix that are no settings: where this file is, and what the project's scripts and tests read.
const FOREIGN: [&str; 4] = ["GANTRY_CONFIG", "GANTRY_BIN", "GANTRY_STATE_DIR", "GANTRY_TEST_PYTHON"];

/// Every setting, with its source already decided.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The registry to use, such as `http://localhost:5000`. None: look for a running one, else use an embedded one.
    pub registry: Option<String>,
    /// Where `gantry up` and `gantry serve` keep their runs, and `gantry up` its registry.
    pub data_dir: Option<PathBuf>,
    /// How long ended runs are kept, such as `"30d"`; checked at the start and every hour.
    #[serde(deserialize_with = "duration")]
    pub keep_runs_for: Duration,
    /// How many ended runs are kept, the latest.
    pub keep_runs_max: usize,
    /// Whether agents on loopback, private and link-local addresses may be called. Unset: they may, but not by a server that listens
    /// on more than loopback.
    pub allow_private_addresses: Option<bool>,
    /// Networks whose agents may be called all the same, such as `["10.1.0.0/16"]`.
    #[serde(deserialize_with = "networks")]
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

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file named by `--config` or `GANTRY_CONFIG` cannot be read.
    #[error("cannot read the configuration file `{}`: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A setting has a wrong name or value, or the file is not TOML.
    #[error("{place}: {message}")]
    Setting {
        /// `/path/config.toml: registry_port` or `environment variable GANTRY_REGISTRY_PORT`.
        place: String,
        /// What is wrong. Holds no value of a secret.
        message: String,
    },
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
            figment = figment.merge(Named { provider: toml, path: path.clone() });
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
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(Secret)
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
    lookup(environment, variable).map(Secret)
}

fn describe(error: figment::Error) -> Error {
    let place = error.metadata.as_ref().map_or_else(String::new, |metadata| metadata.name.to_string());
    // An unknown name is said in the message; in the place it would stand twice.
    let unknown = matches!(error.kind, figment::error::Kind::UnknownField(..));
    let key = error.path.join(".");
    let place = match (place.as_str(), key.as_str()) {
        ("", "") => "configuration".to_owned(),
        ("environment", key) => format!("environment variable {PREFIX}{}", key.split('.').next().unwrap_or(key).to_ascii_uppercase()),
        ("", key) => format!("configuration: {key}"),
        (place, _) if unknown => place.to_owned(),
        (place, "") => place.to_owned(),
        (place, key) => format!("{place}: {key}"),
    };
    let message = match &error.kind {
        figment::error::Kind::UnknownField(field, known) => match closest(field, known) {
            Some(near) => format!("there is no setting `{field}`; did you mean `{near}`?"),
            None => format!("there is no setting `{field}`; the settings are {}", known.join(", ")),
        },
        // The offending value may be a secret in the wrong place, so only what was expected is said.
        figment::error::Kind::InvalidType(_, expected) | figment::error::Kind::InvalidValue(_, expected) => {
            format!("expected {}", in_words(&expected.to_string()))
        }
        figment::error::Kind::UnknownVariant(_, known) => format!("expected {}", one_of(known)),
        kind => kind.to_string(),
    };
    Error::Setting { place, message }
}

/// What was expected, for people who do not know the names of types.
fn in_words(expected: &str) -> &str {
    match expected {
        "u16" => "a number from 0 to 65535",
        "u32" | "u64" | "usize" => "a number without sign",
        "a boolean" | "bool" => "true or false",
        "a nonzero usize" | "a nonzero u32" => "a number of at least 1",
        "a sequence" => "a list",
        "path string" => "a path",
        table if table == "a map" || table.starts_with("struct ") => "a table of settings",
        other => other,
    }
}

/// `first, round_robin or least_busy`.
fn one_of(words: &[&str]) -> String {
    match words {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        words => words.concat(),
    }
}

fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(word, name), *name))
        .filter(|(near, _)| *near > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

/// A provider whose metadata names the file it was read from: figment sees only the text, and errors must name the file.
struct Named<P> {
    provider: P,
    path: PathBuf,
}

impl<P: Provider> Provider for Named<P> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.path.display().to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        self.provider.data()
    }
}

/// Settings from `GANTRY_…`. Text stays text: `GANTRY_MODEL_API_KEY=007` is no number.
struct Environment {
    settings: Dict,
}

impl Environment {
    fn new(environment: &[(String, String)]) -> Self {
        let mut settings = Dict::new();
        for (name, value) in environment {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            if value.is_empty() || FOREIGN.contains(&name.as_str()) {
                continue;
            }
            let key = key.to_ascii_lowercase();
            let value = match key.as_str() {
                "registry_port" | "allow_private_addresses" | "keep_runs_max" | "agent_failover" | "calls_per_agent_max" | "calls_max" => {
                    value.parse().unwrap_or_else(|_| Value::from(value.clone()))
                }
                _ => Value::from(value.clone()),
            };
            settings.insert(key, value);
        }
        Self { settings }
    }
}

impl Provider for Environment {
    fn metadata(&self) -> Metadata {
        Metadata::named("environment")
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Profile::Default.collect(self.settings.clone()))
    }
}

/// A text that never shows in logs, errors or debug output.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one who sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A duration as authors write them: seconds, or text such as `30s` and `7d`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Seconds(u64),
        Text(String),
    }
    let text = match Form::deserialize(deserializer).map_err(|_| serde::de::Error::custom("expected a duration, as in 30d"))? {
        Form::Seconds(seconds) => seconds.to_string(),
        Form::Text(text) => text,
    };
    crate::time::parse_duration(&text).map_err(serde::de::Error::custom)
}

/// A list in the file, text with commas in the environment.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    let texts = match Form::deserialize(deserializer).map_err(|_| serde::de::Error::custom("expected networks, as in 10.1.0.0/16"))? {
        Form::List(texts) => texts,
        Form::Text(text) => text.split(',').map(|text| text.trim().to_owned()).collect(),
    };
    let network =
        |text: &String| text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is not a network, as in 10.1.0.0/16")));
    texts.iter().map(network).collect()
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One port for each sample agent: `[8001, 8002, …]` in the file, `8001,8002,…` in the environment and in flags; a single number
/// is the first of six in a row, and `0` lets the system choose all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentPorts(pub [u16; 6]);

impl std::str::FromStr for AgentPorts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const RULE: &str = "write the first of six ports in a row (8001), six ports (8001,8002,…), or 0 to let the system choose";
        let ports: Vec<u16> = text.split(',').map(|port| port.trim().parse().map_err(|_| RULE.to_owned())).collect::<Result<_, _>>()?;
        match ports[..] {
            [0] => Ok(Self([0; 6])),
            [first] if first <= u16::MAX - 5 => Ok(Self(std::array::from_fn(|offset| first + offset as u16))),
            _ => ports.try_into().map(Self).map_err(|_| RULE.to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for AgentPorts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            First(u16),
            Each([u16; 6]),
            Text(String),
        }
        match Form::deserialize(deserializer).map_err(|_| serde::de::Error::custom("expected one port, six ports, or 0"))? {
            Form::First(port) => port.to_string().parse().map_err(serde::de::Error::custom),
            Form::Each(ports) => Ok(Self(ports)),
            Form::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: Option<&str>, environment: &[(&str, &str)]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = toml.map(|text| {
            let path = dir.path().join("config.toml");
            std::fs::write(&path, text).unwrap();
            path
        });
        let environment = environment.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        Config::from_sources(None, environment, file).map_err(|error| error.to_string().replace(&dir.path().display().to_string(), "DIR"))
    }

    #[test]
    fn the_environment_goes_before_the_file_and_the_file_before_defaults() {
        let config = load(Some("registry = 'http://localhost:1'\nregistry_port = 1\nagent_ports = 9000"), &[("GANTRY_REGISTRY_PORT", "2")]);
        let config = config.unwrap();
        assert_eq!(config.registry.as_deref(), Some("http://localhost:1"));
        assert_eq!(config.registry_port, 2);
        assert_eq!(config.agent_ports, AgentPorts([9000, 9001, 9002, 9003, 9004, 9005]));
        assert_eq!(config.host, Config::default().host);
    }

    #[test]
    fn how_agents_are_called() {
        let toml =
            "agent_choice = 'round_robin'\nagent_failover = false\ncalls_per_agent_max = 7\n[breaker]\nfailures = 2\npause = '500ms'";
        let environment = [("GANTRY_CALLS_MAX", "9"), ("GANTRY_CALLS_PER_AGENT_MAX", "8"), ("GANTRY_AGENT_CHOICE", "least_busy")];
        let config = load(Some(toml), &environment).unwrap();
        assert_eq!((config.agent_choice, config.agent_failover), (Choice::LeastBusy, false));
        assert_eq!((config.calls_per_agent_max.get(), config.calls_max.map(NonZeroUsize::get)), (8, Some(9)));
        assert_eq!((config.breaker.failures.get(), config.breaker.pause), (2, Duration::from_millis(500)));
        let defaults = Config::default();
        assert_eq!((defaults.agent_choice, defaults.agent_failover, defaults.calls_max), (Choice::First, true, None));
        for (toml, environment, expected) in [
            (Some("calls_max = 0"), ("", ""), "DIR/config.toml: calls_max: expected a number of at least 1"),
            (None, ("GANTRY_CALLS_PER_AGENT_MAX", "0"), "environment variable GANTRY_CALLS_PER_AGENT_MAX: expected a number of at least 1"),
            (None, ("GANTRY_AGENT_CHOICE", "best"), "environment variable GANTRY_AGENT_CHOICE: "),
            (None, ("GANTRY_AGENT_FAILOVER", "maybe"), "environment variable GANTRY_AGENT_FAILOVER: expected true or false"),
            (Some("[breaker]\nfailure_rate = 2.0"), ("", ""), "DIR/config.toml: breaker.failure_rate: expected a share of more than 0"),
            (Some("[breaker]\npause = 0"), ("", ""), "DIR/config.toml: breaker.pause: expected a duration that is not 0"),
            (Some("[breaker]\nfailure = 2"), ("", ""), "DIR/config.toml: there is no setting `failure`; did you mean `failures`?"),
        ] {
            let error = load(toml, &[environment]).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn text_in_the_environment_stays_text() {
        let environment = [("GANTRY_MODEL_API_KEY", "007"), ("GANTRY_DATA_DIR", "12"), ("GANTRY_AGENT_PORTS", "0")];
        let config = load(None, &environment).unwrap();
        assert_eq!(config.model_api_key, Some(Secret::new("007")));
        assert_eq!(config.data_dir, Some(PathBuf::from("12")));
        assert_eq!(config.agent_ports, AgentPorts([0; 6]));
    }

    #[test]
    fn a_providers_own_variable_gives_the_key() {
        let keys = [("OPENAI_API_KEY", "o"), ("ANTHROPIC_API_KEY", "a")];
        for (model, expected) in [("openai:m", Some("o")), ("anthropic:m", Some("a")), ("ollama:m", None), ("command:x", None)] {
            let environment: Vec<_> = keys.into_iter().chain([("GANTRY_MODEL", model)]).collect();
            assert_eq!(load(None, &environment).unwrap().model_api_key, expected.map(Secret::new), "{model}");
        }
        let both = [("GANTRY_MODEL", "openai:m"), ("OPENAI_API_KEY", "o"), ("GANTRY_MODEL_API_KEY", "g")];
        assert_eq!(load(None, &both).unwrap().model_api_key, Some(Secret::new("g")));
    }

    #[test]
    fn errors_name_file_or_variable_and_the_key() {
        for (toml, environment, expected) in [
            (Some("registry_port = 'x'"), ("", ""), "DIR/config.toml: registry_port: expected a number from 0 to 65535"),
            (Some("registri = 'x'"), ("", ""), "DIR/config.toml: there is no setting `registri`; did you mean `registry`?"),
            (Some("model_api_key = 12345"), ("", ""), "DIR/config.toml: model_api_key: expected a string"),
            (Some("allow_networks = ['10.0.0.0/99']"), ("", ""), "DIR/config.toml: allow_networks: `10.0.0.0/99` is not a network"),
            (None, ("GANTRY_ALLOW_NETWORKS", "10.0.0.0/8, x"), "environment variable GANTRY_ALLOW_NETWORKS: `x` is not a network"),
            (Some("[agent_credentials]\n'a:1' = 12345"), ("", ""), "DIR/config.toml: agent_credentials.a:1: expected a string"),
            (Some("agent_ports = [1, 2]"), ("", ""), "DIR/config.toml: agent_ports: expected one port, six ports, or 0"),
            (None, ("GANTRY_REGISTRY_PORT", "70000"), "environment variable GANTRY_REGISTRY_PORT: expected a number from 0 to 65535"),
            (
                None,
                ("GANTRY_REGISTRI", "x"),
                "environment variable GANTRY_REGISTRI: there is no setting `registri`; did you mean `registry`?",
            ),
            (None, ("GANTRY_LOG_FORMAT", "xml"), "environment variable GANTRY_LOG_FORMAT: expected text or json"),
            (Some("agent_choice = 'best'"), ("", ""), "DIR/config.toml: agent_choice: expected first, round_robin or least_busy"),
            (Some("data_dir = 3"), ("", ""), "DIR/config.toml: data_dir: expected a path"),
            (Some("server = 3"), ("", ""), "DIR/config.toml: server: expected a table of settings"),
            (Some("agent_credentials = 3"), ("", ""), "DIR/config.toml: agent_credentials: expected a table of settings"),
            (Some("allow_networks = 3"), ("", ""), "DIR/config.toml: allow_networks: expected networks"),
        ] {
            let error = load(toml, &[environment]).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
            assert!(!error.contains("``"), "quotes in quotes: {error}");
        }
        let error = load(Some("registry = 'a\nx"), &[]).unwrap_err();
        assert!(error.contains("DIR/config.toml"), "{error}");
        let missing = Config::from_sources(Some(Path::new("/nonexistent/gantry.toml")), std::iter::empty(), None).unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/gantry.toml"), "{missing}");
    }

    #[test]
    fn runs_are_kept_with_the_state_of_programs_unless_an_earlier_gantry_has_begun_elsewhere() {
        let home = tempfile::tempdir().unwrap();
        let (state, data) = (home.path().join("state"), home.path().join("data"));
        let chosen = || default_data_dir(Some(state.clone()), &data);
        assert_eq!(chosen(), state.join("gantry"));
        std::fs::create_dir_all(data.join("gantry")).unwrap();
        assert_eq!(chosen(), data.join("gantry"));
        std::fs::create_dir_all(state.join("gantry")).unwrap();
        assert_eq!(chosen(), state.join("gantry"), "once something is there, it stays there");
        assert_eq!(default_data_dir(None, &data), data.join("gantry"), "a platform without such a place");
        let config = Config { data_dir: Some(PathBuf::from("mine")), ..Config::default() };
        assert_eq!(config.data_dir(), Some(PathBuf::from("mine")));
    }

    #[test]
    fn secrets_do_not_show() {
        let config = load(None, &[("GANTRY_MODEL_API_KEY", "sk-canary")]).unwrap();
        assert!(!format!("{config:?}").contains("canary"));
        for toml in ["registry_port = 'sk-canary'", "log_format = 'sk-canary'", "agent_choice = 'sk-canary'"] {
            let error = load(Some(toml), &[]).unwrap_err();
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn ports_of_agents() {
        for (text, expected) in [
            ("0", Some([0; 6])),
            ("9000", Some([9000, 9001, 9002, 9003, 9004, 9005])),
            ("1,2,3,4,5,0", Some([1, 2, 3, 4, 5, 0])),
            ("65531", None),
            ("1,2", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<AgentPorts>().ok(), expected.map(AgentPorts), "{text}");
        }
    }
}
