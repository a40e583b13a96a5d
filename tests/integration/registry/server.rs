//! Servers on free ports of this machine: the embedded registry, and one that answers with the bytes it is told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gantry::registry::http::{Options, serve};
use gantry::registry::{Credential, Layout, Remote, RemoteOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The embedded registry, until it is dropped.
pub(super) struct Served {
    pub(super) layout: Layout,
    pub(super) address: SocketAddr,
    pub(super) stop: CancellationToken,
    pub(super) ended: JoinHandle<std::io::Result<()>>,
}

impl Served {
    pub(super) async fn start() -> Self {
        Self::start_with(Options::default(), "127.0.0.1").await
    }

    pub(super) async fn start_with(options: Options, ip: &str) -> Self {
        let layout = Layout::ephemeral().unwrap();
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let ended = tokio::spawn(serve(listener, Arc::new(layout.clone()), options, stop.clone()));
        Self { layout, address, stop, ended }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.address.port())
    }

    pub(super) fn remote(&self) -> Remote {
        remote(&format!("127.0.0.1:{}", self.address.port()))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A client that is quick to retry and knows nobody's credentials.
pub(super) fn remote(registry: &str) -> Remote {
    Remote::new(registry, quick()).unwrap()
}

pub(super) fn quick() -> RemoteOptions {
    RemoteOptions {
        credential: Credential::Anonymous,
        retry_pause: Duration::from_millis(1),
        timeout: Duration::from_secs(10),
        ..RemoteOptions::default()
    }
}

/// A plain HTTP client, for requests that ours would not send.
pub(super) fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

/// Answers each connection with the next of its answers, the last one for ever, and keeps what was asked.
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
    pub(super) asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    pub(super) async fn start(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(answer_all(listener, answers, Arc::clone(&asked)));
        Self { address, asked, task }
    }

    pub(super) fn remote(&self) -> Remote {
        remote(&self.address.to_string())
    }

    pub(super) fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer_all(listener: TcpListener, answers: Vec<Vec<u8>>, asked: Arc<Mutex<Vec<String>>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.windows(4).any(|window| window == b"\r\n\r\n") {
            let mut buffer = [0; 4096];
            match stream.read(&mut buffer).await {
                Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
                _ => break,
            }
        }
        let at = {
            let mut asked = asked.lock().unwrap();
            asked.push(String::from_utf8_lossy(&head).into_owned());
            asked.len() - 1
        };
        // A client that has read enough hangs up; that is its right.
        let _ = stream.write_all(&answers[at.min(answers.len() - 1)]).await;
        let _ = stream.shutdown().await;
    }
}

/// An HTTP/1.1 answer.
pub(super) fn answer(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| matches!(*name, "Content-Length" | "Transfer-Encoding")) {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}
