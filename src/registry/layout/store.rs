//! The registry on disk as a [`Store`].

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;

use super::super::manifest::{build, fitting_layer};
use super::super::store::checked_push;
use super::super::{Artifact, At, Error, Kind, Manifest, Pushed, Store, media};
use super::Layout;
use crate::ids::Digest;
use crate::limits;

#[async_trait]
impl Store for Layout {
    fn location(&self) -> String {
        // The folder of a layout that ends with the process says nothing to people.
        if self.is_ephemeral() { "the registry built into gantry".to_owned() } else { self.root().display().to_string() }
    }

    fn generation(&self) -> Option<u64> {
        Some(Layout::generation(self))
    }

    async fn manifest(&self, repository: &str, at: &At) -> Result<Manifest, Error> {
        self.manifest_at(repository, at).await
    }

    async fn resolve(&self, repository: &str, tag: &str) -> Result<Digest, Error> {
        self.resolve_tag(repository, tag).await
    }

    async fn artifact(&self, repository: &str, manifest: &Manifest, kind: Kind) -> Result<Artifact, Error> {
        let what = format!("{repository}@{}", manifest.digest);
        let (document, layer) = fitting_layer(&what, repository, manifest, kind)?;
        let digest = Digest::parse(&layer.digest).map_err(|error| Error::invalid(&what, error.to_string()))?;
        let content = self.read_blob(repository, &digest, limits::BLOB_BYTES_MAX as u64).await?;
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
        let tags = checked_push(repository, &content, tags)?;
        let built = build(kind, &content, annotations);
        let config = (built.config, Bytes::from_static(media::EMPTY_JSON));
        self.put_blobs(repository, vec![(built.layer, content), config]).await?;
        let stored = self.put_manifest(repository, built.digest, built.manifest, media::MANIFEST.to_owned(), tags.clone()).await?;
        Ok(Pushed { digest: stored.digest, tags })
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        Ok(self.tag_map(repository).await?.into_keys().collect())
    }

    async fn repositories(&self, prefix: &str) -> Result<Vec<String>, Error> {
        Ok(self.repository_names().await?.into_iter().filter(|name| name.starts_with(prefix)).collect())
    }
}
