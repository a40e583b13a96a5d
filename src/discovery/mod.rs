//! Names to things, cached by digest: workflow references to plans, skills to agents. Also what is pushed: annotations derive from content.
//!
//! Used by `engine`, `server` and `cli`. Must not run anything, and must not know how a registry is spoken to.
//!
//! - `Discovery` is the face. It owns one `Origin`, what is known of one registry, and others by host when references may name them.
//! - A *name* (a tag, a list of tags, a list of repositories, an index made of them) is remembered in a `Slot`: trusted for a time,
//!   asked for once however many want it, served from memory while the registry is away.
//! - *Content* (a manifest, plan, card) is known by its digest and therefore never asked for twice.

mod agents;
mod annotations;
mod api;
mod awaited;
mod content;
mod error;
mod found;
mod hint;
mod origin;
mod pin;
mod push;
mod slot;
mod versions;
mod workflows;

pub use agents::Offers;
pub use api::{Discovery, Opener, Options};
pub use error::Error;
pub use found::{AgentEntry, FoundAgent, FoundWorkflow, WorkflowEntry};
