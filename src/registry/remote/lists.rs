//! Lists that come in pages (distribution-spec, "Listing Tags").

use std::collections::{BTreeSet, HashSet};

use axum::http::{Method, header};
use serde::Deserialize;
use url::Url;

use super::super::{Error, check_repository, check_tag};
use super::Remote;
use super::answer::Answer;
use super::auth::Scope;
use crate::limits;

/// Entries asked for at once. Some registries refuse more.
const PAGE_ENTRIES: usize = 1000;
/// Pages read of one list: a registry may send small ones, but not for ever.
const PAGES_MAX: usize = 1000;

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Catalog {
    repositories: Option<Vec<String>>,
}

impl Remote {
    /// The tags of a repository, sorted. What is no tag is left out.
    pub(super) async fn fetch_tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        check_repository(repository).map_err(|error| Error::bad_name(repository, error))?;
        let what = format!("{}/{repository}", self.registry());
        let path = format!("{repository}/tags/list");
        let read = |answer: &Answer| answer.json::<Tags>(&what).map(|page| page.tags.unwrap_or_default());
        self.pages(&path, Scope::Pull(repository), &what, read, |tag| check_tag(tag).is_ok()).await
    }

    /// The repositories whose names begin with `prefix`, sorted.
    pub(super) async fn fetch_repositories(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let what = format!("{}/_catalog", self.registry());
        let read = |answer: &Answer| answer.json::<Catalog>(&what).map(|page| page.repositories.unwrap_or_default());
        self.pages("_catalog", Scope::Catalog, &what, read, |name| name.starts_with(prefix) && check_repository(name).is_ok()).await
    }

    async fn pages(
        &self,
        path: &str,
        scope: Scope<'_>,
        what: &str,
        read: impl Fn(&Answer) -> Result<Vec<String>, Error>,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, Error> {
        let mut ask = self.ask(Method::GET, path, scope, what);
        ask.url.set_query(Some(&format!("n={PAGE_ENTRIES}")));
        let (mut seen, mut entries, mut read_entries) = (HashSet::new(), BTreeSet::new(), 0);
        let stopped = loop {
            if seen.len() >= PAGES_MAX {
                break "it has too many pages";
            }
            if !seen.insert(ask.url.clone()) {
                break "a page leads back to an earlier one";
            }
            let answer = self.transport.send(&ask).await?.expect(what, &[reqwest::StatusCode::OK])?;
            let page = read(&answer)?;
            read_entries += page.len();
            entries.extend(page.into_iter().filter(|entry| wanted(entry)));
            match next_page(&ask.url, &answer) {
                Next::End => return Ok(entries.into_iter().collect()),
                Next::Elsewhere => break "the next page is on another host",
                Next::Page(_) if read_entries >= limits::LIST_ENTRIES_MAX => break "it has too many entries",
                Next::Page(url) => ask.url = url,
            }
        };
        tracing::warn!(what, entries = entries.len(), "a list of the registry was read in part: {stopped}");
        Ok(entries.into_iter().collect())
    }
}

enum Next {
    End,
    Elsewhere,
    Page(Url),
}

/// `Link: </v2/_catalog?last=x&n=100>; rel="next"` (RFC 8288).
fn next_page(current: &Url, answer: &Answer) -> Next {
    let links = answer.headers.get_all(header::LINK).iter().filter_map(|value| value.to_str().ok());
    for link in links.flat_map(|value| value.split(", ")) {
        let Some((target, parameters)) = link.trim().strip_prefix('<').and_then(|link| link.split_once('>')) else { continue };
        let next = parameters.split(';').map(str::trim).any(|it| matches!(it, "rel=next" | "rel=\"next\""));
        if !next {
            continue;
        }
        return match current.join(target) {
            Ok(url) if url.origin() == current.origin() => Next::Page(url),
            _ => Next::Elsewhere,
        };
    }
    Next::End
}
