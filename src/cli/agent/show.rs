//! `gantry agent show`.

use std::fmt::Write;

use serde_json::json;

use super::super::arguments::RegistryChoice;
use super::super::exit::{Exit, Failure};
use super::super::surroundings::Surroundings;
use super::super::terminal::{self, Terminal, one_line, printable};
use crate::a2a::{Card, Dialect};
use crate::config::Config;

/// Arguments of `gantry agent show`.
#[derive(Debug, clap::Args)]
pub struct ShowArguments {
    /// The agent's name, or a skill
    #[arg(value_name = "NAME|SKILL")]
    name: String,
    #[command(flatten)]
    registry: RegistryChoice,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(arguments: ShowArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let surroundings = Surroundings::find_or_start(&arguments.registry, config, terminal, None).await?;
    let agents = surroundings.discovery.agents().await.map_err(|error| surroundings.failure(error))?;
    let (card, digest, choice) = match agents.into_iter().find(|entry| entry.card.name == arguments.name) {
        Some(entry) => (entry.card, entry.digest, "by name".to_owned()),
        None => {
            let found = surroundings.discovery.agent(&arguments.name, None).await.map_err(|error| {
                let hint = "`gantry agent list` shows the agents and their skills";
                Failure {
                    message: format!("no agent and no skill `{}` in {}", arguments.name, surroundings.location),
                    ..surroundings.failure(error)
                }
                .hint(hint)
            })?;
            (found.card, found.digest, found.reason)
        }
    };
    if arguments.json {
        terminal::json(&json!({"card": card, "digest": digest, "choice": choice}))?;
    } else {
        terminal::data(&text(&card, digest.as_ref().map(|digest| digest.as_str()), &choice))?;
    }
    surroundings.shutdown().await;
    Ok(Exit::Ok)
}

fn text(card: &Card, digest: Option<&str>, choice: &str) -> String {
    let mut text = String::new();
    let mut field = |name: &str, value: &str| {
        if !value.is_empty() {
            let _ = writeln!(text, "{name:<13}{}", one_line(value, 200));
        }
    };
    field("name", &card.name);
    field("version", &card.version);
    field("description", &card.description);
    field("choice", choice);
    field("digest", digest.unwrap_or_default());
    for interface in &card.interfaces {
        let dialect = match interface.dialect {
            Dialect::A2a1 => "A2A 1.0",
            Dialect::A2a03 => "A2A 0.3",
            Dialect::Plain => "plain JSON-RPC",
        };
        field("address", &format!("{} ({dialect})", interface.url));
    }
    text.push_str("skills\n");
    for skill in &card.skills {
        let _ = writeln!(text, "  {}  {}", one_line(skill.id.as_str(), 80), printable(&one_line(&skill.description, 160)));
    }
    text
}
