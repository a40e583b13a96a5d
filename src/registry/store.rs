//! What every registry can do, and the things that go in and out.
//!
//! Implemented by [`Layout`](super::Layout) and [`Remote`](super::Remote). Used by `discovery` and the CLI.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use super::{At, Error, check_tag, media};
use crate::ids::Digest;
use crate::limits;

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `workflows/…`, one YAML layer.
    Workflow,
    /// `agents/…`, one JSON layer.
    AgentCard,
}

impl Kind {
    /// The `artifactType` of its manifests.
    pub const fn artifact_type(self) -> &'static str {
        match self {
            Self::Workflow => media::WORKFLOW,
            Self::AgentCard => media::AGENT_CARD,
        }
    }

    /// The media type of its layer.
    pub const fn layer_type(self) -> &'static str {
        match self {
            Self::Workflow => media::YAML,
            Self::AgentCard => media::JSON,
        }
    }

    /// The title of its layer.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Workflow => "workflow.yaml",
            Self::AgentCard => "agent-card.json",
        }
    }

    /// The folder of its repositories: `workflows` in `workflows/<id>`.
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Workflow => "workflows",
            Self::AgentCard => "agents",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Workflow => "workflow",
            Self::AgentCard => "agent card",
        })
    }
}

/// A manifest, bytes verbatim.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// Digest of the bytes.
    pub digest: Digest,
    /// As stored.
    pub bytes: Bytes,
    /// As stored.
    pub media_type: String,
}

/// A workflow or card with its manifest.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// Digest of the manifest: what pins a plan.
    pub digest: Digest,
    /// The layer's bytes: YAML or JSON.
    pub content: Bytes,
    /// The manifest's annotations.
    pub annotations: BTreeMap<String, String>,
}

/// What a push made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Digest of the manifest.
    pub digest: Digest,
    /// The tags that point at it now.
    pub tags: Vec<String>,
}

/// A registry: [`Layout`](super::Layout) on disk or a [`Remote`](super::Remote) one over HTTP.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// Where it is, for people.
    fn location(&self) -> String;
    /// The manifest of a tag or digest. The digest is verified.
    async fn manifest(&self, repository: &str, at: &At) -> Result<Manifest, Error>;
    /// The digest a tag points at (HEAD), without the manifest.
    async fn resolve(&self, repository: &str, tag: &str) -> Result<Digest, Error>;
    /// The single fitting layer of a manifest, verified and bounded.
    async fn artifact(&self, repository: &str, manifest: &Manifest, kind: Kind) -> Result<Artifact, Error>;
    /// Stores content as an artifact under tags.
    async fn push(
        &self,
        repository: &str,
        kind: Kind,
        content: Bytes,
        annotations: BTreeMap<String, String>,
        tags: &[String],
    ) -> Result<Pushed, Error>;
    /// The tags of a repository; an error when there is none.
    async fn tags(&self, repository: &str) -> Result<Vec<String>, Error>;
    /// Every repository whose name begins with `prefix`.
    async fn repositories(&self, prefix: &str) -> Result<Vec<String>, Error>;
    /// A count that rises with every change of a tag, for stores that see every change; while it stands, nothing that was read is
    /// stale. None for those that do not.
    fn generation(&self) -> Option<u64> {
        None
    }
}

/// What must hold before anything is sent: readable size, tags that are tags. Sorted, each once.
pub(super) fn checked_push(repository: &str, content: &Bytes, tags: &[String]) -> Result<Vec<String>, Error> {
    if content.len() > limits::BLOB_BYTES_MAX {
        return Err(Error::TooLarge { what: repository.to_owned(), bytes_max: limits::BLOB_BYTES_MAX as u64 });
    }
    let mut tags = tags.to_vec();
    tags.sort();
    tags.dedup();
    match tags.iter().find_map(|tag| Some((tag, check_tag(tag).err()?))) {
        Some((tag, error)) => Err(Error::bad_name(tag, error)),
        None => Ok(tags),
    }
}
