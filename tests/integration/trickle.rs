//! A client that takes its time.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longer than any server lets it go on.
const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a beginning, and a little more after every pause, until the server has enough: how long that took, and what it said.
pub(crate) async fn trickle(address: String, begin: &'static [u8], little: &'static [u8], pause: Duration) -> (Duration, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let started = Instant::now();
    let (mut reader, mut writer) = stream.into_split();
    let writing = async {
        if writer.write_all(begin).await.is_ok() {
            while writer.write_all(little).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut said = Vec::new();
    tokio::select! {
        () = writing => {}
        read = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut said)) => { read.expect("the server does not close").ok(); }
    }
    (started.elapsed(), String::from_utf8_lossy(&said).into_owned())
}
