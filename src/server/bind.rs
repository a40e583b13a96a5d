//! The server from outside: options in, an address and a future that serves out.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use super::auth::{Auth, AuthError};
use super::card::{CardFault, Cards};
use super::options::{Options, TlsOptions};
use super::own::Own;
use super::rpc::Rpc;
use super::state::App;
use super::{connection, routes};
use crate::discovery::Discovery;
use crate::engine::{Engine, OwnSkills};
use crate::router::{self, Router};
use crate::threads::Threads;

/// Shortest time between two looks at whether the card has changed, whatever the options say.
const PUBLISH_EVERY_MIN: Duration = Duration::from_millis(10);
/// Rest after the first try to publish the card that failed; doubled with each.
const PUBLISH_REST_MIN: Duration = Duration::from_secs(1);
/// Longest rest between two tries to publish the card.
const PUBLISH_REST_MAX: Duration = Duration::from_secs(60);

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Who may call is not clear.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// A routing rule is wrong.
    #[error(transparent)]
    Router(#[from] router::Error),
    /// The template of the card is none.
    #[error(transparent)]
    Card(#[from] CardFault),
    /// Certificate or key.
    #[error("cannot use `{path}` for TLS: {message}")]
    Tls {
        /// Which file.
        path: PathBuf,
        /// Why.
        message: String,
    },
}

/// The endpoint. See [`Server::bind`].
#[derive(Debug)]
pub struct Server;

impl Server {
    /// Listens, but serves nothing yet. Everything in the options is checked here.
    pub async fn bind(options: Options, engine: Arc<dyn Engine>, discovery: Arc<Discovery>) -> Result<Bound, Error> {
        let auth = Auth::new(&options.auth, options.bind)?;
        let router = Router::new(options.router.clone())?;
        let tls = options.tls.as_ref().map(acceptor).transpose()?;
        let address = options.bind;
        let listener = connection::listen(address).map_err(|source| Error::Bind { address, source })?;
        let address = listener.local_addr().map_err(|source| Error::Bind { address, source })?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = options.public_url.clone().unwrap_or_else(|| default_url(scheme, address));
        let cards = Cards::new(&options, &url, auth.is_required())?;
        let app = Arc::new(App::new(options, engine, discovery, router, auth, cards));
        Ok(Bound { listener, tls, app, address, url, threads: None })
    }
}

/// The URL of an address; an address of every interface is called by the loopback's name.
fn default_url(scheme: &str, address: SocketAddr) -> String {
    if address.ip().is_unspecified() || address.ip().is_loopback() {
        format!("{scheme}://localhost:{}", address.port())
    } else {
        format!("{scheme}://{address}")
    }
}

fn acceptor(options: &TlsOptions) -> Result<TlsAcceptor, Error> {
    let fault = |path: &Path, message: String| Error::Tls { path: path.to_owned(), message };
    let certificates = CertificateDer::pem_file_iter(&options.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| fault(&options.certificate, error.to_string()))?;
    let key = PrivateKeyDer::from_pem_file(&options.key).map_err(|error| fault(&options.key, error.to_string()))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(|error| fault(&options.certificate, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// A server that listens.
pub struct Bound {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    app: Arc<App>,
    address: SocketAddr,
    url: String,
    threads: Option<Threads>,
}

impl Bound {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL in its card.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Cancelled when no new work is wanted: from then on the server says that it is not ready, refuses messages and lets callers that
    /// wait go, while tasks can still be read and followed. `shutdown` of [`Bound::serve`] implies it.
    pub fn closing(&self) -> CancellationToken {
        self.app.stopping.clone()
    }

    /// What the runs of this process call when they call it: for the engine, see [`serve_as`](crate::engine::embedded::Embedded::serve_as).
    pub fn own_skills(&self) -> Arc<dyn OwnSkills> {
        Arc::new(Own::new(&self.app))
    }

    /// The card as it is served and published.
    pub async fn card(&self) -> Bytes {
        self.app.cards.public(&self.app.discovery).await.json.clone()
    }

    /// Pushes the card once, so that it is there before anything is served. [`serve`](Self::serve) does it again, until the
    /// registry takes it, and whenever the card has changed; a failure here is only logged.
    pub async fn publish(&self) {
        if let Some(repository) = &self.app.options.card.publish
            && !self.app.discovery.awaits_registry()
        {
            let card = self.card().await;
            push(&self.app, repository, card).await;
        }
    }

    /// Connections, and what begins with them, are served by these threads. Without any it is the runtime that serves.
    #[must_use]
    pub fn on(self, threads: Threads) -> Self {
        Self { threads: Some(threads), ..self }
    }

    /// Serves until `shutdown`, then ends streams, drains open requests within the grace period, and returns how many
    /// connections were cut. Runs are the engine's: let it recover before, and shut it down afterwards.
    pub async fn serve(self, shutdown: CancellationToken) -> usize {
        let Self { listener, tls, app, address, url, threads } = self;
        super::query::revive_renamed(&app).await;
        let leaving = Arc::clone(&app);
        app.spawn(async move { leaving.let_tasks_leave().await });
        tracing::info!(%address, %url, "serving A2A");
        if let Some(repository) = app.options.card.publish.clone() {
            let publisher = Arc::clone(&app);
            app.spawn(async move { publish(&publisher, &repository).await });
        }
        let limits = app.options.limits.clone();
        let router = routes::router(Rpc::new(Arc::clone(&app)));
        let stopper = {
            let (app, shutdown) = (Arc::clone(&app), shutdown.clone());
            async move {
                shutdown.cancelled().await;
                app.stopping.cancel();
                app.store.all().iter().for_each(|task| task.stop_streams("gantry is shutting down; subscribe again"));
            }
        };
        let serving = connection::serve(listener, tls, router, &limits, threads, shutdown, app.options.grace);
        let ((), left) = tokio::join!(stopper, serving);
        app.ended.cancel();
        app.work.close();
        app.work.wait().await;
        let (delivered, dropped) = app.deliverer.counts();
        tracing::info!(connections_cut = left, delivered, dropped, "stopped serving");
        left
    }
}

/// Pushes the card until the registry takes it, which may come up after us, and again whenever it has changed.
async fn publish(app: &App, repository: &str) {
    let every = app.options.card.publish_every.max(PUBLISH_EVERY_MIN);
    let mut published = None;
    let mut retry = PUBLISH_REST_MIN;
    app.discovery.registry_answers().await;
    loop {
        let card = app.cards.public(&app.discovery).await.json.clone();
        let rest = if published.as_ref() == Some(&card) {
            every
        } else if push(app, repository, card.clone()).await {
            published = Some(card);
            retry = PUBLISH_REST_MIN;
            every
        } else {
            let rest = retry;
            retry = (retry * 2).min(PUBLISH_REST_MAX);
            rest
        };
        tokio::time::sleep(rest).await;
    }
}

/// Whether the registry took the card.
async fn push(app: &App, repository: &str, card: Bytes) -> bool {
    match app.discovery.push_card(card, Some(repository), &["latest".to_owned()]).await {
        Ok(pushed) => {
            tracing::info!(repository, digest = %pushed.digest, "card published");
            true
        }
        Err(error) => {
            tracing::warn!(repository, %error, "the card could not be published yet");
            false
        }
    }
}
