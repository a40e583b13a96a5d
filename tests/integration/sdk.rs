//! Clients and an agent that are written with the protocol's official SDKs, against a gantry process. The programs in `tests/sdk`
//! print what they saw, a JSON object a line; what must be there is said here.
//!
//! `scripts/test.sh` installs the SDKs. A test whose SDK is missing says so and proves nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tokio::process::Command;

use crate::gantries::finished;

mod agents;
mod javascript;
mod python;

/// The environment variable that names what is installed, and where `scripts/test.sh` installs it under the target directory.
#[derive(Clone, Copy)]
struct Installed {
    what: &'static str,
    variable: &'static str,
    below_target: &'static str,
}

const PYTHON_1: Installed =
    Installed { what: "a2a-sdk 1.x for Python", variable: "GANTRY_TEST_PYTHON_A2A_1", below_target: "test-venv-a2a-1/bin/python" };
const PYTHON_03: Installed =
    Installed { what: "a2a-sdk 0.3.x for Python", variable: "GANTRY_TEST_PYTHON_A2A_03", below_target: "test-venv-a2a-0.3/bin/python" };
const NODE_MODULES: Installed =
    Installed { what: "@a2a-js/sdk for Node.js", variable: "GANTRY_TEST_NODE_MODULES", below_target: "test-node/node_modules" };

impl Installed {
    /// Where it is; none, and a line about it, when it is not installed.
    #[expect(clippy::print_stderr, reason = "the reader of a test run must see what was not tested")]
    fn find(&self) -> Option<PathBuf> {
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target"), PathBuf::from);
        let place = std::env::var_os(self.variable).map_or_else(|| target.join(self.below_target), PathBuf::from);
        let found = place.exists().then_some(place);
        if found.is_none() {
            eprintln!("skipped: {} is not installed here ({}); scripts/test.sh installs it", self.what, self.variable);
        }
        found
    }
}

/// A program of `tests/sdk`.
fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk").join(name)
}

/// What a program saw, by the names it gave.
struct Seen(BTreeMap<String, Value>);

impl Seen {
    /// Runs a program to its end.
    async fn by(command: &mut Command) -> Self {
        let output = finished(command).await;
        let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{:?}\n{out}\n{err}", command.as_std());
        let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}")));
        Self(lines.map(|seen| (seen["name"].as_str().unwrap().to_owned(), seen)).collect())
    }

    /// What it saw under a name.
    #[track_caller]
    fn at(&self, name: &str) -> &Value {
        self.0.get(name).unwrap_or_else(|| panic!("nothing about {name}: {:?}", self.0.keys()))
    }

    /// The task it saw under a name.
    #[track_caller]
    fn task(&self, name: &str) -> &Value {
        &self.at(name)["task"]
    }
}

/// The ids of a card's skills.
fn skills(card: &Value) -> Vec<&str> {
    card["skills"].as_array().unwrap().iter().map(|skill| skill["id"].as_str().unwrap()).collect()
}

/// The strings of a list.
fn strings(list: &Value) -> Vec<&str> {
    list.as_array().unwrap_or_else(|| panic!("no list: {list}")).iter().map(|item| item.as_str().unwrap()).collect()
}
