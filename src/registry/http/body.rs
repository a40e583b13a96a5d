//! Request bodies with a bound on size and on time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};

use super::reply::{Refusal, text};

/// A body is handed on in pieces of about this size, so that each costs one turn on a blocking thread.
const PIECE_BYTES: usize = 256 * 1024;
/// Who sends this many bytes gets a second more.
const BYTES_PER_SECOND_MIN: u64 = 64 * 1024;

/// A body that is read piece by piece.
#[derive(Debug)]
pub(super) struct Pieces {
    body: Body,
    started: Instant,
    timeout: Duration,
    received: u64,
}

impl Pieces {
    pub(super) fn of(body: Body, timeout: Duration) -> Self {
        Self { body, started: Instant::now(), timeout, received: 0 }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        let mut piece = BytesMut::new();
        while piece.len() < PIECE_BYTES {
            let allowed = self.timeout + Duration::from_secs(self.received / BYTES_PER_SECOND_MIN);
            let frame = match timeout_at(self.started + allowed, self.body.frame()).await {
                Err(_) => return Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "BLOB_UPLOAD_INVALID", "the body came too slowly")),
                Ok(None) => break,
                Ok(Some(Err(_))) => return Err(Refusal::new(StatusCode::BAD_REQUEST, "SIZE_INVALID", "the body was cut short")),
                Ok(Some(Ok(frame))) => frame,
            };
            if let Ok(data) = frame.into_data() {
                self.received += data.len() as u64;
                piece.extend_from_slice(&data);
            }
        }
        Ok((!piece.is_empty()).then(|| piece.freeze()))
    }
}

/// Refuses a body whose length is announced and too large, before any of it is read.
pub(super) fn check_length(headers: &HeaderMap, bytes_max: u64) -> Result<(), Refusal> {
    let length = text(headers, header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|length| length > bytes_max) { Err(too_large(bytes_max)) } else { Ok(()) }
}

/// A whole body, for what must be read at once.
pub(super) async fn whole(headers: &HeaderMap, body: Body, timeout: Duration, bytes_max: usize) -> Result<Bytes, Refusal> {
    check_length(headers, bytes_max as u64)?;
    let mut pieces = Pieces::of(body, timeout);
    let mut whole = BytesMut::new();
    while let Some(piece) = pieces.next().await? {
        if whole.len() + piece.len() > bytes_max {
            return Err(too_large(bytes_max as u64));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn too_large(bytes_max: u64) -> Refusal {
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID", format!("the body is larger than the limit of {bytes_max} bytes"))
}
