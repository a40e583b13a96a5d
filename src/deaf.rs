//! A check of those who accept connections: what they do while the system gives them none. For tests.

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Longer than anything here should take, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A listener that cannot accept until its socket is told to listen.
fn deaf() -> (TcpSocket, TcpListener) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = std::net::TcpListener::from(socket.as_fd().try_clone_to_owned().unwrap());
    (socket, TcpListener::from_std(listener).unwrap())
}

/// Lets everybody go on until they wait, and then so much time pass.
async fn pass(time: Duration) {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    tokio::time::advance(time).await;
}

/// Checks that whoever serves rests for 50 ms when it could not accept, is stopped meanwhile, and else goes on: what is said is answered
/// with what begins with `heard`. So many connections are served at once. The clock must stand still.
pub(crate) async fn check<F: Future>(places: usize, serve: impl Fn(TcpListener, CancellationToken) -> F, said: &[u8], heard: &str) {
    let (_socket, listener) = deaf();
    let refused = listener.accept().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput, "{refused}");
    let (begun, stop) = (Instant::now(), CancellationToken::new());
    tokio::join!(serve(listener, stop.clone()), async {
        pass(Duration::from_millis(10)).await;
        stop.cancel();
    });
    assert_eq!(begun.elapsed(), Duration::from_millis(10), "it is stopped in its rest");

    let (socket, listener) = deaf();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    tokio::join!(serve(listener, stop.clone()), async {
        pass(Duration::from_millis(10)).await;
        let _listening = socket.listen(256).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(said).unwrap();
        stream.set_nonblocking(true).unwrap();
        // For every place, and as many again when those are let go: an accept that finds nobody at what was no listener never waits.
        let _silent: Vec<_> = (0..places * 2).map(|_| TcpStream::connect(address).unwrap()).collect();
        pass(Duration::from_millis(39)).await;
        pass(Duration::ZERO).await;
        assert_eq!(stream.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "it rests");
        pass(Duration::from_millis(1)).await;
        let (waiting, mut told) = (std::time::Instant::now(), vec![0; heard.len()]);
        while stream.peek(&mut told).ok() != Some(heard.len()) {
            assert!(waiting.elapsed() < PATIENCE, "it is served after its rest");
            tokio::task::yield_now().await;
        }
        assert_eq!(String::from_utf8_lossy(&told), heard);
        stop.cancel();
    });
}
