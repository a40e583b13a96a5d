//! Everybody who offers a skill, for callers who choose among them: by turn, by load, or whoever can be reached.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Given;
use super::index::{Agents, index};
use super::lookup::{chosen, nobody, revalidate};
use crate::a2a::Card;
use crate::discovery::origin::Origin;
use crate::discovery::slot::Trust;
use crate::discovery::{Error, FoundAgent};

/// The agents that offer one skill, in the order of choice; at least one. A look at the index, not a copy of it.
#[derive(Debug, Clone)]
pub struct Offers {
    skill: String,
    places: Arc<[usize]>,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    /// Cards given by hand hide those of the registry.
    Hand(Arc<Given>),
    Registry(Arc<Agents>, Trust),
}

impl Offers {
    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one: nobody at all is an error")]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// The card of the one at a place, from 0.
    pub fn card(&self, place: usize) -> &Arc<Card> {
        let at = self.places[place];
        match &self.source {
            Source::Hand(given) => &given.cards()[at].card,
            Source::Registry(agents, _) => &agents.entries[at].card,
        }
    }

    /// Why the one at this place is chosen when those before it are not.
    fn reason(&self, place: usize) -> String {
        let (number, count) = (place + 1, self.len());
        match &self.source {
            Source::Hand(_) if count == 1 => "its card was given by hand".to_owned(),
            Source::Hand(_) if place == 0 => format!("first of {count} cards given by hand"),
            Source::Hand(_) => format!("number {number} of {count} cards given by hand"),
            Source::Registry(agents, _) if place == 0 => {
                agents.offering(&self.skill).map_or_else(String::new, |(_, reason)| reason.to_owned())
            }
            Source::Registry(..) => format!("number {number} of {count} by name"),
        }
    }
}

/// Everybody who offers a skill.
pub(in crate::discovery) async fn offers(origin: &Arc<Origin>, given: Arc<Given>, skill: &str) -> Result<Offers, Error> {
    if let Some(places) = given.all_offering(skill) {
        return Ok(Offers { skill: skill.to_owned(), places, source: Source::Hand(given) });
    }
    let mut read = index(origin, &origin.ask()).await?;
    if read.value.all_offering(skill).is_none() {
        // The index may be as old as names are trusted, and the agent new.
        read = index(origin, &origin.ask_again()).await?;
    }
    match read.value.all_offering(skill) {
        Some(places) => Ok(Offers { skill: skill.to_owned(), places, source: Source::Registry(read.value, read.trust) }),
        None => Err(nobody(&given, skill, &read)),
    }
}

/// One of them.
pub(in crate::discovery) async fn take(origin: &Arc<Origin>, offers: &Offers, place: usize) -> Option<FoundAgent> {
    let at = *offers.places.get(place)?;
    let reason = offers.reason(place);
    match &offers.source {
        Source::Hand(given) => Some(given.cards().get(at)?.chosen(reason)),
        Source::Registry(agents, trust) => {
            let entry = agents.entries.get(at)?;
            if !entry.suspect.load(Ordering::Acquire) {
                return Some(chosen(entry, &reason, *trust));
            }
            revalidate(origin, entry).await;
            let now = origin.agents.known()?;
            let entry = now.entries.iter().find(|now| now.repository == entry.repository)?;
            let offered = entry.card.skill(&offers.skill).is_some();
            offered.then(|| chosen(entry, &reason, *trust))
        }
    }
}
