//! `/v2/<name>/blobs/uploads/`: whole, in two requests, in chunks, or taken over from another repository.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};

use super::super::{Error, Layout, check_repository};
use super::blobs;
use super::body::{Pieces, check_length};
use super::dispatch::{Asked, Registry};
use super::reply::{CONTENT_DIGEST, Refusal, Reply, empty, insert, text};
use crate::ids::Digest;

const UNKNOWN: &str = "BLOB_UPLOAD_UNKNOWN";

/// POST: `?digest=` with the blob itself, `?mount=&from=`, or the beginning of an upload.
pub(super) async fn begin(registry: &Registry, name: &str, asked: &Asked, body: Body) -> Result<Reply, Refusal> {
    let options = &registry.options;
    if let (Some(digest), Some(from)) = (asked.query.get("mount"), asked.query.get("from")) {
        let digest = blobs::parse(digest)?;
        check_repository(from).map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "NAME_INVALID", error.to_string()))?;
        let mounted = registry.layout.mount_blob(name, &digest, from).await;
        if mounted.map_err(|error| Refusal::of(error, "BLOB_UNKNOWN"))? {
            return Ok(created(name, &digest));
        }
    }
    let whole = asked.query.get("digest").map(blobs::parse).transpose()?;
    check_length(&asked.headers, options.blob_bytes_max)?;
    let begun = registry.layout.begin_upload(name, options.uploads_max, options.upload_idle_max).await;
    let id = begun.map_err(|error| Refusal::of(error, UNKNOWN))?;
    let Some(digest) = whole else {
        let mut reply = empty(StatusCode::ACCEPTED);
        locate(&mut reply, name, &id, 0);
        return Ok(reply);
    };
    // Nobody learned the id: when this request fails or its client goes away, the upload goes too.
    let unfinished = Unfinished { layout: &registry.layout, name, id: &id };
    append(registry, name, &id, 0, body).await?;
    let finished = registry.layout.finish_upload(name, &id, &digest).await;
    drop(unfinished);
    finished.map_err(|error| Refusal::of(error, UNKNOWN))?;
    Ok(created(name, &digest))
}

/// GET: how far is it?
pub(super) async fn status(registry: &Registry, name: &str, id: &str) -> Result<Reply, Refusal> {
    let length = length_of(registry, name, id).await?;
    let mut reply = empty(StatusCode::NO_CONTENT);
    locate(&mut reply, name, id, length);
    Ok(reply)
}

/// PATCH: the next chunk.
pub(super) async fn patch(registry: &Registry, name: &str, id: &str, asked: &Asked, body: Body) -> Result<Reply, Refusal> {
    let length = length_of(registry, name, id).await?;
    check_chunk(&asked.headers, name, id, length)?;
    check_length(&asked.headers, registry.options.blob_bytes_max - length.min(registry.options.blob_bytes_max))?;
    let length = append(registry, name, id, length, body).await?;
    let mut reply = empty(StatusCode::ACCEPTED);
    locate(&mut reply, name, id, length);
    Ok(reply)
}

/// PUT `?digest=`: the last chunk, which may be empty or everything.
pub(super) async fn finish(registry: &Registry, name: &str, id: &str, asked: &Asked, body: Body) -> Result<Reply, Refusal> {
    let Some(digest) = asked.query.get("digest") else {
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", "say which digest the blob has: ?digest=sha256:…"));
    };
    let digest = blobs::parse(digest)?;
    let length = length_of(registry, name, id).await?;
    check_chunk(&asked.headers, name, id, length)?;
    check_length(&asked.headers, registry.options.blob_bytes_max - length.min(registry.options.blob_bytes_max))?;
    append(registry, name, id, length, body).await?;
    registry.layout.finish_upload(name, id, &digest).await.map_err(|error| Refusal::of(error, UNKNOWN))?;
    Ok(created(name, &digest))
}

/// DELETE: never mind.
pub(super) async fn cancel(registry: &Registry, name: &str, id: &str) -> Result<Reply, Refusal> {
    let known = registry.layout.cancel_upload(name, id).await.map_err(|error| Refusal::of(error, UNKNOWN))?;
    if known { Ok(empty(StatusCode::NO_CONTENT)) } else { Err(Refusal::of(Error::NotFound(format!("{name}/{id}")), UNKNOWN)) }
}

async fn length_of(registry: &Registry, name: &str, id: &str) -> Result<u64, Refusal> {
    let status = registry.layout.upload_status(name, id).await.map_err(|error| Refusal::of(error, UNKNOWN))?;
    Ok(status.length)
}

// Every piece says where it belongs, so that two requests at once cannot mix their bytes.
async fn append(registry: &Registry, name: &str, id: &str, mut length: u64, body: Body) -> Result<u64, Refusal> {
    let mut pieces = Pieces::of(body, registry.options.body_timeout);
    while let Some(piece) = pieces.next().await? {
        let appended = registry.layout.append_upload(name, id, length, piece, registry.options.blob_bytes_max).await;
        match appended.map_err(|error| Refusal::of(error, UNKNOWN))? {
            Ok(appended) => length = appended.length,
            Err(there) => return Err(out_of_order(name, id, there.length)),
        }
    }
    Ok(length)
}

/// `Content-Range: first-last` must go on where the upload ends and tell the length of the body.
fn check_chunk(headers: &HeaderMap, name: &str, id: &str, length: u64) -> Result<(), Refusal> {
    let Some(range) = text(headers, header::CONTENT_RANGE) else { return Ok(()) };
    let invalid = || Refusal::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", "write Content-Range as first-last");
    let range = range.strip_prefix("bytes").unwrap_or(range).split('/').next().unwrap_or_default().trim();
    let (first, last) = range.split_once('-').ok_or_else(invalid)?;
    let (first, last) = (first.parse::<u64>().map_err(|_| invalid())?, last.parse::<u64>().map_err(|_| invalid())?);
    if first != length {
        return Err(out_of_order(name, id, length));
    }
    let announced = text(headers, header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    // An empty last chunk is written as `0-0` by some, with a length of 0.
    let fits = announced.is_none_or(|announced| announced == 0 || last.checked_sub(first).is_some_and(|less| less + 1 == announced));
    if fits { Ok(()) } else { Err(Refusal::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", "Content-Range and Content-Length differ")) }
}

fn out_of_order(name: &str, id: &str, length: u64) -> Refusal {
    let message = format!("the upload has {length} bytes; go on there");
    Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "BLOB_UPLOAD_INVALID", message)
        .with(header::LOCATION, location(name, id))
        .with(header::RANGE, range(length))
}

fn locate(reply: &mut Reply, name: &str, id: &str, length: u64) {
    insert(reply, header::LOCATION, &location(name, id));
    insert(reply, header::RANGE, &range(length));
    insert(reply, HeaderName::from_static("docker-upload-uuid"), id);
}

fn location(name: &str, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

// The header cannot say "nothing yet"; every registry writes `0-0` then.
fn range(length: u64) -> String {
    format!("0-{}", length.saturating_sub(1))
}

fn created(name: &str, digest: &Digest) -> Reply {
    let mut reply = empty(StatusCode::CREATED);
    insert(&mut reply, header::LOCATION, &format!("/v2/{name}/blobs/{digest}"));
    insert(&mut reply, CONTENT_DIGEST, digest.as_str());
    reply
}

struct Unfinished<'a> {
    layout: &'a Layout,
    name: &'a str,
    id: &'a str,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        self.layout.forget_upload(self.name, self.id);
    }
}
