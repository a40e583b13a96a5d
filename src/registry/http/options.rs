//! How the HTTP face behaves.

use std::fmt;
use std::time::Duration;

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use subtle::ConstantTimeEq as _;

use super::super::digest;
use crate::limits;

/// Bounds, and who may write.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who may push and delete.
    pub writes: Writes,
    /// Largest blob.
    pub blob_bytes_max: u64,
    /// Uploads under way at once.
    pub uploads_max: usize,
    /// An upload that nobody touched for so long is dropped.
    pub upload_idle_max: Duration,
    /// Connections served at once.
    pub connections_max: usize,
    /// Time a client may take to send its headers.
    pub header_timeout: Duration,
    /// Time a client may take to send a body, beside one second for each 64 KiB that came.
    pub body_timeout: Duration,
    /// Time that requests under way get at shutdown.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            writes: Writes::Open,
            blob_bytes_max: limits::REGISTRY_BLOB_BYTES_MAX,
            uploads_max: limits::REGISTRY_UPLOADS_MAX,
            upload_idle_max: limits::REGISTRY_UPLOAD_IDLE_MAX,
            connections_max: limits::REGISTRY_CONNECTIONS_MAX,
            header_timeout: limits::HEADER_TIMEOUT,
            body_timeout: limits::BODY_TIMEOUT,
            grace: Duration::from_secs(5),
        }
    }
}

/// Who may push and delete. Reading is open.
#[derive(Debug, Clone)]
pub enum Writes {
    /// Whoever reaches the port. [`serve`](super::serve) grants it on loopback addresses only.
    Open,
    /// Who has this token, as `Authorization: Bearer …` or as the password of Basic.
    Token(WriteToken),
    /// Nobody, for the reason given.
    Off(&'static str),
}

/// The secret that allows writing. Never shown.
#[derive(Clone)]
pub struct WriteToken(String);

impl WriteToken {
    /// Wraps a token; `None` when it is empty, which would let everybody in.
    pub fn new(token: impl Into<String>) -> Option<Self> {
        let token = token.into();
        (!token.trim().is_empty()).then_some(Self(token))
    }

    /// The request carries the token.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) else { return false };
        let Some((scheme, credential)) = value.split_once(' ') else { return false };
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.is(credential.trim().as_bytes());
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return false;
        }
        let Ok(decoded) = BASE64_STANDARD.decode(credential.trim()) else { return false };
        let password = decoded.iter().position(|byte| *byte == b':').map(|at| &decoded[at + 1..]);
        password.is_some_and(|password| self.is(password))
    }

    // Digests have one length and are compared in constant time, so that neither length nor content of the token leaks.
    fn is(&self, given: &[u8]) -> bool {
        let (given, own) = (digest::sha256(given), digest::sha256(self.0.as_bytes()));
        given.as_str().as_bytes().ct_eq(own.as_str().as_bytes()).into()
    }
}

impl fmt::Debug for WriteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WriteToken(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_sets_is_the_bound() {
        let Options { writes: _, blob_bytes_max, uploads_max, upload_idle_max, connections_max, header_timeout, body_timeout, grace: _ } =
            Options::default();
        assert_eq!((blob_bytes_max, uploads_max), (limits::REGISTRY_BLOB_BYTES_MAX, limits::REGISTRY_UPLOADS_MAX));
        assert_eq!((upload_idle_max, connections_max), (limits::REGISTRY_UPLOAD_IDLE_MAX, limits::REGISTRY_CONNECTIONS_MAX));
        assert_eq!((header_timeout, body_timeout), (limits::HEADER_TIMEOUT, limits::BODY_TIMEOUT));
    }
}
