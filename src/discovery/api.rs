//! The seam; see the module.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::a2a::Card;
use crate::ids::Digest;
use crate::plan::Plan;
use crate::registry::{self, Pushed, Store};
use crate::workflow::Diagnostic;

/// How discovery behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long a tag or list that was read is trusted.
    pub ttl: Duration,
}

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
    /// Every tag of the repository.
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
    /// The card's manifest, when it came from the registry.
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
    /// The manifest's digest.
    pub digest: Option<Digest>,
}

/// Why nothing was found or pushed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// No such workflow.
    #[error("no workflow `{reference}` in {location}{hint}")]
    NoWorkflow {
        /// As asked.
        reference: String,
        /// Where.
        location: String,
        /// ": did you mean …", or empty.
        hint: String,
    },
    /// No agent offers the skill.
    #[error("no agent offers the skill `{skill}`{hint}")]
    NoAgent {
        /// As asked.
        skill: String,
        /// ": did you mean …", or empty.
        hint: String,
    },
    /// The workflow has errors.
    #[error("workflow `{name}` has {} problems", diagnostics.len())]
    Invalid {
        /// Which.
        name: String,
        /// Its text.
        text: Arc<str>,
        /// All of them.
        diagnostics: Vec<Diagnostic>,
    },
    /// Annotations and content contradict each other, or a card is none.
    #[error("{0}")]
    Contradiction(String),
    /// The registry did not answer.
    #[error("the registry failed: {0}")]
    Registry(Arc<registry::Error>),
}

/// Cheap to share: put it in an `Arc`.
#[derive(Debug)]
pub struct Discovery {
    #[expect(dead_code, reason = "seam")]
    store: Arc<dyn Store>,
}

impl Discovery {
    /// Looks things up in `store`.
    pub fn new(store: Arc<dyn Store>, _options: Options) -> Self {
        Self { store }
    }

    /// Reads a plan from text that is not in a registry. The plan is pinned by the text's digest.
    pub fn plan_from_text(&self, _name: &str, _text: &[u8]) -> Result<Arc<Plan>, Error> {
        Err(Error::Contradiction("seam".into()))
    }

    /// The plan of a run that is in the journal: its text, pinned by the digest it was started with. Not checked against the text,
    /// since the digest may be a manifest's.
    pub fn plan_pinned(&self, _text: &str, _digest: &Digest) -> Result<Arc<Plan>, Error> {
        Err(Error::Contradiction("seam".into()))
    }

    /// `id`, `id:tag`, `id@sha256:…`, `host/repo:tag`, or the `metadata.id` of a workflow in a repository of another name.
    pub async fn workflow(&self, _reference: &str) -> Result<FoundWorkflow, Error> {
        std::future::pending().await
    }

    /// Every workflow, one line each, by id.
    pub async fn workflows(&self) -> Result<Vec<WorkflowEntry>, Error> {
        std::future::pending().await
    }

    /// The agent for a skill; `pin` as a step's `agent:`.
    pub async fn agent(&self, _skill: &str, _pin: Option<&str>) -> Result<FoundAgent, Error> {
        std::future::pending().await
    }

    /// Every agent, one line each, by name.
    pub async fn agents(&self) -> Result<Vec<AgentEntry>, Error> {
        std::future::pending().await
    }

    /// Adds a card beside the registry's; it goes before theirs.
    pub fn add_card(&self, _card: Card) {}

    /// A call to this agent failed in a way that a moved agent or updated card explains: look again next time.
    pub fn forget_agent(&self, _name: &str) {}

    /// Checks and pushes a workflow to `workflows/<id>`, or to another repository, under its version and the tags given.
    pub async fn push_workflow(&self, _name: &str, _text: Bytes, _repository: Option<&str>, _tags: &[String]) -> Result<Pushed, Error> {
        std::future::pending().await
    }

    /// Checks and pushes a card to `agents/<name>`, or to another repository.
    pub async fn push_card(&self, _json: Bytes, _repository: Option<&str>, _tags: &[String]) -> Result<Pushed, Error> {
        std::future::pending().await
    }
}
