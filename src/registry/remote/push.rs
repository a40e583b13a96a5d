//! Blobs and manifests on their way to a registry.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use bytes::Bytes;
use tokio::time::Instant;

use super::super::manifest::build;
use super::super::store::checked_push;
use super::super::{At, Error, Kind, Pushed, media};
use super::Remote;
use super::auth::Scope;
use super::transport::{Ask, Retry, next_hop};
use crate::ids::Digest;
use crate::limits;

impl Remote {
    pub(super) async fn push_artifact(
        &self,
        repository: &str,
        kind: Kind,
        content: Bytes,
        annotations: std::collections::BTreeMap<String, String>,
        tags: &[String],
    ) -> Result<Pushed, Error> {
        let tags = checked_push(repository, &content, tags)?;
        let built = build(kind, &content, annotations);
        let deadline = Instant::now() + self.transport.timeout();
        self.push_blob(repository, &built.layer, content, deadline).await?;
        if built.config != built.layer {
            self.push_blob(repository, &built.config, Bytes::from_static(media::EMPTY_JSON), deadline).await?;
        }
        // Without a tag the digest is the only name.
        let names = match &tags[..] {
            [] => vec![At::Digest(built.digest.clone())],
            tags => tags.iter().map(|tag| At::Tag(tag.clone())).collect(),
        };
        for at in names {
            self.push_manifest(repository, &at, &built.digest, built.manifest.clone(), deadline).await?;
        }
        Ok(Pushed { digest: built.digest, tags })
    }

    async fn push_manifest(&self, repository: &str, at: &At, digest: &Digest, bytes: Bytes, deadline: Instant) -> Result<(), Error> {
        let what = self.what(repository, at)?;
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media::MANIFEST))]);
        // A tag that was moved by somebody else in between must not be moved back.
        let retry = if matches!(at, At::Digest(_)) { Retry::Always } else { Retry::Undone };
        let path = format!("{repository}/manifests/{at}");
        let ask = Ask { headers, body: bytes, retry, deadline, ..self.ask(Method::PUT, &path, Scope::Push(repository), &what) };
        let answer = self.transport.send(&ask).await?.expect(&what, &[StatusCode::CREATED, StatusCode::OK, StatusCode::ACCEPTED])?;
        match answer.digest() {
            // It may name the same bytes by another algorithm.
            Some(stored) if stored.algorithm() == digest.algorithm() && stored != *digest => {
                Err(Error::DigestMismatch { what, expected: digest.clone(), actual: stored })
            }
            _ => Ok(()),
        }
    }

    // An upload that broke is begun again from its start, for its blob is named by digest: twice is as good as once.
    async fn push_blob(&self, repository: &str, digest: &Digest, bytes: Bytes, deadline: Instant) -> Result<(), Error> {
        let what = self.what(repository, &At::Digest(digest.clone()))?;
        let mut tried = 0;
        loop {
            let Err(error) = self.try_push_blob(repository, digest, &bytes, &what, deadline).await else { return Ok(()) };
            let again = error.is_transient() && tried < limits::REGISTRY_RETRIES_MAX;
            if !again || !self.transport.pause(tried, &error, deadline).await {
                return Err(error);
            }
            tried += 1;
        }
    }

    async fn try_push_blob(&self, repository: &str, digest: &Digest, bytes: &Bytes, what: &str, deadline: Instant) -> Result<(), Error> {
        // The scope is that of the upload: most registries then give one token for both.
        let scope = Scope::Push(repository);
        let head = Ask { deadline, retry: Retry::Never, ..self.ask(Method::HEAD, &format!("{repository}/blobs/{digest}"), scope, what) };
        let there = self.transport.send(&head).await?;
        match there.status {
            StatusCode::OK => return Ok(()),
            StatusCode::NOT_FOUND => {}
            _ => return Err(there.refusal(what)),
        }
        let post = Ask { deadline, ..self.ask(Method::POST, &format!("{repository}/blobs/uploads/"), scope, what) };
        let begun = self.transport.send(&post).await?;
        match begun.status {
            StatusCode::ACCEPTED => {}
            StatusCode::CREATED => return Ok(()),
            _ => return Err(begun.refusal(what)),
        }
        let mut url = next_hop(what, &begun)?;
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"))]);
        let put = Ask { url, headers, body: bytes.clone(), deadline, ..self.ask(Method::PUT, "", scope, what) };
        self.transport.send(&put).await?.expect(what, &[StatusCode::CREATED, StatusCode::OK, StatusCode::NO_CONTENT])?;
        Ok(())
    }
}
