//! What a lookup gives.

use std::sync::Arc;

use serde::Serialize;

use crate::a2a::Card;
use crate::ids::Digest;
use crate::plan::Plan;

/// A workflow that was found.
#[derive(Debug, Clone)]
pub struct FoundWorkflow {
    /// Ready to run, pinned by the manifest's digest.
    pub plan: Arc<Plan>,
    /// Its repository.
    pub repository: String,
    /// The tag it was found by, when it was by tag.
    pub tag: Option<String>,
    /// Why this version: "highest of 3 versions", "tag `v1` as asked".
    pub choice: String,
}

/// One line of a list of workflows; from the manifest alone when it says enough.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorkflowEntry {
    /// `metadata.id`.
    pub id: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.version`.
    pub version: String,
    /// `metadata.description`.
    pub description: String,
    /// `metadata.tags`.
    pub tags: Vec<String>,
    /// `metadata.examples`.
    pub examples: Vec<String>,
    /// Skills it calls.
    pub skills: Vec<String>,
    /// Its repository.
    pub repository: String,
    /// Every tag of the repository, highest version first.
    pub versions: Vec<String>,
    /// The tag that is chosen when none is asked for.
    pub tag: String,
    /// The manifest's digest.
    pub digest: Digest,
}

/// An agent that offers a skill.
#[derive(Debug, Clone)]
pub struct FoundAgent {
    /// Its card.
    pub card: Arc<Card>,
    /// Of the card's manifest in the registry, or of the bytes of a card given by hand.
    pub digest: Option<Digest>,
    /// Why this agent: "only agent with the skill", "first of 2 by name".
    pub reason: String,
}

/// One line of a list of agents.
#[derive(Debug, Clone, Serialize)]
pub struct AgentEntry {
    /// Its card.
    pub card: Arc<Card>,
    /// Its repository; none for a card given by hand.
    pub repository: Option<String>,
    /// The tag.
    pub tag: Option<String>,
    /// The manifest's digest; of a card given by hand that of its bytes.
    pub digest: Option<Digest>,
}
