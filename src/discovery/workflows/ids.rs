//! Workflows by the id in their content, for repositories of another name: the id `code-generation-v1` in `workflows/code-generation`.
//!
//! Made only when a reference is not the name of a repository. Every tag counts, since each may hold another id.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use tracing::debug;

use crate::discovery::Error;
use crate::discovery::origin::Origin;
use crate::discovery::slot::{Ask, Read, Trust};
use crate::ids::Digest;
use crate::limits;
use crate::registry::Kind;

/// Id → repository → the tags of that repository whose content has the id.
#[derive(Debug, Default)]
pub(in crate::discovery) struct Ids(BTreeMap<String, BTreeMap<String, Vec<Tagged>>>);

/// One tag.
#[derive(Debug, Clone)]
pub(super) struct Tagged {
    pub(super) tag: String,
    pub(super) digest: Digest,
    /// `metadata.version` of its content.
    pub(super) version: String,
}

impl Ids {
    /// Where an id is, by name of the repository.
    pub(super) fn of(&self, id: &str) -> impl Iterator<Item = (&str, &[Tagged])> {
        self.0.get(id).into_iter().flatten().map(|(repository, tags)| (repository.as_str(), tags.as_slice()))
    }
}

/// The index, as fresh as asked.
pub(super) async fn ids(origin: &Arc<Origin>, ask: &Ask<'_>) -> Result<Read<Arc<Ids>>, Error> {
    let age_max = ask.age_max.unwrap_or(Duration::MAX);
    origin
        .ids
        .read(ask, |previous| {
            let origin = Arc::clone(origin);
            build(origin, age_max, previous).boxed()
        })
        .await
}

async fn build(origin: Arc<Origin>, age_max: Duration, previous: Option<Arc<Ids>>) -> Result<Read<Arc<Ids>>, Error> {
    let repositories = origin.repositories(Kind::Workflow, &origin.ask_within(age_max)).await?;
    if let (Some(previous), true) = (&previous, repositories.trust != Trust::Fresh) {
        // A registry that is away is not asked about each repository.
        return Ok(Read { value: Arc::clone(previous), trust: repositories.trust });
    }
    let found = stream::iter(repositories.value.to_vec()).map(|repository| {
        let origin = Arc::clone(&origin);
        async move {
            let tags = tagged(&origin, &repository, age_max).await;
            (repository, tags)
        }
    });
    let mut ids = Ids::default();
    let mut found = found.buffer_unordered(limits::LISTING_CONCURRENCY);
    while let Some((repository, tags)) = found.next().await {
        for (id, tagged) in tags {
            ids.0.entry(id).or_default().entry(repository.clone()).or_default().push(tagged);
        }
    }
    Ok(Read { value: Arc::new(ids), trust: repositories.trust })
}

/// The tags of a repository with the id of their content, highest version first.
pub(super) async fn tagged(origin: &Arc<Origin>, repository: &str, age_max: Duration) -> Vec<(String, Tagged)> {
    let ask = origin.ask_within(age_max);
    let versions = match origin.versions(repository, &ask).await {
        Ok(versions) => versions.value,
        Err(error) => {
            debug!(%repository, %error, "a repository is left out of the search by id");
            None
        }
    };
    let mut tags = Vec::new();
    for tag in versions.iter().flat_map(|versions| versions.names()).take(limits::TAGS_SEARCHED_MAX) {
        let Ok(Some(digest)) = origin.digest(repository, tag, &ask).await.map(|read| read.value) else { continue };
        match origin.facts(repository, &digest).await {
            Ok(facts) => tags.push((facts.id.clone(), Tagged { tag: tag.to_owned(), digest, version: facts.version.clone() })),
            Err(error) => debug!(%repository, %tag, %error, "a tag is left out of the search by id"),
        }
    }
    tags
}
