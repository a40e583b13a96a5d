//! `/v2/<name>/blobs/<digest>`

use std::io::{Seek, SeekFrom};

use axum::body::Body;
use axum::http::{HeaderMap, Method, Response, StatusCode, header};
use tokio::io::AsyncReadExt as _;
use tokio_util::io::ReaderStream;

use super::dispatch::{Asked, Registry};
use super::reply::{CONTENT_DIGEST, Refusal, Reply, empty, insert, is_known, text};
use crate::ids::Digest;

const UNKNOWN: &str = "BLOB_UNKNOWN";

pub(super) async fn get(registry: &Registry, name: &str, digest: &str, asked: &Asked) -> Result<Reply, Refusal> {
    let digest = parse(digest)?;
    let opened = registry.layout.open_blob(name, &digest).await;
    let (mut file, size) = opened.map_err(|error| Refusal::of_reading(error, UNKNOWN))?;
    let etag = format!("\"{digest}\"");
    if is_known(&asked.headers, &etag) {
        let mut reply = empty(StatusCode::NOT_MODIFIED);
        insert(&mut reply, header::ETAG, &etag);
        return Ok(reply);
    }
    let range = if asked.method == Method::GET { Range::of(&asked.headers, size) } else { Range::Whole };
    let mut reply = Response::new(Body::empty());
    let (start, length) = match range {
        Range::Whole => (0, size),
        Range::Part(start, end) => {
            *reply.status_mut() = StatusCode::PARTIAL_CONTENT;
            insert(&mut reply, header::CONTENT_RANGE, &format!("bytes {start}-{end}/{size}"));
            (start, end - start + 1)
        }
        Range::Beyond => {
            let message = format!("the blob has {size} bytes");
            return Err(Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "SIZE_INVALID", message)
                .with(header::CONTENT_RANGE, format!("bytes */{size}")));
        }
    };
    insert(&mut reply, CONTENT_DIGEST, digest.as_str());
    insert(&mut reply, header::ETAG, &etag);
    insert(&mut reply, header::ACCEPT_RANGES, "bytes");
    insert(&mut reply, header::CONTENT_TYPE, "application/octet-stream");
    insert(&mut reply, header::CONTENT_LENGTH, &length.to_string());
    if asked.method == Method::GET && length > 0 {
        file.seek(SeekFrom::Start(start)).map_err(|error| {
            tracing::error!(%error, "cannot read a blob");
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", "the registry could not use its disk")
        })?;
        let part = tokio::fs::File::from_std(file).take(length);
        *reply.body_mut() = Body::from_stream(ReaderStream::with_capacity(part, 64 * 1024));
    }
    Ok(reply)
}

pub(super) async fn delete(registry: &Registry, name: &str, digest: &str) -> Result<Reply, Refusal> {
    let digest = parse(digest)?;
    registry.layout.delete_blob(name, &digest).await.map_err(|error| Refusal::of(error, UNKNOWN))?;
    Ok(empty(StatusCode::ACCEPTED))
}

pub(super) fn parse(digest: &str) -> Result<Digest, Refusal> {
    Digest::parse(digest).map_err(|error| {
        let shown: String = error.to_string().chars().take(200).collect();
        Refusal::new(StatusCode::BAD_REQUEST, "DIGEST_INVALID", shown)
    })
}

/// Which bytes are wanted (RFC 9110, Range). Several ranges, and other units, are answered with everything.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    Whole,
    /// First and last byte.
    Part(u64, u64),
    Beyond,
}

impl Range {
    fn of(headers: &HeaderMap, size: u64) -> Self {
        let Some(spec) = text(headers, header::RANGE).and_then(|value| value.strip_prefix("bytes=")) else { return Self::Whole };
        let Some((first, last)) = spec.trim().split_once('-') else { return Self::Whole };
        match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first > last => Self::Whole,
            (Ok(first), last) if last.is_ok() || spec.ends_with('-') => {
                if first >= size {
                    return Self::Beyond;
                }
                Self::Part(first, last.unwrap_or(u64::MAX).min(size - 1))
            }
            (Err(_), Ok(tail)) if first.is_empty() => {
                if tail == 0 || size == 0 {
                    return Self::Beyond;
                }
                Self::Part(size.saturating_sub(tail), size - 1)
            }
            _ => Self::Whole,
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn ranges() {
        for (value, size, expected) in [
            ("bytes=0-4", 10, Range::Part(0, 4)),
            ("bytes=2-", 10, Range::Part(2, 9)),
            ("bytes=-3", 10, Range::Part(7, 9)),
            ("bytes=-30", 10, Range::Part(0, 9)),
            ("bytes=9-99", 10, Range::Part(9, 9)),
            ("bytes=10-", 10, Range::Beyond),
            ("bytes=0-", 0, Range::Beyond),
            ("bytes=-0", 10, Range::Beyond),
            ("bytes=4-2", 10, Range::Whole),
            ("bytes=0-1,3-4", 10, Range::Whole),
            ("bytes=a-b", 10, Range::Whole),
            ("bytes=-", 10, Range::Whole),
            ("lines=0-1", 10, Range::Whole),
            ("bytes=99999999999999999999-", 10, Range::Whole),
        ] {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(value))]);
            assert_eq!(Range::of(&headers, size), expected, "{value}");
        }
        assert_eq!(Range::of(&HeaderMap::new(), 1), Range::Whole);
    }
}
