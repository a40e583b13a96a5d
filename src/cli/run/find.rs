//! The workflow that is meant, and agents given by hand.

use std::path::Path;
use std::sync::Arc;

use super::super::diagnostics;
use super::super::exit::{Failure, chain};
use super::super::origins::is_address;
use super::super::surroundings::Surroundings;
use super::report::Origin;
use crate::a2a::Card;
use crate::agent;
use crate::discovery::Discovery;
use crate::limits;
use crate::plan::Plan;
use crate::registry::digest::sha256;

/// A file when it looks like one or is one, else a reference in the registry.
pub(super) async fn workflow(workflow: &str, version: Option<&str>, surroundings: &Surroundings) -> Result<(Arc<Plan>, Origin), Failure> {
    if is_file(workflow) {
        if version.is_some() {
            return Err(Failure::usage(format!("`{workflow}` is a file, and --version chooses among the versions in a registry"))
                .hint("leave --version away, or give the workflow by its id"));
        }
        let text = diagnostics::read(Path::new(workflow))?;
        let plan = surroundings.discovery.plan_from_text(workflow, text.as_bytes()).map_err(|error| surroundings.failure(error))?;
        return Ok((plan, Origin { reference: workflow.to_owned(), choice: "the file as given".to_owned() }));
    }
    let reference = match version {
        None => workflow.to_owned(),
        Some(_) if has_version(workflow) => {
            return Err(Failure::usage(format!("`{workflow}` names a version already")).hint("leave --version away"));
        }
        Some(digest) if digest.contains(':') => format!("{workflow}@{digest}"),
        Some(tag) => format!("{workflow}:{tag}"),
    };
    let found = surroundings.discovery.workflow(&reference).await.map_err(|error| surroundings.failure(error))?;
    let at = found.tag.as_ref().map_or_else(|| format!("@{}", found.plan.digest()), |tag| format!(":{tag}"));
    Ok((found.plan, Origin { reference: format!("{}{at}", found.repository), choice: found.choice }))
}

/// Whether a text that is no workflow's name is surely meant as one: the file is there.
pub(super) fn is_workflow_file(text: &str) -> bool {
    (text.ends_with(".yaml") || text.ends_with(".yml")) && Path::new(text).is_file()
}

fn is_file(workflow: &str) -> bool {
    workflow.ends_with(".yaml") || workflow.ends_with(".yml") || Path::new(workflow).is_file()
}

fn has_version(reference: &str) -> bool {
    reference.contains('@') || reference.rsplit('/').next().is_some_and(|last| last.contains(':'))
}

/// Adds the agents given by `--agent-card`.
pub(super) async fn add_cards(cards: &[String], discovery: &Discovery, agents: &agent::Client) -> Result<(), Failure> {
    for place in cards {
        let (card, bytes) = if is_address(place) {
            agents.fetch_card_and_bytes(place).await.map_err(|error| {
                Failure::unavailable(format!("no agent card at `{place}`: {}", error.message)).hint("is the agent running?")
            })?
        } else {
            let bytes = read_card(Path::new(place))?;
            let card = Card::parse(&bytes).map_err(|error| Failure::usage(format!("`{place}`: {}", chain(&error))))?;
            (card, bytes)
        };
        discovery.add_card_read(card, sha256(&bytes));
    }
    Ok(())
}

/// The bytes of an agent card, bounded.
pub(in super::super) fn read_card(path: &Path) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(limits::CARD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    read.map_err(|error| Failure::usage(format!("cannot read the agent card `{}`: {error}", path.display())))?;
    if bytes.len() > limits::CARD_BYTES_MAX {
        return Err(Failure::usage(format!("the agent card `{}` is larger than {} bytes", path.display(), limits::CARD_BYTES_MAX)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_references_are_seen() {
        for (reference, expected) in [
            ("code-generation-v1", false),
            ("code-generation-v1:1.0.0", true),
            ("a@sha256:00", true),
            ("localhost:5000/workflows/a", false),
            ("localhost:5000/workflows/a:v1", true),
        ] {
            assert_eq!(has_version(reference), expected, "{reference}");
        }
    }
}
