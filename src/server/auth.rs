//! Who calls: bearer tokens and API keys from the configuration, compared in constant time.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::error::{Failure, OwnCode};
use super::options::AuthOptions;

/// The header of an API key.
const API_KEY_HEADER: &str = "x-api-key";
/// Longest secret that is looked at.
const SECRET_BYTES_MAX: usize = 4096;
/// The caller without a token.
const ANONYMOUS: &str = "anonymous";

/// A caller: tasks belong to it.
pub(super) type Caller = Arc<str>;

/// Knows the callers.
#[derive(Debug)]
pub(super) struct Auth {
    /// SHA-256 of each secret: all of one length, so that the comparison tells nothing.
    tokens: Vec<([u8; 32], Caller)>,
    anonymous: Option<Caller>,
}

/// Why the configuration is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Neither or both of `token` and `sha256`.
    #[error("the token of caller `{0}` needs exactly one of `token` and `sha256`")]
    Secret(String),
    /// Not 64 hex digits.
    #[error("`sha256` of caller `{0}` is not 64 hex digits")]
    Sha256(String),
    /// Open to the network without a token.
    #[error(
        "`{0}` is not a loopback address and no tokens are configured: add `auth.tokens`, or set `auth.anonymous = true` to serve anyone"
    )]
    Open(std::net::SocketAddr),
}

impl Auth {
    pub(super) fn new(options: &AuthOptions, bind: std::net::SocketAddr) -> Result<Self, AuthError> {
        let mut tokens = Vec::with_capacity(options.tokens.len());
        for token in &options.tokens {
            let hash = match (&token.token, &token.sha256) {
                (Some(secret), None) => Sha256::digest(secret.as_bytes()).into(),
                (None, Some(hex)) => {
                    let mut hash = [0; 32];
                    hex::decode_to_slice(hex, &mut hash).map_err(|_| AuthError::Sha256(token.caller.clone()))?;
                    hash
                }
                _ => return Err(AuthError::Secret(token.caller.clone())),
            };
            tokens.push((hash, Caller::from(token.caller.as_str())));
        }
        let anonymous = options.anonymous.unwrap_or(tokens.is_empty() && bind.ip().is_loopback());
        if tokens.is_empty() && !anonymous {
            return Err(AuthError::Open(bind));
        }
        Ok(Self { tokens, anonymous: anonymous.then(|| Caller::from(ANONYMOUS)) })
    }

    /// Whether tokens are asked for.
    pub(super) fn is_required(&self) -> bool {
        self.anonymous.is_none()
    }

    /// The caller of a request. A wrong token is refused even where no token is served.
    pub(super) fn caller(&self, headers: &HeaderMap) -> Result<Caller, Failure> {
        let Some(secret) = secret(headers) else {
            return self.anonymous.clone().ok_or_else(|| refused("a token is needed: `Authorization: Bearer …` or `X-API-Key: …`"));
        };
        // Without configured tokens there is nothing to compare with; proxies and SDKs may send some anyway.
        if self.tokens.is_empty() {
            return self.anonymous.clone().ok_or_else(|| refused("no tokens are configured"));
        }
        if secret.len() > SECRET_BYTES_MAX {
            return Err(refused("the token is not known"));
        }
        let hash = Sha256::digest(secret);
        let mut found = None;
        // All are compared, so that the time does not tell which one came close.
        for (known, caller) in &self.tokens {
            if bool::from(known.ct_eq(&hash)) {
                found = Some(caller);
            }
        }
        found.cloned().ok_or_else(|| refused("the token is not known"))
    }
}

fn secret(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(key) = headers.get(API_KEY_HEADER) {
        return Some(key.as_bytes());
    }
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let at = value.iter().position(|byte| *byte == b' ')?;
    value[..at].eq_ignore_ascii_case(b"bearer").then(|| value[at..].trim_ascii())
}

fn refused(why: &str) -> Failure {
    Failure::own(OwnCode::Unauthenticated, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Token;

    fn options(anonymous: Option<bool>, tokens: &[(&str, &str)]) -> AuthOptions {
        let token = |(caller, secret): &(&str, &str)| Token { caller: (*caller).into(), token: Some((*secret).into()), sha256: None };
        AuthOptions { anonymous, tokens: tokens.iter().map(token).collect() }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (axum::http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn callers_are_told_apart() {
        let loopback = "127.0.0.1:0".parse().unwrap();
        let auth = Auth::new(&options(None, &[("ann", "s3cret"), ("bob", "t0ken")]), loopback).unwrap();
        for (pairs, expected) in [
            (&[("authorization", "Bearer s3cret")][..], Some("ann")),
            (&[("authorization", "bearer  t0ken ")], Some("bob")),
            (&[("x-api-key", "t0ken")], Some("bob")),
            (&[("authorization", "Bearer S3CRET")], None),
            (&[("authorization", "Basic s3cret")], None),
            (&[("authorization", "Bearer ")], None),
            (&[], None),
        ] {
            assert_eq!(auth.caller(&headers(pairs)).ok().as_deref(), expected, "{pairs:?}");
        }
        let mixed = Auth::new(&options(Some(true), &[("ann", "s3cret")]), loopback).unwrap();
        assert_eq!(&*mixed.caller(&headers(&[])).unwrap(), ANONYMOUS);
        assert!(mixed.caller(&headers(&[("x-api-key", "wrong")])).is_err(), "a wrong token is never anonymous");
    }

    #[test]
    fn a_network_address_is_not_open_by_default() {
        let network = "0.0.0.0:0".parse().unwrap();
        assert!(matches!(Auth::new(&options(None, &[]), network), Err(AuthError::Open(_))));
        assert!(Auth::new(&options(Some(true), &[]), network).is_ok());
        assert!(Auth::new(&options(None, &[]), "[::1]:0".parse().unwrap()).is_ok());
        assert!(matches!(Auth::new(&options(Some(false), &[]), "127.0.0.1:0".parse().unwrap()), Err(AuthError::Open(_))));
    }

    #[test]
    fn secrets_are_not_shown() {
        let shown = format!("{:?}", options(None, &[("ann", "s3cret")]));
        assert!(shown.contains("ann") && !shown.contains("s3cret"), "{shown}");
    }
}
