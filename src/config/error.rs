//! Why a configuration cannot be used, in words that name the place and hold no secret.

use std::path::PathBuf;

use super::sources::PREFIX;
use crate::workflow::closest;

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

/// What figment found, for people.
pub(super) fn describe(error: figment::Error) -> Error {
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
        figment::error::Kind::UnknownField(field, known) => match closest(field, known.iter().copied()) {
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
