//! Forgetting ended runs. What is to go is found beside the writer, once for all of it; the writer, for whom runs at work wait, only looks
//! up what it deletes, however many runs there are.

use rusqlite::{Connection, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::{Request, Sqlite, failure, payloads};
use crate::ids::RunId;
use crate::journal::{Error, Retention};
use crate::time::Timestamp;

/// Runs that are forgotten in one transaction, so that others are not kept waiting for long.
pub(super) const BATCH: usize = 100;

/// What the writer is to forget, and who waits for it.
#[derive(Debug)]
pub(super) enum Forget {
    /// Ended runs, a batch of them. Answers with how many of them were still there.
    Runs { ids: Vec<i64>, reply: oneshot::Sender<Result<usize, Error>> },
    /// Plans that were found unused.
    Plans { unused: Unused, reply: oneshot::Sender<Result<(), Error>> },
}

/// Plans that no run is pinned to any more.
#[derive(Debug)]
pub(super) struct Unused {
    digests: Vec<String>,
    /// The last run that was looked at: one that came later may have a plan again.
    upto: i64,
}

impl Unused {
    pub(super) fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }
}

impl Forget {
    /// Does it, and tells whoever waits: who has stopped waiting does not need the answer.
    pub(super) fn carry_out(self, connection: &mut Connection) {
        match self {
            Self::Runs { ids, reply } => drop(reply.send(forget(connection, &ids).map_err(|error| failure(connection, &error)))),
            Self::Plans { unused, reply } => {
                drop(reply.send(forget_plans(connection, &unused).map_err(|error| failure(connection, &error))))
            }
        }
    }
}

impl Sqlite {
    /// Forgets the runs that are found, and what only they were pinned to. Returns how many.
    pub(super) async fn forget_found(
        &self,
        find: impl FnOnce(&Connection) -> rusqlite::Result<Vec<i64>> + Send + 'static,
    ) -> Result<usize, Error> {
        // What was found must stay so until it is gone.
        let _alone = self.pruning.lock().await;
        let ids = self.read_aside(find).await?;
        let mut forgotten = 0;
        for batch in ids.chunks(BATCH) {
            let ids = batch.to_vec();
            forgotten += self.write(|reply| Request::Forget(Forget::Runs { ids, reply })).await?;
        }
        if forgotten > 0 {
            let unused = self.read_aside(unused_plans).await?;
            if !unused.is_empty() {
                self.write(|reply| Request::Forget(Forget::Plans { unused, reply })).await?;
            }
        }
        Ok(forgotten)
    }

    /// Forgets one run, whatever its status, unless a run above it has not ended.
    pub(super) async fn forget_one(&self, run: &RunId) -> Result<bool, Error> {
        let run = run.to_string();
        Ok(self.forget_found(move |db| find_one(db, &run)).await? > 0)
    }
}

/// The ended runs that are to be forgotten, the longest ended first. A run whose parent has not ended stays: the parent may ask for it
/// again by its key. So does one whose root has not: what it has used counts there. A run that may go may go for ever.
pub(super) fn find(db: &Connection, retention: Retention) -> rusqlite::Result<Vec<i64>> {
    let ended_before = retention.ended_before.map_or(i64::MIN, Timestamp::unix_ms);
    let runs_max = retention.runs_max.map_or(i64::MAX, |runs| i64::try_from(runs).unwrap_or(i64::MAX));
    db.prepare_cached(
        "WITH ended AS (SELECT id, changed_at, labels, row_number() OVER (ORDER BY changed_at DESC, id DESC) AS place \
                        FROM runs WHERE status NOT IN ('running', 'input_required')) \
         SELECT id FROM ended WHERE (changed_at < ?1 OR place > ?2) AND NOT EXISTS ( \
             SELECT 1 FROM runs AS parent WHERE parent.run IN (ended.labels ->> 'parent', ended.labels ->> 'root') \
             AND parent.status IN ('running', 'input_required')) \
         ORDER BY changed_at, id",
    )?
    .query_map(params![ended_before, runs_max], |row| row.get(0))?
    .collect()
}

fn find_one(db: &Connection, run: &str) -> rusqlite::Result<Vec<i64>> {
    db.prepare_cached(
        "SELECT id FROM runs WHERE run = ?1 AND NOT EXISTS ( \
             SELECT 1 FROM runs AS parent WHERE parent.run IN (runs.labels ->> 'parent', runs.labels ->> 'root') \
             AND parent.status IN ('running', 'input_required'))",
    )?
    .query_map([run], |row| row.get(0))?
    .collect()
}

const FORGET_NOTE: &str = "DELETE FROM notes WHERE id = ?1";
const FORGET_RUN: &str = "DELETE FROM runs WHERE id = ?1";
/// Only the runs that came since are looked through.
const FORGET_PLAN: &str = "DELETE FROM plans WHERE digest = ?1 AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.id > ?2 AND runs.digest = ?1)";

fn forget(connection: &mut Connection, ids: &[i64]) -> rusqlite::Result<usize> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut forgotten = 0;
    for id in ids {
        payloads::delete(&transaction, *id)?;
        transaction.prepare_cached(FORGET_NOTE)?.execute([id])?;
        forgotten += transaction.prepare_cached(FORGET_RUN)?.execute([id])?;
    }
    transaction.commit()?;
    Ok(forgotten)
}

/// The plans that no run is pinned to.
pub(super) fn unused_plans(db: &Connection) -> rusqlite::Result<Unused> {
    let moment = db.unchecked_transaction()?;
    let upto = moment.query_row("SELECT coalesce(max(id), 0) FROM runs", [], |row| row.get(0))?;
    let digests = moment
        .prepare_cached("SELECT digest FROM plans WHERE digest NOT IN (SELECT digest FROM runs)")?
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Unused { digests, upto })
}

/// Forgets plans that were found unused, but for those that a run has since. No run may have been forgotten since: its place in the order
/// could have been given to a new one.
fn forget_plans(connection: &mut Connection, unused: &Unused) -> rusqlite::Result<()> {
    // Otherwise SQLite looks through all runs for each plan: no index has their digests, so that a new run costs less.
    connection.pragma_update(None, "foreign_keys", false)?;
    let forgotten = connection.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|transaction| {
        for digest in &unused.digests {
            transaction.prepare_cached(FORGET_PLAN)?.execute(params![digest, unused.upto])?;
        }
        transaction.commit()
    });
    connection.pragma_update(None, "foreign_keys", true)?;
    forgotten
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;
    use crate::ids::Digest;
    use crate::interpreter::RunStatus;
    use crate::journal::sqlite::tests::{header, started};
    use crate::journal::sqlite::{FILE, Sqlite, insert_run, schema};
    use crate::journal::{Header, Journal as _};

    fn plan(n: usize) -> Digest {
        Digest::parse(&format!("sha256:{n:064x}")).unwrap()
    }

    /// Runs at work wait for the writer: it goes through no table for what it forgets.
    #[tokio::test]
    async fn what_is_forgotten_is_looked_up_however_many_runs_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let journal = Sqlite::open(dir.path()).unwrap();
        for n in 0..1_000 {
            let (id, status) = (format!("run-{n}"), if n < 600 { RunStatus::Canceled } else { RunStatus::Running });
            let header = Header { digest: plan(n / 100), ..header(&id, None) };
            journal.create_from(header, vec![started(&id)], status).await.unwrap();
        }
        drop(journal);
        let mut db = schema::open(&dir.path().join(FILE)).unwrap();
        let ids = find(&db, Retention { ended_before: None, runs_max: Some(50) }).unwrap();
        assert_eq!(ids.len(), 550);
        assert_eq!(forget(&mut db, &ids).unwrap(), 550);
        assert_eq!(forget(&mut db, &ids).unwrap(), 0, "they are gone");
        let unused = unused_plans(&db).unwrap();
        // Somebody starts one of those workflows again meanwhile.
        let again = Header { digest: plan(3), ..header("again", None) };
        insert_run(&db, &again, &[], RunStatus::Running).unwrap();
        forget_plans(&mut db, &unused).unwrap();
        let mut find = db.prepare("SELECT digest FROM plans ORDER BY digest").unwrap();
        let left: Vec<String> = find.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(left, [3, 5, 6, 7, 8, 9].map(|n| plan(n).to_string()));
        // Each is still in the cache, and counts the rows that it went through.
        for statement in [FORGET_NOTE, FORGET_RUN, FORGET_PLAN] {
            let steps = db.prepare_cached(statement).unwrap().get_status(StatementStatus::FullscanStep);
            let done = db.prepare_cached(statement).unwrap().get_status(StatementStatus::Run);
            assert!(steps == 0 && done > 0, "`{statement}` ran {done} times and went through {steps} rows");
        }
        let is_on: bool = db.pragma_query_value(None, "foreign_keys", |row| row.get(0)).unwrap();
        assert!(is_on, "a run without a plan is refused as before");
    }
}
