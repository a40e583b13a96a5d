//! What is known by its digest: read once, kept until there is no more room, bounded by the bytes of its text.

use std::fmt;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryFutureExt as _};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::Error;
use super::slot::{Ask, Read, Slots};
use crate::limits;

/// Loads that can be under way at once without two of them asking for the same.
const FLIGHTS_MAX: usize = 64;
/// So many small things are expected in a cache.
const ITEMS_EXPECTED: usize = 1_000;

/// How much room a value takes.
pub(super) trait Weight {
    /// In bytes of text.
    fn weight(&self) -> u64;
}

/// See the module.
pub(super) struct Content<V> {
    kept: Cache<String, V, ByWeight>,
    /// Only so that two callers do not ask for the same at once; what has landed is in `kept`.
    flights: Slots<String, V>,
}

impl<V: Weight + Clone + Send + Sync + 'static> Content<V> {
    pub(super) fn new() -> Self {
        Self { kept: Cache::with_weighter(ITEMS_EXPECTED, limits::CONTENT_CACHE_BYTES_MAX, ByWeight), flights: Slots::new(FLIGHTS_MAX) }
    }

    /// Keeps a value that came with something else.
    pub(super) fn put(&self, key: &str, value: V) {
        self.kept.insert(key.to_owned(), value);
    }

    /// The value of a key, asked for once.
    pub(super) async fn read<L>(&self, key: &str, ask: &Ask<'_>, load: L) -> Result<V, Error>
    where
        L: Fn() -> BoxFuture<'static, Result<V, Error>>,
    {
        if let Some(value) = self.kept.get(key) {
            return Ok(value);
        }
        // Boxed: most of what is asked for is kept.
        Box::pin(async move {
            let key = key.to_owned();
            let read = self.flights.slot(&key).read(&Ask { age_max: None, ..*ask }, |_| load().map_ok(Read::fresh).boxed()).await?;
            self.kept.insert(key, read.value.clone());
            Ok(read.value)
        })
        .await
    }
}

impl<V> fmt::Debug for Content<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content")
    }
}

#[derive(Debug, Clone)]
struct ByWeight;

impl<V: Weight> Weighter<String, V> for ByWeight {
    fn weight(&self, key: &String, value: &V) -> u64 {
        key.len() as u64 + value.weight().max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone)]
    struct Text(u64);

    impl Weight for Text {
        fn weight(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn the_text_that_is_kept_is_bounded_by_its_bytes() {
        let content = Content::new();
        let bytes = 256 * 1024;
        let many = 4 * limits::CONTENT_CACHE_BYTES_MAX / bytes;
        for n in 0..many {
            content.put(&format!("sha256:{n:064x}"), Text(bytes));
            assert!(content.kept.weight() <= limits::CONTENT_CACHE_BYTES_MAX, "{} bytes", content.kept.weight());
        }
        assert!(content.kept.weight() > limits::CONTENT_CACHE_BYTES_MAX / 2, "{} bytes", content.kept.weight());
        assert!(content.kept.get(&format!("sha256:{:064x}", many - 1)).is_some(), "what came last is there");
    }
}
