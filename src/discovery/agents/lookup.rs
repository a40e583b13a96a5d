//! The agent for a skill: from the index while it is fresh, healed when a call has failed, looked for again before giving up.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Given;
use super::index::{Agents, Entry, Look, index, look};
use crate::a2a::Card;
use crate::discovery::origin::{AGENTS, Origin};
use crate::discovery::pin::{At, Pin, repository_part};
use crate::discovery::slot::{Read, Trust};
use crate::discovery::{AgentEntry, Error, FoundAgent, hint};
use crate::ids::Digest;
use crate::limits;
use crate::registry::check_repository;

/// Agents that were called wrong in a row before the last is taken as it is.
const SUSPECTS_MAX: usize = 3;

/// The agent for a skill.
pub(in crate::discovery) async fn find(origin: &Arc<Origin>, given: &Given, skill: &str, pin: Option<&str>) -> Result<FoundAgent, Error> {
    if let Some(pin) = pin {
        return Box::pin(pinned(origin, given, skill, pin)).await;
    }
    if let Some((first, count)) = given.offering(skill) {
        let reason = if count == 1 { "its card was given by hand".to_owned() } else { format!("first of {count} cards given by hand") };
        return Ok(first.chosen(reason));
    }
    if let Some(found) = offered(origin, skill, &index(origin, &origin.ask()).await?).await {
        return Ok(found);
    }
    // Boxed, as what follows a failed call is: most lookups find who is known to offer it.
    Box::pin(async {
        // The index may be as old as names are trusted, and the agent new.
        let read = index(origin, &origin.ask_again()).await?;
        offered(origin, skill, &read).await.ok_or_else(|| nobody(given, skill, &read))
    })
    .await
}

/// Every agent, by name; a card given by hand goes before one of the registry with its name.
pub(in crate::discovery) fn entries(given: &Given, agents: &Agents) -> Vec<AgentEntry> {
    let by_hand = given.cards().iter().map(|given| AgentEntry {
        card: Arc::clone(&given.card),
        repository: None,
        tag: None,
        digest: Some(given.digest.clone()),
    });
    let registered = agents.entries.iter().map(|entry| AgentEntry {
        card: Arc::clone(&entry.card),
        repository: Some(entry.repository.clone()),
        tag: Some(entry.tag.clone()),
        digest: Some(entry.digest.clone()),
    });
    let mut entries: Vec<_> = by_hand.chain(registered).collect();
    entries.sort_by(|a, b| a.card.name.cmp(&b.card.name));
    entries
}

/// Marks agents, so that the next lookup that would choose one looks at its card again.
pub(in crate::discovery) fn forget(origin: &Origin, name: &str) {
    if let Some(agents) = origin.agents.known() {
        agents.named(Pin::parse(name).name).chain(agents.named(name)).for_each(|entry| entry.suspect.store(true, Ordering::Release));
    }
}

async fn offered(origin: &Arc<Origin>, skill: &str, read: &Read<Arc<Agents>>) -> Option<FoundAgent> {
    let (entry, reason) = read.value.offering(skill)?;
    if !entry.suspect.load(Ordering::Acquire) {
        return Some(chosen(entry, reason, read.trust));
    }
    Box::pin(offered_after_a_look(origin, skill, read)).await
}

/// The same, when a call to the first has failed lately.
async fn offered_after_a_look(origin: &Arc<Origin>, skill: &str, read: &Read<Arc<Agents>>) -> Option<FoundAgent> {
    let mut agents = Arc::clone(&read.value);
    for _ in 0..SUSPECTS_MAX {
        let (entry, _) = agents.offering(skill)?;
        if !entry.suspect.load(Ordering::Acquire) {
            break;
        }
        revalidate(origin, entry).await;
        agents = origin.agents.known().unwrap_or(agents);
    }
    agents.offering(skill).map(|(entry, reason)| chosen(entry, reason, read.trust))
}

/// Looks at an agent's tag again, unless that was done a moment ago, and puts what is found into the index.
pub(super) async fn revalidate(origin: &Arc<Origin>, entry: &Arc<Entry>) {
    let age_max = origin.ask_again().age_max.unwrap_or(limits::LOOK_AGAIN_PAUSE);
    let look = look(origin, &entry.repository, age_max, Trust::Fresh, Some(Arc::clone(entry))).await;
    match look {
        Look::Agent(now) if now.digest == entry.digest && now.tag == entry.tag => entry.suspect.store(false, Ordering::Release),
        look => origin.agents.update(|agents| Arc::new(agents.with(&entry.repository, look))),
    }
}

pub(super) fn chosen(entry: &Entry, reason: &str, trust: Trust) -> FoundAgent {
    let note = trust.max(entry.trust).note();
    let mut text = String::with_capacity(reason.len() + note.len());
    text.push_str(reason);
    text.push_str(note);
    FoundAgent { card: Arc::clone(&entry.card), digest: Some(entry.digest.clone()), reason: text }
}

async fn pinned(origin: &Arc<Origin>, given: &Given, skill: &str, text: &str) -> Result<FoundAgent, Error> {
    if let Some(given) = given.named(|name| name == text || repository_part(name) == text) {
        has_skill(&given.card, skill, text)?;
        return Ok(given.chosen(format!("pinned to `{text}`, its card was given by hand")));
    }
    let mut read = index(origin, &origin.ask()).await?;
    let pin = Pin::parse(text);
    if !is_known(&read.value, text, &pin) {
        read = index(origin, &origin.ask_again()).await?;
    }
    // A card may be named like a pin with a tag: the whole text goes first.
    if let Some(entry) = named(origin, &mut read, text, skill).await {
        has_skill(&entry.card, skill, text)?;
        return Ok(chosen(&entry, &format!("pinned to `{text}`"), read.trust));
    }
    let (repository, again) = match read.value.named(pin.name).next() {
        Some(entry) => (entry.repository.clone(), entry.suspect.load(Ordering::Acquire)),
        None if pin.at != At::Best && check_repository(&repository_of(pin.name)).is_ok() => (repository_of(pin.name), false),
        None => return Err(no_such_agent(given, skill, text, &read)),
    };
    if again {
        named(origin, &mut read, pin.name, skill).await;
    }
    let (digest, trust) = match pin.at {
        At::Best => return Err(no_such_agent(given, skill, text, &read)),
        At::Digest(digest) => (digest, Trust::Fresh),
        At::Tag(tag) => {
            let ask = if again { origin.ask_again() } else { origin.ask() };
            let mut tagged = origin.digest(&repository, tag, &ask).await?;
            if tagged.value.is_none() {
                tagged = origin.digest(&repository, tag, &origin.ask_again()).await?;
            }
            (tagged.value.ok_or_else(|| no_such_version(skill, text, &repository))?, tagged.trust)
        }
    };
    let card = version(origin, skill, text, &repository, &digest).await?;
    has_skill(&card, skill, text)?;
    Ok(FoundAgent { card, digest: Some(digest), reason: format!("pinned to `{text}`{}", trust.note()) })
}

fn is_known(agents: &Agents, text: &str, pin: &Pin<'_>) -> bool {
    agents.named(text).chain(agents.named(pin.name)).next().is_some()
}

/// The agent of a name; of several the first that has the skill.
async fn named(origin: &Arc<Origin>, read: &mut Read<Arc<Agents>>, name: &str, skill: &str) -> Option<Arc<Entry>> {
    let suspects: Vec<_> =
        read.value.named(name).filter(|entry| entry.suspect.load(Ordering::Acquire)).take(SUSPECTS_MAX).cloned().collect();
    for entry in &suspects {
        revalidate(origin, entry).await;
    }
    if !suspects.is_empty()
        && let Some(now) = origin.agents.known()
    {
        read.value = now;
    }
    let mut named = read.value.named(name);
    let first = named.next()?;
    let chosen = std::iter::once(first).chain(named).find(|entry| entry.card.skill(skill).is_some()).unwrap_or(first);
    Some(Arc::clone(chosen))
}

async fn version(origin: &Arc<Origin>, skill: &str, pin: &str, repository: &str, digest: &Digest) -> Result<Arc<Card>, Error> {
    // The manifest is asked for by repository, so that a digest of another repository is not found in this one.
    match origin.manifest(repository, digest).await {
        Ok(_) => origin.card(repository, digest).await,
        Err(error) if error.is_not_found() => Err(no_such_version(skill, pin, repository)),
        Err(error) => Err(error),
    }
}

fn repository_of(name: &str) -> String {
    if name.starts_with(AGENTS) { name.to_owned() } else { format!("{AGENTS}{name}") }
}

fn has_skill(card: &Card, skill: &str, pin: &str) -> Result<(), Error> {
    if card.skill(skill).is_some() {
        return Ok(());
    }
    let offered: Vec<_> = card.skills.iter().map(|skill| skill.id.as_str()).collect();
    let offered = if offered.is_empty() { "nothing".to_owned() } else { hint::listed(&offered) };
    Err(Error::NoAgent { skill: skill.to_owned(), hint: format!(": the step is pinned to the agent `{pin}`, which offers {offered}") })
}

fn no_such_version(skill: &str, pin: &str, repository: &str) -> Error {
    let hint = format!(": the step is pinned to the agent `{pin}`, and `{repository}` has no such version");
    Error::NoAgent { skill: skill.to_owned(), hint }
}

fn no_such_agent(given: &Given, skill: &str, pin: &str, read: &Read<Arc<Agents>>) -> Error {
    let registered = read.value.entries.iter().map(|entry| entry.card.name.as_str());
    let mut names: Vec<_> = given.cards().iter().map(|given| given.card.name.as_str()).chain(registered).collect();
    names.sort_unstable();
    names.dedup();
    let instead = hint::instead_of(pin, &names);
    let hint = format!(": the step is pinned to `{pin}`, and there is no such agent{instead}{}", trouble(read));
    Error::NoAgent { skill: skill.to_owned(), hint }
}

pub(super) fn nobody(given: &Given, skill: &str, read: &Read<Arc<Agents>>) -> Error {
    let mut skills: Vec<_> = given.skills().chain(read.value.skills()).map(|skill| skill.as_str()).collect();
    skills.sort_unstable();
    skills.dedup();
    let instead = if skills.is_empty() { ": there are no agents".to_owned() } else { hint::instead_of(skill, &skills) };
    Error::NoAgent { skill: skill.to_owned(), hint: format!("{instead}{}", trouble(read)) }
}

/// What may be the reason that something is missing: cards that cannot be read, a registry that is away.
fn trouble(read: &Read<Arc<Agents>>) -> String {
    let cards = match read.value.unreadable.as_slice() {
        [] => String::new(),
        [(repository, error)] => format!("; the card of `{repository}` cannot be read: {error}"),
        [(repository, error), rest @ ..] => {
            format!("; {} cards cannot be read, the first is `{repository}`: {error}", rest.len() + 1)
        }
    };
    format!("{cards}{}", read.trust.note())
}
