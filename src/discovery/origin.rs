//! What is known of one registry: names while they are fresh, content for ever.
//!
//! Used by `workflows`, `agents` and `push`; the only place here that talks to the store, except for pushes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;
use tracing::warn;

use super::Error;
use super::agents::Agents;
use super::annotations::{self, Annotations, WorkflowFacts};
use super::content::{Content, Weight};
use super::found::WorkflowEntry;
use super::slot::{Ask, Read, Slot, Slots, Stamp, Tasks};
use super::versions::Versions;
use super::workflows::Ids;
use crate::a2a::Card;
use crate::ids::Digest;
use crate::plan::Plan;
use crate::registry::{self, At, Kind, Manifest, Store, digest};
use crate::workflow::Severity;
use crate::{limits, workflow};

/// One registry.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) store: Arc<dyn Store>,
    ttl: Duration,
    tasks: Arc<Tasks>,
    pushes: AtomicU64,
    workflow_repositories: Arc<Slot<Arc<[String]>>>,
    agent_repositories: Arc<Slot<Arc<[String]>>>,
    versions: Slots<String, Option<Arc<Versions>>>,
    tags: Slots<String, Option<Digest>>,
    manifests: Content<Arc<Held>>,
    plans: Content<Verdict<Plan>>,
    facts: Content<Verdict<WorkflowFacts>>,
    cards: Content<Verdict<Card>>,
    /// Skills and who offers them.
    pub(super) agents: Arc<Slot<Arc<Agents>>>,
    /// The list of workflows.
    pub(super) list: Arc<Slot<Arc<[WorkflowEntry]>>>,
    /// Workflows by the id in their content.
    pub(super) ids: Arc<Slot<Arc<Ids>>>,
}

/// A manifest and what it claims.
#[derive(Debug)]
pub(super) struct Held {
    manifest: Manifest,
    annotations: Annotations,
}

/// What content is, once it has been read: usable, or refused for ever.
#[derive(Debug)]
struct Verdict<T>(Result<Arc<T>, Error>, u64);

impl Origin {
    /// Nothing is asked before it is needed.
    pub(super) fn new(store: Arc<dyn Store>, ttl: Duration, tasks: Arc<Tasks>) -> Self {
        Self {
            store,
            ttl,
            tasks,
            pushes: AtomicU64::new(0),
            workflow_repositories: Arc::default(),
            agent_repositories: Arc::default(),
            versions: Slots::new(limits::NAMES_REMEMBERED_MAX),
            tags: Slots::new(limits::NAMES_REMEMBERED_MAX),
            manifests: Content::new(),
            plans: Content::new(),
            facts: Content::new(),
            cards: Content::new(),
            agents: Arc::default(),
            list: Arc::default(),
            ids: Arc::default(),
        }
    }

    /// Names as fresh as the time to live says.
    pub(super) fn ask(&self) -> Ask<'_> {
        self.ask_within(self.ttl)
    }

    /// Names that were asked for just now; for when the usual answer was not good enough.
    pub(super) fn ask_again(&self) -> Ask<'_> {
        self.ask_within(limits::LOOK_AGAIN_PAUSE.min(self.ttl))
    }

    /// Names of at most this age.
    pub(super) fn ask_within(&self, age_max: Duration) -> Ask<'_> {
        let stamp = Stamp { store: self.store.generation(), pushes: self.pushes.load(Ordering::Acquire) };
        Ask { now: Instant::now(), stamp, age_max: Some(age_max), tasks: &self.tasks }
    }

    /// Something was pushed through here: every name may mean something else now.
    pub(super) fn pushed(&self) {
        self.pushes.fetch_add(1, Ordering::Release);
    }

    /// Every repository of a kind.
    pub(super) async fn repositories(&self, kind: Kind, ask: &Ask<'_>) -> Result<Read<Arc<[String]>>, Error> {
        let (slot, prefix) = match kind {
            Kind::Workflow => (&self.workflow_repositories, WORKFLOWS),
            Kind::AgentCard => (&self.agent_repositories, AGENTS),
        };
        slot.read(ask, |_| {
            let store = Arc::clone(&self.store);
            async move {
                let mut names = store.repositories(prefix).await?;
                names.retain(|name| name.starts_with(prefix));
                names.sort();
                names.dedup();
                if names.len() > limits::LIST_ENTRIES_MAX {
                    warn!(count = names.len(), limit = limits::LIST_ENTRIES_MAX, "the registry has more repositories than are looked at");
                    names.truncate(limits::LIST_ENTRIES_MAX);
                }
                Ok(Read::fresh(names.into()))
            }
            .boxed()
        })
        .await
    }

    /// The tags of a repository; none when there is no such repository.
    pub(super) async fn versions(&self, repository: &str, ask: &Ask<'_>) -> Result<Read<Option<Arc<Versions>>>, Error> {
        let repository = repository.to_owned();
        let slot = self.versions.slot(&repository);
        slot.read(ask, |_| {
            let (store, repository) = (Arc::clone(&self.store), repository.clone());
            async move {
                let tags = found(store.tags(&repository).await)?;
                Ok(Read::fresh(tags.map(|tags| Arc::new(Versions::new(tags.into_iter().take(limits::LIST_ENTRIES_MAX))))))
            }
            .boxed()
        })
        .await
    }

    /// What a tag points at; none when there is no such tag. The first answer brings the manifest too.
    pub(super) async fn digest(self: &Arc<Self>, repository: &str, tag: &str, ask: &Ask<'_>) -> Result<Read<Option<Digest>>, Error> {
        let slot = self.tags.slot(&format!("{repository}:{tag}"));
        slot.read(ask, |known: Option<Option<Digest>>| {
            let (origin, repository, tag) = (Arc::clone(self), repository.to_owned(), tag.to_owned());
            async move {
                if known.flatten().is_some() {
                    return found(origin.store.resolve(&repository, &tag).await).map(Read::fresh);
                }
                let Some(manifest) = found(origin.store.manifest(&repository, &At::Tag(tag)).await)? else {
                    return Ok(Read::fresh(None));
                };
                let held = Held::verify(&repository, manifest, None)?;
                let digest = held.manifest.digest.clone();
                let held = Arc::new(held);
                origin.manifests.put(&manifest_key(&repository, &digest), held);
                Ok(Read::fresh(Some(digest)))
            }
            .boxed()
        })
        .await
    }

    /// A manifest of a repository.
    pub(super) async fn manifest(&self, repository: &str, digest: &Digest) -> Result<Arc<Held>, Error> {
        self.manifests
            .read(&manifest_key(repository, digest), &self.ask(), || {
                let (store, repository, digest) = (Arc::clone(&self.store), repository.to_owned(), digest.clone());
                async move {
                    let manifest = store.manifest(&repository, &At::Digest(digest.clone())).await?;
                    Held::verify(&repository, manifest, Some(&digest)).map(Arc::new)
                }
                .boxed()
            })
            .await
    }

    /// The plan of a manifest.
    pub(super) async fn plan(self: &Arc<Self>, repository: &str, digest: &Digest) -> Result<Arc<Plan>, Error> {
        let verdict = self
            .plans
            .read(digest.as_str(), &self.ask(), || {
                let (origin, repository, digest) = (Arc::clone(self), repository.to_owned(), digest.clone());
                async move {
                    let (content, annotations) = origin.content(&repository, &digest, Kind::Workflow).await?;
                    let place = place(&repository, &digest);
                    let plan = read_plan(&place, &content, digest).and_then(|plan| {
                        WorkflowFacts::of(&plan).agree(&annotations, &place)?;
                        Ok(Arc::new(plan))
                    });
                    Ok(Verdict::new(plan, content.len(), &place))
                }
                .boxed()
            })
            .await?;
        verdict.0
    }

    /// What a list says of a manifest: from its annotations, or else from its content.
    pub(super) async fn facts(self: &Arc<Self>, repository: &str, digest: &Digest) -> Result<Arc<WorkflowFacts>, Error> {
        let verdict = self
            .facts
            .read(digest.as_str(), &self.ask(), || {
                let (origin, repository, digest) = (Arc::clone(self), repository.to_owned(), digest.clone());
                async move {
                    let held = origin.manifest(&repository, &digest).await?;
                    let size = held.manifest.bytes.len();
                    if let Some(facts) = WorkflowFacts::claimed(&held.annotations) {
                        return Ok(Verdict(Ok(Arc::new(facts)), size as u64));
                    }
                    match origin.plan(&repository, &digest).await {
                        Ok(plan) => Ok(Verdict(Ok(Arc::new(WorkflowFacts::of(&plan))), size as u64)),
                        Err(error @ Error::Registry(_)) => Err(error),
                        Err(error) => Ok(Verdict(Err(error), size as u64)),
                    }
                }
                .boxed()
            })
            .await?;
        verdict.0
    }

    /// The card of a manifest.
    pub(super) async fn card(self: &Arc<Self>, repository: &str, digest: &Digest) -> Result<Arc<Card>, Error> {
        let verdict = self
            .cards
            .read(digest.as_str(), &self.ask(), || {
                let (origin, repository, digest) = (Arc::clone(self), repository.to_owned(), digest.clone());
                async move {
                    let (content, annotations) = origin.content(&repository, &digest, Kind::AgentCard).await?;
                    let place = place(&repository, &digest);
                    let card = read_card(&place, &content).and_then(|card| {
                        annotations::card_agrees(&card, &annotations, &place)?;
                        Ok(Arc::new(card))
                    });
                    Ok(Verdict::new(card, content.len(), &place))
                }
                .boxed()
            })
            .await?;
        verdict.0
    }

    async fn content(&self, repository: &str, digest: &Digest, kind: Kind) -> Result<(bytes::Bytes, Annotations), Error> {
        let held = self.manifest(repository, digest).await?;
        let artifact = self.store.artifact(repository, &held.manifest, kind).await?;
        Ok((artifact.content, held.annotations.clone()))
    }
}

/// Where workflows are.
pub(super) const WORKFLOWS: &str = "workflows/";
/// Where cards are.
pub(super) const AGENTS: &str = "agents/";

/// Reads a workflow's text. `name` is for people.
pub(super) fn read_plan(name: &str, text: &[u8], digest: Digest) -> Result<Plan, Error> {
    let parsed = workflow::parse_bytes(text);
    let source = String::from_utf8_lossy(text);
    match parsed.workflow {
        Some(workflow) if parsed.diagnostics.iter().all(|one| one.severity != Severity::Error) => Ok(Plan::new(workflow, source, digest)),
        _ => Err(Error::Invalid { name: name.to_owned(), text: source.into(), diagnostics: parsed.diagnostics }),
    }
}

/// Reads a card. `name` is for people.
pub(super) fn read_card(name: &str, json: &[u8]) -> Result<Card, Error> {
    if json.len() > limits::CARD_BYTES_MAX {
        let (size, bytes_max) = (json.len(), limits::CARD_BYTES_MAX);
        return Err(Error::Contradiction(format!("{name} is no agent card: it has {size} bytes, the limit is {bytes_max}")));
    }
    Card::parse(json).map_err(|error| Error::Contradiction(format!("{name}: {error}")))
}

impl Held {
    /// Stores check what they read; it is checked here again, since everything after this trusts the digest for ever.
    fn verify(repository: &str, manifest: Manifest, asked: Option<&Digest>) -> Result<Self, Error> {
        let expected = asked.unwrap_or(&manifest.digest);
        let actual = digest::same_algorithm(expected, &manifest.bytes);
        if *expected != actual {
            let (what, expected) = (repository.to_owned(), expected.clone());
            return Err(registry::Error::DigestMismatch { what, expected, actual }.into());
        }
        let annotations = annotations::of_manifest(&manifest.bytes);
        Ok(Self { manifest: Manifest { digest: actual, ..manifest }, annotations })
    }
}

impl<T> Verdict<T> {
    fn new(result: Result<Arc<T>, Error>, size: usize, place: &str) -> Self {
        if let Err(error) = &result {
            // Content never changes, so this is said once for each digest as long as it is remembered.
            warn!(%place, %error, "content of the registry cannot be used");
        }
        Self(result, size as u64)
    }
}

impl<T> Clone for Verdict<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), self.1)
    }
}

impl<T> Weight for Verdict<T> {
    fn weight(&self) -> u64 {
        self.1
    }
}

impl Weight for Arc<Held> {
    fn weight(&self) -> u64 {
        self.manifest.bytes.len() as u64
    }
}

/// That a thing is not there is an answer, not a failure.
fn found<T>(result: Result<T, registry::Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(registry::Error::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A digest of one repository is not thereby in another.
fn manifest_key(repository: &str, digest: &Digest) -> String {
    format!("{repository}@{digest}")
}

fn place(repository: &str, digest: &Digest) -> String {
    format!("`{repository}@{}:{}…`", digest.algorithm(), digest.short())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Layout;

    #[test]
    fn so_many_names_of_a_registry_are_remembered() {
        let origin = Origin::new(Arc::new(Layout::ephemeral().unwrap()), Duration::ZERO, Arc::default());
        for n in 0..limits::NAMES_REMEMBERED_MAX * 2 {
            origin.tags.slot(&format!("workflows/w:{n}"));
            origin.versions.slot(&format!("workflows/{n}"));
        }
        let remembered = [origin.tags.len(), origin.versions.len()];
        for count in remembered {
            assert!(count <= limits::NAMES_REMEMBERED_MAX && count > limits::NAMES_REMEMBERED_MAX / 2, "{count}");
        }
    }
}
