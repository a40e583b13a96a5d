//! An HTTP client whose TLS is set up when the first `https` URL is met: reading the machine's root certificates takes milliseconds and
//! a megabyte, and whoever talks to agents and a registry on its own machine never needs them.

use std::fmt;
use std::sync::{Arc, OnceLock};

use url::Url;

/// Makes a client with everything that is asked of it but TLS.
type Make = Box<dyn Fn() -> reqwest::ClientBuilder + Send + Sync>;

/// One client for `http`, and one for `https` when it is needed.
pub(crate) struct HttpClient {
    make: Make,
    plain: reqwest::Client,
    secure: OnceLock<Result<reqwest::Client, Arc<reqwest::Error>>>,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("secure", &self.secure.get().is_some()).finish_non_exhaustive()
    }
}

impl HttpClient {
    pub(crate) fn new(make: impl Fn() -> reqwest::ClientBuilder + Send + Sync + 'static) -> Self {
        // One provider for the whole process; whoever installed one before us keeps it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        // What may be tried again without harm, and when, is the caller's to say; the client's own way needs a copy of every request.
        let no_retry = reqwest::retry::never().max_retries_per_request(0);
        let plain =
            make().tls_certs_only([]).retry(no_retry).build().expect("a client without certificates needs nothing from the machine");
        Self { make: Box::new(make), plain, secure: OnceLock::new() }
    }

    /// The client for a URL. On a machine without root certificates a call over `https` fails with an error of its own.
    pub(crate) fn of(&self, url: &Url) -> &reqwest::Client {
        if url.scheme() != "https" {
            return &self.plain;
        }
        self.secure().unwrap_or(&self.plain)
    }

    /// The client for `https`.
    ///
    /// # Errors
    /// When there are no root certificates.
    pub(crate) fn secure(&self) -> Result<&reqwest::Client, Arc<reqwest::Error>> {
        let made = self.secure.get_or_init(|| {
            (self.make)().build().map_err(|error| {
                tracing::warn!(%error, "no root certificates, so nothing can be called over https");
                Arc::new(error)
            })
        });
        made.as_ref().map_err(Arc::clone)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn certificates_are_read_when_the_first_https_url_is_met() {
        let http = HttpClient::new(reqwest::Client::builder);
        http.of(&Url::parse("http://localhost:1").unwrap());
        assert!(http.secure.get().is_none());
        http.of(&Url::parse("https://localhost:1").unwrap());
        assert!(http.secure.get().is_some());
    }

    #[test]
    fn without_certificates_https_fails_by_itself_and_http_does_not() {
        let made = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&made);
        // The first is the client for `http`; what is asked of the second cannot be.
        let http = HttpClient::new(move || match counted.fetch_add(1, Ordering::Relaxed) {
            0 => reqwest::Client::builder(),
            _ => reqwest::Client::builder().user_agent("\n"),
        });
        for _ in 0..3 {
            assert!(http.secure().is_err());
            let url = Url::parse("https://localhost:1").unwrap();
            assert!(std::ptr::eq(http.of(&url), &raw const http.plain), "a call fails with an error of its own");
        }
        assert_eq!(made.load(Ordering::Relaxed), 2, "it was tried once");
    }
}
