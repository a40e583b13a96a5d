//! Where settings are read from: the file, and the environment.

use std::path::{Path, PathBuf};

use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};

/// What the variables of settings begin with.
pub(super) const PREFIX: &str = "GANTRY_";
/// Variables under the same prefix that are no settings: where this file is, and what the project's scripts and tests read.
const FOREIGN: [&str; 4] = ["GANTRY_CONFIG", "GANTRY_BIN", "GANTRY_STATE_DIR", "GANTRY_TEST_PYTHON"];

/// A provider whose metadata names the file it was read from: figment sees only the text, and errors must name the file.
pub(super) struct Named<P> {
    provider: P,
    path: PathBuf,
}

impl<P> Named<P> {
    pub(super) fn new(provider: P, path: &Path) -> Self {
        Self { provider, path: path.to_owned() }
    }
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
pub(super) struct Environment {
    settings: Dict,
}

impl Environment {
    pub(super) fn new(environment: &[(String, String)]) -> Self {
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
