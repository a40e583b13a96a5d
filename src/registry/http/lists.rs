//! Lists: `_catalog`, `tags/list`, `referrers`.

use std::ops::Bound;

use axum::http::{HeaderName, StatusCode, header};
use serde_json::json;

use super::super::{Error, media};
use super::blobs;
use super::dispatch::{Asked, Registry};
use super::query::Query;
use super::reply::{self, Refusal, Reply, insert};
use crate::limits;

pub(super) async fn catalog(registry: &Registry, asked: &Asked) -> Result<Reply, Refusal> {
    let names = registry.layout.repository_names().await.map_err(|error| Refusal::of_reading(error, "NAME_UNKNOWN"))?;
    let page = Page::of(&asked.query)?;
    let names: Vec<&str> = names.range::<str, _>(page.after()).take(page.length + 1).map(String::as_str).collect();
    Ok(page.answer("/v2/_catalog", names, |names| json!({ "repositories": names })))
}

pub(super) async fn tags(registry: &Registry, name: &str, asked: &Asked) -> Result<Reply, Refusal> {
    let tags = registry.layout.tag_map(name).await.map_err(|error| Refusal::of_reading(error, "NAME_UNKNOWN"))?;
    let page = Page::of(&asked.query)?;
    let tags: Vec<&str> = tags.range::<str, _>(page.after()).take(page.length + 1).map(|(tag, _)| tag.as_str()).collect();
    Ok(page.answer(&format!("/v2/{name}/tags/list"), tags, |tags| json!({ "name": name, "tags": tags })))
}

/// An index of the manifests whose subject this is; empty when nothing is known of it.
pub(super) async fn referrers(registry: &Registry, name: &str, digest: &str, asked: &Asked) -> Result<Reply, Refusal> {
    let digest = blobs::parse(digest)?;
    let mut found = match registry.layout.referrers(name, &digest).await {
        Ok(found) => found,
        Err(Error::NotFound(_)) => Vec::new(),
        Err(error) => return Err(Refusal::of_reading(error, "NAME_UNKNOWN")),
    };
    // A plus that was not escaped arrives as a space, which no media type holds.
    let filter = asked.query.get("artifactType").map(|filter| filter.replace(' ', "+"));
    found.retain(|descriptor| filter.as_ref().is_none_or(|wanted| descriptor.artifact_type.as_ref() == Some(wanted)));
    let mut reply = reply::json(media::INDEX, &json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": found}));
    if filter.is_some() {
        insert(&mut reply, HeaderName::from_static("oci-filters-applied"), "artifactType");
    }
    Ok(reply)
}

/// Which part of a sorted list is wanted (distribution-spec, "Listing Tags").
struct Page<'a> {
    last: Option<&'a str>,
    length: usize,
}

impl<'a> Page<'a> {
    fn of(query: &'a Query) -> Result<Self, Refusal> {
        let length = match query.get("n") {
            None => limits::LIST_ENTRIES_MAX,
            Some(n) => n
                .parse::<usize>()
                .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "UNSUPPORTED", "n is the number of entries to list"))?,
        };
        Ok(Self { last: query.get("last").filter(|last| !last.is_empty()), length: length.min(limits::LIST_ENTRIES_MAX) })
    }

    fn after(&self) -> (Bound<&'a str>, Bound<&'a str>) {
        (self.last.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded)
    }

    // `entries` holds one more than asked for when the list goes on.
    fn answer(&self, path: &str, mut entries: Vec<&str>, body: impl Fn(&[&str]) -> serde_json::Value) -> Reply {
        let more = entries.len() > self.length;
        entries.truncate(self.length);
        let mut reply = reply::json("application/json", &body(&entries));
        if let (true, Some(last)) = (more, entries.last()) {
            let last: String = url::form_urlencoded::byte_serialize(last.as_bytes()).collect();
            insert(&mut reply, header::LINK, &format!("<{path}?last={last}&n={}>; rel=\"next\"", self.length));
        }
        reply
    }
}
