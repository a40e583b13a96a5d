//! Skills to agents: an index of every card, made anew when names are stale, read without waiting while they are fresh.
//!
//! The choice among several agents for a skill is deterministic: cards given by hand first, in the order given; then by the card's
//! name, then by repository. A card given by hand for a skill hides those of the registry. Of one repository the version counts that is chosen for workflows too.

mod given;
mod index;
mod lookup;
mod offers;

pub(super) use given::Given;
pub(super) use index::{Agents, index};
pub(super) use lookup::{entries, find, forget};
pub use offers::Offers;
pub(super) use offers::{offers, take};
