//! The side of the gantry that holds the data directory.

use std::net::Ipv4Addr;
use std::sync::Arc;

use serde_json::{Value, json};
use subtle::ConstantTimeEq;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::wish::{Announcement, Reply, Wish};
use crate::engine::embedded::{Embedded, Forgotten};
use crate::engine::{self, Engine, Next};
use crate::ids::RunId;
use crate::interpreter::Change;
use crate::journal::{self, DataDir, Retention};
use crate::limits;

/// Labels that belong to one run and not to a retry of it: what waits for the run, and the A2A task that it is.
const LABELS_OF_ONE_RUN: [&str; 5] = ["parent", "parent_step", "root", "a2a.task", engine::RETRY_OF_LABEL];

/// Listens, but serves nobody yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    secret: Arc<str>,
}

impl Listener {
    /// Listens on a port that the system chooses, and announces it in the data directory.
    pub async fn bind(data_dir: &mut DataDir) -> Result<Self, journal::Error> {
        let failed = |error: std::io::Error| journal::Error::Failed(format!("cannot listen on the loopback interface: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let announcement = Announcement { process: std::process::id(), address, secret: secret.clone() };
        data_dir.announce(&json!(announcement).to_string())?;
        Ok(Self { listener, secret: Arc::from(secret) })
    }

    /// Serves until `stop`. Runs that stop after `closing` are parked, which is what their followers are told.
    pub async fn serve(self, engine: Embedded, closing: CancellationToken, stop: CancellationToken) {
        let places = Arc::new(Semaphore::new(limits::CONTROL_CONNECTIONS_MAX));
        let followers = Arc::new(Semaphore::new(limits::CONTROL_FOLLOWERS_MAX));
        let connections = TaskTracker::new();
        let serving = async {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
                let stream = match self.listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        tracing::warn!(%error, "a control connection could not be accepted");
                        tokio::time::sleep(limits::ACCEPT_REST).await;
                        continue;
                    }
                };
                let (engine, secret, followers) = (engine.clone(), Arc::clone(&self.secret), Arc::clone(&followers));
                let ending = Ending { closing: closing.clone(), stop: stop.clone() };
                connections.spawn(async move {
                    tokio::select! {
                        // First what can still be said: a follower is owed that its run is parked.
                        biased;
                        () = serve_one(stream, &engine, &secret, place, &followers, &ending) => {}
                        () = ending.stop.cancelled() => {}
                    }
                });
            }
        };
        tokio::select! {
            () = serving => {}
            () = stop.cancelled() => {}
        }
        connections.close();
        connections.wait().await;
    }
}

/// How this gantry ends.
struct Ending {
    /// Runs that stop from now on are parked.
    closing: CancellationToken,
    /// Nothing more is told.
    stop: CancellationToken,
}

/// Who does not know the secret is not answered. Who follows gives the place back and takes one among the followers.
async fn serve_one(
    stream: TcpStream,
    engine: &Embedded,
    secret: &str,
    place: OwnedSemaphorePermit,
    followers: &Semaphore,
    ending: &Ending,
) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let asked = tokio::time::timeout(limits::CONTROL_TIMEOUT, async {
        let given = line(&mut read, secret.len() + 1).await?;
        if !bool::from(given.as_bytes().ct_eq(secret.as_bytes())) {
            return None;
        }
        line(&mut read, limits::CONTROL_LINE_BYTES_MAX).await
    });
    let Ok(Some(wish)) = asked.await else { return };
    let outcome = match serde_json::from_str(&wish) {
        Ok(Wish::Follow { run }) => match followers.try_acquire() {
            Ok(_following) => {
                drop(place);
                follow(engine, &run, ending, &mut read, &mut write).await
            }
            Err(_) => Ok(Some(Reply::Refused(format!(
                "{} already follow runs of this gantry, which is the limit",
                limits::CONTROL_FOLLOWERS_MAX
            )))),
        },
        Ok(wish) => carry_out(engine, wish).await.map(Some),
        Err(error) => Ok(Some(Reply::Refused(format!("this gantry does not understand the wish: {error}; is it of another version?")))),
    };
    match outcome {
        Ok(None) => {}
        Ok(Some(reply)) => _ = send(&mut write, &reply).await,
        Err(error @ engine::Error::InvalidInput(_)) => _ = send(&mut write, &Reply::Misfit(error.to_string())).await,
        Err(error @ (engine::Error::Damaged(_) | engine::Error::Journal(_) | engine::Error::Mismatch(_))) => {
            _ = send(&mut write, &Reply::Broken(error.to_string())).await;
        }
        Err(error) => _ = send(&mut write, &Reply::Refused(error.to_string())).await,
    }
}

async fn carry_out(engine: &Embedded, wish: Wish) -> Result<Reply, engine::Error> {
    let done = match wish {
        Wish::Cancel { run, reason } => {
            engine.cancel(&run, &reason).await?;
            json!({ "run": run })
        }
        Wish::Answer { run, step, answer, text } => {
            let given = |answer| engine.answer(&run, step.as_deref(), Arc::new(answer));
            match (given(answer).await, text) {
                // Only the step knows whether it wants the text or what that spells. Of two refusals the first is told.
                (Err(refused @ engine::Error::InvalidInput(_)), Some(text)) => given(Value::String(text)).await.map_err(|_| refused)?,
                (outcome, _) => outcome?,
            }
            json!({ "run": run })
        }
        Wish::Retry { run } => {
            let mut labels = engine.summary(&run).await?.labels;
            labels.retain(|name, _| !LABELS_OF_ONE_RUN.contains(&name.as_str()));
            let started = engine.retry(&run, labels).await?;
            json!({ "run": started.run, "new": started.new, "retry_of": run })
        }
        Wish::Prune { ended_before, runs_max } => json!({ "forgotten": engine.prune(Retention { ended_before, runs_max }).await? }),
        Wish::Forget { run } => match engine.forget(&run).await? {
            Forgotten::Yes => json!({ "run": run }),
            Forgotten::NotEnded => return Ok(Reply::Refused(format!("run `{run}` has not ended"))),
            Forgotten::Needed => return Ok(Reply::Refused(format!("run `{run}` is part of a run that has not ended, and may ask for it"))),
        },
        Wish::Agents => json!(engine.agents()),
        Wish::Follow { .. } => Value::Null,
    };
    Ok(Reply::Done(done))
}

/// Tells everything until the run's end, or until it stops before that. `None` when whoever follows has gone.
async fn follow(
    engine: &Embedded,
    run: &RunId,
    ending: &Ending,
    read: &mut (impl AsyncBufRead + Unpin),
    write: &mut OwnedWriteHalf,
) -> Result<Option<Reply>, engine::Error> {
    loop {
        let mut watched = engine.subscribe(run).await?;
        let mut has_ended = watched.snapshot.status.is_terminal();
        if send(write, &Reply::Snapshot(json!(watched.snapshot))).await.is_err() {
            return Ok(None);
        }
        loop {
            let next = tokio::select! {
                biased;
                next = watched.next() => next,
                // A run at rest has been parked all along, and says nothing when its gantry ends.
                () = ending.stop.cancelled(), if !has_ended => return Ok(Some(Reply::Parked)),
                // Nothing is said any more: this is the end of the connection. A run may tell nothing for weeks.
                _ = read.fill_buf() => return Ok(None),
            };
            match next {
                Next::Update(update) => {
                    has_ended |= matches!(update.change, Change::RunFinished { .. });
                    if send(write, &Reply::Update(json!(*update))).await.is_err() {
                        return Ok(None);
                    }
                }
                // A new snapshot stands for what was missed.
                Next::Lagged => break,
                Next::End if has_ended => return Ok(Some(Reply::Done(json!({ "run": run })))),
                Next::End if ending.closing.is_cancelled() => return Ok(Some(Reply::Parked)),
                Next::End => return Ok(Some(Reply::Stopped)),
            }
        }
    }
}

async fn send(write: &mut OwnedWriteHalf, reply: &Reply) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(reply).map_err(std::io::Error::other)?;
    line.push(b'\n');
    tokio::time::timeout(limits::CONTROL_TIMEOUT, write.write_all(&line)).await.map_err(std::io::Error::other)?
}

/// One line without its end; none when the other side has gone or says too much.
pub(super) async fn line(read: &mut (impl AsyncBufRead + Unpin), bytes_max: usize) -> Option<String> {
    let mut text = String::new();
    let bytes = read.take(bytes_max as u64).read_line(&mut text).await.ok()?;
    if bytes == 0 || text.pop() != Some('\n') {
        return None;
    }
    Some(text)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::agent;
    use crate::discovery::{self, Discovery};
    use crate::engine::embedded::Options;
    use crate::journal::Memory;
    use crate::registry::Layout;

    #[tokio::test(start_paused = true)]
    async fn whoever_cannot_accept_rests_and_goes_on() {
        let discovery = Arc::new(Discovery::new(Arc::new(Layout::ephemeral().unwrap()), discovery::Options::default()));
        let agents = agent::Client::new(agent::Options::default());
        let engine = Embedded::new(Options::default(), discovery, agents, Arc::new(Memory::default()));
        let serve = |listener, stop| {
            let secret = Arc::from("secret");
            Listener { listener, secret }.serve(engine.clone(), CancellationToken::new(), stop)
        };
        let said = format!("secret\n{}\n", json!(Wish::Agents));
        let heard = json!(Reply::Done(json!([]))).to_string();
        crate::deaf::check(limits::CONTROL_CONNECTIONS_MAX, serve, said.as_bytes(), &heard).await;
    }
}
