//! The manifest of a workflow or a card, byte for byte as stock oras writes it.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::{Kind, digest, media};
use super::{Descriptor, Document};
use crate::ids::Digest;

/// A manifest and the digests of the two blobs it names.
#[derive(Debug, Clone)]
pub(in super::super) struct Built {
    /// The manifest's bytes.
    pub(in super::super) manifest: Bytes,
    /// Their digest.
    pub(in super::super) digest: Digest,
    /// The content's digest.
    pub(in super::super) layer: Digest,
    /// The empty config's digest.
    pub(in super::super) config: Digest,
}

/// Builds the manifest. Nothing but the arguments goes into it: equal content has an equal digest.
pub(in super::super) fn build(kind: Kind, content: &[u8], annotations: BTreeMap<String, String>) -> Built {
    let layer = digest::sha256(content);
    let config = digest::sha256(media::EMPTY_JSON);
    let title = BTreeMap::from([(media::TITLE.to_owned(), kind.title().to_owned())]);
    let document = Document {
        schema_version: Some(2),
        media_type: Some(media::MANIFEST.to_owned()),
        artifact_type: Some(kind.artifact_type().to_owned()),
        config: Some(Descriptor {
            media_type: media::EMPTY.to_owned(),
            digest: config.to_string(),
            size: media::EMPTY_JSON.len() as u64,
            data: Some("e30=".to_owned()),
            ..Descriptor::default()
        }),
        layers: Some(vec![Descriptor {
            media_type: kind.layer_type().to_owned(),
            digest: layer.to_string(),
            size: content.len() as u64,
            annotations: Some(title),
            ..Descriptor::default()
        }]),
        annotations: Some(annotations).filter(|map| !map.is_empty()),
        ..Document::default()
    };
    let manifest = Bytes::from(go_json(&document));
    Built { digest: digest::sha256(&manifest), manifest, layer, config }
}

/// JSON as Go's encoder writes it. These characters stand only inside strings, so that replacing them is safe.
fn go_json(document: &Document) -> String {
    let json = serde_json::to_string(document).expect("texts and numbers are JSON");
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_stock_oras() {
        let annotations = BTreeMap::from([
            ("org.opencontainers.image.created".to_owned(), "2026-11-22T16:22:00Z".to_owned()),
            ("dev.gantry.id".to_owned(), "a<b>&c\u{2028}".to_owned()),
        ]);
        let built = build(Kind::Workflow, b"id: x\n", annotations);
        let expected = format!(
            concat!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
                r#""artifactType":"application/vnd.gantry.workflow.v1","config":{{"mediaType":"application/vnd.oci.empty.v1+json","#,
                r#""digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}},"#,
                r#""layers":[{{"mediaType":"application/yaml","digest":"{}","size":6,"#,
                r#""annotations":{{"org.opencontainers.image.title":"workflow.yaml"}}}}],"annotations":{{"#,
                r#""dev.gantry.id":"a\u003cb\u003e\u0026c\u2028","org.opencontainers.image.created":"2026-11-22T16:22:00Z"}}}}"#
            ),
            digest::sha256(b"id: x\n")
        );
        assert_eq!(std::str::from_utf8(&built.manifest).expect("text"), expected);
        assert_eq!(built.digest, digest::sha256(expected.as_bytes()));
    }

    #[test]
    fn without_annotations_there_is_no_empty_map() {
        let built = build(Kind::AgentCard, b"{}", BTreeMap::new());
        let text = std::str::from_utf8(&built.manifest).expect("text");
        assert!(text.ends_with(r#""annotations":{"org.opencontainers.image.title":"agent-card.json"}}]}"#), "{text}");
        assert_eq!(built.layer, built.config, "a card of `{{}}` is the same blob as the empty config");
    }
}
