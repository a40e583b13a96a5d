//! Adding events to a run: with one statement, when the writer knows the run from before.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::ids::RunId;
use crate::interpreter::RunStatus;
use crate::journal::sqlite::failure;
use crate::journal::sqlite::payloads::{self, Stored};
use crate::journal::{Error, Header, Used};
use crate::limits;
use crate::time::Timestamp;

/// How far a run's row may be behind its events.
const BEHIND_MS: i64 = 1_000;

/// What is added to a run, and what is known of it from then on.
#[derive(Debug)]
pub(in crate::journal::sqlite) struct Addition {
    pub(in crate::journal::sqlite) run: RunId,
    pub(in crate::journal::sqlite) events: Vec<Stored>,
    pub(in crate::journal::sqlite) status: RunStatus,
    pub(in crate::journal::sqlite) changed_at: Timestamp,
    pub(in crate::journal::sqlite) rests_until: Option<Timestamp>,
    /// None when it is as it was.
    pub(in crate::journal::sqlite) used: Option<Used>,
}

/// Where the runs stand that were written to last, so that they need not be looked up for each event. Nobody else writes to the journal,
/// so what is here is what it has, but for a transaction that failed.
pub(super) struct Known {
    runs: quick_cache::unsync::Cache<RunId, Place>,
}

/// Where the next event of a run goes, and what its row says.
#[derive(Clone, Copy)]
struct Place {
    id: i64,
    next: i64,
    /// None when it is none that this gantry knows.
    status: Option<RunStatus>,
    changed_at: i64,
    rests: bool,
}

impl Known {
    /// Of none yet, and of as many as are known at a time.
    pub(super) fn new() -> Self {
        Self::of(limits::JOURNAL_RUNS_KNOWN)
    }

    /// The same, of so many.
    fn of(runs_max: usize) -> Self {
        Self { runs: quick_cache::unsync::Cache::new(runs_max) }
    }

    /// What was written has not come to be, or what is there is about to go.
    pub(super) fn forget(&mut self) {
        self.runs.clear();
    }

    /// A run that has just been written, with so many events. As with what is added, the caller forgets everything when the transaction
    /// does not come to be.
    pub(super) fn created(&mut self, id: i64, header: &Header, events: usize, status: RunStatus) {
        let next = i64::try_from(events).unwrap_or(i64::MAX);
        let place = Place { id, next, status: Some(status), changed_at: header.started_at.unix_ms(), rests: false };
        self.keep(&header.run, place);
    }

    pub(super) fn append(&mut self, db: &Connection, addition: &Addition) -> Result<(), Error> {
        let run = &addition.run;
        let write = || -> rusqlite::Result<Option<Place>> {
            let known = self.runs.get(run).copied();
            let Some(place) = known.map_or_else(|| find(db, run), |place| Ok(Some(place)))? else { return Ok(None) };
            place.followed_by(db, addition).map(Some)
        };
        let place = write().map_err(|error| failure(db, &error))?.ok_or_else(|| Error::NotFound(run.clone()))?;
        self.keep(run, place);
        Ok(())
    }

    fn keep(&mut self, run: &RunId, place: Place) {
        if place.status.is_some_and(RunStatus::is_terminal) {
            self.runs.remove(run);
        } else if let Some(known) = self.runs.get_mut(run).as_deref_mut() {
            *known = place;
        } else {
            self.runs.insert(run.clone(), place);
        }
    }
}

fn find(db: &Connection, run: &RunId) -> rusqlite::Result<Option<Place>> {
    let mut find = db.prepare_cached(
        "SELECT id, status, changed_at, rests_until, (SELECT max(seq) + 1 FROM events WHERE events.id = runs.id) FROM runs WHERE run = ?1",
    )?;
    let place = |row: &Row<'_>| {
        Ok(Place {
            id: row.get(0)?,
            next: row.get::<_, Option<i64>>(4)?.unwrap_or(0),
            status: RunStatus::parse(row.get_ref(1)?.as_str()?),
            changed_at: row.get(2)?,
            rests: row.get::<_, Option<i64>>(3)?.is_some(),
        })
    };
    find.query_row([run.as_str()], place).optional()
}

impl Place {
    /// Where the run stands when this is added.
    fn followed_by(mut self, db: &Connection, addition: &Addition) -> rusqlite::Result<Self> {
        let Addition { events, status, changed_at, rests_until, used, .. } = addition;
        for event in events {
            payloads::insert(db, self.id, self.next, event)?;
            self.next += 1;
        }
        let is_as_it_was = self.status == Some(*status) && !self.rests && rests_until.is_none() && used.is_none();
        // The row is large beside an event, and writing it anew for each costs as much as the event.
        if is_as_it_was && changed_at.unix_ms() < self.changed_at.saturating_add(BEHIND_MS) {
            return Ok(self);
        }
        self.status = Some(*status);
        self.changed_at = self.changed_at.max(changed_at.unix_ms());
        self.rests = rests_until.is_some();
        let mut update = db.prepare_cached(
            "UPDATE runs SET status = ?2, changed_at = ?3, seq = ?4, rests_until = ?5, \
             steps = coalesce(?6, steps), calls = coalesce(?7, calls) WHERE id = ?1",
        )?;
        let stored = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let (steps, calls) = (used.map(|used| stored(used.steps)), used.map(|used| stored(used.calls)));
        let rests_until = rests_until.map(Timestamp::unix_ms);
        update.execute(params![self.id, status.as_str(), self.changed_at, self.next, rests_until, steps, calls])?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::sqlite::tests::{cancel, header, started};
    use crate::journal::sqlite::{FILE, Inserted, insert_run, schema};

    fn addition(run: &str, at: i64) -> Addition {
        let events = vec![payloads::encode(&cancel(at)).unwrap()];
        let (run, changed_at) = (RunId::parse(run).unwrap(), Timestamp::from_unix_ms(at));
        Addition { run, events, status: RunStatus::Running, changed_at, rests_until: None, used: None }
    }

    /// Runs and the numbers of their events, in order.
    fn stored(db: &Connection) -> Vec<(String, i64)> {
        let query = "SELECT run, events.seq FROM runs JOIN events ON events.id = runs.id ORDER BY run, events.seq";
        db.prepare(query).unwrap().query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn events_follow_each_other_whether_their_run_is_known_or_looked_up() {
        const RUNS: [&str; 5] = ["a", "b", "c", "d", "e"];
        for runs_max in [0, 2, 100] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(FILE);
            let mut db = schema::open(&path).unwrap();
            schema::migrate(&mut db, &path).unwrap();
            let mut known = Known::of(runs_max);
            for run in RUNS {
                let first = payloads::encode(&started(run)).unwrap();
                let Inserted::New(id) = insert_run(&db, &header(run, None), &[first], RunStatus::Running).unwrap() else { panic!("{run}") };
                known.created(id, &header(run, None), 1, RunStatus::Running);
            }
            for round in 1..6 {
                RUNS.iter().for_each(|run| known.append(&db, &addition(run, round)).unwrap());
                // Some are asked for more often, so that some stay known.
                known.append(&db, &addition("a", round)).unwrap();
                if round == 3 {
                    known.forget();
                }
            }
            let expected: Vec<_> =
                RUNS.iter().flat_map(|run| (0..if *run == "a" { 11 } else { 6 }).map(|seq| ((*run).to_owned(), seq))).collect();
            assert_eq!(stored(&db), expected, "{runs_max} known");
            assert!(known.runs.len() <= runs_max, "{} of {runs_max}", known.runs.len());
        }
    }

    #[test]
    fn so_many_runs_are_known_and_the_others_looked_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut db = schema::open(&path).unwrap();
        schema::migrate(&mut db, &path).unwrap();
        let mut known = Known::new();
        let transaction = db.transaction().unwrap();
        let runs: Vec<String> = (1_000..6_000).map(|n| format!("run-{n}")).collect();
        for (n, run) in runs.iter().enumerate() {
            let first = payloads::encode(&started(run)).unwrap();
            let Inserted::New(id) = insert_run(&transaction, &header(run, None), &[first], RunStatus::Running).unwrap() else {
                panic!("{run}")
            };
            known.created(id, &header(run, None), 1, RunStatus::Running);
            assert_eq!(known.runs.len(), (n + 1).min(4_096));
        }
        for run in &runs {
            known.append(&transaction, &addition(run, 1)).unwrap();
            assert_eq!(known.runs.len(), 4_096);
        }
        let expected: Vec<_> = runs.iter().flat_map(|run| [(run.clone(), 0), (run.clone(), 1)]).collect();
        assert_eq!(stored(&transaction), expected);
    }

    #[test]
    fn a_run_that_has_ended_is_not_known_any_more() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut db = schema::open(&path).unwrap();
        schema::migrate(&mut db, &path).unwrap();
        let mut known = Known::of(10);
        insert_run(&db, &header("a", None), &[], RunStatus::Running).unwrap();
        known.append(&db, &addition("a", 1)).unwrap();
        assert_eq!(known.runs.len(), 1);
        known.append(&db, &Addition { status: RunStatus::Canceled, ..addition("a", 2) }).unwrap();
        assert_eq!(known.runs.len(), 0);
        assert!(matches!(known.append(&db, &addition("b", 1)), Err(Error::NotFound(run)) if run.as_str() == "b"));
    }
}
