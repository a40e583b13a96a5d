//! Settings: built-in defaults, then the configuration file, then `GANTRY_…` in the environment, then flags.
//!
//! The only place that reads the environment. Used by the CLI, which hands every other module what it needs as data.

mod settings;
mod values;

mod sources;

mod error;

pub use error::Error;
pub use settings::{Config, REGISTRY_PORT, default_file, variable};
pub use values::{AgentPorts, LogFormat, Secret};
