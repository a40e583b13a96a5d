//! The index of the registry's cards: how it is made, and what it answers.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use tracing::debug;

use crate::a2a::Card;
use crate::discovery::origin::{AGENTS, Origin};
use crate::discovery::pin::repository_part;
use crate::discovery::slot::{Ask, Read, Trust};
use crate::discovery::{Error, hint};
use crate::ids::{Digest, SkillId};
use crate::limits;
use crate::registry::Kind;

/// Every card that can be read.
#[derive(Debug)]
pub(in crate::discovery) struct Agents {
    /// By name, then repository.
    pub(super) entries: Vec<Arc<Entry>>,
    by_skill: HashMap<SkillId, Offer>,
    /// By the card's name, that name as a part of a repository, the repository, and its last part.
    by_name: HashMap<String, Vec<usize>>,
    /// Repositories whose card cannot be used, and why.
    pub(super) unreadable: Vec<(String, Error)>,
}

/// One card of the registry.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) card: Arc<Card>,
    pub(super) repository: String,
    pub(super) tag: String,
    pub(super) digest: Digest,
    pub(super) trust: Trust,
    /// A call to it failed in a way that a newer card may explain.
    pub(super) suspect: AtomicBool,
}

/// Who has a skill.
#[derive(Debug)]
struct Offer {
    /// By name; never empty.
    all: Arc<[usize]>,
    /// Why the first is chosen when nothing speaks against it.
    reason: String,
}

/// What a look at one repository gave.
#[derive(Debug)]
pub(super) enum Look {
    Agent(Arc<Entry>),
    Unreadable(Error),
    /// No such repository, or no tag in it.
    Nothing,
}

/// The index, as fresh as asked.
pub(in crate::discovery) async fn index(origin: &Arc<Origin>, ask: &Ask<'_>) -> Result<Read<Arc<Agents>>, Error> {
    let age_max = ask.age_max.unwrap_or(Duration::MAX);
    origin
        .agents
        .read(ask, |previous| {
            let origin = Arc::clone(origin);
            build(origin, age_max, previous).boxed()
        })
        .await
}

async fn build(origin: Arc<Origin>, age_max: Duration, previous: Option<Arc<Agents>>) -> Result<Read<Arc<Agents>>, Error> {
    let repositories = origin.repositories(Kind::AgentCard, &origin.ask_within(age_max)).await?;
    if let (Some(previous), true) = (&previous, repositories.trust != Trust::Fresh) {
        // A registry that is away is not asked about each repository.
        return Ok(Read { value: Arc::clone(previous), trust: repositories.trust });
    }
    let known: HashMap<_, _> =
        previous.iter().flat_map(|agents| &agents.entries).map(|entry| (entry.repository.clone(), Arc::clone(entry))).collect();
    let known = Arc::new(known);
    let names: Vec<_> = repositories.value.iter().take(limits::AGENTS_MAX).cloned().collect();
    let looks = stream::iter(names).map(|repository| {
        let (origin, known) = (Arc::clone(&origin), known.get(&repository).cloned());
        async move {
            let look = look(&origin, &repository, age_max, repositories.trust, known).await;
            (repository, look)
        }
    });
    let looks: Vec<_> = looks.buffer_unordered(limits::LISTING_CONCURRENCY).collect().await;
    let (mut entries, mut unreadable) = (Vec::with_capacity(looks.len()), Vec::new());
    for (repository, look) in looks {
        match look {
            Look::Agent(entry) => entries.push(entry),
            Look::Unreadable(error) => unreadable.push((repository, error)),
            Look::Nothing => {}
        }
    }
    debug!(agents = entries.len(), unreadable = unreadable.len(), "agents were listed");
    Ok(Read { value: Arc::new(Agents::new(entries, unreadable)), trust: repositories.trust })
}

/// Looks at one repository. What was known of it stays when the registry fails in the middle.
pub(super) async fn look(origin: &Arc<Origin>, repository: &str, age_max: Duration, trust: Trust, known: Option<Arc<Entry>>) -> Look {
    match try_look(origin, repository, age_max, trust, known.as_deref()).await {
        Ok(look) => look,
        Err(error @ Error::Registry(_)) if !error.is_not_found() => match known {
            Some(known) => Look::Agent(Arc::new(Entry::new(&known.card, repository, &known.tag, &known.digest, Trust::Unreachable))),
            None => Look::Unreadable(error),
        },
        Err(error) => Look::Unreadable(error),
    }
}

async fn try_look(origin: &Arc<Origin>, repository: &str, age_max: Duration, trust: Trust, known: Option<&Entry>) -> Result<Look, Error> {
    let ask = origin.ask_within(age_max);
    let versions = origin.versions(repository, &ask).await?;
    let Some((tag, _)) = versions.value.as_ref().and_then(|versions| versions.choose()) else { return Ok(Look::Nothing) };
    let digest = origin.digest(repository, tag, &ask).await?;
    let Some(found) = digest.value else { return Ok(Look::Nothing) };
    // A large registry's cards need not all be in the bounded cache: the index itself holds them.
    let card = match known {
        Some(known) if known.digest == found => Arc::clone(&known.card),
        _ => origin.card(repository, &found).await?,
    };
    let trust = trust.max(versions.trust).max(digest.trust);
    Ok(Look::Agent(Arc::new(Entry::new(&card, repository, tag, &found, trust))))
}

impl Entry {
    fn new(card: &Arc<Card>, repository: &str, tag: &str, digest: &Digest, trust: Trust) -> Self {
        Self {
            card: Arc::clone(card),
            repository: repository.to_owned(),
            tag: tag.to_owned(),
            digest: digest.clone(),
            trust,
            suspect: AtomicBool::new(false),
        }
    }

    /// Names by which steps may pin it.
    fn names(&self) -> [String; 4] {
        let last = self.repository.strip_prefix(AGENTS).unwrap_or(&self.repository);
        [self.card.name.clone(), repository_part(&self.card.name), self.repository.clone(), last.to_owned()]
    }
}

impl Agents {
    fn new(mut entries: Vec<Arc<Entry>>, mut unreadable: Vec<(String, Error)>) -> Self {
        entries.sort_by(|a, b| (&a.card.name, &a.repository).cmp(&(&b.card.name, &b.repository)));
        unreadable.sort_by(|a, b| a.0.cmp(&b.0));
        let (mut offering, mut by_name) = (HashMap::<&SkillId, Vec<usize>>::new(), HashMap::<String, Vec<usize>>::new());
        for (at, entry) in entries.iter().enumerate() {
            for skill in &entry.card.skills {
                let offering = offering.entry(&skill.id).or_default();
                // A card that lists a skill twice offers it once.
                if offering.last() != Some(&at) {
                    offering.push(at);
                }
            }
            for name in entry.names() {
                let named = by_name.entry(name).or_default();
                if named.last() != Some(&at) {
                    named.push(at);
                }
            }
        }
        let by_skill = offering.into_iter().map(|(skill, offering)| (skill.clone(), Offer::new(&entries, &offering))).collect();
        Self { entries, by_skill, by_name, unreadable }
    }

    /// With another look at one repository.
    pub(super) fn with(&self, repository: &str, look: Look) -> Self {
        let mut entries: Vec<_> = self.entries.iter().filter(|entry| entry.repository != repository).cloned().collect();
        let mut unreadable: Vec<_> = self.unreadable.iter().filter(|(name, _)| name != repository).cloned().collect();
        match look {
            Look::Agent(entry) => entries.push(entry),
            Look::Unreadable(error) => unreadable.push((repository.to_owned(), error)),
            Look::Nothing => {}
        }
        Self::new(entries, unreadable)
    }

    /// Who is chosen for a skill, and why.
    pub(super) fn offering(&self, skill: &str) -> Option<(&Arc<Entry>, &str)> {
        self.by_skill.get(skill).map(|offer| (&self.entries[offer.all[0]], offer.reason.as_str()))
    }

    /// Everybody who has a skill, in the order of choice.
    pub(super) fn all_offering(&self, skill: &str) -> Option<Arc<[usize]>> {
        self.by_skill.get(skill).map(|offer| Arc::clone(&offer.all))
    }

    /// Who has a name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &Arc<Entry>> {
        self.by_name.get(name).into_iter().flatten().map(|&at| &self.entries[at])
    }

    /// Every skill.
    pub(super) fn skills(&self) -> impl Iterator<Item = &SkillId> {
        self.by_skill.keys()
    }
}

impl Offer {
    fn new(entries: &[Arc<Entry>], offering: &[usize]) -> Self {
        let reason = match offering {
            [_] => "only agent with the skill".to_owned(),
            [_, others @ ..] => {
                let names: Vec<_> = others.iter().map(|&at| entries[at].card.name.as_str()).collect();
                format!("first of {} by name (others: {})", offering.len(), hint::listed(&names))
            }
            [] => String::new(),
        };
        Self { all: offering.into(), reason }
    }
}
