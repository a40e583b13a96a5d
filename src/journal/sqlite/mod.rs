//! The durable journal: SQLite in WAL mode with `synchronous=FULL`, one writer thread, group commit.
//!
//! Whatever waits while one transaction is flushed goes into the next one, so that many runs share a flush.

mod payloads;
mod prune;
mod schema;
mod select;
mod wal;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::{mpsc, oneshot};

use self::payloads::{Stored, decode, encode};
use self::writer::{Addition, Request, Write};
use super::{Child, Created, DataDir, Error, Found, Header, Journal, Member, Progress, Query, Record, Resting, Retention, Used};
use crate::ids::{Digest, RunId};
use crate::interpreter::{Event, RunStatus};
use crate::limits;
use crate::time::Timestamp;

/// The name of the database in the data directory.
pub(super) const FILE: &str = "journal.sqlite3";

/// A journal in a directory. Whoever opens it must hold the directory's lock: see [`DataDir`](super::DataDir).
#[derive(Debug)]
pub struct Sqlite {
    path: PathBuf,
    /// None when it was opened for reading only.
    writes: Option<mpsc::Sender<Request>>,
    /// Reads go beside the writer: WAL lets them see the last commit without waiting for the next.
    reader: Arc<Mutex<Connection>>,
    /// Held by whoever forgets runs.
    pruning: tokio::sync::Mutex<()>,
    /// What was cut when it was opened.
    cut_bytes: Option<u64>,
    /// What of it cannot be read, when it was opened for reading only.
    damage: Option<String>,
}

impl Sqlite {
    /// Opens the journal in `dir`, makes it when there is none, migrates it when it is older.
    ///
    /// A journal that is damaged, or was written by a newer gantry, is refused and not touched.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let cut_bytes = schema::look_ahead(&path)?;
        let mut connection = schema::open(&path)?;
        schema::migrate(&mut connection, &path)?;
        if let Some(bytes) = cut_bytes {
            tracing::warn!(
                bytes,
                "the last write to the journal was not finished when the process or the machine ended; it was cut, and nothing had followed from it"
            );
        }
        Self::over(path, Arc::new(Mutex::new(connection)), cut_bytes)
    }

    /// A journal whose thread writes with this connection.
    fn over(path: PathBuf, connection: Arc<Mutex<Connection>>, cut_bytes: Option<u64>) -> Result<Self, Error> {
        let reader = schema::open(&path)?;
        let (writes, requests) = mpsc::channel(limits::JOURNAL_QUEUE);
        std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || writer::write(&connection, requests))
            .map_err(|error| Error::Failed(format!("cannot start the journal's thread: {error}")))?;
        Ok(Self {
            path,
            writes: Some(writes),
            reader: Arc::new(Mutex::new(reader)),
            pruning: tokio::sync::Mutex::default(),
            cut_bytes,
            damage: None,
        })
    }

    /// Opens the journal in `dir` to look at, beside the process that writes it or after its end. Needs no lock and changes nothing.
    /// None when there is no journal yet. Of one whose write-ahead file is damaged it has what stands before the damage.
    pub fn open_to_read(dir: &Path) -> Result<Option<Self>, Error> {
        let path = dir.join(FILE);
        schema::check_pair(&path)?;
        if !path.exists() {
            return Ok(None);
        }
        let damaged_at = Self::damaged_at(dir);
        let reader = schema::open_to_read(&path)?;
        let version = schema::check(&reader, &path);
        if let Some(at) = damaged_at
            && !version.as_ref().is_ok_and(|version| schema::is_current(*version))
        {
            // What is found there is not what was stored last.
            return Err(schema::damaged_at(&path, at));
        }
        match version? {
            // Its writer has just made the file, or stopped doing so.
            0 => return Ok(None),
            version if schema::is_current(version) => {}
            version => {
                let why = format!("it has format {version}, which `gantry serve` brings up to date when it starts on this directory");
                return Err(schema::refused(&path, &why));
            }
        }
        let damage = damaged_at.map(|at| schema::damaged_log(&path, at));
        let reader = Arc::new(Mutex::new(reader));
        Ok(Some(Self { path, writes: None, reader, pruning: tokio::sync::Mutex::default(), cut_bytes: None, damage }))
    }

    /// Refuses a directory whose write-ahead file is damaged, as [`open`](Self::open) does, and changes nothing.
    pub fn check(dir: &Path) -> Result<(), Error> {
        Self::damaged_at(dir).map_or(Ok(()), |at| Err(schema::damaged_at(&dir.join(FILE), at)))
    }

    /// Where the write-ahead file is damaged. What a process is writing looks like that for a moment: only where nobody holds the directory
    /// it counts, and when it is found once more.
    fn damaged_at(dir: &Path) -> Option<u64> {
        let path = dir.join(FILE);
        let at = schema::first_damage(&path)?;
        let is_held = || DataDir::holder(dir).is_some();
        (!is_held() && schema::first_damage(&path) == Some(at) && !is_held()).then_some(at)
    }

    /// Where the journal is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What of the journal cannot be read, when it was opened [to look at](Self::open_to_read).
    pub fn damage(&self) -> Option<&str> {
        self.damage.as_deref()
    }

    /// Bytes of a write that was not finished when the last process ended, and that were cut when the journal was opened.
    pub fn cut_bytes(&self) -> Option<u64> {
        self.cut_bytes
    }

    async fn write<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        let gone = || Error::Failed("the journal's thread has ended".to_owned());
        let writes = self.writes.as_ref().ok_or_else(|| Error::Failed("the journal was opened for reading only".to_owned()))?;
        writes.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn read<T: Send + 'static>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static) -> Result<T, Error> {
        let reader = Arc::clone(&self.reader);
        let read = move || {
            let db = reader.lock().unwrap_or_else(PoisonError::into_inner);
            query(&db).map_err(|error| failure(&db, &error))
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| Error::Failed(error.to_string()))?
    }

    /// Reads on a connection of its own: for what goes through all runs, so that no other read waits for it.
    async fn read_aside<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let path = self.path.clone();
        let read = move || {
            let db = schema::open_to_read(&path)?;
            query(&db).map_err(|error| failure(&db, &error))
        };
        tokio::task::spawn_blocking(read).await.map_err(|error| Error::Failed(error.to_string()))?
    }
}

#[async_trait]
impl Journal for Sqlite {
    fn is_durable(&self) -> bool {
        true
    }

    async fn create(&self, header: Header, first: Event) -> Result<Created, Error> {
        self.create_from(header, vec![first], RunStatus::Running).await
    }

    async fn create_from(&self, header: Header, history: Vec<Event>, status: RunStatus) -> Result<Created, Error> {
        let events = history.iter().map(encode).collect::<Result<_, _>>()?;
        match self.write(|reply| Request::Write(Write::Create { header: Box::new(header), events, status, reply })).await? {
            None => Ok(Created::New),
            Some(existing) => Ok(Created::Existing(Box::new(self.record(&existing).await?))),
        }
    }

    async fn prune(&self, retention: Retention) -> Result<usize, Error> {
        self.forget_found(move |db| prune::find(db, retention)).await
    }

    async fn forget(&self, run: &RunId) -> Result<bool, Error> {
        self.forget_one(run).await
    }

    async fn advance(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), Error> {
        let changed_at = events.iter().map(Event::at).max().unwrap_or_default();
        let events = events.iter().map(encode).collect::<Result<_, _>>()?;
        let Progress { status, rests, asks_access, used } = progress;
        let rests_until = rests.map(|until| stored_rest(until, asks_access));
        let addition = Addition { run: run.clone(), events, status, changed_at, rests_until, used };
        self.write(|reply| Request::Write(Write::Append { addition, reply })).await
    }

    async fn members(&self, root: &RunId) -> Result<Vec<Member>, Error> {
        // The second condition is the one of the index, word for word: otherwise it is not used.
        let below =
            "SELECT run, labels ->> 'parent', steps, calls FROM runs WHERE labels ->> 'root' = ?1 AND labels ->> 'root' IS NOT NULL";
        let own = "SELECT run, NULL, steps, calls FROM runs WHERE run = ?1";
        let root = root.to_string();
        let found = self
            .read(move |db| {
                let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
                let mut found: Vec<(String, Option<String>, i64, i64)> =
                    db.prepare_cached(below)?.query_map([&root], row)?.collect::<rusqlite::Result<_>>()?;
                if !found.is_empty() {
                    found.extend(db.prepare_cached(own)?.query_row([&root], row).optional()?);
                }
                Ok(found)
            })
            .await?;
        let id = |run: &str| RunId::parse(run).map_err(|error| Error::Failed(error.to_string()));
        let member = |(run, parent, steps, calls): (String, Option<String>, i64, i64)| {
            let parent = parent.as_deref().map(id).transpose()?;
            Ok(Member { run: id(&run)?, parent, used: used(steps, calls) })
        };
        found.into_iter().map(member).collect()
    }

    async fn used(&self, run: &RunId) -> Result<Used, Error> {
        let id = run.to_string();
        let query = "SELECT steps, calls FROM runs WHERE run = ?1";
        let found: Option<(i64, i64)> =
            self.read(move |db| db.prepare_cached(query)?.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()).await?;
        let (steps, calls) = found.ok_or_else(|| Error::NotFound(run.clone()))?;
        Ok(used(steps, calls))
    }

    async fn children(&self, parent: &RunId) -> Result<Vec<Child>, Error> {
        let parent = parent.to_string();
        type Found = (String, Option<String>, Option<String>);
        let found: Vec<Found> = self
            .read(move |db| {
                let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
                db.prepare_cached(CHILDREN)?.query_map([&parent], row)?.collect()
            })
            .await?;
        let child = |(run, idempotency_key, step): Found| Ok(Child { run: run_id(&run)?, idempotency_key, step });
        found.into_iter().map(child).collect()
    }

    async fn orphans(&self) -> Result<Vec<RunId>, Error> {
        self.runs_in(
            "SELECT child.run FROM runs AS child LEFT JOIN runs AS parent ON parent.run = child.labels ->> 'parent' \
             WHERE child.status IN ('running', 'input_required') AND child.labels ->> 'root' IS NOT NULL \
             AND (parent.run IS NULL OR parent.status NOT IN ('running', 'input_required'))",
        )
        .await
    }

    async fn stirred(&self) -> Result<Vec<RunId>, Error> {
        // From the children, which few journals have: those with a root have an index.
        self.runs_in(
            "SELECT DISTINCT parent.run FROM runs AS child CROSS JOIN runs AS parent ON parent.run = child.labels ->> 'parent' \
             WHERE child.labels ->> 'root' IS NOT NULL \
             AND parent.status IN ('running', 'input_required') AND parent.rests_until IS NOT NULL \
             AND (child.changed_at >= parent.changed_at \
                  OR (child.status IN ('running', 'input_required') AND child.rests_until IS NULL))",
        )
        .await
    }

    async fn record(&self, run: &RunId) -> Result<Record, Error> {
        let id = run.to_string();
        let found = self.read(move |db| db.prepare_cached(&format!("{SELECT} WHERE run = ?1"))?.query_row([id], record).optional()).await?;
        found.ok_or_else(|| Error::NotFound(run.clone()))
    }

    async fn first(&self, run: &RunId) -> Result<Event, Error> {
        let id = run.to_string();
        let found = self.read(move |db| payloads::select(db, &id, 1)).await?.pop();
        decode(run, 0, found.ok_or_else(|| Error::NotFound(run.clone()))?)
    }

    async fn find(&self, key: &str) -> Result<Option<RunId>, Error> {
        let key = key.to_owned();
        let query = "SELECT run FROM runs WHERE idempotency_key = ?1";
        let found: Option<String> = self.read(move |db| db.prepare_cached(query)?.query_row([key], |row| row.get(0)).optional()).await?;
        found.map(|run| RunId::parse(&run).map_err(|error| Error::Failed(error.to_string()))).transpose()
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, Error> {
        let id = run.to_string();
        decode_all(run, self.read(move |db| payloads::select(db, &id, i64::MAX)).await?)
    }

    async fn whole(&self, run: &RunId) -> Result<(Record, Vec<Event>), Error> {
        let id = run.to_string();
        let found = self.read(move |db| {
            let found = db.prepare_cached(&format!("{SELECT} WHERE run = ?1"))?.query_row([&id], record).optional()?;
            found.map(|record| Ok((record, payloads::select(db, &id, i64::MAX)?))).transpose()
        });
        let (record, events) = found.await?.ok_or_else(|| Error::NotFound(run.clone()))?;
        Ok((record, decode_all(run, events)?))
    }

    async fn list(&self) -> Result<Vec<Record>, Error> {
        Ok(self.select(&Query::default()).await?.records)
    }

    async fn select(&self, query: &Query) -> Result<Found, Error> {
        let query = query.clone();
        self.read(move |db| select::select(db, &query)).await
    }

    async fn unfinished(&self) -> Result<Vec<Record>, Error> {
        let query = format!("{SELECT} WHERE status IN ('running', 'input_required') AND rests_until IS NULL ORDER BY runs.id");
        self.read(move |db| records(db, &query, &[])).await
    }

    async fn resting(&self) -> Result<Vec<Resting>, Error> {
        let query =
            "SELECT run, rests_until, changed_at FROM runs WHERE status IN ('running', 'input_required') AND rests_until IS NOT NULL";
        let row = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        let found: Vec<(String, i64, i64)> = self.read(move |db| db.prepare_cached(query)?.query_map([], row)?.collect()).await?;
        let resting = |(run, until, since): (String, i64, i64)| {
            let until = Some(Timestamp::from_unix_ms(until.saturating_abs())).filter(|until| *until != NO_TIMER);
            Ok(Resting { run: run_id(&run)?, until, since: Timestamp::from_unix_ms(since) })
        };
        found.into_iter().map(resting).collect()
    }
}

impl Sqlite {
    /// The runs that a query without values names.
    async fn runs_in(&self, query: &'static str) -> Result<Vec<RunId>, Error> {
        let found: Vec<String> = self.read(move |db| db.prepare_cached(query)?.query_map([], |row| row.get(0))?.collect()).await?;
        found.iter().map(|run| run_id(run)).collect()
    }
}

/// What a run's row says that it has used.
fn used(steps: i64, calls: i64) -> Used {
    let count = |stored: i64| u64::try_from(stored).unwrap_or(0);
    Used { steps: count(steps), calls: count(calls) }
}

fn run_id(run: &str) -> Result<RunId, Error> {
    RunId::parse(run).map_err(|error| Error::Failed(error.to_string()))
}

/// Stands for the time when a run rests that has no timer.
const NO_TIMER: Timestamp = Timestamp::from_unix_ms(i64::MAX);

/// `rests_until` of a run: when the first of its timers is due, below zero when it asks for access. A gantry that does not know the latter
/// takes the timer for one that is due, looks, and writes it anew.
fn stored_rest(until: Option<Timestamp>, asks_access: bool) -> Timestamp {
    let until = until.unwrap_or(NO_TIMER);
    if asks_access { Timestamp::from_unix_ms(-until.unix_ms()) } else { until }
}

const SELECT: &str = "SELECT run, workflow, version, runs.digest, source, idempotency_key, labels, started_at, changed_at, status, \
                      (SELECT note FROM notes WHERE notes.id = runs.id) AS note, rests_until FROM runs JOIN plans ON plans.digest = runs.digest";

/// The second condition is the one of the index, word for word: otherwise it is not used.
const CHILDREN: &str = "SELECT run, idempotency_key, labels ->> 'parent_step' FROM runs \
                        WHERE labels ->> 'parent' = ?1 AND labels ->> 'root' IS NOT NULL AND status IN ('running', 'input_required')";

/// Many runs: those of one workflow share its text.
fn records(db: &Connection, query: &str, values: &[rusqlite::types::Value]) -> rusqlite::Result<Vec<Record>> {
    let mut sources: HashMap<String, Arc<str>> = HashMap::new();
    let mut statement = db.prepare_cached(query)?;
    let mut rows = statement.query(rusqlite::params_from_iter(values))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        let digest = row.get_ref(3)?.as_str()?;
        let source = match sources.get(digest) {
            Some(source) => Arc::clone(source),
            None => Arc::clone(sources.entry(digest.to_owned()).or_insert(Arc::from(row.get_ref(4)?.as_str()?))),
        };
        records.push(record_with(row, source)?);
    }
    Ok(records)
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    record_with(row, Arc::from(row.get_ref(4)?.as_str()?))
}

fn record_with(row: &Row<'_>, source: Arc<str>) -> rusqlite::Result<Record> {
    let text = |index: usize| row.get::<_, String>(index);
    let unreadable =
        |index: usize, what: String| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, what.into());
    let header = Header {
        run: RunId::parse(&text(0)?).map_err(|error| unreadable(0, error.to_string()))?,
        workflow: text(1)?,
        version: text(2)?,
        digest: Digest::parse(&text(3)?).map_err(|error| unreadable(3, error.to_string()))?,
        source,
        idempotency_key: row.get(5)?,
        labels: serde_json::from_str(&text(6)?).map_err(|error| unreadable(6, error.to_string()))?,
        note: row.get(10)?,
        started_at: Timestamp::from_unix_ms(row.get(7)?),
    };
    let status = text(9)?;
    let status = RunStatus::parse(&status).ok_or_else(|| unreadable(9, format!("unknown status `{status}`")))?;
    let rests_until: Option<i64> = row.get(11)?;
    let (rests, asks_access) = (rests_until.is_some(), rests_until.is_some_and(|until| until < 0));
    Ok(Record { header, status, changed_at: Timestamp::from_unix_ms(row.get(8)?), rests, asks_access })
}

/// What an SQLite error means to the caller.
fn failure(db: &Connection, error: &rusqlite::Error) -> Error {
    if schema::is_full(db.path().map(Path::new), error) {
        return Error::Full("the disk is full; runs go on when there is space again".to_owned());
    }
    match error.sqlite_error_code() {
        // Nothing was stored, and it may be let go at any moment: a backup, or somebody who looks at the file.
        Some(rusqlite::ErrorCode::DatabaseBusy | rusqlite::ErrorCode::DatabaseLocked) => Error::Busy(error.to_string()),
        Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
            let file = db.path().unwrap_or_default();
            Error::DamagedFile(format!(
                "the journal {file} is damaged: {error}; bring back a copy of it, or begin with another data directory"
            ))
        }
        _ => Error::Failed(error.to_string()),
    }
}

/// What came of a run that was to be created.
enum Inserted {
    /// It is there, in this row.
    New(i64),
    /// This one has its idempotency key already.
    Existing(RunId),
}

impl Inserted {
    fn existing(self) -> Option<RunId> {
        match self {
            Self::New(_) => None,
            Self::Existing(run) => Some(run),
        }
    }
}

/// Writes rows; shared by the writer's statements.
fn insert_run(db: &Connection, header: &Header, events: &[Stored], status: RunStatus) -> rusqlite::Result<Inserted> {
    if let Some(key) = &header.idempotency_key {
        let taken: Option<String> =
            db.prepare_cached("SELECT run FROM runs WHERE idempotency_key = ?1")?.query_row([key], |row| row.get(0)).optional()?;
        if let Some(run) = taken.and_then(|run| RunId::parse(&run).ok()) {
            return Ok(Inserted::Existing(run));
        }
    }
    db.prepare_cached("INSERT OR IGNORE INTO plans (digest, source) VALUES (?1, ?2)")?
        .execute(params![header.digest.as_str(), &*header.source])?;
    let labels = serde_json::to_string(&header.labels).expect("a map of strings is JSON");
    db.prepare_cached(
        "INSERT INTO runs (run, workflow, version, digest, idempotency_key, labels, started_at, changed_at, status, seq) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, ?8, ?9)",
    )?
    .execute(params![
        header.run.as_str(),
        header.workflow,
        header.version,
        header.digest.as_str(),
        header.idempotency_key,
        labels,
        header.started_at.unix_ms(),
        status.as_str(),
        events.len() as i64
    ])?;
    let id = db.last_insert_rowid();
    if let Some(note) = &header.note {
        db.prepare_cached("INSERT INTO notes (id, note) VALUES (?1, ?2)")?.execute(params![id, note])?;
    }
    for (seq, event) in events.iter().enumerate() {
        payloads::insert(db, id, seq as i64, event)?;
    }
    Ok(Inserted::New(id))
}

/// All that a run has. There is none without events.
fn decode_all(run: &RunId, found: Vec<payloads::Found>) -> Result<Vec<Event>, Error> {
    if found.is_empty() {
        return Err(Error::NotFound(run.clone()));
    }
    found.into_iter().enumerate().map(|(seq, found)| decode(run, seq, found)).collect()
}

#[cfg(test)]
mod tests;
