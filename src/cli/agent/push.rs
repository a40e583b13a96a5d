//! `gantry agent push`.

use std::path::Path;

use bytes::Bytes;
use serde_json::json;

use super::super::arguments::RegistryChoice;
use super::super::exit::{Exit, Failure, chain};
use super::super::replaced::Version;
use super::super::run::read_card;
use super::super::surroundings::Surroundings;
use super::super::terminal::{self, Terminal, table};
use crate::a2a::Card;
use crate::config::Config;

/// Arguments of `gantry agent push`.
#[derive(Debug, clap::Args)]
pub struct PushArguments {
    /// The cards' files
    #[arg(required = true, value_name = "FILE")]
    cards: Vec<String>,
    /// Tag them beside their version; given more than once for several
    #[arg(short, long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Push to this repository instead of `agents/<name>`
    #[arg(long, value_name = "NAME")]
    repository: Option<String>,
    #[command(flatten)]
    registry: RegistryChoice,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn execute(arguments: PushArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    if arguments.repository.is_some() && arguments.cards.len() > 1 {
        return Err(Failure::usage("--repository takes one card").hint("push the cards one by one"));
    }
    let surroundings = Surroundings::require(&arguments.registry, config, terminal).await?;
    // All are read before any is pushed, so that a mistake in the last does not leave half of them there.
    let mut read = Vec::new();
    for file in &arguments.cards {
        let bytes = read_card(Path::new(file))?;
        let card = Card::parse(&bytes).map_err(|error| Failure::new(Exit::Failed, format!("`{file}`: {}", chain(&error))))?;
        read.push((file, card, bytes));
    }
    let (mut rows, mut objects) = (Vec::new(), Vec::new());
    for (file, card, bytes) in read {
        let (name, repository) = (card.name, arguments.repository.as_deref());
        let repository = surroundings.discovery.repository_of_card(&name, repository).map_err(|error| surroundings.failure(error))?;
        let before = Version::look_up(&surroundings.discovery, &repository, &card.version).await;
        let pushed = surroundings.discovery.push_card(Bytes::from(bytes), arguments.repository.as_deref(), &arguments.tags).await;
        let pushed = pushed.map_err(|error| surroundings.failure(error))?;
        let replaced = before.and_then(|before| before.moved_by(&pushed, &name, "version"));
        objects.push(json!({"file": file, "name": name, "tags": pushed.tags, "digest": pushed.digest, "replaced": replaced}));
        rows.push(vec![file.clone(), name, pushed.tags.join(","), pushed.digest.to_string()]);
    }
    if arguments.json {
        terminal::json(&objects)?;
    } else {
        terminal::data(&table(&["FILE", "NAME", "TAGS", "DIGEST"], &rows))?;
    }
    surroundings.shutdown().await;
    Ok(Exit::Ok)
}
