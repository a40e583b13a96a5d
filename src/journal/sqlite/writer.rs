//! The one thread that writes. It takes everything that waits, commits it as one transaction, and only then answers.

use std::sync::{Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use tokio::sync::{mpsc, oneshot};

use super::payloads::{self, Stored};
use super::{failure, insert_run};
use crate::ids::RunId;
use crate::interpreter::RunStatus;
use crate::journal::{Error, Header, Retention, Used};
use crate::limits;
use crate::time::Timestamp;

/// Something to write, and who waits for it.
#[derive(Debug)]
pub(super) enum Request {
    /// Answers with the run that holds the idempotency key already.
    Create { header: Box<Header>, events: Vec<Stored>, status: RunStatus, reply: oneshot::Sender<Result<Option<RunId>, Error>> },
    Append {
        run: RunId,
        events: Vec<Stored>,
        status: RunStatus,
        changed_at: Timestamp,
        rests_until: Option<Timestamp>,
        /// None when it is as it was.
        used: Option<Used>,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    /// Answers with how many runs were forgotten; fewer than [`PRUNE_BATCH`] when there is nothing left to forget.
    Prune { retention: Retention, reply: oneshot::Sender<Result<usize, Error>> },
}

/// Runs that are forgotten in one transaction, so that others are not kept waiting for long.
pub(super) const PRUNE_BATCH: usize = 200;

/// What a request came to, told when its transaction is on disk.
enum Done {
    Created(oneshot::Sender<Result<Option<RunId>, Error>>, Option<RunId>),
    Appended(oneshot::Sender<Result<(), Error>>),
    Pruned(oneshot::Sender<Result<usize, Error>>, usize),
}

/// Runs until every sender is gone. Nobody else has the connection, but for tests that hold up a write or set a bound.
pub(super) fn write(connection: &Mutex<Connection>, mut requests: mpsc::Receiver<Request>) {
    let mut batch = Vec::with_capacity(limits::JOURNAL_BATCH);
    while let Some(first) = requests.blocking_recv() {
        let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
        gather(first, &mut requests, &mut batch);
        commit(&connection, &mut batch);
    }
}

/// What waits already shares the flush, as far as there is room.
fn gather(first: Request, requests: &mut mpsc::Receiver<Request>, batch: &mut Vec<Request>) {
    batch.push(first);
    while batch.len() < limits::JOURNAL_BATCH
        && let Ok(next) = requests.try_recv()
    {
        batch.push(next);
    }
}

/// Commits the batch. When it fails as a whole, each request is tried alone, so that one bad request does not fail the others.
fn commit(connection: &Connection, batch: &mut Vec<Request>) {
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
                    Request::Prune { reply, .. } => drop(reply.send(Err(error.clone()))),
                }
            }
        }
    }
}

/// On success the batch is empty and everybody was told; on failure it is as it was, nothing is stored and nobody was told.
fn try_commit(connection: &Connection, batch: &mut Vec<Request>) -> Result<(), Error> {
    // This thread has the connection for itself, and there is no other transaction on it.
    let begun = Transaction::new_unchecked(connection, TransactionBehavior::Immediate);
    let transaction = begun.map_err(|error| failure(connection, &error))?;
    let (mut created, mut pruned) = (Vec::new(), Vec::new());
    for request in batch.iter() {
        match request {
            Request::Create { header, events, status, .. } => {
                created.push(insert_run(&transaction, header, events, *status).map_err(|error| failure(connection, &error))?);
            }
            Request::Append { run, events, status, changed_at, rests_until, used, .. } => {
                append(&transaction, run, events, *status, *changed_at, *rests_until, *used)?;
            }
            Request::Prune { retention, .. } => pruned.push(prune(&transaction, *retention).map_err(|error| failure(connection, &error))?),
        }
    }
    transaction.commit().map_err(|error| failure(connection, &error))?;
    let (mut created, mut pruned) = (created.into_iter(), pruned.into_iter());
    let done: Vec<_> = batch
        .drain(..)
        .map(|request| match request {
            Request::Create { reply, .. } => Done::Created(reply, created.next().flatten()),
            Request::Append { reply, .. } => Done::Appended(reply),
            Request::Prune { reply, .. } => Done::Pruned(reply, pruned.next().unwrap_or(0)),
        })
        .collect();
    for done in done {
        match done {
            Done::Created(reply, existing) => drop(reply.send(Ok(existing))),
            Done::Appended(reply) => drop(reply.send(Ok(()))),
            Done::Pruned(reply, runs) => drop(reply.send(Ok(runs))),
        }
    }
    Ok(())
}

/// How far a run's row may be behind its events.
const BEHIND_MS: i64 = 1_000;

fn append(
    db: &Connection,
    run: &RunId,
    events: &[Stored],
    status: RunStatus,
    changed_at: Timestamp,
    rests_until: Option<Timestamp>,
    used: Option<Used>,
) -> Result<(), Error> {
    let write = || -> rusqlite::Result<Option<()>> {
        let mut find = db.prepare_cached(
            "SELECT id, status, changed_at, rests_until, (SELECT max(seq) + 1 FROM events WHERE events.id = runs.id) FROM runs WHERE run = ?1",
        )?;
        let known = |row: &Row<'_>| {
            let is_as_it_was = row.get_ref(1)?.as_str()? == status.as_str() && row.get::<_, Option<i64>>(3)?.is_none();
            Ok((row.get(0)?, is_as_it_was, row.get(2)?, row.get::<_, Option<i64>>(4)?))
        };
        let Some((id, is_as_it_was, told_at, next)): Option<(i64, bool, i64, _)> = find.query_row([run.as_str()], known).optional()? else {
            return Ok(None);
        };
        let mut next = next.unwrap_or(0);
        for event in events {
            payloads::insert(db, id, next, event)?;
            next += 1;
        }
        // The row is large beside an event, and writing it anew for each costs as much as the event.
        if is_as_it_was && rests_until.is_none() && used.is_none() && changed_at.unix_ms() < told_at.saturating_add(BEHIND_MS) {
            return Ok(Some(()));
        }
        let mut update = db.prepare_cached(
            "UPDATE runs SET status = ?2, changed_at = max(changed_at, ?3), seq = ?4, rests_until = ?5, \
             steps = coalesce(?6, steps), calls = coalesce(?7, calls) WHERE id = ?1",
        )?;
        let stored = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let (steps, calls) = (used.map(|used| stored(used.steps)), used.map(|used| stored(used.calls)));
        update.execute(params![id, status.as_str(), changed_at.unix_ms(), next, rests_until.map(Timestamp::unix_ms), steps, calls])?;
        Ok(Some(()))
    };
    write().map_err(|error| failure(db, &error))?.ok_or_else(|| Error::NotFound(run.clone()))
}

/// Forgets ended runs, the longest ended first. A run whose parent has not ended stays: the parent may ask for it again by its key. So does
/// one whose root has not: what it has used counts there.
fn prune(db: &Connection, retention: Retention) -> rusqlite::Result<usize> {
    let ended_before = retention.ended_before.map_or(i64::MIN, Timestamp::unix_ms);
    let runs_max = retention.runs_max.map_or(i64::MAX, |runs| i64::try_from(runs).unwrap_or(i64::MAX));
    let ids: Vec<i64> = db
        .prepare_cached(
            "WITH ended AS (SELECT id, changed_at, labels, row_number() OVER (ORDER BY changed_at DESC, id DESC) AS place \
                            FROM runs WHERE status NOT IN ('running', 'input_required')) \
             SELECT id FROM ended WHERE (changed_at < ?1 OR place > ?2) AND NOT EXISTS ( \
                 SELECT 1 FROM runs AS parent WHERE parent.run IN (ended.labels ->> 'parent', ended.labels ->> 'root') \
                 AND parent.status IN ('running', 'input_required')) \
             ORDER BY changed_at, id LIMIT ?3",
        )?
        .query_map(params![ended_before, runs_max, PRUNE_BATCH as i64], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for id in &ids {
        payloads::delete(db, *id)?;
        db.prepare_cached("DELETE FROM notes WHERE id = ?1")?.execute([id])?;
        db.prepare_cached("DELETE FROM runs WHERE id = ?1")?.execute([id])?;
    }
    if !ids.is_empty() {
        db.prepare_cached("DELETE FROM plans WHERE NOT EXISTS (SELECT 1 FROM runs WHERE runs.digest = plans.digest)")?.execute([])?;
    }
    Ok(ids.len())
}

#[cfg(test)]
mod tests;
