//! Content in, content out, and what happens to a directory that others touched.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;

use super::super::{At, Error, Kind, Store, digest};
use super::{Layout, LayoutOptions};
use crate::ids::Digest;

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn tags(tags: &[&str]) -> Vec<String> {
    tags.iter().map(|tag| (*tag).to_owned()).collect()
}

async fn push(layout: &Layout, repository: &str, content: &str, to: &[&str]) -> Result<Digest, Error> {
    let annotations = BTreeMap::from([("dev.gantry.id".to_owned(), "x".to_owned())]);
    layout.push(repository, Kind::Workflow, text(content), annotations, &tags(to)).await.map(|pushed| pushed.digest)
}

#[tokio::test]
async fn what_is_pushed_is_read_back() {
    let layout = Layout::ephemeral().unwrap();
    let first = push(&layout, "workflows/x", "id: x\n", &["v1", "latest"]).await.unwrap();
    let second = push(&layout, "workflows/x", "id: x2\n", &["latest"]).await.unwrap();
    assert_eq!(layout.tags("workflows/x").await.unwrap(), ["latest", "v1"]);
    assert_eq!(layout.resolve("workflows/x", "v1").await.unwrap(), first);
    assert_eq!(layout.resolve("workflows/x", "latest").await.unwrap(), second);
    let manifest = layout.manifest("workflows/x", &At::Digest(first.clone())).await.unwrap();
    let artifact = layout.artifact("workflows/x", &manifest, Kind::Workflow).await.unwrap();
    assert_eq!((&artifact.content[..], &artifact.digest), (&b"id: x\n"[..], &first));
    assert_eq!(artifact.annotations["dev.gantry.id"], "x");
    assert_eq!(push(&layout, "workflows/x", "id: x\n", &["v1"]).await.unwrap(), first, "equal content, equal digest");
    push(&layout, "agents/y", "{}", &["v1"]).await.unwrap();
    assert_eq!(layout.repositories("workflows/").await.unwrap(), ["workflows/x"]);
    assert_eq!(layout.repositories("").await.unwrap(), ["agents/y", "workflows/x"]);
}

#[tokio::test]
async fn a_reopened_layout_has_everything_and_nothing_half_written() {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::open(root.path()).unwrap();
    let digest = push(&layout, "workflows/x", "id: x\n", &["v1"]).await.unwrap();
    drop(layout);
    // As after a crash: a file that never got its name, beside the others and in the scratch folder.
    std::fs::write(root.path().join(".scratch/.tmpdead"), "half").unwrap();
    std::fs::write(root.path().join("workflows/x/.tmpdead"), "half").unwrap();
    let layout = Layout::open(root.path()).unwrap();
    assert!(!root.path().join(".scratch/.tmpdead").exists());
    assert_eq!(layout.repositories("").await.unwrap(), ["workflows/x"]);
    assert_eq!(layout.resolve("workflows/x", "v1").await.unwrap(), digest);
    assert_eq!(std::fs::read(root.path().join("workflows/x/oci-layout")).unwrap(), br#"{"imageLayoutVersion":"1.0.0"}"#);
}

#[tokio::test]
async fn a_second_writer_is_refused_and_told_who_is_first() {
    let root = tempfile::tempdir().unwrap();
    let first = Layout::open(root.path()).unwrap();
    let error = Layout::open(root.path()).unwrap_err().to_string();
    assert!(error.contains(&format!("process {} since 20", std::process::id())), "{error}");
    drop(first);
    Layout::open(root.path()).unwrap();
}

#[tokio::test]
async fn pushes_at_once_lose_no_tag() {
    let layout = Layout::ephemeral().unwrap();
    let mut set = tokio::task::JoinSet::new();
    for at in 0..50 {
        let layout = layout.clone();
        set.spawn(async move { push(&layout, "workflows/x", &format!("id: {}", at % 25), &[&format!("t{at:02}")]).await.unwrap() });
    }
    set.join_all().await;
    assert_eq!(layout.tags("workflows/x").await.unwrap().len(), 50);
    assert_eq!(layout.generation(), 50);
}

#[tokio::test]
async fn deleting_a_tag_keeps_the_manifest_and_deleting_the_manifest_takes_its_tags() {
    let layout = Layout::ephemeral().unwrap();
    let digest = push(&layout, "workflows/x", "id: x", &["v1", "v2"]).await.unwrap();
    let mut changes = layout.changes();
    changes.mark_unchanged();
    layout.delete("workflows/x", &At::Tag("v1".to_owned())).await.unwrap();
    assert!(changes.has_changed().unwrap());
    assert_eq!(layout.tags("workflows/x").await.unwrap(), ["v2"]);
    layout.manifest("workflows/x", &At::Digest(digest.clone())).await.unwrap();
    layout.delete("workflows/x", &At::Digest(digest.clone())).await.unwrap();
    assert!(layout.tags("workflows/x").await.unwrap().is_empty());
    for at in [At::Digest(digest), At::Tag("v1".to_owned())] {
        assert!(matches!(layout.manifest("workflows/x", &at).await, Err(Error::NotFound(_))));
        assert!(matches!(layout.delete("workflows/x", &at).await, Err(Error::NotFound(_))));
    }
}

#[tokio::test]
async fn damaged_content_is_never_handed_out_and_healed_by_a_push() {
    let layout = Layout::ephemeral().unwrap();
    let digest = push(&layout, "workflows/x", "id: x", &["v1"]).await.unwrap();
    let at = At::Digest(digest.clone());
    let manifest = layout.manifest("workflows/x", &at).await.unwrap();
    let blob = |digest: &Digest| layout.root().join("workflows/x/blobs/sha256").join(digest.hex());
    let layer = digest::sha256(b"id: x");
    std::fs::write(blob(&layer), "id: y").unwrap();
    assert!(matches!(layout.artifact("workflows/x", &manifest, Kind::Workflow).await, Err(Error::DigestMismatch { .. })));
    std::fs::write(blob(&digest), "{}").unwrap();
    assert!(matches!(layout.manifest("workflows/x", &at).await, Err(Error::DigestMismatch { .. })));
    push(&layout, "workflows/x", "id: x", &["v1"]).await.unwrap();
    let manifest = layout.manifest("workflows/x", &at).await.unwrap();
    layout.artifact("workflows/x", &manifest, Kind::Workflow).await.unwrap();
    std::fs::remove_file(blob(&layer)).unwrap();
    assert!(matches!(layout.artifact("workflows/x", &manifest, Kind::Workflow).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn names_and_tags_and_sizes_are_checked() {
    let layout = Layout::ephemeral().unwrap();
    for name in ["", "..", "../x", "a/../../b", "A", "a/blobs", "/etc", ".scratch", "a//b"] {
        assert!(matches!(push(&layout, name, "x", &["v1"]).await, Err(Error::BadName { .. })), "{name}");
        assert!(matches!(layout.tags(name).await, Err(Error::BadName { .. })), "{name}");
    }
    assert!(matches!(push(&layout, "x", "x", &["1.0+b"]).await, Err(Error::BadName { .. })));
    let large = Bytes::from(vec![b'x'; crate::limits::BLOB_BYTES_MAX + 1]);
    let refused = layout.push("x", Kind::Workflow, large, BTreeMap::new(), &[]).await;
    assert!(matches!(refused, Err(Error::TooLarge { .. })));
    assert!(matches!(layout.tags("x").await, Err(Error::NotFound(_))), "nothing was made");
    let entries: Vec<_> = std::fs::read_dir(layout.root()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(entries.len(), 2, "the lock and the scratch folder: {entries:?}");
}

#[tokio::test]
async fn versions_stay_when_they_are_immutable() {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::open_with(root.path(), LayoutOptions { durable: false, immutable_versions: true }).unwrap();
    push(&layout, "x", "a", &["1.0.0", "latest"]).await.unwrap();
    push(&layout, "x", "a", &["1.0.0"]).await.unwrap();
    let error = push(&layout, "x", "b", &["latest", "v1.0.0", "1.0.0"]).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert_eq!(layout.tags("x").await.unwrap(), ["1.0.0", "latest"], "all or nothing");
    push(&layout, "x", "b", &["latest", "v1"]).await.unwrap();
    push(&layout, "x", "c", &["v1"]).await.unwrap();
}

#[tokio::test]
async fn a_manifest_that_only_an_index_names_is_found_and_other_blobs_are_not() {
    let layout = Layout::ephemeral().unwrap();
    let child = text(r#"{"schemaVersion":2,"layers":[]}"#);
    let other = text(r#"{"name":"a card"}"#);
    let blobs = [child.clone(), other.clone()].map(|bytes| (digest::sha256(&bytes), bytes)).to_vec();
    layout.put_blobs("x", blobs).await.unwrap();
    let manifest = layout.manifest("x", &At::Digest(digest::sha256(&child))).await.unwrap();
    assert_eq!((manifest.bytes, manifest.media_type.as_str()), (child, super::super::media::MANIFEST));
    assert!(matches!(layout.manifest("x", &At::Digest(digest::sha256(&other))).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn an_ephemeral_layout_leaves_nothing() {
    let layout = Layout::ephemeral().unwrap();
    push(&layout, "x", "a", &["v1"]).await.unwrap();
    let root = layout.root().to_owned();
    assert!(root.exists());
    drop(layout);
    assert!(!root.exists());
}

#[cfg(unix)]
#[tokio::test]
async fn links_in_the_root_are_not_followed() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(elsewhere.path().join("index.json"), "{}").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), root.path().join("linked")).unwrap();
    std::os::unix::fs::symlink(Path::new("."), root.path().join("loop")).unwrap();
    let layout = Layout::open(root.path()).unwrap();
    assert!(layout.repositories("").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_index_that_would_be_too_large_is_not_written_and_one_that_is_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let layout = Layout::open(root.path()).unwrap();
    push(&layout, "x", "a", &["v1"]).await.unwrap();
    drop(layout);
    // As large as it may be, by an annotation of somebody else's.
    let path = root.path().join("x/index.json");
    let most = crate::limits::REGISTRY_INDEX_BYTES_MAX as usize;
    let padded = |bytes: usize| {
        let mut index: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        index["annotations"] = serde_json::json!({ "pad": "" });
        let pad = bytes - index.to_string().len();
        index["annotations"]["pad"] = "x".repeat(pad).into();
        index.to_string()
    };
    let (fits, over) = (padded(most), padded(most + 1));
    std::fs::write(&path, &fits).unwrap();
    let layout = Layout::open(root.path()).unwrap();
    assert_eq!(layout.tags("x").await.unwrap(), ["v1"]);
    let error = push(&layout, "x", "b", &["v2"]).await.unwrap_err();
    assert_eq!(error.to_string(), "`x/index.json` is larger than the limit of 16777216 bytes");
    assert_eq!(layout.tags("x").await.unwrap(), ["v1"], "what was there stays");
    assert_eq!(std::fs::metadata(&path).unwrap().len(), most as u64);
    drop(layout);
    std::fs::write(&path, &over).unwrap();
    let layout = Layout::open(root.path()).unwrap();
    assert!(matches!(layout.tags("x").await, Err(Error::TooLarge { bytes_max: 16_777_216, .. })));
}
