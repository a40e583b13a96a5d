//! Puts workflows and cards into the registry: checked first, annotated from their content, tagged by their version.
//!
//! Nothing that is written depends on the time or the machine, so that equal content has an equal digest.

use std::sync::Arc;

use bytes::Bytes;

use super::Error;
use super::annotations::{self, WorkflowFacts};
use super::origin::{AGENTS, Origin, WORKFLOWS, read_card, read_plan};
use super::pin::repository_part;
use super::versions::{LATEST, version_of};
use crate::registry::{Kind, Pushed, check_repository, check_tag, digest, tag_of_version};

/// See [`Discovery::push_workflow`](super::Discovery::push_workflow).
pub(super) async fn workflow(
    origin: &Arc<Origin>,
    name: &str,
    text: Bytes,
    repository: Option<&str>,
    tags: &[String],
) -> Result<Pushed, Error> {
    let plan = read_plan(name, &text, digest::sha256(&text))?;
    let facts = WorkflowFacts::of(&plan);
    let repository = repository_under(WORKFLOWS, repository.unwrap_or(&facts.id))?;
    let tags = tags_of(origin, &repository, &facts.version, tags).await?;
    store(origin, &repository, Kind::Workflow, text, facts.annotations(), &tags).await
}

/// See [`Discovery::push_card`](super::Discovery::push_card).
pub(super) async fn card(origin: &Arc<Origin>, json: Bytes, repository: Option<&str>, tags: &[String]) -> Result<Pushed, Error> {
    let card = read_card("the card", &json)?;
    let repository = repository_of_card(&card.name, repository)?;
    let tags = tags_of(origin, &repository, &card.version, tags).await?;
    store(origin, &repository, Kind::AgentCard, json, annotations::of_card(&card), &tags).await
}

/// Where the card of an agent goes: see [`Discovery::push_card`](super::Discovery::push_card).
pub(super) fn repository_of_card(name: &str, repository: Option<&str>) -> Result<String, Error> {
    let part = repository_part(name);
    if repository.is_none() && part.is_empty() {
        return Err(Error::Contradiction(format!("no repository can be named after the agent `{name}`: name one, as in `agents/planner`")));
    }
    repository_under(AGENTS, repository.unwrap_or(&part))
}

async fn store(
    origin: &Origin,
    repository: &str,
    kind: Kind,
    content: Bytes,
    annotations: annotations::Annotations,
    tags: &[String],
) -> Result<Pushed, Error> {
    let pushed = origin.store.push(repository, kind, content, annotations, tags).await;
    // Also after a failure: some of the tags may have been moved.
    origin.pushed();
    Ok(pushed?)
}

fn repository_under(folder: &str, name: &str) -> Result<String, Error> {
    let repository = if name.contains('/') { name.to_owned() } else { format!("{folder}{name}") };
    check_repository(&repository).map_err(|error| Error::BadName(format!("cannot push to `{repository}`: {error}")))?;
    Ok(repository)
}

/// The version's tag, the tags given, and `latest` unless a higher version is there: what is chosen without a tag and what `latest`
/// points at are then the same.
async fn tags_of(origin: &Arc<Origin>, repository: &str, version: &str, given: &[String]) -> Result<Vec<String>, Error> {
    let semantic = semver::Version::parse(version).ok();
    let mut tags = Vec::new();
    if semantic.is_some() {
        tags.extend(tag_of_version(version).ok());
    }
    for tag in given {
        check_tag(tag).map_err(|error| Error::BadName(format!("cannot push under the tag `{tag}`: {error}")))?;
        tags.push(tag.clone());
    }
    let known = origin.versions(repository, &origin.ask_within(std::time::Duration::ZERO)).await?.value;
    // Content without a version counts as the highest version among the tags it is given.
    let counts_as = semantic.or_else(|| given.iter().filter_map(|tag| version_of(tag)).max());
    let highest = match (&known, &counts_as) {
        (None, _) => true,
        (Some(known), Some(version)) => known.is_highest(version),
        (Some(known), None) => !known.has_versions(),
    };
    if highest {
        tags.push(LATEST.to_owned());
    }
    let mut seen = std::collections::BTreeSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));
    if tags.is_empty() {
        let has = if version.is_empty() { "none".to_owned() } else { format!("`{version}`, which is none like `1.2.3`") };
        return Err(Error::BadName(format!(
            "`{repository}` has versions and the card has {has}: give it a version or push it under a tag, as in `v2`"
        )));
    }
    Ok(tags)
}
