//! The HTTP face, end by end and code by code.

use std::time::Duration;

use gantry::limits::{LIST_ENTRIES_MAX, MANIFEST_BYTES_MAX};
use gantry::registry::http::{Options, WriteToken, Writes};
use gantry::registry::{Kind, Store as _, digest, media};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::server::{Served, http};

struct Face {
    served: Served,
    http: Client,
}

/// One exchange: what is sent, the status, and the headers or body texts that must be there.
type Exchange<'a> = (Method, String, &'a [(&'a str, &'a str)], &'a [u8], u16, &'a [(&'a str, &'a str)]);

impl Face {
    async fn start() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        Self { served: Served::start_with(options, "127.0.0.1").await, http: http() }
    }

    async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let mut request = self.http.request(method, self.served.url(path));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body.to_vec()).send().await.unwrap()
    }

    /// Sends and compares. A header named `body` is looked for in the body.
    async fn check(&self, (method, path, sent, body, status, expected): Exchange<'_>) -> Vec<u8> {
        let answer = self.send(method.clone(), &path, sent, body).await;
        let shown = format!("{method} {path} {sent:?}");
        let (got, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.bytes().await.unwrap().to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(got, status, "{shown}: {text}");
        assert_eq!(headers["docker-distribution-api-version"], "registry/2.0", "{shown}");
        for (name, value) in expected {
            let found = if *name == "body" { &text } else { headers.get(*name).map_or("", |value| value.to_str().unwrap()) };
            assert!(if *name == "body" { found.contains(value) } else { found == *value }, "{shown}: {name} is `{found}`, not `{value}`");
        }
        if got >= 400 && method != Method::HEAD {
            let envelope: Value = serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{shown}: {text}"));
            assert!(envelope["errors"][0]["code"].is_string() && envelope["errors"][0]["message"].is_string(), "{shown}: {text}");
        }
        bytes
    }

    async fn blob(&self, repository: &str, content: &[u8]) -> String {
        let digest = digest::sha256(content).to_string();
        let path = format!("/v2/{repository}/blobs/uploads/?digest={digest}");
        self.check((Method::POST, path, &[], content, 201, &[("docker-content-digest", &digest)])).await;
        digest
    }

    /// A manifest with its blobs; its digest.
    async fn artifact(&self, repository: &str, tag: &str, extra: Value) -> String {
        let config = self.blob(repository, b"{}").await;
        let mut manifest = json!({"schemaVersion": 2, "mediaType": media::MANIFEST,
            "config": {"mediaType": media::EMPTY, "digest": config, "size": 2}, "layers": []});
        manifest.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let bytes = serde_json::to_vec(&manifest).unwrap();
        let digest = digest::sha256(&bytes).to_string();
        let path = format!("/v2/{repository}/manifests/{}", if tag.is_empty() { &digest } else { tag });
        self.check((Method::PUT, path, &[("content-type", media::MANIFEST)], &bytes, 201, &[("docker-content-digest", &digest)])).await;
        digest
    }

    async fn json(&self, path: &str) -> (Value, Option<String>) {
        let answer = self.send(Method::GET, path, &[], b"").await;
        assert_eq!(answer.status(), 200, "{path}");
        let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
        (serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap(), link)
    }
}

#[tokio::test]
async fn the_base_says_that_this_is_a_registry() {
    let face = Face::start().await;
    for path in ["/v2/", "/v2"] {
        face.check((Method::GET, path.into(), &[], b"", 200, &[("body", "{}")])).await;
    }
    face.check((Method::HEAD, "/v2/".into(), &[], b"", 200, &[])).await;
    face.check((Method::GET, "/".into(), &[], b"", 404, &[("body", "/v2/")])).await;
    face.check((Method::GET, "/v2/x".into(), &[], b"", 404, &[("body", "UNSUPPORTED")])).await;
    face.check((Method::DELETE, "/v2/".into(), &[], b"", 405, &[("allow", "GET, HEAD"), ("body", "UNSUPPORTED")])).await;
    face.check((Method::PUT, "/v2/x/tags/list".into(), &[], b"", 405, &[])).await;
    face.check((Method::POST, "/v2/x/manifests/v1".into(), &[], b"", 405, &[])).await;
    face.check((Method::PUT, "/v2/x/blobs/uploads/".into(), &[], b"", 405, &[("allow", "POST")])).await;
}

#[tokio::test]
async fn names_that_are_none_are_refused_everywhere() {
    let face = Face::start().await;
    let long = format!("{}/x", "a".repeat(255));
    for name in ["A", "a/B", "a/_x", "a/.x", "a/../x", "blobs/x", "a/index.json", "a/oci-layout", "a//b", "%2e%2e/x", &long] {
        for (method, end) in [
            (Method::GET, "tags/list"),
            (Method::PUT, "manifests/v1"),
            (Method::GET, "manifests/v1"),
            (Method::POST, "blobs/uploads/"),
            (Method::GET, "referrers/sha256:00"),
        ] {
            // A client would itself take the dots out of the path.
            let raw = raw(
                &face.served,
                format!("{method} /v2/{name}/{end} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes(),
            )
            .await;
            assert!(raw.starts_with("HTTP/1.1 400") && raw.contains("NAME_INVALID"), "{method} {name}/{end}: {raw}");
        }
    }
}

/// Sends bytes and reads until the server hangs up.
async fn raw(served: &Served, request: &[u8]) -> String {
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", served.address.port())).await.unwrap();
    // The server may answer and hang up before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn manifests_by_tag_and_digest() {
    let face = Face::start().await;
    let digest = face.artifact("a/x", "v1", json!({})).await;
    let etag = format!("\"{digest}\"");
    let length = face.send(Method::GET, "/v2/a/x/manifests/v1", &[], b"").await.bytes().await.unwrap().len().to_string();
    for at in ["v1", &digest, &digest.replace(':', "%3A")] {
        let path = || format!("/v2/a/x/manifests/{at}");
        let expected =
            [("content-type", media::MANIFEST), ("docker-content-digest", &*digest), ("etag", &*etag), ("content-length", &*length)];
        let body = face.check((Method::GET, path(), &[], b"", 200, &expected)).await;
        assert_eq!(digest::sha256(&body).as_str(), digest);
        assert!(face.check((Method::HEAD, path(), &[("accept", "application/json")], b"", 200, &expected)).await.is_empty());
        for known in [etag.as_str(), "*", &format!("W/{etag}"), &format!("\"x\", {etag}")] {
            let none = face
                .check((Method::GET, path(), &[("if-none-match", known)], b"", 304, &[("etag", &etag), ("docker-content-digest", &digest)]))
                .await;
            assert!(none.is_empty());
        }
        face.check((Method::GET, path(), &[("if-none-match", "\"x\"")], b"", 200, &[])).await;
    }
    for at in ["v2", "not!a!tag", "sha256:00", digest::sha256(b"none").as_str(), digest::sha256(b"{}").as_str()] {
        face.check((Method::GET, format!("/v2/a/x/manifests/{at}"), &[], b"", 404, &[("body", "MANIFEST_UNKNOWN")])).await;
        face.check((Method::HEAD, format!("/v2/a/x/manifests/{at}"), &[], b"", 404, &[])).await;
    }
    face.check((Method::GET, "/v2/a/other/manifests/v1".into(), &[], b"", 404, &[("body", "MANIFEST_UNKNOWN")])).await;
}

#[tokio::test]
async fn manifests_that_are_none_are_refused() {
    let face = Face::start().await;
    face.blob("a/x", b"{}").await;
    let empty = digest::sha256(b"{}");
    let absent = digest::sha256(b"absent");
    let layers =
        |digest: &str, more: &str| format!(r#"{{"schemaVersion":2,"layers":[{{"mediaType":"x","digest":"{digest}","size":2{more}}}]}}"#);
    let large = format!(r#"{{"schemaVersion":2,"layers":[],"annotations":{{"x":"{}"}}}}"#, "x".repeat(4 * 1024 * 1024));
    let typed = |body: &str| body.replacen('{', &format!(r#"{{"mediaType":"{}","#, media::INDEX), 1);
    let put = |at: &str| format!("/v2/a/x/manifests/{at}");
    let oci = [("content-type", media::MANIFEST)];
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], String, u16, &'a str);
    let cases: Vec<Case<'_>> = vec![
        ("v1", &oci, "not json".into(), 400, "MANIFEST_INVALID"),
        ("v1", &oci, "[]".into(), 400, "MANIFEST_INVALID"),
        ("v1", &oci, String::new(), 400, "MANIFEST_INVALID"),
        ("v1", &oci, "[".repeat(1_000_000), 400, "MANIFEST_INVALID"),
        ("v1", &oci, layers("sha256:zz", ""), 404, "MANIFEST_BLOB_UNKNOWN"),
        ("v1", &oci, layers(absent.as_str(), ""), 404, "MANIFEST_BLOB_UNKNOWN"),
        ("v1", &oci, layers(empty.as_str(), r#","annotations":[]"#), 400, "MANIFEST_INVALID"),
        ("v1", &oci, typed(&layers(empty.as_str(), "")), 400, "MANIFEST_INVALID"),
        ("v1", &[], layers(empty.as_str(), ""), 400, "MANIFEST_INVALID"),
        ("v1", &[("content-type", "text/html")], layers(empty.as_str(), ""), 400, "MANIFEST_INVALID"),
        ("v1", &oci, large, 413, "SIZE_INVALID"),
        (absent.as_str(), &oci, layers(empty.as_str(), ""), 400, "DIGEST_INVALID"),
        ("sha256:00", &oci, layers(empty.as_str(), ""), 400, "DIGEST_INVALID"),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", &oci, layers(empty.as_str(), ""), 400, "DIGEST_INVALID"),
        (".v1", &oci, layers(empty.as_str(), ""), 400, "MANIFEST_INVALID"),
    ];
    for (at, headers, body, status, code) in cases {
        face.check((Method::PUT, put(at), headers, body.as_bytes(), status, &[("body", code)])).await;
    }
    face.check((Method::GET, "/v2/a/x/tags/list".into(), &[], b"", 404, &[("body", "NAME_UNKNOWN")])).await;
    // What looks odd and is valid: foreign layers elsewhere, an index of what is not here, an unknown type, no layers.
    let elsewhere = layers(absent.as_str(), r#","urls":["https://example.org/x"]"#);
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{absent}","size":3}}]}}"#,
        media::INDEX,
        media::MANIFEST
    );
    for (at, media_type, body) in [
        ("foreign", media::MANIFEST, elsewhere),
        ("index", media::INDEX, index),
        ("docker", media::DOCKER_MANIFEST, layers(empty.as_str(), "")),
        ("other", "application/vnd.example.manifest.v9+json; charset=utf-8", r#" { "schemaVersion" : 9, "x": {"y": [1]} } "#.to_owned()),
    ] {
        face.check((Method::PUT, put(at), &[("content-type", media_type)], body.as_bytes(), 201, &[])).await;
        let stored = media_type.split(';').next().unwrap();
        let back = face.check((Method::GET, put(at), &[], b"", 200, &[("content-type", stored)])).await;
        assert_eq!(back, body.as_bytes());
        let sha512 = digest::sha512(body.as_bytes());
        face.check((
            Method::PUT,
            put(sha512.as_str()),
            &[("content-type", media_type)],
            body.as_bytes(),
            201,
            &[("docker-content-digest", sha512.as_str())],
        ))
        .await;
        face.check((Method::GET, put(sha512.as_str()), &[], b"", 200, &[("docker-content-digest", sha512.as_str())])).await;
    }
}

#[tokio::test]
async fn tags_and_manifests_are_deleted() {
    let face = Face::start().await;
    let digest = face.artifact("a/x", "v1", json!({})).await;
    face.artifact("a/x", "v2", json!({})).await;
    let at = |at: &str| format!("/v2/a/x/manifests/{at}");
    face.check((Method::DELETE, at("v1"), &[], b"", 202, &[])).await;
    face.check((Method::GET, at("v1"), &[], b"", 404, &[])).await;
    face.check((Method::GET, at(&digest), &[], b"", 200, &[])).await;
    face.check((Method::DELETE, at("v1"), &[], b"", 404, &[("body", "MANIFEST_UNKNOWN")])).await;
    face.check((Method::DELETE, at(&digest), &[], b"", 202, &[])).await;
    face.check((Method::GET, at("v2"), &[], b"", 404, &[])).await;
    face.check((Method::GET, at(&digest), &[], b"", 404, &[])).await;
    face.check((Method::DELETE, at(&digest), &[], b"", 404, &[])).await;
    face.check((Method::DELETE, "/v2/a/other/manifests/v1".into(), &[], b"", 404, &[])).await;
    assert_eq!(face.json("/v2/a/x/tags/list").await.0, json!({"name": "a/x", "tags": []}), "a list, not null");
}

#[tokio::test]
async fn blobs_whole_and_in_parts() {
    let face = Face::start().await;
    let digest = face.blob("a/x", b"0123456789").await;
    let path = || format!("/v2/a/x/blobs/{digest}");
    let etag = format!("\"{digest}\"");
    let expected = [
        ("content-length", "10"),
        ("docker-content-digest", &*digest),
        ("etag", &*etag),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ];
    assert_eq!(face.check((Method::GET, path(), &[], b"", 200, &expected)).await, b"0123456789");
    assert!(face.check((Method::HEAD, path(), &[], b"", 200, &expected)).await.is_empty());
    face.check((Method::GET, path(), &[("if-none-match", &etag)], b"", 304, &[])).await;
    for (range, part, content_range) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
    ] {
        let got = face.check((Method::GET, path(), &[("range", range)], b"", 206, &[("content-range", content_range)])).await;
        assert_eq!(got, part.as_bytes());
    }
    face.check((Method::GET, path(), &[("range", "bytes=10-")], b"", 416, &[("content-range", "bytes */10")])).await;
    face.check((Method::GET, path(), &[("range", "bytes=0-1,3-4")], b"", 200, &[])).await;
    face.check((Method::GET, "/v2/a/x/blobs/sha256:00".into(), &[], b"", 400, &[("body", "DIGEST_INVALID")])).await;
    face.check((Method::GET, format!("/v2/a/x/blobs/{}", digest::sha256(b"")), &[], b"", 404, &[("body", "BLOB_UNKNOWN")])).await;
    face.check((Method::GET, format!("/v2/a/y/blobs/{digest}"), &[], b"", 404, &[("body", "BLOB_UNKNOWN")])).await;
    // Deleted here, kept elsewhere.
    face.blob("a/y", b"0123456789").await;
    face.check((Method::DELETE, path(), &[], b"", 202, &[])).await;
    face.check((Method::GET, path(), &[], b"", 404, &[])).await;
    face.check((Method::DELETE, path(), &[], b"", 404, &[("body", "BLOB_UNKNOWN")])).await;
    face.check((Method::GET, format!("/v2/a/y/blobs/{digest}"), &[], b"", 200, &[])).await;
    // Nothing at all is a blob as well.
    let nothing = face.blob("a/x", b"").await;
    let body = face.check((Method::GET, format!("/v2/a/x/blobs/{nothing}"), &[], b"", 200, &[("content-length", "0")])).await;
    assert!(body.is_empty());
}

async fn begin(face: &Face) -> String {
    let answer = face.send(Method::POST, "/v2/a/x/blobs/uploads/", &[], b"").await;
    assert_eq!(answer.status(), 202);
    assert_eq!(answer.headers()["range"], "0-0");
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    assert!(location.ends_with(answer.headers()["docker-upload-uuid"].to_str().unwrap()));
    location
}

#[tokio::test]
async fn uploads_in_chunks() {
    let face = Face::start().await;
    let location = begin(&face).await;
    let digest = digest::sha256(b"0123456789");
    let sent = [("content-range", "0-3"), ("content-type", "application/octet-stream")];
    face.check((Method::PATCH, location.clone(), &sent, b"0123", 202, &[("range", "0-3"), ("location", &location)])).await;
    face.check((Method::GET, location.clone(), &[], b"", 204, &[("range", "0-3"), ("location", &location)])).await;
    for out_of_order in ["0-3", "5-6", "3-4"] {
        let expected = [("range", "0-3"), ("location", &*location), ("body", "BLOB_UPLOAD_INVALID")];
        face.check((Method::PATCH, location.clone(), &[("content-range", out_of_order)], b"xx", 416, &expected)).await;
    }
    for (range, code) in
        [("4-4", "SIZE_INVALID"), ("four-five", "BLOB_UPLOAD_INVALID"), ("4", "BLOB_UPLOAD_INVALID"), ("4-2", "SIZE_INVALID")]
    {
        face.check((Method::PATCH, location.clone(), &[("content-range", range)], b"45", 400, &[("body", code)])).await;
    }
    // Without Content-Range: on at the end.
    face.check((Method::PATCH, location.clone(), &[], b"456", 202, &[("range", "0-6")])).await;
    face.check((Method::PUT, format!("{location}?digest={digest}"), &[("content-range", "9-9")], b"9", 416, &[])).await;
    face.check((Method::PUT, location.clone(), &[], b"", 400, &[("body", "DIGEST_INVALID")])).await;
    face.check((Method::PUT, format!("{location}?digest=sha256:00"), &[], b"", 400, &[("body", "DIGEST_INVALID")])).await;
    let there = format!("/v2/a/x/blobs/{digest}");
    face.check((Method::PUT, format!("{location}?digest={digest}"), &[("content-range", "7-9")], b"789", 201, &[("location", &there)]))
        .await;
    assert_eq!(face.check((Method::GET, there, &[], b"", 200, &[])).await, b"0123456789");
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        face.check((method, location.clone(), &[], b"", 404, &[("body", "BLOB_UPLOAD_UNKNOWN")])).await;
    }
}

#[tokio::test]
async fn uploads_end_with_the_right_digest_or_not_at_all() {
    let face = Face::start().await;
    for digest in [digest::sha256(b"abc"), digest::sha512(b"abc")] {
        let location = begin(&face).await;
        face.check((Method::PUT, format!("{location}?digest={digest}"), &[], b"abc", 201, &[("docker-content-digest", digest.as_str())]))
            .await;
        face.check((Method::GET, format!("/v2/a/x/blobs/{digest}"), &[], b"", 200, &[("body", "abc")])).await;
        let location = begin(&face).await;
        face.check((Method::PUT, format!("{location}?digest={digest}"), &[], b"abd", 400, &[("body", "DIGEST_INVALID")])).await;
        face.check((Method::GET, location, &[], b"", 404, &[("body", "BLOB_UPLOAD_UNKNOWN")])).await;
        let path = format!("/v2/a/z/blobs/uploads/?digest={digest}");
        face.check((Method::POST, path, &[], b"abd", 400, &[("body", "DIGEST_INVALID")])).await;
        face.check((Method::GET, format!("/v2/a/z/blobs/{digest}"), &[], b"", 404, &[])).await;
    }
    let location = begin(&face).await;
    face.check((Method::DELETE, location.clone(), &[], b"", 204, &[])).await;
    face.check((Method::DELETE, location.clone(), &[], b"", 404, &[("body", "BLOB_UPLOAD_UNKNOWN")])).await;
    // An upload belongs to its repository.
    let location = begin(&face).await;
    face.check((Method::GET, location.replace("/a/x/", "/a/y/"), &[], b"", 404, &[("body", "BLOB_UPLOAD_UNKNOWN")])).await;
    for id in ["..", "%2e%2e%2fx", "0"] {
        face.check((Method::GET, format!("/v2/a/x/blobs/uploads/{id}%20"), &[], b"", 404, &[])).await;
    }
}

#[tokio::test]
async fn blobs_are_taken_over_from_another_repository() {
    let face = Face::start().await;
    let digest = face.blob("a/x", b"shared").await;
    let mount = |from: &str, digest: &str| format!("/v2/b/y/blobs/uploads/?mount={digest}&from={from}");
    let there = format!("/v2/b/y/blobs/{digest}");
    face.check((Method::POST, mount("a/x", &digest), &[], b"", 201, &[("location", &there), ("docker-content-digest", &digest)])).await;
    face.check((Method::POST, mount("a/x", &digest), &[], b"", 201, &[])).await;
    assert_eq!(face.check((Method::GET, there, &[], b"", 200, &[])).await, b"shared");
    for (from, digest) in [("a/none", digest.as_str()), ("a/x", digest::sha256(b"none").as_str())] {
        face.check((Method::POST, mount(from, digest), &[], b"", 202, &[("range", "0-0")])).await;
    }
    face.check((Method::POST, format!("/v2/b/z/blobs/uploads/?mount={digest}"), &[], b"", 202, &[])).await;
    face.check((Method::POST, mount("../a", &digest), &[], b"", 400, &[("body", "NAME_INVALID")])).await;
    face.check((Method::POST, mount("a/x", "sha256:00"), &[], b"", 400, &[("body", "DIGEST_INVALID")])).await;
}

#[tokio::test]
async fn lists_are_sorted_and_come_in_pages() {
    let face = Face::start().await;
    for tag in ["v2", "latest", "V1", "v10", "1.0.0"] {
        face.artifact("a/x", tag, json!({})).await;
    }
    face.artifact("workflows/z", "v1", json!({})).await;
    face.artifact("workflows", "v1", json!({})).await;
    face.blob("only/layers", b"x").await;
    let all = json!({"name": "a/x", "tags": ["1.0.0", "V1", "latest", "v10", "v2"]});
    assert_eq!(face.json("/v2/a/x/tags/list").await, (all.clone(), None));
    assert_eq!(face.json("/v2/a/x/tags/list?n=5").await, (all, None));
    let mut next = Some("/v2/a/x/tags/list?n=2".to_owned());
    let mut pages = Vec::new();
    while let Some(path) = next {
        let (page, link) = face.json(&path).await;
        pages.push(page["tags"].clone());
        next = link.map(|link| link.split_once('>').unwrap().0.trim_start_matches('<').to_owned());
    }
    assert_eq!(json!(pages), json!([["1.0.0", "V1"], ["latest", "v10"], ["v2"]]));
    assert_eq!(face.json("/v2/a/x/tags/list?last=m").await.0["tags"], json!(["v10", "v2"]));
    assert_eq!(face.json("/v2/a/x/tags/list?n=0").await, (json!({"name": "a/x", "tags": []}), None));
    assert_eq!(face.json("/v2/_catalog").await, (json!({"repositories": ["a/x", "workflows", "workflows/z"]}), None));
    let (page, link) = face.json("/v2/_catalog?n=2").await;
    assert_eq!(page, json!({"repositories": ["a/x", "workflows"]}));
    assert_eq!(link.as_deref(), Some("</v2/_catalog?last=workflows&n=2>; rel=\"next\""));
    assert_eq!(face.json("/v2/_catalog?n=2&last=workflows").await.0, json!({"repositories": ["workflows/z"]}));
    for path in ["/v2/_catalog?n=x", "/v2/a/x/tags/list?n=-1"] {
        face.check((Method::GET, path.into(), &[], b"", 400, &[])).await;
    }
    for name in ["a/none", "only/layers"] {
        face.check((Method::GET, format!("/v2/{name}/tags/list"), &[], b"", 404, &[("body", "NAME_UNKNOWN")])).await;
    }
}

#[tokio::test]
async fn referrers_are_listed_whether_or_not_their_subject_is_there() {
    let face = Face::start().await;
    let subject = digest::sha256(b"not pushed yet");
    let path = |filter: &str| format!("/v2/a/x/referrers/{subject}{filter}");
    let (none, _) = face.json(&path("")).await;
    assert_eq!(none, json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": []}), "also of an unknown repository");
    let about = json!({"mediaType": media::MANIFEST, "digest": subject, "size": 3});
    let config = face.blob("a/x", b"{}").await;
    let manifest = json!({"schemaVersion": 2, "mediaType": media::MANIFEST, "artifactType": "application/x.sig", "config": {"mediaType": media::EMPTY, "digest": config, "size": 2},
        "layers": [], "subject": about, "annotations": {"k": "v"}}).to_string();
    let digest = digest::sha256(manifest.as_bytes());
    let put = format!("/v2/a/x/manifests/{digest}");
    face.check((
        Method::PUT,
        put.clone(),
        &[("content-type", media::MANIFEST)],
        manifest.as_bytes(),
        201,
        &[("oci-subject", subject.as_str())],
    ))
    .await;
    let second = face.artifact("a/x", "other", json!({"subject": about})).await;
    let (found, _) = face.json(&path("")).await;
    let mut digests = vec![digest.as_str(), &second];
    digests.sort_unstable();
    let listed: Vec<&str> = found["manifests"].as_array().unwrap().iter().map(|entry| entry["digest"].as_str().unwrap()).collect();
    assert_eq!(listed, digests);
    let filtered = face
        .check((
            Method::GET,
            path("?artifactType=application/x.sig"),
            &[],
            b"",
            200,
            &[("oci-filters-applied", "artifactType"), ("content-type", media::INDEX)],
        ))
        .await;
    let filtered: Value = serde_json::from_slice(&filtered).unwrap();
    let expected = json!([{"mediaType": media::MANIFEST, "digest": digest, "size": manifest.len(), "annotations": {"k": "v"}, "artifactType": "application/x.sig"}]);
    assert_eq!(filtered["manifests"], expected);
    let by_config = format!("?artifactType={}", media::EMPTY);
    assert_eq!(face.json(&path(&by_config)).await.0["manifests"].as_array().unwrap().len(), 1, "the config's type stands in");
    face.check((Method::DELETE, put, &[], b"", 202, &[])).await;
    assert_eq!(face.json(&path("")).await.0["manifests"].as_array().unwrap().len(), 1);
    face.check((Method::GET, "/v2/a/x/referrers/x".into(), &[], b"", 400, &[("body", "DIGEST_INVALID")])).await;
}

#[tokio::test]
async fn quotas_hold() {
    let face = Face::with(Options { blob_bytes_max: 10, uploads_max: 2, ..Options::default() }).await;
    let large = b"0123456789a";
    let path = format!("/v2/a/x/blobs/uploads/?digest={}", digest::sha256(large));
    face.check((Method::POST, path, &[], large, 413, &[("body", "SIZE_INVALID")])).await;
    let location = begin(&face).await;
    face.check((Method::PATCH, location.clone(), &[], large, 413, &[("body", "SIZE_INVALID")])).await;
    face.check((Method::PATCH, location.clone(), &[], b"0123456", 202, &[])).await;
    face.check((Method::PATCH, location.clone(), &[], b"7890", 413, &[])).await;
    // Without a length that could be judged before.
    let head =
        format!("PATCH {location} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n7890\r\n0\r\n\r\n");
    assert!(raw(&face.served, head.as_bytes()).await.starts_with("HTTP/1.1 413"));
    let second = begin(&face).await;
    face.check((Method::POST, "/v2/a/x/blobs/uploads/".into(), &[], b"", 429, &[("body", "TOOMANYREQUESTS"), ("retry-after", "1")])).await;
    face.check((Method::DELETE, second, &[], b"", 204, &[])).await;
    begin(&face).await;
    // An upload that ended, however it ended, makes room; one that nobody touches does so after a while.
    let face = Face::with(Options { uploads_max: 1, ..Options::default() }).await;
    for _ in 0..3 {
        let path = format!("/v2/a/x/blobs/uploads/?digest={}", digest::sha256(b"x"));
        face.check((Method::POST, path.clone(), &[], b"y", 400, &[])).await;
        face.check((Method::POST, path, &[], b"x", 201, &[])).await;
    }
    let face = Face::with(Options { uploads_max: 1, upload_idle_max: Duration::ZERO, ..Options::default() }).await;
    for _ in 0..3 {
        begin(&face).await;
    }
}

#[tokio::test]
async fn a_large_body_is_refused_before_it_is_read() {
    let face = Face::start().await;
    for path in
        ["/v2/a/x/manifests/v1", "/v2/a/x/blobs/uploads/?digest=sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]
    {
        let method = if path.contains("uploads") { "POST" } else { "PUT" };
        let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 100000000000\r\n\r\n");
        let answer = raw(&face.served, head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("SIZE_INVALID"), "{answer}");
    }
}

#[tokio::test]
async fn a_manifest_may_be_as_large_as_the_limit_and_no_larger() {
    let face = Face::start().await;
    let config = face.blob("a/x", b"{}").await;
    let manifest = |bytes: usize| {
        let mut manifest = json!({"schemaVersion": 2, "mediaType": media::MANIFEST,
            "config": {"mediaType": media::EMPTY, "digest": config, "size": 2}, "layers": [], "annotations": {"pad": ""}});
        manifest["annotations"]["pad"] = "x".repeat(bytes - manifest.to_string().len()).into();
        manifest.to_string().into_bytes()
    };
    let sent = [("content-type", media::MANIFEST)];
    let (fits, over) = (manifest(MANIFEST_BYTES_MAX), manifest(MANIFEST_BYTES_MAX + 1));
    face.check((Method::PUT, "/v2/a/x/manifests/v1".into(), &sent, &fits, 201, &[])).await;
    assert_eq!(face.check((Method::GET, "/v2/a/x/manifests/v1".into(), &[], b"", 200, &[])).await, fits);
    let expected = [("body", "SIZE_INVALID"), ("body", "the limit of 4194304 bytes")];
    face.check((Method::PUT, "/v2/a/x/manifests/v2".into(), &sent, &over, 413, &expected)).await;
    face.check((Method::GET, "/v2/a/x/manifests/v2".into(), &[], b"", 404, &[])).await;
}

#[tokio::test]
async fn a_page_has_so_many_entries_at_most() {
    let face = Face::start().await;
    let tags: Vec<String> = (0..LIST_ENTRIES_MAX + 5).map(|n| format!("t{n:05}")).collect();
    face.served.layout.push("a/x", Kind::Workflow, "id: x".into(), Default::default(), &tags).await.unwrap();
    for asked in ["", "?n=20000"] {
        let (page, link) = face.json(&format!("/v2/a/x/tags/list{asked}")).await;
        assert_eq!(page["tags"].as_array().unwrap()[..], tags[..LIST_ENTRIES_MAX], "{asked}");
        assert_eq!(link.as_deref(), Some("</v2/a/x/tags/list?last=t09999&n=10000>; rel=\"next\""), "{asked}");
    }
    let (page, link) = face.json("/v2/a/x/tags/list?last=t09999").await;
    assert_eq!((page["tags"].as_array().unwrap().len(), link), (5, None));
}

#[tokio::test]
async fn writing_may_be_off_or_need_a_token() {
    let off = Face::with(Options { writes: Writes::Off("this registry is read-only"), ..Options::default() }).await;
    off.check((Method::POST, "/v2/a/x/blobs/uploads/".into(), &[], b"", 403, &[("body", "DENIED"), ("body", "read-only")])).await;
    off.check((Method::PUT, "/v2/a/x/manifests/v1".into(), &[], b"{}", 403, &[])).await;
    off.check((Method::DELETE, "/v2/a/x/manifests/v1".into(), &[], b"", 403, &[])).await;
    off.check((Method::GET, "/v2/_catalog".into(), &[], b"", 200, &[])).await;
    let token = || WriteToken::new("s3cret").unwrap();
    assert!(!format!("{:?}", token()).contains("s3cret"));
    assert!(WriteToken::new(" ").is_none());
    let guarded = Face::with(Options { writes: Writes::Token(token()), ..Options::default() }).await;
    let challenge = ("www-authenticate", "Basic realm=\"gantry registry\"");
    guarded.check((Method::GET, "/v2/".into(), &[], b"", 200, &[challenge])).await;
    guarded.check((Method::GET, "/v2/_catalog".into(), &[], b"", 200, &[])).await;
    // c2VjcmV0 is `secret`, YW55OnMzY3JldA== is `any:s3cret`, YW55OnMzY3JlVA== is `any:s3creT`.
    for wrong in ["", "Bearer", "Bearer s3cre", "Bearer s3crett", "Basic c2VjcmV0", "Basic ###", "Basic YW55OnMzY3JlVA==", "Digest s3cret"]
    {
        let answer = [challenge, ("body", "UNAUTHORIZED")];
        guarded.check((Method::POST, "/v2/a/x/blobs/uploads/".into(), &[("authorization", wrong)], b"", 401, &answer)).await;
    }
    for right in ["Bearer s3cret", "bearer  s3cret", "Basic YW55OnMzY3JldA=="] {
        guarded.check((Method::POST, "/v2/a/x/blobs/uploads/".into(), &[("authorization", right)], b"", 202, &[])).await;
    }
}

#[tokio::test]
async fn where_other_machines_reach_it_writing_is_off_without_a_token() {
    let served = Served::start_with(Options::default(), "0.0.0.0").await;
    let face = Face { served, http: http() };
    face.check((Method::POST, "/v2/a/x/blobs/uploads/".into(), &[], b"", 403, &[("body", "write token")])).await;
    face.check((Method::GET, "/v2/".into(), &[], b"", 200, &[])).await;
}

#[tokio::test]
async fn web_pages_do_not_write() {
    let face = Face::start().await;
    let origin = [("origin", "https://evil.example")];
    face.check((Method::POST, "/v2/a/x/blobs/uploads/".into(), &origin, b"", 403, &[("body", "DENIED")])).await;
    face.check((Method::GET, "/v2/_catalog".into(), &origin, b"", 200, &[("access-control-allow-origin", "")])).await;
}

#[tokio::test]
async fn slow_clients_are_cut() {
    let options = Options { header_timeout: Duration::from_millis(100), body_timeout: Duration::from_millis(100), ..Options::default() };
    let face = Face::with(options).await;
    // Nothing, half a head, half a body: each ends by itself.
    assert_eq!(raw(&face.served, b"").await, "");
    assert!(!raw(&face.served, b"GET /v2/ HTTP/1.1\r\nHost: x\r\n").await.contains("200 OK"));
    let slow = raw(&face.served, b"PUT /v2/a/x/manifests/v1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 10\r\n\r\n{").await;
    assert!(slow.starts_with("HTTP/1.1 408"), "{slow}");
}

#[tokio::test]
async fn more_connections_than_allowed_wait_for_their_turn() {
    let face = Face::with(Options { connections_max: 1, header_timeout: Duration::from_millis(100), ..Options::default() }).await;
    let idle = tokio::net::TcpStream::connect(("127.0.0.1", face.served.address.port())).await.unwrap();
    let answer = raw(&face.served, b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "served once the idle one was cut: {answer}");
    drop(idle);
}

#[tokio::test]
async fn requests_under_way_are_finished_at_shutdown_and_idle_connections_are_not_waited_for() {
    let mut face = Face::start().await;
    // An idle connection in the client's pool.
    face.check((Method::GET, "/v2/".into(), &[], b"", 200, &[])).await;
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", face.served.address.port())).await.unwrap();
    let digest = digest::sha256(b"0123");
    let head =
        format!("POST /v2/a/x/blobs/uploads/?digest={digest} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut buffer = [0; 1024];
    let read = stream.read(&mut buffer).await.unwrap();
    assert!(buffer[..read].starts_with(b"HTTP/1.1 100"), "the request is under way");
    face.served.stop.cancel();
    stream.write_all(b"0123").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let ended = tokio::time::timeout(Duration::from_secs(4), &mut face.served.ended).await;
    ended.expect("sooner than the grace period").unwrap().unwrap();
}
