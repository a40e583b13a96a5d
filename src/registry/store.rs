//! What every registry can do.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use super::At;
use crate::ids::Digest;

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `workflows/…`, one YAML layer.
    Workflow,
    /// `agents/…`, one JSON layer.
    AgentCard,
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

/// Why a registry did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such repository, tag, manifest or blob.
    #[error("`{0}` is not in the registry")]
    NotFound(String),
}

/// A registry: [`Layout`](super) on disk or a remote one over HTTP.
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
}
