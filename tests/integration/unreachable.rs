//! A place that answers no wish to connect. The clock is the test's: it goes on by itself when everybody waits.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use gantry::a2a::Dialect;
use gantry::agent::{self, Client, ErrorKind};
use gantry::limits::{CONNECT_TIMEOUT, REGISTRY_RETRIES_MAX, REGISTRY_TIMEOUT};
use gantry::registry::{Credential, Remote, RemoteOptions, Store as _};
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;

use crate::agent::support::{ask, call, card};

/// A listener whose queue is full: the system lets whoever comes now wait.
struct Crowded {
    address: SocketAddr,
    _listener: TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Crowded {
    fn new() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = socket.listen(1).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            waiting.push(stream);
            assert!(waiting.len() < 100, "the system's queue has no end");
        }
        Self { address, _listener: listener, _waiting: waiting }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_be_connected_to_is_given_up_before_the_call_is() {
    let crowded = Crowded::new();
    let options = agent::Options { allow_private_addresses: true, ..agent::Options::default() };
    assert_eq!(options.connect_timeout, CONNECT_TIMEOUT);
    for connect_timeout in [CONNECT_TIMEOUT, Duration::from_millis(300)] {
        let client = Client::new(agent::Options { connect_timeout, ..options.clone() });
        let mut call = call(card(Dialect::Plain, &format!("http://{}", crowded.address)));
        call.timeout = Duration::from_secs(3600);
        let begun = Instant::now();
        let error = ask(&client, call).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
        assert!(error.message.contains("cannot connect"), "{error:?}");
        assert_eq!(begun.elapsed().as_secs_f64().round(), connect_timeout.as_secs_f64().round(), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_cannot_be_connected_to_is_tried_again_within_its_time() {
    let crowded = Crowded::new();
    let patient = Duration::from_secs(3600);
    let tries = u64::from(REGISTRY_RETRIES_MAX) + 1;
    assert_eq!(RemoteOptions::default().timeout, REGISTRY_TIMEOUT);
    for (timeout, expected) in [(patient, CONNECT_TIMEOUT.as_secs() * tries), (REGISTRY_TIMEOUT, REGISTRY_TIMEOUT.as_secs())] {
        let options =
            RemoteOptions { credential: Credential::Anonymous, retry_pause: Duration::from_millis(1), timeout, ..RemoteOptions::default() };
        let remote = Remote::new(&crowded.address.to_string(), options).unwrap();
        let begun = Instant::now();
        let error = remote.tags("a/x").await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert_eq!(begun.elapsed().as_secs_f64().round() as u64, expected, "{error}");
    }
}
