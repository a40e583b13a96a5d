//! Accepts connections for one agent until shutdown, within bounds; then lets calls in flight finish.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::limits;

/// Calls in flight at shutdown get this long to finish.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until shutdown.
pub(super) async fn serve(listener: TcpListener, routes: Router, shutdown: CancellationToken) {
    let slots = Arc::new(Semaphore::new(limits::SAMPLE_CONNECTIONS_MAX));
    serve_within(slots, listener, routes, shutdown).await;
}

/// The same, so many connections at once.
async fn serve_within(slots: Arc<Semaphore>, listener: TcpListener, routes: Router, shutdown: CancellationToken) {
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
                    tokio::time::sleep(limits::ACCEPT_REST).await;
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
    let heard = Arc::new(AtomicBool::new(false));
    let hears = Arc::clone(&heard);
    let service = routes.into_service().map_request(move |request: Request<hyper::body::Incoming>| {
        hears.store(true, Ordering::Relaxed);
        request
    });
    let serving = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    let mut serving = std::pin::pin!(serving);
    // Before it is known which HTTP is spoken no timeout of hyper's runs: who says nothing would keep its place for ever.
    let silent = async {
        tokio::time::sleep(limits::SAMPLE_READ_TIMEOUT).await;
        if heard.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        _ = &mut serving => return,
        () = silent => return,
        () = end.cancelled() => return,
        () = shutdown.cancelled() => serving.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ = serving => {}
        () = end.cancelled() => {}
    }
    drop(slot);
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::Instant;

    use super::*;

    const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    struct Served {
        address: std::net::SocketAddr,
        slots: Arc<Semaphore>,
        _stop: tokio_util::sync::DropGuard,
    }

    async fn serving(connections_max: usize) -> Served {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, slots, stop) = (listener.local_addr().unwrap(), Arc::new(Semaphore::new(connections_max)), CancellationToken::new());
        let routes = Router::new().fallback(|| async { "here" });
        tokio::spawn(serve_within(Arc::clone(&slots), listener, routes, stop.clone()));
        Served { address, slots, _stop: stop.drop_guard() }
    }

    #[tokio::test]
    async fn who_comes_when_all_places_are_taken_is_served_when_one_is_free() {
        let served = serving(1).await;
        let mut read = [0; 15];
        let mut first = TcpStream::connect(served.address).await.unwrap();
        first.write_all(GET).await.unwrap();
        first.read_exact(&mut read).await.unwrap();
        assert_eq!(served.slots.available_permits(), 0);
        let mut second = TcpStream::connect(served.address).await.unwrap();
        second.write_all(GET).await.unwrap();
        let answered = tokio::time::timeout(Duration::from_millis(100), second.read_exact(&mut read)).await;
        assert!(answered.is_err(), "the first one keeps its connection");
        drop(first);
        second.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"HTTP/1.1 200 OK");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_send_the_head_of_a_request_is_cut() {
        let served = serving(1).await;
        // Nothing, a part of what begins HTTP/2, and a part of a head.
        for part in [&b""[..], b"PRI * HTTP/2.0", &GET[..GET.len() - 2]] {
            let begun = Instant::now();
            let mut slow = TcpStream::connect(served.address).await.unwrap();
            slow.write_all(part).await.unwrap();
            let mut read = Vec::new();
            slow.read_to_end(&mut read).await.unwrap();
            assert_eq!(String::from_utf8(read).unwrap(), "", "{} bytes", part.len());
            assert_eq!(begun.elapsed().as_secs(), limits::SAMPLE_READ_TIMEOUT.as_secs(), "{} bytes", part.len());
        }
        let mut kept = TcpStream::connect(served.address).await.unwrap();
        let mut read = [0; 15];
        kept.write_all(GET).await.unwrap();
        kept.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"HTTP/1.1 200 OK", "the place is free again");
    }

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn whoever_cannot_accept_rests_and_goes_on() {
        let routes = Router::new().fallback(|| async { "here" });
        let serve = |listener, stop| serve_within(Arc::new(Semaphore::new(1)), listener, routes.clone(), stop);
        crate::deaf::check(1, serve, GET, "HTTP/1.1 200 OK").await;
    }
}
