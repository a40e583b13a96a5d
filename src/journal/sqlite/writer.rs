//! The one thread that writes. It takes everything that waits, commits it as one transaction, and only then answers.

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot};

use super::{failure, insert_run};
use crate::ids::RunId;
use crate::interpreter::RunStatus;
use crate::journal::{Error, Header};
use crate::limits;
use crate::time::Timestamp;

/// Something to write, and who waits for it.
#[derive(Debug)]
pub(super) enum Request {
    /// Answers with the run that holds the idempotency key already.
    Create {
        header: Box<Header>,
        body: Vec<u8>,
        reply: oneshot::Sender<Result<Option<RunId>, Error>>,
    },
    Append {
        run: RunId,
        bodies: Vec<Vec<u8>>,
        status: RunStatus,
        changed_at: Timestamp,
        reply: oneshot::Sender<Result<(), Error>>,
    },
}

/// What a request came to, told when its transaction is on disk.
enum Done {
    Created(oneshot::Sender<Result<Option<RunId>, Error>>, Option<RunId>),
    Appended(oneshot::Sender<Result<(), Error>>),
}

/// Runs until every sender is gone.
pub(super) fn write(mut connection: Connection, mut requests: mpsc::Receiver<Request>) {
    let mut batch = Vec::with_capacity(limits::JOURNAL_BATCH);
    while let Some(first) = requests.blocking_recv() {
        batch.push(first);
        while batch.len() < limits::JOURNAL_BATCH
            && let Ok(next) = requests.try_recv()
        {
            batch.push(next);
        }
        commit(&mut connection, &mut batch);
    }
}

/// Commits the batch. When it fails as a whole, each request is tried alone, so that one bad request does not fail the others.
fn commit(connection: &mut Connection, batch: &mut Vec<Request>) {
    if batch.len() > 1 && try_commit(connection, batch).is_ok() {
        return;
    }
    for request in std::mem::take(batch) {
        let mut single = vec![request];
        if let Err(error) = try_commit(connection, &mut single) {
            for request in single {
                // Whoever has stopped waiting does not need the answer.
                match request {
                    Request::Create { reply, .. } => drop(reply.send(Err(error.clone()))),
                    Request::Append { reply, .. } => drop(reply.send(Err(error.clone()))),
                }
            }
        }
    }
}

/// On success the batch is empty and everybody was told; on failure it is as it was, nothing is stored and nobody was told.
fn try_commit(connection: &mut Connection, batch: &mut Vec<Request>) -> Result<(), Error> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).map_err(|error| failure(&error))?;
    let mut created = Vec::new();
    for request in batch.iter() {
        match request {
            Request::Create { header, body, .. } => created.push(insert_run(&transaction, header, body).map_err(|error| failure(&error))?),
            Request::Append { run, bodies, status, changed_at, .. } => append(&transaction, run, bodies, *status, *changed_at)?,
        }
    }
    transaction.commit().map_err(|error| failure(&error))?;
    let mut created = created.into_iter();
    let done: Vec<_> = batch
        .drain(..)
        .map(|request| match request {
            Request::Create { reply, .. } => Done::Created(reply, created.next().flatten()),
            Request::Append { reply, .. } => Done::Appended(reply),
        })
        .collect();
    for done in done {
        match done {
            Done::Created(reply, existing) => drop(reply.send(Ok(existing))),
            Done::Appended(reply) => drop(reply.send(Ok(()))),
        }
    }
    Ok(())
}

fn append(db: &Connection, run: &RunId, bodies: &[Vec<u8>], status: RunStatus, changed_at: Timestamp) -> Result<(), Error> {
    let write = || -> rusqlite::Result<Option<()>> {
        let mut find = db.prepare_cached("SELECT id, seq FROM runs WHERE run = ?1")?;
        let Some((id, seq)): Option<(i64, i64)> = find.query_row([run.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()? else {
            return Ok(None);
        };
        let mut insert = db.prepare_cached("INSERT INTO events (id, seq, body) VALUES (?1, ?2, ?3)")?;
        let mut next = seq;
        for body in bodies {
            insert.execute(params![id, next, body])?;
            next += 1;
        }
        let mut update = db.prepare_cached("UPDATE runs SET status = ?2, changed_at = max(changed_at, ?3), seq = ?4 WHERE id = ?1")?;
        update.execute(params![id, status.as_str(), changed_at.unix_ms(), next])?;
        Ok(Some(()))
    };
    write().map_err(|error| failure(&error))?.ok_or_else(|| Error::NotFound(run.clone()))
}
