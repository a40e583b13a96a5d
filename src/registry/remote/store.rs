//! A remote registry as a [`Store`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use super::super::manifest::fitting_layer;
use super::super::{Artifact, At, Error, Kind, Manifest, Pushed, Store};
use super::Remote;
use crate::ids::Digest;

#[async_trait]
impl Store for Remote {
    fn location(&self) -> String {
        self.registry().to_owned()
    }

    async fn manifest(&self, repository: &str, at: &At) -> Result<Manifest, Error> {
        self.fetch_manifest(repository, at).await
    }

    async fn resolve(&self, repository: &str, tag: &str) -> Result<Digest, Error> {
        self.fetch_digest(repository, tag).await
    }

    async fn artifact(&self, repository: &str, manifest: &Manifest, kind: Kind) -> Result<Artifact, Error> {
        let what = self.what(repository, &At::Digest(manifest.digest.clone()))?;
        let (document, layer) = fitting_layer(&what, repository, manifest, kind)?;
        let digest = Digest::parse(&layer.digest).map_err(|error| Error::invalid(&what, error.to_string()))?;
        let content = self.fetch_blob(repository, &digest, layer.size).await?;
        Ok(Artifact { digest: manifest.digest.clone(), content, annotations: document.annotations.unwrap_or_default() })
    }

    async fn push(
        &self,
        repository: &str,
        kind: Kind,
        content: Bytes,
        annotations: BTreeMap<String, String>,
        tags: &[String],
    ) -> Result<Pushed, Error> {
        self.push_artifact(repository, kind, content, annotations, tags).await
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        self.fetch_tags(repository).await
    }

    async fn repositories(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.fetch_repositories(prefix).await
    }
}
