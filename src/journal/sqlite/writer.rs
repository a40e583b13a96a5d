//! The one thread that writes. It takes everything that waits, commits it as one transaction, and only then answers. What is to be
//! forgotten comes after it, in transactions of its own, and what has gathered in the write-ahead file is brought into the database last.

mod append;

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::hooks::Wal;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

pub(super) use self::append::Addition;
use self::append::Known;
use super::payloads::Stored;
use super::prune::Forget;
use super::{Inserted, failure, insert_run};
use crate::ids::RunId;
use crate::interpreter::RunStatus;
use crate::journal::{Error, Header};
use crate::limits;

/// Something for the thread to do.
#[derive(Debug)]
pub(super) enum Request {
    Write(Write),
    Forget(Forget),
}

/// Something to write, and who waits for it.
#[derive(Debug)]
pub(super) enum Write {
    /// Answers with the run that holds the idempotency key already.
    Create {
        header: Box<Header>,
        events: Vec<Stored>,
        status: RunStatus,
        reply: oneshot::Sender<Result<Option<RunId>, Error>>,
    },
    Append {
        addition: Addition,
        reply: oneshot::Sender<Result<(), Error>>,
    },
}

/// What a request came to, told when its transaction is on disk.
enum Done {
    Created(oneshot::Sender<Result<Option<RunId>, Error>>, Option<RunId>),
    Appended(oneshot::Sender<Result<(), Error>>),
}

/// Runs until every sender is gone. Nobody else has the connection, but for tests that hold up a write or set a bound.
pub(super) fn write(connection: &Mutex<Connection>, mut requests: mpsc::Receiver<Request>) {
    let (mut batch, mut later) = (Vec::with_capacity(limits::JOURNAL_BATCH), Vec::new());
    let mut known = Known::new();
    let written_ahead = WrittenAhead::of(&mut connection.lock().unwrap_or_else(PoisonError::into_inner));
    while let Some(first) = requests.blocking_recv() {
        let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        gather(first, &mut requests, &mut batch, &mut later);
        commit(&connection, &mut known, &mut batch);
        if !later.is_empty() {
            known.forget();
        }
        // No run waits for these, and none that has just been written has to wait for them.
        later.drain(..).for_each(|forget| forget.carry_out(&mut connection));
        written_ahead.bring_in(&connection);
    }
}

/// Pages in the write-ahead file. SQLite would bring them into the database within the commit that makes them too many, and whoever waits
/// for that commit would wait for it.
struct WrittenAhead {
    pages: Arc<AtomicI32>,
}

impl WrittenAhead {
    /// From now on SQLite leaves it to [`bring_in`](Self::bring_in).
    fn of(connection: &mut Connection) -> Self {
        let pages = Arc::new(AtomicI32::new(0));
        let count = Arc::clone(&pages);
        let hook = move |_: &mut Wal, pages: i32| {
            count.store(pages, Ordering::Relaxed);
            Ok(())
        };
        if let Err(error) = connection.wal_hook(Some(hook)) {
            tracing::warn!(%error, "SQLite keeps the journal's write-ahead file small itself");
        }
        Self { pages }
    }

    fn bring_in(&self, connection: &Connection) {
        if self.pages.load(Ordering::Relaxed) < limits::JOURNAL_WAL_PAGES {
            return;
        }
        // What stays in the file is as safe there, and is tried again after the next commit: when the disk is full, or somebody reads.
        if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            tracing::debug!(%error, "the journal's write-ahead file stays as it is");
        }
    }
}

/// What waits already shares the flush, as far as there is room.
fn gather(first: Request, requests: &mut mpsc::Receiver<Request>, batch: &mut Vec<Write>, later: &mut Vec<Forget>) {
    let mut next = Some(first);
    while let Some(request) = next {
        match request {
            Request::Write(write) => batch.push(write),
            Request::Forget(forget) => later.push(forget),
        }
        let is_full = batch.len() + later.len() >= limits::JOURNAL_BATCH;
        next = if is_full { None } else { requests.try_recv().ok() };
    }
}

/// Commits the batch. When it fails as a whole, each request is tried alone, so that one bad request does not fail the others.
fn commit(connection: &Connection, known: &mut Known, batch: &mut Vec<Write>) {
    if batch.len() > 1 && try_commit(connection, known, batch).is_ok() {
        return;
    }
    for request in std::mem::take(batch) {
        let mut single = vec![request];
        if let Err(error) = try_commit(connection, known, &mut single) {
            for request in single {
                // Whoever has stopped waiting does not need the answer.
                match request {
                    Write::Create { reply, .. } => drop(reply.send(Err(error.clone()))),
                    Write::Append { reply, .. } => drop(reply.send(Err(error.clone()))),
                }
            }
        }
    }
}

/// Stores the batch in one transaction: all of it, or on failure nothing. Answers with what came of the runs that are created in it.
fn write_all(connection: &Connection, known: &mut Known, batch: &[Write]) -> Result<Vec<Inserted>, Error> {
    // This thread has the connection for itself, and there is no other transaction on it.
    let begun = Transaction::new_unchecked(connection, TransactionBehavior::Immediate);
    let transaction = begun.map_err(|error| failure(connection, &error))?;
    let mut created = Vec::new();
    for request in batch.iter() {
        match request {
            Write::Create { header, events, status, .. } => {
                let inserted = insert_run(&transaction, header, events, *status).map_err(|error| failure(connection, &error))?;
                if let Inserted::New(id) = inserted {
                    known.created(id, header, events.len(), *status);
                }
                created.push(inserted);
            }
            Write::Append { addition, .. } => known.append(&transaction, addition)?,
        }
    }
    transaction.commit().map_err(|error| failure(connection, &error))?;
    Ok(created)
}

/// On success the batch is empty and everybody was told; on failure it is as it was, nothing is stored and nobody was told.
fn try_commit(connection: &Connection, known: &mut Known, batch: &mut Vec<Write>) -> Result<(), Error> {
    let created = write_all(connection, known, batch).inspect_err(|_| known.forget())?;
    let mut created = created.into_iter();
    let done: Vec<_> = batch
        .drain(..)
        .map(|request| match request {
            Write::Create { reply, .. } => Done::Created(reply, created.next().and_then(Inserted::existing)),
            Write::Append { reply, .. } => Done::Appended(reply),
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

#[cfg(test)]
mod tests;
