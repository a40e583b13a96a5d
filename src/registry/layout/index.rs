//! `index.json` of a repository: which manifests there are and which tags point at them (image-spec, image-layout.md).
//!
//! What other tools wrote into it is kept: unknown keys, and entries we have no use for.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::{check_tag, media};
use crate::ids::Digest;

/// The file as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u32,
    #[serde(default = "index_type")]
    media_type: String,
    #[serde(default)]
    manifests: Vec<Entry>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// One manifest under one tag, or under none.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// The file as it is asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    /// What each tag points at.
    pub(super) tags: BTreeMap<String, Digest>,
    /// Media type and size of each manifest.
    pub(super) manifests: BTreeMap<Digest, (String, u64)>,
}

fn index_type() -> String {
    media::INDEX.to_owned()
}

impl Index {
    pub(super) fn empty() -> Self {
        Self { schema_version: 2, media_type: index_type(), manifests: Vec::new(), rest: Map::new() }
    }

    pub(super) fn contents(&self) -> Contents {
        let mut contents = Contents::default();
        for entry in &self.manifests {
            let Ok(digest) = Digest::parse(&entry.digest) else { continue };
            if let Some(tag) = entry.tag() {
                contents.tags.insert(tag.to_owned(), digest.clone());
            }
            contents.manifests.insert(digest, (entry.media_type.clone(), entry.size));
        }
        contents
    }

    /// Adds a manifest and points tags at it.
    pub(super) fn put(&mut self, digest: &Digest, media_type: &str, size: u64, tags: &[String]) {
        let moved: BTreeSet<&str> = tags.iter().map(String::as_str).collect();
        // A manifest that loses its last tag stays, by digest: a run may be pinned to it.
        self.untag(&|tag| moved.contains(tag));
        let known = self.manifests.iter().any(|entry| entry.digest == digest.as_str());
        if !known && moved.is_empty() {
            self.manifests.push(Entry::new(digest, media_type, size, None));
        }
        for tag in &moved {
            self.manifests.push(Entry::new(digest, media_type, size, Some(tag)));
        }
        if !moved.is_empty() {
            self.manifests.retain(|entry| entry.digest != digest.as_str() || entry.annotations.contains_key(media::REF_NAME));
        }
    }

    /// Takes a tag away; its manifest stays.
    pub(super) fn remove_tag(&mut self, tag: &str) {
        self.untag(&|it| it == tag);
    }

    /// Takes a manifest away with all its tags.
    pub(super) fn remove_manifest(&mut self, digest: &Digest) {
        self.manifests.retain(|entry| entry.digest != digest.as_str());
    }

    fn untag(&mut self, gone: &dyn Fn(&str) -> bool) {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for entry in &self.manifests {
            *counts.entry(entry.digest.clone()).or_default() += 1;
        }
        self.manifests.retain_mut(|entry| {
            if !entry.tag().is_some_and(gone) {
                return true;
            }
            let count = counts.entry(entry.digest.clone()).or_default();
            if *count > 1 {
                *count -= 1;
                return false;
            }
            entry.annotations.remove(media::REF_NAME);
            true
        });
    }
}

impl Entry {
    fn new(digest: &Digest, media_type: &str, size: u64, tag: Option<&str>) -> Self {
        let annotations = tag.map(|tag| (media::REF_NAME.to_owned(), tag.to_owned())).into_iter().collect();
        Self { media_type: media_type.to_owned(), digest: digest.to_string(), size, annotations, rest: Map::new() }
    }

    // Other tools also write whole references here, which are no tags.
    fn tag(&self) -> Option<&str> {
        self.annotations.get(media::REF_NAME).map(String::as_str).filter(|tag| check_tag(tag).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::digest::sha256;
    use super::*;

    fn tags(index: &Index) -> Vec<String> {
        let digests: Vec<Digest> = index.contents().manifests.into_keys().collect();
        let name = |digest: &Digest| digests.iter().position(|it| it == digest).map_or("?".to_owned(), |at| at.to_string());
        let mut lines: Vec<String> =
            index.manifests.iter().map(|e| format!("{}={}", e.tag().unwrap_or("-"), name(&Digest::parse(&e.digest).unwrap()))).collect();
        lines.sort();
        lines
    }

    #[test]
    fn tags_move_and_manifests_stay() {
        let (one, two) = (sha256(b"2"), sha256(b"1"));
        let (a, b) = if one < two { (one, two) } else { (two, one) };
        let tag = |tag: &str| vec![tag.to_owned()];
        let mut index = Index::empty();
        index.put(&a, "m", 1, &[]);
        assert_eq!(tags(&index), ["-=0"]);
        index.put(&a, "m", 1, &["v1".to_owned(), "latest".to_owned(), "v1".to_owned()]);
        assert_eq!(tags(&index), ["latest=0", "v1=0"]);
        index.put(&b, "m", 1, &tag("latest"));
        assert_eq!(tags(&index), ["latest=1", "v1=0"]);
        index.put(&b, "m", 1, &tag("v1"));
        assert_eq!(tags(&index), ["-=0", "latest=1", "v1=1"], "the manifest that lost its last tag stays");
        index.put(&b, "m", 1, &[]);
        index.put(&b, "m", 1, &tag("v1"));
        assert_eq!(tags(&index), ["-=0", "latest=1", "v1=1"], "again changes nothing");
        index.remove_tag("v1");
        index.remove_tag("latest");
        assert_eq!(tags(&index), ["-=0", "-=1"]);
        index.remove_manifest(&a);
        index.put(&b, "m", 1, &tag("x"));
        assert_eq!(tags(&index), ["x=0"]);
    }

    #[test]
    fn what_others_wrote_is_kept() {
        let text = format!(
            r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"m","digest":"{0}","size":3,"annotations":{{"org.opencontainers.image.ref.name":"docker.io/library/x:1","k":"v"}},"platform":{{"os":"linux"}}}},{{"mediaType":"m","digest":"blake3:00","size":1}}],"extra":1}}"#,
            sha256(b"")
        );
        let mut index: Index = serde_json::from_str(&text).unwrap();
        assert!(index.contents().tags.is_empty());
        assert_eq!(index.contents().manifests.len(), 1);
        index.put(&sha256(b"x"), "m", 1, &["v1".to_owned()]);
        let written = serde_json::to_string(&index).unwrap();
        for kept in ["docker.io/library/x:1", r#""k":"v""#, r#""os":"linux""#, "blake3:00", r#""extra":1"#, media::INDEX] {
            assert!(written.contains(kept), "{written}");
        }
    }
}
