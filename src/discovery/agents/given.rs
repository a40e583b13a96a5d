//! Cards given by hand, beside the registry's: `--agent-card`, tests, agents in the same process.

use std::collections::HashMap;
use std::sync::Arc;

use crate::a2a::Card;
use crate::discovery::FoundAgent;
use crate::ids::{Digest, SkillId};
use crate::limits;

/// One of them.
#[derive(Debug, Clone)]
pub(in crate::discovery) struct GivenCard {
    pub(super) card: Arc<Card>,
    /// Of the bytes that it was read from.
    pub(super) digest: Digest,
}

/// Cards in the order given.
#[derive(Debug, Clone, Default)]
pub(in crate::discovery) struct Given {
    cards: Vec<GivenCard>,
    by_skill: HashMap<SkillId, Arc<[usize]>>,
}

impl Given {
    /// With one more card. It takes the place of one with its name. False when there is no more room.
    pub(in crate::discovery) fn with(&self, card: Card, digest: Digest) -> Option<Self> {
        let mut cards = self.cards.clone();
        let given = GivenCard { card: Arc::new(card), digest };
        match cards.iter().position(|known| known.card.name == given.card.name) {
            Some(at) => cards[at] = given,
            None if cards.len() == limits::AGENTS_MAX => return None,
            None => cards.push(given),
        }
        let mut by_skill = HashMap::<_, Vec<_>>::new();
        for (index, given) in cards.iter().enumerate() {
            for skill in &given.card.skills {
                by_skill.entry(skill.id.clone()).or_default().push(index);
            }
        }
        let by_skill = by_skill.into_iter().map(|(skill, offering)| (skill, offering.into())).collect();
        Some(Self { cards, by_skill })
    }

    /// The first card with a skill, and how many have it.
    pub(super) fn offering(&self, skill: &str) -> Option<(&GivenCard, usize)> {
        let offering = self.by_skill.get(skill)?;
        Some((&self.cards[*offering.first()?], offering.len()))
    }

    /// Everybody who has a skill, in the order given.
    pub(super) fn all_offering(&self, skill: &str) -> Option<Arc<[usize]>> {
        self.by_skill.get(skill).cloned()
    }

    /// Every card.
    pub(super) fn cards(&self) -> &[GivenCard] {
        &self.cards
    }

    /// The card of an agent's name.
    pub(super) fn named(&self, is_meant: impl Fn(&str) -> bool) -> Option<&GivenCard> {
        self.cards.iter().find(|given| is_meant(&given.card.name))
    }

    /// Every skill.
    pub(super) fn skills(&self) -> impl Iterator<Item = &SkillId> {
        self.by_skill.keys()
    }
}

impl GivenCard {
    pub(super) fn chosen(&self, reason: String) -> FoundAgent {
        FoundAgent { card: Arc::clone(&self.card), digest: Some(self.digest.clone()), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_cards_are_given_and_one_of_them_can_be_replaced() {
        let digest = || Digest::parse(&format!("sha256:{}", "a".repeat(64))).expect("a digest");
        let card = |name: &str| Card { name: name.to_owned(), ..Card::default() };
        let other = GivenCard { card: Arc::new(card("other")), digest: digest() };
        let others = Given { cards: std::iter::repeat_n(other, limits::AGENTS_MAX - 1).collect(), ..Given::default() };
        let full = others.with(card("last"), digest()).expect("there is room for one");
        assert_eq!(full.cards().len(), limits::AGENTS_MAX);
        assert!(full.with(card("one more"), digest()).is_none());
        assert_eq!(full.with(card("last"), digest()).expect("it takes the place of itself").cards().len(), limits::AGENTS_MAX);
    }
}
