//! What gantry is measured against: a server that takes a JSON-RPC request, makes the calls itself, and answers. Without an engine,
//! and with a journal where `--journal DIR` says so: accept, each step and the end go through one writer thread, which commits what
//! has gathered at once (SQLite, WAL, `synchronous = FULL`), and the request waits for each.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::Failure;

const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Records that share one commit at most, as in gantry.
const BATCH: usize = 512;

struct Server {
    http: reqwest::Client,
    agent: String,
    journal: Option<mpsc::Sender<Record>>,
    runs: AtomicU64,
}

struct Record {
    run: u64,
    event: String,
    stored: oneshot::Sender<()>,
}

/// What one request asks for.
#[derive(Deserialize)]
struct Work {
    /// Calls one after the other, each with the reply of the one before.
    #[serde(default)]
    chain: usize,
    /// Items, each of which is a call.
    #[serde(default)]
    map: usize,
    /// Calls at the same time.
    #[serde(default)]
    width: usize,
    value: Value,
    /// How long the agent takes for each call.
    #[serde(default)]
    pause_ms: u64,
}

/// Serves until the process ends. The first line on standard output is its URL.
pub(super) async fn serve(agent: &str, journal: Option<&Path>) -> Result<(), Failure> {
    rustls::crypto::ring::default_provider().install_default().ok();
    let http = super::measures::patient().build()?;
    let journal = journal.map(writer).transpose()?;
    let server = Arc::new(Server { http, agent: format!("{agent}/execute"), journal, runs: AtomicU64::new(0) });
    let app = Router::new().route("/", post(answer)).layer(DefaultBodyLimit::max(BODY_BYTES_MAX)).with_state(server);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    super::announce(&format!("http://{}", listener.local_addr()?));
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), app).await?;
    Ok(())
}

async fn answer(State(server): State<Arc<Server>>, Json(mut request): Json<Value>) -> Json<Value> {
    let id = request["id"].take();
    match server.work(request["params"].take()).await {
        Ok(value) => Json(json!({"jsonrpc": "2.0", "id": id, "result": {"value": value}})),
        Err(error) => Json(json!({"jsonrpc": "2.0", "id": id, "error": {"code": -1, "message": error.to_string()}})),
    }
}

impl Server {
    async fn work(&self, params: Value) -> Result<Value, Failure> {
        let run = self.runs.fetch_add(1, Ordering::Relaxed);
        self.record(run, || json!({"accepted": params}).to_string()).await?;
        let Work { chain, map, width, value, pause_ms } = serde_json::from_value(params)?;
        let mut last = value;
        for _ in 0..chain {
            last = self.step(run, &last, pause_ms).await?;
        }
        if map > 0 {
            let calls = stream::iter(0..map).map(|item| async move { self.step(run, &json!(item), pause_ms).await });
            last = Value::Array(calls.buffered(width).try_collect().await?);
        }
        self.record(run, || json!({"ended": last}).to_string()).await?;
        Ok(last)
    }

    async fn step(&self, run: u64, value: &Value, pause_ms: u64) -> Result<Value, Failure> {
        let mut body = json!({"jsonrpc": "2.0", "id": "1", "method": "echo", "params": {"value": value}});
        if pause_ms > 0 {
            body["params"]["pause_ms"] = json!(pause_ms);
        }
        let mut reply: Value = self.http.post(&self.agent).json(&body).send().await?.error_for_status()?.json().await?;
        let value = reply["result"]["value"].take();
        self.record(run, || json!({"replied": value}).to_string()).await?;
        Ok(value)
    }

    /// Waits until the event is stored, where there is a journal.
    async fn record(&self, run: u64, event: impl FnOnce() -> String) -> Result<(), Failure> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let (stored, answer) = oneshot::channel();
        journal.send(Record { run, event: event(), stored }).await.map_err(|_| "the writer has ended")?;
        Ok(answer.await?)
    }
}

fn writer(directory: &Path) -> Result<mpsc::Sender<Record>, Failure> {
    let connection = rusqlite::Connection::open(directory.join("raw.db"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch("CREATE TABLE events (seq INTEGER PRIMARY KEY, run INTEGER NOT NULL, event TEXT NOT NULL)")?;
    let (sender, mut records) = mpsc::channel::<Record>(4 * BATCH);
    std::thread::spawn(move || {
        let mut batch = Vec::with_capacity(BATCH);
        while records.blocking_recv_many(&mut batch, BATCH) > 0 {
            let written = store(&connection, &batch);
            // Who asked waits for ever otherwise; dropping the senders tells them.
            let answers = batch.drain(..).map(|record| record.stored);
            if written.is_ok() {
                answers.for_each(|stored| _ = stored.send(()));
            }
        }
    });
    Ok(sender)
}

fn store(connection: &rusqlite::Connection, batch: &[Record]) -> rusqlite::Result<()> {
    let transaction = connection.unchecked_transaction()?;
    {
        let mut insert = transaction.prepare_cached("INSERT INTO events (run, event) VALUES (?1, ?2)")?;
        for record in batch {
            insert.execute(rusqlite::params![record.run.cast_signed(), record.event])?;
        }
    }
    transaction.commit()
}
