//! How much of a registry is looked at, how much of it at once, and how many registries.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use gantry::discovery::{Discovery, Options};
use gantry::ids::Digest;
use gantry::limits::{AGENTS_MAX, LIST_ENTRIES_MAX, LISTING_CONCURRENCY, REGISTRIES_MAX, TAGS_SEARCHED_MAX};
use gantry::registry::{Artifact, At, Error, Kind, Manifest, Pushed, Store};

use super::world::{NEVER_STALE, Spy, workflow};

/// A registry with more repositories than anybody looks at. There is nothing in them.
#[derive(Debug, Default)]
struct Wide {
    looked_at: Mutex<BTreeSet<String>>,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Wide {
    fn looked_at(&self) -> Vec<String> {
        std::mem::take(&mut *self.looked_at.lock().unwrap()).into_iter().collect()
    }
}

#[async_trait]
impl Store for Wide {
    fn location(&self) -> String {
        "http://localhost:5000".to_owned()
    }

    async fn manifest(&self, repository: &str, _: &At) -> Result<Manifest, Error> {
        Err(Error::NotFound(repository.to_owned()))
    }

    async fn resolve(&self, repository: &str, _: &str) -> Result<Digest, Error> {
        Err(Error::NotFound(repository.to_owned()))
    }

    async fn artifact(&self, repository: &str, _: &Manifest, _: Kind) -> Result<Artifact, Error> {
        Err(Error::NotFound(repository.to_owned()))
    }

    async fn push(&self, repository: &str, _: Kind, _: Bytes, _: BTreeMap<String, String>, _: &[String]) -> Result<Pushed, Error> {
        Err(Error::NotFound(repository.to_owned()))
    }

    /// Others have their turn while it looks.
    async fn tags(&self, repository: &str) -> Result<Vec<String>, Error> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        for _ in 0..3 {
            tokio::task::yield_now().await;
        }
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.looked_at.lock().unwrap().insert(repository.to_owned());
        Ok(Vec::new())
    }

    async fn repositories(&self, prefix: &str) -> Result<Vec<String>, Error> {
        Ok((0..LIST_ENTRIES_MAX + 5).map(|n| format!("{prefix}r{n:05}")).collect())
    }
}

#[tokio::test]
async fn of_a_wide_registry_the_first_repositories_are_looked_at_a_few_at_once() {
    for (folder, most) in [("agents/", AGENTS_MAX), ("workflows/", LIST_ENTRIES_MAX)] {
        let wide = Arc::new(Wide::default());
        let discovery = Discovery::new(wide.clone(), Options { ttl: NEVER_STALE, ..Options::default() });
        if folder == "agents/" {
            assert!(discovery.agents().await.unwrap().is_empty());
        } else {
            assert!(discovery.workflows().await.unwrap().is_empty());
        }
        let looked_at = wide.looked_at();
        assert_eq!((looked_at.len(), looked_at.last().unwrap()), (most, &format!("{folder}r09999")));
        assert_eq!(wide.most.load(Ordering::SeqCst), LISTING_CONCURRENCY, "{folder}");
    }
}

#[tokio::test]
async fn the_search_by_id_looks_at_a_few_repositories_at_once() {
    let wide = Arc::new(Wide::default());
    let discovery = Discovery::new(wide.clone(), Options { ttl: NEVER_STALE, ..Options::default() });
    discovery.workflow("nowhere").await.unwrap_err();
    assert!(wide.looked_at().len() > LISTING_CONCURRENCY);
    assert_eq!(wide.most.load(Ordering::SeqCst), LISTING_CONCURRENCY);
}

#[tokio::test]
async fn of_a_repository_so_many_tags_are_known() {
    let spy = Spy::embedded();
    let tags: Vec<String> = (0..LIST_ENTRIES_MAX + 5).map(|n| format!("t{n:05}")).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    spy.put("workflows/flow", Kind::Workflow, &workflow("flow", "1.0.0", "do_it"), &tags).await;
    let list = spy.discovery(NEVER_STALE).workflows().await.unwrap();
    assert_eq!(list[0].versions.len(), LIST_ENTRIES_MAX);
}

#[tokio::test]
async fn an_id_is_looked_for_in_the_newest_tags_of_a_repository_of_another_name() {
    let (spy, tags) = (Spy::embedded(), TAGS_SEARCHED_MAX + 6);
    for n in 0..tags {
        spy.put("workflows/other", Kind::Workflow, &workflow(&format!("id-{n}"), "1.0.0", "do_it"), &[&format!("1.0.{n}")]).await;
    }
    let discovery = spy.discovery(NEVER_STALE);
    for n in [tags - 1, tags - TAGS_SEARCHED_MAX] {
        assert_eq!(discovery.workflow(&format!("id-{n}")).await.unwrap().repository, "workflows/other", "{n}");
    }
    let error = discovery.workflow(&format!("id-{}", tags - TAGS_SEARCHED_MAX - 1)).await.unwrap_err();
    assert!(matches!(error, gantry::discovery::Error::NoWorkflow { .. }), "{error}");
}

#[tokio::test]
async fn so_many_other_registries_are_opened_and_stay_open() {
    let away = Spy::embedded();
    away.put("workflows/flow", Kind::Workflow, &workflow("flow", "1.0.0", "x"), &["v1"]).await;
    let opened = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&opened);
    let open: gantry::discovery::Opener = Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let store: Arc<dyn Store> = away.clone();
        Ok(store)
    });
    let discovery = Discovery::new(Spy::embedded(), Options { ttl: NEVER_STALE, open: Some(open), ..Options::default() });
    let look = async |n: usize| discovery.workflow(&format!("away-{n}.example:443/workflows/flow")).await;
    for n in 0..REGISTRIES_MAX {
        look(n).await.unwrap();
    }
    let error = look(REGISTRIES_MAX).await.unwrap_err().to_string();
    assert!(error.contains("16 other registries are in use, which is the limit"), "{error}");
    look(0).await.expect("it is known");
    assert_eq!(opened.load(Ordering::SeqCst), REGISTRIES_MAX);
}
