//! Values of settings that have a form of their own.

use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer};

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
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
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
pub(super) fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
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
