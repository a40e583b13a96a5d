//! `gantry workflow list`.

use super::super::arguments::RegistryChoice;
use super::super::exit::{Exit, Failure};
use super::super::surroundings::Surroundings;
use super::super::terminal::{self, Terminal, one_line, say, table};
use crate::config::Config;

/// Arguments of `gantry workflow list`.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    #[command(flatten)]
    registry: RegistryChoice,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(arguments: ListArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let surroundings = Surroundings::find_or_show(&arguments.registry, config, terminal, None).await?;
    let workflows = surroundings.discovery.workflows().await.map_err(|error| surroundings.failure(error))?;
    if arguments.json {
        terminal::json(&workflows)?;
    } else {
        let rows: Vec<Vec<String>> = workflows
            .iter()
            .map(|entry| {
                vec![
                    one_line(&entry.id, 60),
                    one_line(&entry.version, 30),
                    one_line(&entry.versions.join(","), 40),
                    one_line(&entry.skills.join(","), 60),
                    one_line(&entry.description, 60),
                ]
            })
            .collect();
        terminal::data(&table(&["ID", "VERSION", "TAGS", "SKILLS", "DESCRIPTION"], &rows))?;
        say(&format!(
            "{} in {}",
            if workflows.len() == 1 { "1 workflow".to_owned() } else { format!("{} workflows", workflows.len()) },
            surroundings.location
        ));
    }
    surroundings.shutdown().await;
    Ok(Exit::Ok)
}
