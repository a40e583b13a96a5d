//! A registry somewhere else.

use std::sync::Arc;

use axum::http::{HeaderMap, Method, StatusCode};
use bytes::Bytes;
use tokio::time::Instant;
use url::Url;

use super::super::manifest::Document;
use super::super::reference::{check_registry, check_repository};
use super::super::{At, Error, Manifest, digest, media};
use super::auth::{Auth, Scope, accept};
use super::options::{RemoteOptions, Scheme};
use super::transport::{Ask, Retry, Transport};
use crate::ids::Digest;
use crate::limits;

/// A registry over HTTP. Cheap to clone; clones share connections, logins and tokens.
#[derive(Debug, Clone)]
pub struct Remote {
    pub(super) transport: Arc<Transport>,
    registry: String,
}

impl Remote {
    /// A client for `host[:port]`. Nothing is sent yet.
    pub fn new(registry: &str, options: RemoteOptions) -> Result<Self, Error> {
        check_registry(registry).map_err(|error| Error::bad_name(registry, error))?;
        let base = base_url(registry, options.scheme)?;
        super::addresses::check(&options.addresses, &base).map_err(|refused| Error::invalid(registry, refused.to_string()))?;
        let auth = Auth::new(registry, options.credential.clone())?;
        Ok(Self { transport: Arc::new(Transport::new(base, auth, options)?), registry: registry.to_owned() })
    }

    /// `host[:port]`, as it was given.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// Asks whether there is a registry (`GET /v2/`): `Ok` also when it wants a login first.
    pub async fn ping(&self) -> Result<(), Error> {
        let what = self.registry.clone();
        let ask = Ask { retry: Retry::Never, ..self.ask(Method::GET, "", Scope::Catalog, &what) };
        let answer = self.transport.send(&ask).await;
        match answer {
            Ok(answer) if answer.status == StatusCode::OK => answer.check_no_page(&what),
            Ok(answer) if answer.status == StatusCode::UNAUTHORIZED => Ok(()),
            Ok(answer) => Err(answer.refusal(&what)),
            Err(Error::Unauthorized { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The manifest of a tag or digest, verified.
    pub(super) async fn fetch_manifest(&self, repository: &str, at: &At) -> Result<Manifest, Error> {
        let what = self.what(repository, at)?;
        let ask = Ask {
            headers: accept(&MANIFEST_TYPES),
            bytes_max: limits::MANIFEST_BYTES_MAX as u64,
            ..self.ask(Method::GET, &format!("{repository}/manifests/{at}"), Scope::Pull(repository), &what)
        };
        let answer = self.transport.send(&ask).await?.expect(&what, &[StatusCode::OK])?;
        answer.check_no_page(&what)?;
        // A tag's digest is what the registry says, if it says so, and the bytes must have it either way.
        let expected = match at {
            At::Digest(digest) => Some(digest.clone()),
            At::Tag(_) => answer.digest(),
        };
        let digest = match expected {
            Some(expected) => verified(&what, expected, &answer.body)?,
            None => digest::sha256(&answer.body),
        };
        let document = Document::read(&what, &answer.body)?;
        let told = answer.media_type().filter(|it| it.starts_with("application/vnd."));
        let media_type = told.or(document.media_type).unwrap_or_else(|| media::MANIFEST.to_owned());
        Ok(Manifest { digest, bytes: answer.body, media_type })
    }

    /// What a tag points at, by its headers where the registry sends them.
    pub(super) async fn fetch_digest(&self, repository: &str, tag: &str) -> Result<Digest, Error> {
        let at = At::Tag(tag.to_owned());
        let what = self.what(repository, &at)?;
        let path = format!("{repository}/manifests/{tag}");
        let ask = Ask { headers: accept(&MANIFEST_TYPES), ..self.ask(Method::HEAD, &path, Scope::Pull(repository), &what) };
        let answer = self.transport.send(&ask).await?;
        match (answer.status, answer.digest()) {
            (StatusCode::OK, Some(digest)) => Ok(digest),
            (StatusCode::OK | StatusCode::METHOD_NOT_ALLOWED, _) => Ok(self.fetch_manifest(repository, &at).await?.digest),
            _ => Err(answer.refusal(&what)),
        }
    }

    /// A blob of a known size, verified.
    pub(super) async fn fetch_blob(&self, repository: &str, digest: &Digest, size: u64) -> Result<Bytes, Error> {
        let what = self.what(repository, &At::Digest(digest.clone()))?;
        if size > limits::BLOB_BYTES_MAX as u64 {
            return Err(Error::TooLarge { what, bytes_max: limits::BLOB_BYTES_MAX as u64 });
        }
        let ask = Ask { bytes_max: size, ..self.ask(Method::GET, &format!("{repository}/blobs/{digest}"), Scope::Pull(repository), &what) };
        let answer = self.transport.send(&ask).await?.expect(&what, &[StatusCode::OK])?;
        if answer.body.len() as u64 != size {
            let reason = format!("its manifest promises {size} bytes, {} came", answer.body.len());
            return Err(Error::Invalid { what, reason });
        }
        verified(&what, digest.clone(), &answer.body)?;
        Ok(answer.body)
    }

    /// A request for a path below `/v2/`, with the bounds that most share.
    pub(super) fn ask<'a>(&self, method: Method, path: &str, scope: Scope<'a>, what: &'a str) -> Ask<'a> {
        let mut url = self.transport.base().clone();
        // Repository names, tags and digests hold nothing that must be escaped.
        url.set_path(&format!("/v2/{path}"));
        let retry = if matches!(method, Method::GET | Method::HEAD) { Retry::Always } else { Retry::Never };
        Ask {
            method,
            url,
            scope,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            what,
            bytes_max: limits::MANIFEST_BYTES_MAX as u64,
            retry,
            deadline: Instant::now() + self.transport.timeout(),
        }
    }

    /// The name of a thing, for errors, once its parts are known to be harmless.
    pub(super) fn what(&self, repository: &str, at: &At) -> Result<String, Error> {
        let checked = check_repository(repository).and_then(|()| match at {
            At::Tag(tag) => super::super::check_tag(tag),
            At::Digest(_) => Ok(()),
        });
        checked.map_err(|error| Error::bad_name(format!("{repository}:{at}"), error))?;
        Ok(match at {
            At::Tag(tag) => format!("{}/{repository}:{tag}", self.registry),
            At::Digest(digest) => format!("{}/{repository}@{digest}", self.registry),
        })
    }
}

const MANIFEST_TYPES: [&str; 4] = [media::MANIFEST, media::INDEX, media::DOCKER_MANIFEST, media::DOCKER_INDEX];

fn verified(what: &str, expected: Digest, bytes: &[u8]) -> Result<Digest, Error> {
    let actual = digest::same_algorithm(&expected, bytes);
    if actual == expected { Ok(expected) } else { Err(Error::DigestMismatch { what: what.to_owned(), expected, actual }) }
}

fn base_url(registry: &str, scheme: Scheme) -> Result<Url, Error> {
    // Docker Hub's registry lives under another name than its references.
    let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
    let scheme = match scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
        Scheme::ByHost => {
            let name = host
                .strip_prefix('[')
                .and_then(|rest| rest.split_once(']'))
                .map_or_else(|| host.split(':').next().unwrap_or_default(), |(address, _)| address);
            let loopback = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
            if name == "localhost" || loopback { "http" } else { "https" }
        }
    };
    Url::parse(&format!("{scheme}://{host}/")).map_err(|error| Error::bad_name(registry, format!("`{registry}` is no address: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_follows_the_host() {
        for (registry, expected) in [
            ("localhost:5000", "http://localhost:5000/"),
            ("localhost", "http://localhost/"),
            ("127.0.0.1:1", "http://127.0.0.1:1/"),
            ("[::1]:5000", "http://[::1]:5000/"),
            ("10.0.0.1:5000", "https://10.0.0.1:5000/"),
            ("ghcr.io", "https://ghcr.io/"),
            ("docker.io", "https://registry-1.docker.io/"),
        ] {
            assert_eq!(base_url(registry, Scheme::ByHost).unwrap().as_str(), expected);
        }
        assert_eq!(base_url("ghcr.io", Scheme::Http).unwrap().scheme(), "http");
        assert_eq!(base_url("localhost", Scheme::Https).unwrap().scheme(), "https");
    }
}
