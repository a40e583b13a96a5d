//! Every workflow, one line each: of each repository the version that is chosen when none is asked for.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use tracing::warn;

use crate::discovery::origin::Origin;
use crate::discovery::slot::{Ask, Read, Trust};
use crate::discovery::{Error, WorkflowEntry};
use crate::limits;
use crate::registry::Kind;

/// The list, as fresh as asked.
pub(in crate::discovery) async fn list(origin: &Arc<Origin>, ask: &Ask<'_>) -> Result<Read<Arc<[WorkflowEntry]>>, Error> {
    let age_max = ask.age_max.unwrap_or(Duration::MAX);
    origin
        .list
        .read(ask, |previous| {
            let origin = Arc::clone(origin);
            build(origin, age_max, previous).boxed()
        })
        .await
}

async fn build(
    origin: Arc<Origin>,
    age_max: Duration,
    previous: Option<Arc<[WorkflowEntry]>>,
) -> Result<Read<Arc<[WorkflowEntry]>>, Error> {
    let repositories = origin.repositories(Kind::Workflow, &origin.ask_within(age_max)).await?;
    if let (Some(previous), true) = (&previous, repositories.trust != Trust::Fresh) {
        // A registry that is away is not asked about each repository.
        return Ok(Read { value: Arc::clone(previous), trust: repositories.trust });
    }
    let lines = stream::iter(repositories.value.to_vec()).map(|repository| {
        let origin = Arc::clone(&origin);
        async move {
            match line(&origin, &repository, age_max).await {
                Ok(line) => line,
                Err(error) => {
                    // One repository that cannot be used must not hide the others.
                    warn!(%repository, %error, "a workflow is left out of the list");
                    None
                }
            }
        }
    });
    let mut lines: Vec<_> = lines.buffer_unordered(limits::LISTING_CONCURRENCY).filter_map(std::future::ready).collect().await;
    lines.sort_by(|a, b| (&a.id, &a.repository).cmp(&(&b.id, &b.repository)));
    Ok(Read { value: lines.into(), trust: repositories.trust })
}

async fn line(origin: &Arc<Origin>, repository: &str, age_max: Duration) -> Result<Option<WorkflowEntry>, Error> {
    let ask = origin.ask_within(age_max);
    let Some(versions) = origin.versions(repository, &ask).await?.value else { return Ok(None) };
    let Some((tag, _)) = versions.choose() else { return Ok(None) };
    let Some(digest) = origin.digest(repository, tag, &ask).await?.value else { return Ok(None) };
    let facts = origin.facts(repository, &digest).await?;
    Ok(Some(WorkflowEntry {
        id: facts.id.clone(),
        name: facts.name.clone(),
        version: facts.version.clone(),
        description: facts.description.clone(),
        tags: facts.tags.clone(),
        examples: facts.examples.clone(),
        skills: facts.skills.clone(),
        repository: repository.to_owned(),
        versions: versions.names().map(ToOwned::to_owned).collect(),
        tag: tag.to_owned(),
        digest,
    }))
}
