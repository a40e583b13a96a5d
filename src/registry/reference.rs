//! `host/repository:tag`, `repository@sha256:…`.

use crate::ids::Digest;

/// A tag or a digest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum At {
    /// A tag.
    Tag(String),
    /// A digest.
    Digest(Digest),
}

/// A name in a registry, as people write it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `host[:port]`, when written.
    pub registry: Option<String>,
    /// `workflows/code-generation`.
    pub repository: String,
    /// Tag or digest, when written.
    pub at: Option<At>,
}

impl Reference {
    /// Parses a reference (distribution-spec, "Pulling manifests").
    pub fn parse(_text: &str) -> Result<Self, String> {
        Err("unread".to_owned())
    }
}
