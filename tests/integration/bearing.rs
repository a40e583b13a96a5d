//! What one real process bears, measured from outside: its memory while it is attacked, and how those who mean well fare meanwhile.
//!
//! The counts are small enough for every run of the tests; with `GANTRY_SCALE=full` in the environment they are the ones that are
//! promised. What was measured is printed. Times are compared at full scale only, with a margin, for the test build is not an optimised one;
//! memory is asserted as promised.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::gantries::{Gantry, PATIENCE, Site};
use crate::trickle::trickle;

const MIB: u64 = 1024 * 1024;

/// How many: the first by default, the second when the full scale is asked for.
fn count(moderate: usize, full: usize) -> usize {
    if is_full() { full } else { moderate }
}

fn is_full() -> bool {
    std::env::var("GANTRY_SCALE").as_deref() == Ok("full")
}

/// What time may be taken. Only at full scale is the machine there for this alone; otherwise it is enough that nobody waits for those who
/// never answer.
fn bound(promised: Duration) -> Duration {
    if is_full() { promised } else { Duration::from_secs(5) }
}

/// One finding, for whoever reads the test's output.
#[expect(clippy::print_stderr, reason = "figures are there to be read")]
fn tell(what: &str, figures: impl std::fmt::Display) {
    eprintln!("{what}: {figures}");
}

async fn serve(configuration: &str) -> (Site, Gantry) {
    let site = Site::new().await;
    let gantry = site.serve("gantry", configuration).await;
    (site, gantry)
}

fn address(gantry: &Gantry) -> String {
    gantry.url.trim_start_matches("http://").to_owned()
}

/// A share of measurements: `quantile(&mut times, 0.99)`.
fn quantile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * share).round() as usize]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The times of one request after another.
async fn times(gantry: &Gantry, count: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let started = Instant::now();
        gantry.call("ListTasks", json!({})).await;
        times.push(started.elapsed());
    }
    times
}

fn message(id: &str) -> Value {
    json!({ "messageId": id, "role": "ROLE_USER", "parts": [{ "text": "hello" }] })
}

/// A rule that answers messages whose id begins so.
fn rule(prefix: &str, respond: &str) -> String {
    format!("[[server.router.rules]]\nname = \"{prefix}\"\nwhen = {{ messageId = \"^{prefix}\" }}\nrespond = [{respond}]\n")
}

// -------------------------------------------------------------------------------------------------------- hostile bodies

/// Bodies of a megabyte or more that a parser may choke on, and the code they get. Below the bounds a large one is a request like any
/// other.
fn hostile_bodies() -> Vec<(&'static str, String, i64)> {
    const DEEP: usize = 100_000;
    let deep_object = format!("{}1{}", r#"{"a":"#.repeat(DEEP), "}".repeat(DEEP));
    let keys = |count: u32| (0..count).map(|at| format!("\"{at:x}\":1")).collect::<Vec<_>>().join(",");
    let request = |params: &str| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{{params}}}}}"#);
    vec![
        ("1 MB of [", "[".repeat(1_000_000), -32700),
        ("an object 100,000 deep", deep_object, -32700),
        ("a 1 MB number", request(&format!(r#""n":{}"#, "9".repeat(1_000_000))), -32700),
        ("a 1 MB key", request(&format!(r#""{}":1"#, "k".repeat(1_000_000))), -32700),
        ("300,000 keys", request(&keys(300_000)), -32700),
        ("100,000 keys", request(&keys(100_000)), -32601),
        ("100,000 keys and nothing else", format!("{{{}}}", keys(100_000)), -32600),
        ("a 1 MB text that is cut off", format!(r#"{{"jsonrpc":"{}"#, "x".repeat(1_000_000)), -32700),
    ]
}

#[tokio::test]
async fn hostile_bodies_cost_little_time_and_memory() {
    let (_site, gantry) = serve("").await;
    times(&gantry, 10).await;
    for (name, body, code) in hostile_bodies() {
        let size = body.len() as u64;
        gantry.forget_peak();
        let before = gantry.resident();
        let started = Instant::now();
        let answer = gantry.post(body).await;
        let took = started.elapsed();
        let grown = gantry.peak().saturating_sub(before);
        tell(name, format_args!("{} in {took:?}, memory grew by {grown} for {size} bytes", answer["error"]["code"]));
        assert_eq!(answer["error"]["code"], code, "{name}: {answer}");
        assert!(took < bound(Duration::from_millis(500)), "{name}: {took:?}");
        assert!(grown < 5 * size.max(MIB), "{name}: memory grew by {grown} bytes");
    }
}

/// Sends a body until the server has enough; what it said.
async fn endless(address: &str, head: &str, bytes: u64) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{head}\r\n\r\n");
    let chunked = head.contains("chunked");
    let writing = async {
        let piece = vec![b'['; 64 * 1024];
        let _ = writer.write_all(head.as_bytes()).await;
        for _ in 0..bytes / piece.len() as u64 {
            let framed = if chunked { [b"10000\r\n".as_slice(), &piece, b"\r\n"].concat() } else { piece.clone() };
            if writer.write_all(&framed).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut said = Vec::new();
    tokio::select! {
        () = writing => {}
        read = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut said)) => { read.expect("the server does not close").ok(); }
    }
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn bodies_that_are_too_large_are_not_kept() {
    const BODY: u64 = 100_000_000;
    let (_site, gantry) = serve("").await;
    times(&gantry, 10).await;
    let address = address(&gantry);
    // The first few bring in what every refusal needs.
    for _ in 0..5 {
        endless(&address, &format!("content-length: {BODY}"), BODY).await;
    }
    for (name, head, grown_max) in [
        ("100 MB with its length", format!("content-length: {BODY}"), MIB),
        // Without a length nobody knows before the limit of 4 MiB is passed, and what came until then is kept until it is.
        ("100 MB without a length", "transfer-encoding: chunked".to_owned(), 12 * MIB),
    ] {
        let mut grown = Vec::new();
        let started = Instant::now();
        for _ in 0..5 {
            gantry.forget_peak();
            let before = gantry.resident();
            let said = endless(&address, &head, BODY).await;
            assert!(said.starts_with("HTTP/1.1 413") || said.is_empty(), "{said}");
            grown.push(gantry.peak().saturating_sub(before));
        }
        grown.sort_unstable();
        tell(name, format_args!("five times refused in {:?}, memory grew by {grown:?} at most", started.elapsed()));
        // The system gives memory in pages of up to 2 MiB, so that one of five may say little.
        assert!(grown[2] < grown_max, "{name}: memory grew by {grown:?} bytes");
    }
}

// ------------------------------------------------------------------------------------------------------ slow connections

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_connections_slow_down_nobody_else() {
    // At full scale the deadlines are those that a server has if nobody says otherwise.
    let (configuration, longest) = match is_full() {
        true => ("", 31),
        false => ("[server.limits]\nheader_timeout = \"1s\"\nbody_timeout = \"2s\"\n", 3),
    };
    let (_site, gantry) = serve(configuration).await;
    times(&gantry, 50).await;
    let requests = count(200, 2000);
    let alone = quantile(&mut times(&gantry, requests).await, 0.99);
    let head = b"POST / HTTP/1.1\r\nhost: x\r\n";
    let body = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n{";
    const SECOND: Duration = Duration::from_secs(1);
    let slow: Vec<_> = (0..count(100, 1000))
        .map(|at| match at % 2 {
            0 => tokio::spawn(trickle(address(&gantry), head, b"x-slow: 1\r\n", SECOND)),
            _ => tokio::spawn(trickle(address(&gantry), body, b" ", SECOND)),
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let meanwhile = quantile(&mut times(&gantry, requests).await, 0.99);
    let mut held: Vec<Duration> = join_all(slow).await.into_iter().map(|slow| slow.unwrap().0).collect();
    let longest_held = quantile(&mut held, 1.0);
    tell("healthy requests", format_args!("p99 {alone:?} alone, {meanwhile:?} beside {} slow connections", held.len()));
    tell("slow connections", format_args!("the last was cut after {longest_held:?}"));
    assert!(longest_held < Duration::from_secs(longest + 2), "{longest_held:?}");
    assert!(meanwhile < bound(alone * 4 + Duration::from_millis(20)), "p99 went from {alone:?} to {meanwhile:?}");
}

// -------------------------------------------------------------------------------------------------------- lazy readers

const PIECES: usize = 120;
const PIECE_BYTES: usize = 16 * 1024;

/// Subscribes, and reads no more than the head of the answer.
async fn lazy(address: &str, id: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = tokio::net::lookup_host(address).await.unwrap().find(std::net::SocketAddr::is_ipv4).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": { "id": id } }).to_string();
    let head = "POST / HTTP/1.1\r\nhost: x\r\na2a-version: 1.0\r\ncontent-type: application/json\r\ncontent-length:";
    stream.write_all(format!("{head} {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    stream
}

/// Lets a task that waits go on, reads its stream, and gives the times between the pieces.
async fn read_fast(gantry: &Gantry, id: &str, message_id: &str) -> Vec<Duration> {
    let mut go_on = message(message_id);
    go_on["taskId"] = json!(id);
    let mut stream = gantry.stream("SendStreamingMessage", json!({ "message": go_on })).await;
    let (mut gaps, mut last, mut unread) = (Vec::new(), Instant::now(), String::new());
    while let Some(chunk) = tokio::time::timeout(PATIENCE, stream.chunk()).await.expect("the stream is silent").unwrap() {
        unread.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some(end) = unread.find("\n\n") {
            let event: String = unread.drain(..end + 2).collect();
            if event.contains("artifactUpdate") {
                gaps.push(last.elapsed());
                last = Instant::now();
            }
        }
    }
    assert_eq!(gaps.len(), PIECES, "the fast reader sees every piece");
    gaps
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_that_do_not_read_cost_little() {
    let text = "x".repeat(PIECE_BYTES);
    let flood = |name: &str| {
        let piece =
            format!("{{ artifact = {{ id = \"{name}\", parts = [{{ text = \"{text}\" }}], append = true }} }}, {{ delay = \"10ms\" }}, ");
        rule(name, &format!("{{ status = \"working\" }}, {}{{ status = \"input_required\" }}", piece.repeat(PIECES)))
    };
    let ask = rule("ask", "{ status = \"input_required\", message = \"well?\" }");
    let (_site, gantry) = serve(&format!("{ask}{}{}", flood("one"), flood("two"))).await;
    let began = gantry.call("SendMessage", json!({ "message": message("ask-1") })).await;
    let alone_id = began["task"]["id"].as_str().unwrap().to_owned();
    let alone = quantile(&mut read_fast(&gantry, &alone_id, "one-1").await, 0.99);

    let began = gantry.call("SendMessage", json!({ "message": message("ask-2") })).await;
    let id = began["task"]["id"].as_str().unwrap().to_owned();
    let address = address(&gantry);
    let readers: Vec<TcpStream> = stream::iter(0..count(100, 1000)).map(|_| lazy(&address, &id)).buffer_unordered(32).collect().await;
    gantry.forget_peak();
    let before = gantry.resident();
    let beside = quantile(&mut read_fast(&gantry, &id, "two-1").await, 0.99);
    let peak = gantry.peak();
    tell("a fast reader", format_args!("p99 between pieces {alone:?} alone, {beside:?} beside {} that do not read", readers.len()));
    tell("memory", format_args!("{} MiB with the readers, {} MiB at most", before / MIB, peak / MIB));
    assert!(peak < 300 * MIB, "{} MiB", peak / MIB);
    assert!(beside < bound(alone * 4 + Duration::from_millis(100)), "p99 went from {alone:?} to {beside:?}");
    let sent = stream::iter(readers).map(|mut reader| async move {
        let mut read = Vec::new();
        tokio::time::timeout(PATIENCE, reader.read_to_end(&mut read)).await.expect("a lazy reader is not cut").ok();
        read.len()
    });
    let most = sent.buffer_unordered(8).fold(0, |most, sent| async move { most.max(sent) }).await;
    tell("sent to one that does not read", most);
    assert!(most < 512 * 1024, "{most} bytes were kept for one reader");
}

// --------------------------------------------------------------------------------------------------- what timing tells

/// How far apart two lots of measurements are, in standard errors of their means (Welch's t), without the slowest tenth of each.
fn distance(a: &mut [Duration], b: &mut [Duration]) -> f64 {
    let of = |times: &mut [Duration]| {
        times.sort_unstable();
        let kept: Vec<f64> = times[..times.len() * 9 / 10].iter().copied().map(micros).collect();
        let mean = kept.iter().sum::<f64>() / kept.len() as f64;
        let variance = kept.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (kept.len() - 1) as f64;
        (mean, variance / kept.len() as f64)
    };
    let ((mean_a, error_a), (mean_b, error_b)) = (of(a), of(b));
    tell("means", format_args!("{mean_a:.1} µs and {mean_b:.1} µs"));
    (mean_a - mean_b).abs() / (error_a + error_b).sqrt()
}

#[tokio::test]
async fn timing_does_not_tell_anothers_task_from_none() {
    let tokens = "[[server.auth.tokens]]\ncaller = \"ann\"\ntoken = \"ann-secret\"\n[[server.auth.tokens]]\ncaller = \"bob\"\ntoken = \"bob-secret\"\n";
    let ask = rule("ask", "{ status = \"input_required\", message = \"well?\" }");
    let site = Site::new().await;
    site.push_workflows("bearing").await;
    let gantry = site.serve("gantry", &format!("{tokens}{ask}")).await;
    // One that has no run, and one that has.
    let run = json!({ "messageId": "run-1", "role": "ROLE_USER", "parts": [{ "data": { "workflow_id": "bearing" } }] });
    let mut ids = Vec::new();
    for message in [message("ask-1"), run] {
        let began = gantry.call_as("ann-secret", "SendMessage", json!({ "message": message })).await;
        ids.push(began["result"]["task"]["id"].as_str().unwrap_or_else(|| panic!("{began}")).to_owned());
    }
    let nobodys = uuid::Uuid::new_v4().to_string();
    let rounds = count(300, 2_000);
    for (method, theirs) in [("GetTask", &ids[0]), ("GetTask", &ids[1]), ("CancelTask", &ids[1])] {
        let (mut theirs_times, mut nobodys_times) = (Vec::new(), Vec::new());
        for at in 0..rounds * 2 + 100 {
            let (id, times) = if fastrand::bool() { (theirs, &mut theirs_times) } else { (&nobodys, &mut nobodys_times) };
            let started = Instant::now();
            let answer = gantry.call_as("bob-secret", method, json!({ "id": id })).await;
            let took = started.elapsed();
            assert_eq!(answer["error"]["code"], -32001);
            if at >= 100 {
                times.push(took);
            }
        }
        let apart = distance(&mut theirs_times, &mut nobodys_times);
        let (theirs, nobodys) = (quantile(&mut theirs_times, 0.5), quantile(&mut nobodys_times, 0.5));
        tell(method, format_args!("median {theirs:?} for another's, {nobodys:?} for none; {apart:.1} standard errors apart"));
        // Both are answered by the tick of a clock, so that nothing but chance is between them.
        assert!(!is_full() || apart < 5.0, "{method}: {theirs:?} and {nobodys:?}");
    }
}

// ------------------------------------------------------------------------------------------------------------- webhooks

/// A webhook that takes what it is sent and never answers.
async fn silent() -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    (url, holding)
}

async fn run_times(gantry: &Gantry, name: &str, runs: usize, configuration: &Value) -> Vec<Duration> {
    let one = |at: usize| async move {
        let input =
            json!({ "messageId": format!("{name}-{at}"), "role": "ROLE_USER", "parts": [{ "data": { "workflow_id": "bearing" } }] });
        let started = Instant::now();
        let done = gantry.call("SendMessage", json!({ "message": input, "configuration": configuration })).await;
        assert_eq!(done["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{done}");
        started.elapsed()
    };
    stream::iter(0..runs).map(one).buffer_unordered(4).collect().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_that_never_answer_delay_no_run() {
    let site = Site::new().await;
    site.push_workflows("bearing").await;
    let gantry = site.serve("gantry", "[server.push]\nallow_private_addresses = true\n").await;
    let (url, holding) = silent().await;
    let runs = count(100, 1000);
    run_times(&gantry, "warm", 50, &json!({})).await;
    let without = quantile(&mut run_times(&gantry, "without", runs, &json!({})).await, 0.99);
    let hook = json!({ "taskPushNotificationConfig": { "url": url } });
    let with = quantile(&mut run_times(&gantry, "with", runs, &hook).await, 0.99);
    tell("runs", format_args!("p99 {without:?} without webhooks, {with:?} with one that never answers"));
    assert!(with < bound(without * 4 + Duration::from_millis(50)), "p99 went from {without:?} to {with:?}");
    holding.abort();
}
