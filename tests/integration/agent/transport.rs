//! Agents that hang, break off, drip, or never stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gantry::a2a::Dialect;
use gantry::agent::ErrorKind;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::support::{DIALECTS, MESSAGE_ID, Raw, ask, call, card, client, head, success};

const MEBIBYTE: usize = 1024 * 1024;

#[tokio::test]
async fn an_agent_that_never_answers_times_out() {
    for dialect in DIALECTS {
        let agent = Raw::start(|stream, _| async move {
            std::future::pending::<()>().await;
            drop(stream);
        })
        .await;
        let mut call = call(card(dialect, &agent.url));
        call.timeout = Duration::from_millis(100);
        let started = Instant::now();
        let error = ask(&client(), call).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Timeout, "no answer within 100ms"), "{dialect:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

/// Many calls to an agent that hangs end together at their deadline, and leave no connection behind.
#[tokio::test]
async fn calls_that_time_out_close_their_connections() {
    const CALLS: usize = 200;
    let (closed, mut closings) = tokio::sync::mpsc::channel(CALLS);
    let agent = Raw::start(move |mut stream, _| {
        let closed = closed.clone();
        async move {
            // The caller says nothing more: the next thing read is the end.
            let _ = stream.read(&mut [0]).await;
            let _ = closed.send(()).await;
        }
    })
    .await;
    let client = client();
    let mut calls = tokio::task::JoinSet::new();
    for at in 0..CALLS {
        let client = client.clone();
        let mut call = call(card(DIALECTS[at % DIALECTS.len()], &agent.url));
        // Long enough that every request is on its way before the first gives up, however busy the machine is.
        call.timeout = Duration::from_secs(2);
        calls.spawn(async move { ask(&client, call).await.unwrap_err().kind });
    }
    let started = Instant::now();
    while let Some(kind) = calls.join_next().await {
        assert_eq!(kind.unwrap(), ErrorKind::Timeout);
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    for _ in 0..CALLS {
        tokio::time::timeout(Duration::from_secs(10), closings.recv()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for dialect in DIALECTS {
        let error = ask(&client(), call(card(dialect, &url))).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.starts_with("cannot connect"), "{error}");
    }
}

#[tokio::test]
async fn connections_that_break_are_unavailable() {
    for dialect in DIALECTS {
        let body = json!({ "jsonrpc": "2.0", "id": MESSAGE_ID, "result": success(dialect, &json!({ "x": 1 })) }).to_string();
        let length = format!("Content-Length: {}\r\n", body.len());
        let half = &body[..body.len() / 2];
        for (what, sent) in [
            ("closed without an answer", String::new()),
            ("closed in the status line", "HTTP/1.1 2".to_owned()),
            ("closed in the head", "HTTP/1.1 200 OK\r\nContent-Type: appl".to_owned()),
            ("closed in the body", format!("{}{half}", head("application/json", &length))),
            ("closed in a chunk", format!("{}40\r\n{half}", head("application/json", "Transfer-Encoding: chunked\r\n"))),
            ("no HTTP", "SSH-2.0-OpenSSH_9.6\r\n".to_owned()),
        ] {
            let agent = Raw::start(move |mut stream, _| {
                let sent = sent.clone();
                async move {
                    let _ = stream.write_all(sent.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            })
            .await;
            let error = ask(&client(), call(card(dialect, &agent.url))).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unavailable, "{dialect:?} {what}: {error}");
            assert!(!error.message.contains("127.0.0.1"), "{error}");
        }
        // A reset instead of an orderly end.
        let agent = Raw::start(|stream, _| async move {
            let _ = stream.set_zero_linger();
            drop(stream);
        })
        .await;
        let error = ask(&client(), call(card(dialect, &agent.url))).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{dialect:?}: {error}");
    }
}

/// A body without a length that ends early is not a broken connection but half a text.
#[tokio::test]
async fn half_a_text_is_not_an_answer() {
    for dialect in DIALECTS {
        let body = json!({ "jsonrpc": "2.0", "id": MESSAGE_ID, "result": success(dialect, &json!({ "x": 1 })) }).to_string();
        for at in [0, 1, body.len() / 2, body.len() - 1] {
            let sent = format!("{}{}", head("application/json", ""), &body[..at]);
            let agent = Raw::start(move |mut stream, _| {
                let sent = sent.clone();
                async move {
                    let _ = stream.write_all(sent.as_bytes()).await;
                }
            })
            .await;
            let error = ask(&client(), call(card(dialect, &agent.url))).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidReply, "{dialect:?} {at}: {error}");
        }
    }
}

#[tokio::test]
async fn the_deadline_holds_for_the_body_too() {
    for dialect in DIALECTS {
        let agent = Raw::start(|mut stream, _| async move {
            let _ = stream.write_all(head("application/json", "Content-Length: 1000\r\n").as_bytes()).await;
            while stream.write_all(b" ").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        let mut call = call(card(dialect, &agent.url));
        call.timeout = Duration::from_millis(200);
        let started = Instant::now();
        assert_eq!(ask(&client(), call).await.unwrap_err().kind, ErrorKind::Timeout, "{dialect:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

/// 100 MB announced, 100 MB in chunks, and a body without an end: cut at the limit, whatever the agent would still send.
#[tokio::test]
async fn large_bodies_are_cut_at_the_limit() {
    for dialect in DIALECTS {
        for (what, more, chunked, mebibytes) in [
            ("announced", "Content-Length: 104857600\r\n", false, 100),
            ("chunked", "Transfer-Encoding: chunked\r\n", true, 100),
            ("endless", "", false, usize::MAX),
        ] {
            let written = Arc::new(AtomicU64::new(0));
            let counter = Arc::clone(&written);
            let agent = Raw::start(move |mut stream, _| {
                let counter = Arc::clone(&counter);
                async move {
                    let mut piece = vec![b' '; MEBIBYTE];
                    if chunked {
                        piece = [b"100000\r\n".as_slice(), &piece, b"\r\n"].concat();
                    }
                    let mut sent = stream.write_all(head("application/json", more).as_bytes()).await;
                    for _ in 0..mebibytes {
                        if sent.is_err() {
                            return;
                        }
                        sent = stream.write_all(&piece).await;
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                }
            })
            .await;
            let started = Instant::now();
            let error = ask(&client(), call(card(dialect, &agent.url))).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::TooLarge, "{dialect:?} {what}: {error}");
            assert_eq!(error.message, "the answer is larger than 1048576 bytes");
            assert!(started.elapsed() < Duration::from_secs(10), "{dialect:?} {what}");
            // The limit is 1 MiB; the rest is what sockets hold.
            assert!(written.load(Ordering::SeqCst) < 24, "{dialect:?} {what}: {written:?} MiB were sent");
        }
    }
}

/// An agent whose answers are a head and then mebibytes without an end, and how many were written.
async fn endless(head: String) -> (Raw, Arc<AtomicU64>) {
    let written = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&written);
    let agent = Raw::start(move |mut stream, _| {
        let (counter, head) = (Arc::clone(&counter), head.clone());
        async move {
            let piece = vec![b'x'; MEBIBYTE];
            let mut sent = stream.write_all(head.as_bytes()).await;
            while sent.is_ok() {
                sent = stream.write_all(&piece).await;
                counter.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    (agent, written)
}

#[tokio::test]
async fn an_error_without_an_end_is_cut() {
    for dialect in DIALECTS {
        for media in ["text/plain", "application/json", "text/html"] {
            let (agent, written) = endless(format!("HTTP/1.1 500 Oops\r\nContent-Type: {media}\r\nConnection: close\r\n\r\n")).await;
            let error = ask(&client(), call(card(dialect, &agent.url))).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Unavailable, "{dialect:?} {media}: {error}");
            assert!(error.message.starts_with("HTTP 500 Internal Server Error"), "{error}");
            assert!(written.load(Ordering::SeqCst) < 24, "{dialect:?} {media}: {written:?} MiB were sent");
        }
    }
}

/// What an agent says to being told that a task is not wanted interests nobody.
#[tokio::test]
async fn the_answer_to_a_cancellation_is_cut() {
    for dialect in [Dialect::A2a1, Dialect::A2a03] {
        let (agent, written) = endless(head("application/json", "")).await;
        let client = client();
        client.cancel_task(&card(dialect, &agent.url), "t-1");
        client.drain().await;
        let written = written.load(Ordering::SeqCst);
        assert!((1..24).contains(&written), "{dialect:?}: {written} MiB were sent");
    }
}

/// Deflate blocks of a mebibyte each, in a kilobyte each: the size that counts is the one after decompression.
#[tokio::test]
async fn gzip_bombs_are_cut_at_the_limit() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/agent/mebibyte-of-spaces.deflate");
    let block = std::fs::read(path).unwrap();
    let bomb: Arc<Vec<u8>> = Arc::new([&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255][..], &block.repeat(1_000)].concat());
    assert!(bomb.len() < 2 * MEBIBYTE, "a gigabyte in {} bytes", bomb.len());
    for dialect in DIALECTS {
        let bomb = Arc::clone(&bomb);
        let agent = Raw::start(move |mut stream, _| {
            let bomb = Arc::clone(&bomb);
            async move {
                let more = format!("Content-Encoding: gzip\r\nContent-Length: {}\r\n", bomb.len());
                let _ = stream.write_all(head("application/json", &more).as_bytes()).await;
                let _ = stream.write_all(&bomb).await;
            }
        })
        .await;
        let started = Instant::now();
        let error = ask(&client(), call(card(dialect, &agent.url))).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge, "{dialect:?}: {error}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

/// Calls of each kind; `GANTRY_SCALE=full` makes it ten thousand.
fn calls_at_scale() -> usize {
    if std::env::var("GANTRY_SCALE").is_ok_and(|scale| scale == "full") { 10_000 } else { 300 }
}

/// Connections from or to a port that somebody still holds: established, or closed by the other side only.
fn held(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    let holds = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote, state) = (fields.next().unwrap_or(""), fields.next().unwrap_or(""), fields.next().unwrap_or(""));
        (local.ends_with(&port) || remote.ends_with(&port)) && matches!(state, "01" | "08")
    };
    table.lines().skip(1).filter(holds).count()
}

/// Agents that reset, close in the middle, go silent or trickle, many times over: each call is a failure that a retry may cure, and
/// not one connection is left behind.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn misbehaving_connections_are_all_given_back() {
    const AT_ONCE: usize = 32;
    for what in ["reset", "cut", "silent", "trickle"] {
        let agent = Raw::start(move |mut stream, _| async move {
            match what {
                "reset" => drop(stream.set_zero_linger()),
                "cut" => {
                    drop(stream.write_all(format!("{}{{\"half", head("application/json", "Content-Length: 100\r\n")).as_bytes()).await)
                }
                "silent" => std::future::pending().await,
                _ => {
                    let _ = stream.write_all(head("application/json", "Content-Length: 100\r\n").as_bytes()).await;
                    while stream.write_all(b" ").await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        })
        .await;
        let client = client();
        let mut open = JoinSet::new();
        for n in 0..calls_at_scale() {
            let (client, mut call) = (client.clone(), call(card(Dialect::Plain, &agent.url)));
            call.timeout = Duration::from_millis(if matches!(what, "silent" | "trickle") { 50 } else { 10_000 });
            open.spawn(async move { ask(&client, call).await.unwrap_err() });
            if open.len() == AT_ONCE || n + 1 == calls_at_scale() {
                while let Some(error) = open.join_next().await {
                    let error = error.unwrap();
                    assert!(error.is_transient(), "{what}: {error}");
                }
            }
        }
        let port = agent.url.rsplit(':').next().unwrap().parse().unwrap();
        drop((client, agent));
        // Sockets are closed by tasks that end after their owner is gone.
        let mut tries = 0;
        while held(port) > 0 {
            assert!(tries < 500, "{what}: {} connections are still held", held(port));
            tries += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
