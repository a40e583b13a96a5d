//! Serves the registry on a listener until it is told to stop.

use std::io;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::super::Layout;
use super::options::{Options, Writes};
use super::router;
use crate::limits;

/// Serves the registry until `shutdown` is cancelled; requests under way get [`Options::grace`] then.
///
/// Elsewhere than on loopback writing is off unless it needs a token.
pub async fn serve(listener: TcpListener, layout: Arc<Layout>, mut options: Options, shutdown: CancellationToken) -> io::Result<()> {
    let address = listener.local_addr()?;
    if matches!(options.writes, Writes::Open) && !address.ip().is_loopback() {
        tracing::warn!(%address, "the registry is read-only here: other machines reach this address and no write token is set");
        options.writes = Writes::Off("this registry is reachable from other machines, so writing to it needs a write token to be set");
    }
    tracing::info!(%address, "registry listens");
    let (header_timeout, grace) = (options.header_timeout, options.grace);
    let free = Arc::new(Semaphore::new(options.connections_max));
    let router = router(layout, options);
    let mut connections = JoinSet::new();
    loop {
        // Whoever is accepted has a place; others wait in the system's queue.
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &free) => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        let Some((stream, place)) = accepted else { break };
        let service = TowerToHyperService::new(router.clone());
        let stop = shutdown.clone();
        connections.spawn(async move {
            let mut http = http1::Builder::new();
            // Without a timer hyper's header timeout does nothing.
            http.timer(TokioTimer::new()).header_read_timeout(header_timeout).max_buf_size(64 * 1024);
            let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = stop.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "registry connection ended");
            }
            drop(place);
        });
    }
    drop(listener);
    let drained = timeout(grace, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(left = connections.len(), "registry connections were cut at the end of the grace period");
        connections.shutdown().await;
    }
    Ok(())
}

// `None` only when the semaphore is closed, which nobody does. Safe to drop: a connection is either returned or still queued.
async fn accept(listener: &TcpListener, free: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(free).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                // Small answers would wait 40 ms for an acknowledgement otherwise.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot set TCP_NODELAY");
                }
                return Some((stream, place));
            }
            Err(error) => {
                // Out of file descriptors, or a connection that was reset in the queue: neither ends the service.
                tracing::warn!(%error, "cannot accept a registry connection");
                sleep(limits::ACCEPT_REST).await;
            }
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_cannot_accept_rests_and_goes_on() {
        let layout = Arc::new(Layout::ephemeral().unwrap());
        let options = Options { connections_max: 1, ..Options::default() };
        let serve = |listener, stop| serve(listener, Arc::clone(&layout), options.clone(), stop);
        crate::deaf::check(1, serve, b"GET /v2/ HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 200 OK").await;
    }
}
