//! Accepts connections for one agent until shutdown, within bounds; then lets calls in flight finish.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits;

/// Calls in flight at shutdown get this long to finish.
const GRACE: Duration = Duration::from_secs(5);
/// Wait after a failed accept, so that running out of file descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until shutdown.
pub(super) async fn serve(listener: TcpListener, routes: Router, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(limits::SAMPLE_CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    let end = CancellationToken::new();
    // Stops what is left if this future is dropped.
    let _end_on_drop = end.clone().drop_guard();
    while let Some((stream, slot)) = accept(&listener, &slots, &shutdown).await {
        connections.spawn(connection(stream, slot, routes.clone(), shutdown.clone(), end.clone()));
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait()).await.is_err() {
        tracing::warn!(left = connections.len(), "sample agent stops with calls in flight");
        end.cancel();
        connections.wait().await;
    }
}

/// The next connection and its slot; `None` at shutdown.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>, shutdown: &CancellationToken) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let next = async {
        let slot = slots.clone().acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => return Some((stream, slot)),
                Err(error) => {
                    tracing::debug!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => None,
        accepted = next => accepted,
    }
}

async fn connection(stream: TcpStream, slot: OwnedSemaphorePermit, routes: Router, shutdown: CancellationToken, end: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no delay was not set");
    }
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits::SAMPLE_READ_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(256);
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
    let mut serving = std::pin::pin!(serving);
    tokio::select! {
        _ = &mut serving => return,
        () = end.cancelled() => return,
        () = shutdown.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = serving => {}
        () = end.cancelled() => {}
    }
    drop(slot);
}
