//! The JSON of manifests, indexes and descriptors (image-spec, manifest.md and descriptor.md).
//!
//! Lenient where others differ: absent and `null` mean the same, unknown keys are skipped. The order of the fields is the
//! order in which stock oras writes them, so that equal content has an equal digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::{Error, media};

/// What a manifest or index says, as far as anyone here asks.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Document {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) schema_version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) media_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) artifact_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) config: Option<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) layers: Option<Vec<Descriptor>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) manifests: Option<Vec<Descriptor>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) subject: Option<Descriptor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) annotations: Option<BTreeMap<String, String>>,
}

/// What points at content. Digests stay text: a manifest of others may name an algorithm we do not know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in super::super) struct Descriptor {
    #[serde(default)]
    pub(in super::super) media_type: String,
    pub(in super::super) digest: String,
    pub(in super::super) size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) urls: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) annotations: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in super::super) artifact_type: Option<String>,
}

impl Document {
    /// Reads the bytes of a manifest; `what` names it in the error.
    pub(in super::super) fn read(what: &str, bytes: &[u8]) -> Result<Self, Error> {
        serde_json::from_slice(bytes).map_err(|error| Error::invalid(what, format!("its manifest cannot be read: {error}")))
    }

    /// What the artifact says it is.
    pub(in super::super) fn kind_type(&self) -> Option<&str> {
        let named = |text: &'_ &str| !text.is_empty();
        self.artifact_type.as_deref().filter(named).or_else(|| self.config.as_ref().map(|config| config.media_type.as_str()).filter(named))
    }

    /// An index of manifests rather than one manifest.
    pub(in super::super) fn is_index(&self) -> bool {
        let by_type = self.media_type.as_deref().is_some_and(|it| it == media::INDEX || it == media::DOCKER_INDEX);
        by_type || (self.manifests.is_some() && self.layers.is_none())
    }
}

impl Descriptor {
    /// One of its annotations.
    pub(in super::super) fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}
