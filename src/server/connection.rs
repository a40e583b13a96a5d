//! Accepts connections and serves them within their bounds: headers in time, and readers that do read.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::options::LimitOptions;
use crate::limits::ACCEPT_REST;
use crate::threads::Threads;

/// Largest head of a request.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What the system keeps for one peer that does not read; it counts its own overhead, too. Left to itself it keeps up to 4 MiB, for
/// which a bound on what we queue would be none.
const SEND_BUFFER_BYTES: u32 = 64 * 1024;
/// Connections that the system keeps until they are accepted: what comes while ten thousand connect at once and the processors are busy.
/// What does not fit comes again a second later, or three. Systems bound it by themselves, Linux by this number.
const BACKLOG: u32 = 4096;

/// Listens. What is accepted inherits the bound of the send buffer.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // As the standard listener does where it makes no port two processes': so that a restart need not wait for old connections.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until told to stop, then drains. Returns how many connections were still open after the grace period.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    limits: &LimitOptions,
    threads: Option<Threads>,
    stop: CancellationToken,
    grace: Duration,
) -> usize {
    let places = Arc::new(Semaphore::new(limits.connections_max.clamp(1, Semaphore::MAX_PERMITS)));
    let graceful = GracefulShutdown::new();
    let connections = TaskTracker::new();
    let aborted = CancellationToken::new();
    loop {
        // A place first: beyond the limit connections wait in the system's queue.
        let Some(Ok(place)) = or_stop(&stop, Arc::clone(&places).acquire_owned()).await else { break };
        let Some(accepted) = or_stop(&stop, listener.accept()).await else { break };
        let arrived = match accepted.and_then(|(stream, _)| Arrived::new(stream, threads.as_ref())) {
            Ok(arrived) => arrived,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                if or_stop(&stop, tokio::time::sleep(ACCEPT_REST)).await.is_none() {
                    break;
                }
                continue;
            }
        };
        let (router, tls, watcher, aborted) = (router.clone(), tls.clone(), graceful.watcher(), aborted.clone());
        let (header_timeout, write_timeout) = (limits.header_timeout, limits.write_timeout);
        let served_by = threads.as_ref().map_or_else(Handle::current, |threads| threads.idlest().clone());
        let serve = async move {
            let _place = place;
            let stream = match arrived.stream() {
                Ok(stream) => stream,
                Err(error) => return tracing::warn!(%error, "a connection could not be served"),
            };
            let serving = async {
                match tls {
                    None => serve_one(stream, router, watcher, header_timeout, write_timeout).await,
                    // Boxed: it is three times as large, and there may be ten thousand connections without TLS.
                    Some(tls) => Box::pin(serve_tls(stream, tls, router, watcher, header_timeout, write_timeout)).await,
                }
            };
            tokio::select! {
                () = serving => {}
                () = aborted.cancelled() => {}
            }
        };
        connections.spawn_on(serve, &served_by);
    }
    drop(listener);
    connections.close();
    let drained = async {
        graceful.shutdown().await;
        connections.wait().await;
    };
    let _ = tokio::time::timeout(grace, drained).await;
    let left = connections.len();
    aborted.cancel();
    connections.wait().await;
    left
}

/// A connection on its way to the runtime that serves it.
enum Arrived {
    Here(TcpStream),
    /// No runtime watches it.
    Elsewhere(std::net::TcpStream),
}

impl Arrived {
    fn new(stream: TcpStream, threads: Option<&Threads>) -> io::Result<Self> {
        // Without it a small answer waits 40 ms for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        Ok(if threads.is_some() { Self::Elsewhere(stream.into_std()?) } else { Self::Here(stream) })
    }

    /// From now on the runtime watches it that this is called on.
    fn stream(self) -> io::Result<TcpStream> {
        match self {
            Self::Here(stream) => Ok(stream),
            Self::Elsewhere(stream) => TcpStream::from_std(stream),
        }
    }
}

async fn or_stop<T>(stop: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = stop.cancelled() => None,
        done = work => Some(done),
    }
}

async fn serve_tls(
    stream: TcpStream,
    tls: TlsAcceptor,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
    header_timeout: Duration,
    write_timeout: Duration,
) {
    match tokio::time::timeout(header_timeout, tls.accept(stream)).await {
        Ok(Ok(stream)) => serve_one(stream, router, watcher, header_timeout, write_timeout).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn serve_one<S>(
    stream: S,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
    header_timeout: Duration,
    write_timeout: Duration,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(|request: axum::http::Request<hyper::body::Incoming>| request.map(Body::new));
    let connection = hyper::server::conn::http1::Builder::new()
        // The header timeout works only with a timer.
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(Impatient::new(stream, write_timeout)), TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection broke");
    }
}

/// A stream that fails when its peer leaves what was written unread for too long. Without it, one that stops reading holds
/// its connection and whatever is behind it until TCP gives up, which takes a quarter of an hour.
struct Impatient<S> {
    stream: S,
    patience: Duration,
    /// Since when a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Impatient<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, waiting: None }
    }

    fn judge<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + patience)));
        match pin!(waiting).poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buffer);
        self.judge(cx, written)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffers: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.judge(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.judge(cx, shut)
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn whoever_cannot_accept_rests_and_goes_on() {
        let serve = |listener, stop| async {
            let router = Router::new().fallback(|| async { "here" });
            let limits = LimitOptions { connections_max: 1, ..LimitOptions::default() };
            serve(listener, None, router, &limits, None, stop, Duration::from_secs(1)).await
        };
        crate::deaf::check(1, serve, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", "HTTP/1.1 200 OK").await;
    }
}
