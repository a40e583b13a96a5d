//! `/v2/<name>/manifests/<tag or digest>`

use axum::body::Body;
use axum::http::{HeaderName, Method, Response, StatusCode, header};

use super::super::manifest::Document;
use super::super::{At, digest, media};
use super::body::whole;
use super::dispatch::{Asked, Registry};
use super::reply::{CONTENT_DIGEST, Refusal, Reply, empty, insert, is_known, text};
use crate::limits;

const UNKNOWN: &str = "MANIFEST_UNKNOWN";

pub(super) async fn get(registry: &Registry, name: &str, at: &str, asked: &Asked) -> Result<Reply, Refusal> {
    // What cannot be a tag is no tag here.
    let at = At::parse(at).map_err(|error| Refusal::new(StatusCode::NOT_FOUND, UNKNOWN, error.to_string()))?;
    let manifest = registry.layout.manifest_at(name, &at).await.map_err(|error| Refusal::of_reading(error, UNKNOWN))?;
    let etag = format!("\"{}\"", manifest.digest);
    let known = is_known(&asked.headers, &etag);
    let mut reply = if known { empty(StatusCode::NOT_MODIFIED) } else { Response::new(Body::empty()) };
    insert(&mut reply, CONTENT_DIGEST, manifest.digest.as_str());
    insert(&mut reply, header::ETAG, &etag);
    if known {
        return Ok(reply);
    }
    insert(&mut reply, header::CONTENT_TYPE, &manifest.media_type);
    insert(&mut reply, header::CONTENT_LENGTH, &manifest.bytes.len().to_string());
    if asked.method == Method::GET {
        *reply.body_mut() = Body::from(manifest.bytes);
    }
    Ok(reply)
}

pub(super) async fn put(registry: &Registry, name: &str, at: &str, asked: &Asked, body: Body) -> Result<Reply, Refusal> {
    let at = At::parse(at).map_err(|error| {
        let code = if at.contains(':') { "DIGEST_INVALID" } else { "MANIFEST_INVALID" };
        Refusal::new(StatusCode::BAD_REQUEST, code, error.to_string())
    })?;
    let timeout = registry.options.body_timeout;
    let bytes = whole(&asked.headers, body, timeout, limits::MANIFEST_BYTES_MAX).await?;
    let document = Document::read(name, &bytes).map_err(|error| Refusal::of(error, UNKNOWN))?;
    let media_type = media_type(text(&asked.headers, header::CONTENT_TYPE), &document)?;
    let (digest, tags) = match at {
        At::Tag(tag) => (digest::sha256(&bytes), vec![tag]),
        At::Digest(expected) => {
            let actual = digest::same_algorithm(&expected, &bytes);
            if actual != expected {
                let message = format!("the manifest's digest is {actual}, not {expected}");
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", message));
            }
            (expected, Vec::new())
        }
    };
    let put = registry.layout.put_manifest(name, digest, bytes, media_type, tags).await;
    let stored = put.map_err(|error| Refusal::of(error, "MANIFEST_BLOB_UNKNOWN"))?;
    let mut reply = empty(StatusCode::CREATED);
    insert(&mut reply, header::LOCATION, &format!("/v2/{name}/manifests/{}", stored.digest));
    insert(&mut reply, CONTENT_DIGEST, stored.digest.as_str());
    if let Some(subject) = &stored.subject {
        insert(&mut reply, HeaderName::from_static("oci-subject"), subject);
    }
    Ok(reply)
}

pub(super) async fn delete(registry: &Registry, name: &str, at: &str) -> Result<Reply, Refusal> {
    let at = At::parse(at).map_err(|error| Refusal::new(StatusCode::NOT_FOUND, UNKNOWN, error.to_string()))?;
    registry.layout.delete(name, &at).await.map_err(|error| Refusal::of(error, UNKNOWN))?;
    Ok(empty(StatusCode::ACCEPTED))
}

// The header and the manifest's own field must agree where both speak. Only `application/…` is stored: a browser shows
// what comes back with the type that was pushed.
fn media_type(header: Option<&str>, document: &Document) -> Result<String, Refusal> {
    let invalid = |message: String| Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", message);
    let header = header.map(media::essence).filter(|it| !it.is_empty());
    let field = document.media_type.clone().filter(|it| !it.is_empty());
    let media_type = match (header, field) {
        (Some(header), Some(field)) if header != field.to_ascii_lowercase() => {
            return Err(invalid(format!("the Content-Type {header} is not the manifest's mediaType")));
        }
        (_, Some(field)) => field,
        (Some(header), None) => header,
        (None, None) => return Err(invalid("send the manifest's media type as Content-Type".to_owned())),
    };
    let readable = media_type.starts_with("application/") && media_type.len() <= 255 && media_type.bytes().all(|b| b.is_ascii_graphic());
    if readable { Ok(media_type) } else { Err(invalid("a manifest's media type begins with application/".to_owned())) }
}
