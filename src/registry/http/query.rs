//! The query of a request, each key once.

use std::collections::BTreeMap;

use axum::http::Uri;

/// Keys and their first value.
#[derive(Debug)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let mut pairs = BTreeMap::new();
        for (key, value) in url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            pairs.entry(key.into_owned()).or_insert_with(|| value.into_owned());
        }
        Self(pairs)
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}
