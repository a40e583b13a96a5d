//! A reference to a plan.
//!
//! A reference is looked up as `workflows/<name>` first, then as a repository by its full name, then as the id in the content of any
//! workflow. A name that is not there is looked for once more in the registry before it is refused, whatever is remembered.

use std::sync::Arc;

use super::ids::{Tagged, ids, tagged};
use super::list;
use crate::discovery::origin::{Origin, WORKFLOWS};
use crate::discovery::slot::{Ask, Trust};
use crate::discovery::versions::{Versions, version_of};
use crate::discovery::{Error, FoundWorkflow, hint};
use crate::ids::Digest;
use crate::limits;
use crate::registry::{At, Reference};

/// What a reference means at this moment.
struct Choice {
    repository: String,
    tag: Option<String>,
    digest: Digest,
    why: String,
    trust: Trust,
}

/// The plan of a reference. `text` is the reference as it was written.
pub(in crate::discovery) async fn find(origin: &Arc<Origin>, text: &str, reference: &Reference) -> Result<FoundWorkflow, Error> {
    let choice = match choose(origin, reference, &origin.ask()).await? {
        Some(choice) => choice,
        None => match choose(origin, reference, &origin.ask_again()).await? {
            Some(choice) => choice,
            None => return Err(missing(origin, text, reference).await),
        },
    };
    let plan = origin.plan(&choice.repository, &choice.digest).await?;
    let choice_text = format!("{}{}", choice.why, choice.trust.note());
    Ok(FoundWorkflow { plan, repository: choice.repository, tag: choice.tag, choice: choice_text })
}

async fn choose(origin: &Arc<Origin>, reference: &Reference, ask: &Ask<'_>) -> Result<Option<Choice>, Error> {
    for repository in repositories(reference) {
        if let Some(choice) = in_repository(origin, &repository, reference.at.as_ref(), ask).await? {
            return Ok(Some(choice));
        }
    }
    by_id(origin, reference, ask).await
}

fn repositories(reference: &Reference) -> Vec<String> {
    let name = &reference.repository;
    let under_workflows = format!("{WORKFLOWS}{name}");
    match (name.starts_with(WORKFLOWS), reference.registry.is_some(), name.contains('/')) {
        (true, _, _) => vec![name.clone()],
        // With a host the whole name was written.
        (false, true, _) => vec![name.clone(), under_workflows],
        (false, false, true) => vec![under_workflows, name.clone()],
        (false, false, false) => vec![under_workflows],
    }
}

async fn in_repository(origin: &Arc<Origin>, repository: &str, at: Option<&At>, ask: &Ask<'_>) -> Result<Option<Choice>, Error> {
    match at {
        None => best(origin, repository, ask).await,
        Some(At::Digest(digest)) => match origin.manifest(repository, digest).await {
            Ok(_) => Ok(Some(Choice::new(repository, None, digest, "digest as asked".to_owned(), Trust::Fresh))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        },
        Some(At::Tag(tag)) => {
            let read = origin.digest(repository, tag, ask).await?;
            if let Some(digest) = read.value {
                return Ok(Some(Choice::new(repository, Some(tag), &digest, format!("tag `{tag}` as asked"), read.trust)));
            }
            if version_of(tag).is_none() || origin.versions(repository, ask).await?.value.is_none() {
                return Ok(None);
            }
            let tags = tagged(origin, repository, ask.age_max.unwrap_or_default()).await;
            Ok(by_version(repository, tags.iter().map(|(_, tagged)| tagged), tag))
        }
    }
}

async fn best(origin: &Arc<Origin>, repository: &str, ask: &Ask<'_>) -> Result<Option<Choice>, Error> {
    let versions = origin.versions(repository, ask).await?;
    let Some((tag, why)) = versions.value.as_ref().and_then(|versions| versions.choose()) else { return Ok(None) };
    let digest = origin.digest(repository, tag, ask).await?;
    let trust = versions.trust.max(digest.trust);
    Ok(digest.value.map(|digest| Choice::new(repository, Some(tag), &digest, why, trust)))
}

/// A version that was asked for as a tag, and that is no tag, may be what the content of another tag says.
fn by_version<'a>(repository: &str, mut tags: impl Iterator<Item = &'a Tagged>, asked: &str) -> Option<Choice> {
    let version = version_of(asked)?;
    let tagged = tags.find(|tagged| version_of(&tagged.version).as_ref() == Some(&version))?;
    let why = format!("tag `{}`, whose content is version {}", tagged.tag, tagged.version);
    Some(Choice::new(repository, Some(&tagged.tag), &tagged.digest, why, Trust::Fresh))
}

async fn by_id(origin: &Arc<Origin>, reference: &Reference, ask: &Ask<'_>) -> Result<Option<Choice>, Error> {
    let id = &reference.repository;
    if id.contains('/') {
        return Ok(None);
    }
    let read = ids(origin, ask).await?;
    for (repository, tags) in read.value.of(id) {
        let choice = match &reference.at {
            None => Versions::new(tags.iter().map(|tagged| tagged.tag.clone())).choose().and_then(|(tag, why)| {
                let tagged = tags.iter().find(|tagged| tagged.tag == tag)?;
                Some(Choice::new(repository, Some(tag), &tagged.digest, why, read.trust))
            }),
            Some(At::Tag(tag)) => match tags.iter().find(|tagged| tagged.tag == *tag) {
                Some(tagged) => Some(Choice::new(repository, Some(tag), &tagged.digest, format!("tag `{tag}` as asked"), read.trust)),
                None => by_version(repository, tags.iter(), tag),
            },
            Some(at @ At::Digest(_)) => in_repository(origin, repository, Some(at), ask).await?,
        };
        if let Some(choice) = choice {
            let why = format!("{}, with the id `{id}` in `{repository}`", choice.why);
            return Ok(Some(Choice { why, ..choice }));
        }
    }
    Ok(None)
}

impl Choice {
    fn new(repository: &str, tag: Option<&str>, digest: &Digest, why: String, trust: Trust) -> Self {
        Self { repository: repository.to_owned(), tag: tag.map(ToOwned::to_owned), digest: digest.clone(), why, trust }
    }
}

async fn missing(origin: &Arc<Origin>, text: &str, reference: &Reference) -> Error {
    let mut hint = String::new();
    for repository in repositories(reference) {
        if let Ok(read) = origin.versions(&repository, &origin.ask()).await
            && let Some(versions) = read.value
            && versions.names().len() > 0
        {
            hint = format!(": the tags of `{repository}` are {}", hint::listed(&versions.names().collect::<Vec<_>>()));
        }
    }
    if hint.is_empty()
        && let Ok(list) = list(origin, &origin.ask()).await
    {
        let mut names: Vec<_> = list.value.iter().map(|line| line.id.as_str()).collect();
        names.dedup();
        let asked = reference.repository.strip_prefix(WORKFLOWS).unwrap_or(&reference.repository);
        hint = if names.is_empty() { ": it has no workflows".to_owned() } else { hint::instead_of(asked, &names) };
    }
    // References come from callers, and an error is for reading.
    let text = &text[..text.floor_char_boundary(limits::ID_BYTES_MAX)];
    Error::NoWorkflow { reference: text.to_owned(), location: origin.store.location(), hint }
}
