//! One answer, read whole within its bound, and what its status means.

use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::super::{Error, media};
use super::transport::unreachable;
use crate::ids::Digest;
use crate::limits;

/// An answer with its whole body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) url: Url,
}

impl Answer {
    /// Reads a body, at most `bytes_max` of it.
    pub(super) async fn read(what: &str, mut response: reqwest::Response, bytes_max: u64) -> Result<Self, Error> {
        let too_large = || Error::TooLarge { what: what.to_owned(), bytes_max };
        let (status, headers, url) = (response.status(), response.headers().clone(), response.url().clone());
        // Errors are read for their first words only.
        let bytes_max = if status.is_success() { bytes_max } else { limits::REMOTE_ERROR_BYTES_MAX as u64 };
        if status.is_success() && response.content_length().is_some_and(|length| length > bytes_max) {
            return Err(too_large());
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| unreachable(what, &error))? {
            if (body.len() + chunk.len()) as u64 > bytes_max {
                if status.is_success() {
                    return Err(too_large());
                }
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Self { status, headers, body: body.freeze(), url })
    }

    /// The answer, if its status is one of these; otherwise what it means.
    pub(super) fn expect(self, what: &str, statuses: &[StatusCode]) -> Result<Self, Error> {
        if statuses.contains(&self.status) { Ok(self) } else { Err(self.refusal(what)) }
    }

    /// What an unwanted status means.
    pub(super) fn refusal(&self, what: &str) -> Error {
        let what = what.to_owned();
        let reason = self.reason();
        match self.status {
            StatusCode::NOT_FOUND => Error::NotFound(what),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Unauthorized { what, reason },
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                Error::Unavailable { what, reason, transient: true, retry_after: self.retry_after() }
            }
            status if status.is_server_error() => Error::Unavailable { what, reason, transient: true, retry_after: self.retry_after() },
            status if status.is_client_error() => Error::Refused { what, reason },
            _ => Error::Invalid { what, reason: format!("unexpected {reason}; is this a registry?") },
        }
    }

    /// The body as JSON of a list or token, unless it is a page for people.
    pub(super) fn json<T: DeserializeOwned>(&self, what: &str) -> Result<T, Error> {
        self.check_no_page(what)?;
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::invalid(what, format!("the answer is not the JSON of a registry: {error}")))
    }

    /// Portals and proxies answer 200 with a page.
    pub(super) fn check_no_page(&self, what: &str) -> Result<(), Error> {
        let media_type = self.media_type().unwrap_or_default();
        if media_type.starts_with("text/html") {
            return Err(Error::invalid(what, "a web page came instead of the answer of a registry; is the address right?"));
        }
        Ok(())
    }

    /// The media type without parameters.
    pub(super) fn media_type(&self) -> Option<String> {
        self.header(&header::CONTENT_TYPE).map(media::essence).filter(|it| !it.is_empty())
    }

    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The digest that the registry names.
    pub(super) fn digest(&self) -> Option<Digest> {
        Digest::parse(self.header(&HeaderName::from_static("docker-content-digest"))?).ok()
    }

    /// How long the registry asks to wait, in seconds or until a date.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let value = self.header(&header::RETRY_AFTER)?.trim();
        let wait = match value.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(SystemTime::now()).unwrap_or_default(),
        };
        Some(wait.min(limits::RETRY_AFTER_MAX))
    }

    // `HTTP 403 DENIED: requested access …`, of harmless characters.
    fn reason(&self) -> String {
        #[derive(Deserialize)]
        struct Envelope {
            errors: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let status = format!("HTTP {}", self.status.as_u16());
        let envelope = serde_json::from_slice::<Envelope>(&self.body).ok();
        let Some(first) = envelope.and_then(|envelope| envelope.errors.into_iter().next()) else { return status };
        let clean = |text: &str, length| text.chars().filter(|c| !c.is_control()).take(length).collect::<String>();
        format!("{status} {}: {}", clean(&first.code, 40), clean(&first.message, 200))
    }
}
