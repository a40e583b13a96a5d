//! What others push, replayed byte for byte, and read as workflows and cards.

use gantry::registry::{At, Kind, Store, digest};
use reqwest::StatusCode;

use super::server::{Served, http};

const YAML: &[u8] = b"metadata:\n  id: code-generation-v1\n";

/// Pushes as stock clients do: POST, PUT of the blob at the Location, PUT of the manifest.
async fn push(
    served: &Served,
    repository: &str,
    tag: &str,
    media_type: Option<&str>,
    manifest: &str,
    blobs: &[&[u8]],
) -> (StatusCode, String) {
    let http = http();
    for blob in blobs {
        let begun = http.post(served.url(&format!("/v2/{repository}/blobs/uploads/"))).header("Content-Length", "0").send().await.unwrap();
        assert_eq!(begun.status(), 202);
        let location = begun.headers()["location"].to_str().unwrap().to_owned();
        let url = served.url(&format!("{location}?digest={}", digest::sha256(blob)));
        let put = http.put(url).header("Content-Type", "application/octet-stream").body(blob.to_vec()).send().await.unwrap();
        assert_eq!(put.status(), 201);
    }
    let mut put = http.put(served.url(&format!("/v2/{repository}/manifests/{tag}"))).body(manifest.to_owned());
    if let Some(media_type) = media_type {
        put = put.header("Content-Type", media_type);
    }
    let answer = put.send().await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

struct Case {
    repository: &'static str,
    manifest: String,
    config: &'static [u8],
    content: &'static [u8],
    kind: Kind,
}

fn cases() -> Vec<Case> {
    let (layer, size) = (digest::sha256(YAML), YAML.len());
    let card: &[u8] = b"{\"name\":\"plan\"}";
    let workflow =
        |manifest: String, config: &'static [u8]| Case { repository: "workflows/x", manifest, config, content: YAML, kind: Kind::Workflow };
    vec![
        // oras 1.1 to 1.3, with the media type of the file given.
        workflow(
            format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.unknown.artifact.v1","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}},"layers":[{{"mediaType":"application/yaml","digest":"{layer}","size":{size},"annotations":{{"org.opencontainers.image.title":"workflow.yaml"}}}}],"annotations":{{"org.opencontainers.image.created":"2026-11-22T16:22:00Z"}}}}"#
            ),
            b"{}",
        ),
        // And without it: an archive by type, YAML by name. This is how the five example files of a prototype arrive.
        workflow(
            format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.unknown.artifact.v1","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer}","size":{size},"annotations":{{"org.opencontainers.image.title":"code-generation.yaml"}}}}],"annotations":{{"org.opencontainers.image.created":"2026-11-22T16:22:00Z"}}}}"#
            ),
            b"{}",
        ),
        // With an artifact type and annotations on the command line.
        workflow(
            format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.gantry.workflow.v1","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}},"layers":[{{"mediaType":"application/yaml","digest":"{layer}","size":{size},"annotations":{{"org.opencontainers.image.title":"workflow.yaml"}}}}],"annotations":{{"dev.gantry.id":"a\u003cb","org.opencontainers.image.created":"2026-11-22T16:22:00Z"}}}}"#
            ),
            b"{}",
        ),
        // oras 1.0: no artifactType, no data.
        workflow(
            format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.unknown.config.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2}},"layers":[{{"mediaType":"application/yaml","digest":"{layer}","size":{size},"annotations":{{"org.opencontainers.image.title":"workflow.yaml"}}}}]}}"#
            ),
            b"{}",
        ),
        // python-oras: spaces, null, an empty blob as config, annotations everywhere.
        workflow(
            format!(
                r#"{{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": {{"mediaType": "application/vnd.unknown.config.v1+json", "size": 0, "digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}}, "layers": [{{"mediaType": "application/vnd.oci.image.layer.v1.tar", "size": {size}, "digest": "{layer}", "annotations": {{"org.opencontainers.image.title": "workflow.yaml"}}}}], "annotations": {{}}}}"#
            ),
            b"",
        ),
        Case {
            repository: "agents/plan",
            manifest: format!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","artifactType":"application/vnd.unknown.artifact.v1","config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2,"data":"e30="}},"layers":[{{"mediaType":"application/json","digest":"{}","size":{},"annotations":{{"org.opencontainers.image.title":"agent-card.json"}}}}],"annotations":{{"org.opencontainers.image.created":"2026-11-22T16:22:00Z"}}}}"#,
                digest::sha256(card),
                card.len()
            ),
            config: b"{}",
            content: card,
            kind: Kind::AgentCard,
        },
    ]
}

#[tokio::test]
async fn what_stock_clients_push_is_kept_verbatim_and_read() {
    for case in cases() {
        let served = Served::start().await;
        let (status, body) = push(&served, case.repository, "v1", Some(OCI), &case.manifest, &[case.config, case.content]).await;
        assert_eq!(status, 201, "{body}");
        let remote = served.remote();
        let stores: [&dyn Store; 2] = [&served.layout, &remote];
        for store in stores {
            let manifest = store.manifest(case.repository, &At::Tag("v1".to_owned())).await.unwrap();
            assert_eq!(manifest.bytes, case.manifest, "byte for byte");
            assert_eq!((manifest.digest.clone(), manifest.media_type.as_str()), (digest::sha256(case.manifest.as_bytes()), OCI));
            let artifact = store.artifact(case.repository, &manifest, case.kind).await.unwrap();
            assert_eq!(&artifact.content[..], case.content);
            assert!(store.resolve(case.repository, "v1").await.unwrap() == manifest.digest);
        }
    }
}

#[tokio::test]
async fn a_tag_with_a_plus_is_refused_and_its_underscore_form_kept() {
    let served = Served::start().await;
    let case = cases().remove(0);
    for tag in ["1.0.0+build", "1.0.0%2Bbuild"] {
        let (status, body) = push(&served, case.repository, tag, Some(OCI), &case.manifest, &[case.config, case.content]).await;
        assert_eq!(status, 400);
        assert!(body.contains("MANIFEST_INVALID") && body.contains("write + of a version as _"), "{body}");
    }
    let (status, _) = push(&served, case.repository, "1.0.0_build", Some(OCI), &case.manifest, &[]).await;
    assert_eq!(status, 201);
    assert_eq!(served.layout.tags(case.repository).await.unwrap(), ["1.0.0_build"]);
}

#[tokio::test]
async fn a_manifest_without_a_content_type_has_the_type_it_names() {
    let served = Served::start().await;
    let case = cases().remove(0);
    let (status, _) = push(&served, case.repository, "v1", None, &case.manifest, &[case.config, case.content]).await;
    assert_eq!(status, 201);
    assert_eq!(served.layout.manifest(case.repository, &At::Tag("v1".to_owned())).await.unwrap().media_type, OCI);
}
