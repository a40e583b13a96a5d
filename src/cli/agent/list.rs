//! `gantry agent list`.

use super::super::arguments::RegistryChoice;
use super::super::exit::{Exit, Failure};
use super::super::surroundings::Surroundings;
use super::super::terminal::{self, Terminal, one_line, say, table};
use crate::config::Config;

/// Arguments of `gantry agent list`.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    #[command(flatten)]
    registry: RegistryChoice,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(arguments: ListArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let surroundings = Surroundings::find_or_start(&arguments.registry, config, terminal, None).await?;
    let agents = surroundings.discovery.agents().await.map_err(|error| surroundings.failure(error))?;
    if arguments.json {
        terminal::json(&agents)?;
    } else {
        let rows: Vec<Vec<String>> = agents
            .iter()
            .map(|entry| {
                let skills: Vec<&str> = entry.card.skills.iter().map(|skill| skill.id.as_str()).collect();
                let address = entry.card.interfaces.first().map_or("", |interface| interface.url.as_str());
                vec![
                    one_line(&entry.card.name, 40),
                    one_line(&entry.card.version, 20),
                    one_line(&skills.join(","), 80),
                    one_line(address, 80),
                    entry.repository.as_deref().map_or_else(|| "given by hand".to_owned(), |repository| one_line(repository, 60)),
                ]
            })
            .collect();
        terminal::data(&table(&["NAME", "VERSION", "SKILLS", "ADDRESS", "REPOSITORY"], &rows))?;
        say(&format!(
            "{} in {}",
            if agents.len() == 1 { "1 agent".to_owned() } else { format!("{} agents", agents.len()) },
            surroundings.location
        ));
    }
    surroundings.shutdown().await;
    Ok(Exit::Ok)
}
