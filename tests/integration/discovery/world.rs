//! The world discovery looks at: an ephemeral registry, what others put into it, and a store around it that can misbehave.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use gantry::discovery::{Discovery, Options};
use gantry::ids::Digest;
use gantry::registry::{Artifact, At, Error, Kind, Layout, Manifest, Pushed, Store, digest};
use serde_json::{Value, json};

/// Longer than any test.
pub(super) const NEVER_STALE: Duration = Duration::from_secs(3600);

/// A registry whose answers are counted and can be spoiled.
#[derive(Debug)]
pub(super) struct Spy {
    pub(super) layout: Layout,
    /// Answers as if it could not count its own changes, as remote registries do.
    pub(super) remote: bool,
    pub(super) down: AtomicBool,
    pub(super) stalled: AtomicBool,
    pub(super) lying: AtomicBool,
    pub(super) calls: Calls,
}

/// How often each question was asked.
#[derive(Debug, Default)]
pub(super) struct Calls {
    manifest: AtomicUsize,
    resolve: AtomicUsize,
    artifact: AtomicUsize,
    tags: AtomicUsize,
    repositories: AtomicUsize,
}

/// A reading of [`Calls`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    pub(super) manifest: usize,
    pub(super) resolve: usize,
    pub(super) artifact: usize,
    pub(super) tags: usize,
    pub(super) repositories: usize,
}

impl Spy {
    fn new(layout: Layout, remote: bool) -> Arc<Self> {
        let (down, stalled, lying) = Default::default();
        Arc::new(Self { layout, remote, down, stalled, lying, calls: Calls::default() })
    }

    /// A store that counts its changes, as the embedded one.
    pub(super) fn embedded() -> Arc<Self> {
        Self::new(Layout::ephemeral().unwrap(), false)
    }

    /// A store that does not.
    pub(super) fn remote() -> Arc<Self> {
        Self::new(Layout::ephemeral().unwrap(), true)
    }

    /// Over a directory that somebody else filled.
    pub(super) fn over(root: &Path) -> Arc<Self> {
        Self::new(Layout::open(root).unwrap(), true)
    }

    pub(super) fn discovery(self: &Arc<Self>, ttl: Duration) -> Discovery {
        Discovery::new(self.clone(), Options { ttl, ..Options::default() })
    }

    /// The questions since the last time.
    pub(super) fn count(&self) -> Count {
        let take = |counter: &AtomicUsize| counter.swap(0, Ordering::SeqCst);
        Count {
            manifest: take(&self.calls.manifest),
            resolve: take(&self.calls.resolve),
            artifact: take(&self.calls.artifact),
            tags: take(&self.calls.tags),
            repositories: take(&self.calls.repositories),
        }
    }

    /// Pushes behind discovery's back, without annotations.
    pub(super) async fn put(&self, repository: &str, kind: Kind, content: &str, tags: &[&str]) -> Digest {
        self.put_claiming(repository, kind, content, tags, &[]).await
    }

    /// Pushes behind discovery's back, with annotations.
    pub(super) async fn put_claiming(&self, repository: &str, kind: Kind, content: &str, tags: &[&str], claims: &[(&str, &str)]) -> Digest {
        let claims = claims.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let tags: Vec<_> = tags.iter().map(|tag| (*tag).to_owned()).collect();
        self.layout.push(repository, kind, Bytes::from(content.to_owned()), claims, &tags).await.unwrap().digest
    }

    async fn ask(&self, counter: &AtomicUsize, what: &str) -> Result<(), Error> {
        counter.fetch_add(1, Ordering::SeqCst);
        if self.stalled.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.down.load(Ordering::SeqCst) {
            let (what, reason) = (what.to_owned(), "connection refused".to_owned());
            return Err(Error::Unavailable { what, reason, transient: true, retry_after: None });
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Spy {
    fn location(&self) -> String {
        "http://localhost:5000".to_owned()
    }

    fn generation(&self) -> Option<u64> {
        if self.remote { None } else { Store::generation(&self.layout) }
    }

    async fn manifest(&self, repository: &str, at: &At) -> Result<Manifest, Error> {
        self.ask(&self.calls.manifest, repository).await?;
        let mut manifest = self.layout.manifest(repository, at).await?;
        if self.lying.load(Ordering::SeqCst) {
            manifest.bytes = Bytes::from([&manifest.bytes[..], b" "].concat());
        }
        Ok(manifest)
    }

    async fn resolve(&self, repository: &str, tag: &str) -> Result<Digest, Error> {
        self.ask(&self.calls.resolve, repository).await?;
        self.layout.resolve(repository, tag).await
    }

    async fn artifact(&self, repository: &str, manifest: &Manifest, kind: Kind) -> Result<Artifact, Error> {
        self.ask(&self.calls.artifact, repository).await?;
        self.layout.artifact(repository, manifest, kind).await
    }

    async fn push(
        &self,
        repository: &str,
        kind: Kind,
        content: Bytes,
        annotations: BTreeMap<String, String>,
        tags: &[String],
    ) -> Result<Pushed, Error> {
        self.layout.push(repository, kind, content, annotations, tags).await
    }

    async fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        self.ask(&self.calls.tags, repository).await?;
        self.layout.tags(repository).await
    }

    async fn repositories(&self, prefix: &str) -> Result<Vec<String>, Error> {
        self.ask(&self.calls.repositories, prefix).await?;
        self.layout.repositories(prefix).await
    }
}

/// A workflow that calls one skill.
pub(super) fn workflow(id: &str, version: &str, skill: &str) -> String {
    format!(
        "metadata:\n  id: {id}\n  name: The {id}\n  version: {version}\n  description: Does it\n  tags: [one, two]\n  \
         examples: [\"Do it\"]\nsteps:\n  - id: only\n    skill: {skill}\n    inputs: {{ text: \"{{{{ workflow.input.text }}}}\" }}\n"
    )
}

/// A card as the prototype writes it.
pub(super) fn card(name: &str, skills: &[&str]) -> String {
    card_at(name, "http://localhost:8001", skills)
}

/// The same, elsewhere.
pub(super) fn card_at(name: &str, url: &str, skills: &[&str]) -> String {
    let skills: Vec<_> = skills.iter().map(|id| json!({ "id": id, "description": format!("does {id}") })).collect();
    json!({ "name": name, "url": url, "skills": skills }).to_string()
}

/// Writes into an image layout what stock `oras push <repository>:<tag> <title>:<media type>` leaves in a registry.
pub(super) fn oras_push(root: &Path, repository: &str, tag: &str, title: &str, media_type: &str, content: &str) -> Digest {
    let folder = root.join(repository);
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = |bytes: &[u8]| {
        let digest = digest::sha256(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
        digest
    };
    let layer = blob(content.as_bytes());
    let config = blob(b"{}");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.unknown.artifact.v1",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config.as_str(), "size": 2, "data": "e30=" },
        "layers": [{
            "mediaType": media_type, "digest": layer.as_str(), "size": content.len(),
            "annotations": { "org.opencontainers.image.title": title },
        }],
        "annotations": { "org.opencontainers.image.created": "2026-11-22T16:22:00Z" },
    });
    let bytes = manifest.to_string();
    let digest = blob(bytes.as_bytes());
    std::fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    let index = folder.join("index.json");
    let mut manifests = match std::fs::read(&index) {
        Ok(bytes) => serde_json::from_slice::<Value>(&bytes).unwrap()["manifests"].as_array().unwrap().clone(),
        Err(_) => Vec::new(),
    };
    manifests.push(json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest.as_str(), "size": bytes.len(),
        "annotations": { "org.opencontainers.image.ref.name": tag },
    }));
    let index_json = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests });
    std::fs::write(index, index_json.to_string()).unwrap();
    digest
}
