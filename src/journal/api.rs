//! What every journal can do.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::ids::{Digest, RunId};
use crate::interpreter::{Event, RunStatus};
use crate::time::Timestamp;

/// What a run was started with. Written once, with its first event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The run.
    pub run: RunId,
    /// `metadata.id`.
    pub workflow: String,
    /// `metadata.version`.
    pub version: String,
    /// What the run is pinned to.
    pub digest: Digest,
    /// The workflow's text: a run can be resumed without a registry.
    pub source: Arc<str>,
    /// The same key gives the same run.
    pub idempotency_key: Option<String>,
    /// What the starter wants to find again.
    pub labels: BTreeMap<String, String>,
    /// What the starter wants to read again. Nobody looks for it, so that it may be longer.
    pub note: Option<String>,
    /// When it was accepted.
    pub started_at: Timestamp,
}

/// A run as the journal has it.
#[derive(Debug, Clone)]
pub struct Record {
    /// What it was started with.
    pub header: Header,
    /// Where it was when the last event was appended.
    pub status: RunStatus,
    /// When the last event was appended. Of a run under way it may be a second behind: not every event is worth a write of its own.
    pub changed_at: Timestamp,
    /// Whether it waits for nothing but people and timers, as far as the journal was told.
    pub rests: bool,
    /// When it does: whether somebody is asked for access, and not for data alone.
    pub asks_access: bool,
}

/// A run that waits for nothing but people and timers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resting {
    /// Which.
    pub run: RunId,
    /// When the first of its timers is due; none when it has none.
    pub until: Option<Timestamp>,
    /// When its last event was appended.
    pub since: Timestamp,
}

/// A run that a step of another started, and that has not ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Which.
    pub run: RunId,
    /// Its idempotency key.
    pub idempotency_key: Option<String>,
    /// The path of the step, as its [`STEP_LABEL`] says.
    pub step: Option<String>,
}

/// What a run has used of what it may use together with others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Steps begun, repetitions included.
    pub steps: u64,
    /// Attempts at calls.
    pub calls: u64,
}

/// One of the runs that were started below another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub run: RunId,
    /// The run whose step started it; none for the first of all.
    pub parent: Option<RunId>,
    /// What it has used itself.
    pub used: Used,
}

/// Where a run is after the events that are appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Its status.
    pub status: RunStatus,
    /// Set when it waits for nothing but people and timers: when the first of its timers is due, if there is one.
    pub rests: Option<Option<Timestamp>>,
    /// When it rests: whether somebody is asked for access, and not for data alone.
    pub asks_access: bool,
    /// What it has used so far, when runs above or below it have to know.
    pub used: Option<Used>,
}

impl Progress {
    /// A run in this status of which nothing else is said: it does not rest, and what it has used is as it was.
    pub fn at(status: RunStatus) -> Self {
        Self { status, rests: None, asks_access: false, used: None }
    }
}

/// The label of a run that was started by a step of another: which run that is.
pub const PARENT_LABEL: &str = "parent";
/// The label of a run that was started by a step of another: the run that nobody started so, far above.
pub const ROOT_LABEL: &str = "root";

/// The label of a run that was started by a step of another: the path of that step.
pub const STEP_LABEL: &str = "parent_step";

/// Which runs are looked for. Everything set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Of this workflow.
    pub workflow: Option<String>,
    /// In this status.
    pub status: Option<RunStatus>,
    /// Not ended.
    pub unfinished: bool,
    /// Waiting for nothing but people and timers, or not.
    pub rests: Option<bool>,
    /// Asking for access, or not.
    pub asks_access: Option<bool>,
    /// Changed after this moment.
    pub changed_after: Option<Timestamp>,
    /// With these labels.
    pub labels: BTreeMap<String, String>,
    /// With a label of this name, whatever it says.
    pub labelled: Option<String>,
    /// With an id that begins so.
    pub run_begins: Option<String>,
    /// Only those after this place in the order: when a run last changed, and its id. They all count for the total.
    pub before: Option<(Timestamp, String)>,
    /// So many at most, the latest.
    pub runs_max: Option<usize>,
}

impl Query {
    fn is_after_place(&self, record: &Record) -> bool {
        let place = |(at, run): &(Timestamp, String)| (record.changed_at, record.header.run.as_str()) < (*at, run.as_str());
        self.before.as_ref().is_none_or(place)
    }

    fn fits(&self, record: &Record) -> bool {
        let header = &record.header;
        self.workflow.as_ref().is_none_or(|workflow| *workflow == header.workflow)
            && self.status.is_none_or(|status| status == record.status)
            && !(self.unfinished && record.status.is_terminal())
            && self.rests.is_none_or(|rests| rests == record.rests)
            && self.asks_access.is_none_or(|asks| asks == record.asks_access)
            && self.changed_after.is_none_or(|after| record.changed_at > after)
            && self.labels.iter().all(|(name, value)| header.labels.get(name) == Some(value))
            && self.labelled.as_ref().is_none_or(|name| header.labels.contains_key(name))
            && self.run_begins.as_ref().is_none_or(|text| header.run.as_str().starts_with(text.as_str()))
    }
}

/// What a query found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The runs, newest change first.
    pub records: Vec<Record>,
    /// How many there would be without a bound, and from the beginning of the order.
    pub total: usize,
}

/// What became of a new run.
#[derive(Debug, Clone)]
pub enum Created {
    /// It is in the journal.
    New,
    /// Its idempotency key belongs to this run.
    Existing(Box<Record>),
}

/// Which ended runs are kept. A run that has not ended is always kept, and so is what a run that has not ended was told by its
/// children: it may have to ask again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// Runs that ended before this moment are forgotten.
    pub ended_before: Option<Timestamp>,
    /// At most so many ended runs are kept, the latest.
    pub runs_max: Option<usize>,
}

/// Why a journal did not do it. After an error of `append` nothing may act on the events.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It holds no such run.
    #[error("run `{0}` is not in the journal")]
    NotFound(RunId),
    /// Nothing more can be stored.
    #[error("the journal is full: {0}")]
    Full(String),
    /// Another program holds what it is stored in.
    #[error("the journal is in use by another program: {0}")]
    Busy(String),
    /// What is stored of a run is not what was written. Nothing was changed, and other runs are not affected.
    #[error("the record of run `{run}` is damaged: {what}")]
    Damaged {
        /// Which run.
        run: RunId,
        /// Which event and value, and what is wrong with it.
        what: String,
    },
    /// The files of the journal are not as they were written.
    #[error("{0}")]
    DamagedFile(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// Whether the same may be stored a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Full(_) | Self::Busy(_) => true,
            Self::NotFound(_) | Self::Damaged { .. } | Self::DamagedFile(_) | Self::Failed(_) => false,
        }
    }

    /// Whether what is stored is not what was written.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Damaged { .. } | Self::DamagedFile(_) => true,
            Self::NotFound(_) | Self::Full(_) | Self::Busy(_) | Self::Failed(_) => false,
        }
    }
}

/// The durable list of events. When a method returns, what it stored is as durable as this journal makes it.
#[async_trait]
pub trait Journal: Send + Sync + std::fmt::Debug {
    /// Whether what was stored is still there after the process has ended.
    fn is_durable(&self) -> bool;
    /// Stores a run with its first event, unless its idempotency key is taken.
    async fn create(&self, header: Header, first: Event) -> Result<Created, Error>;
    /// Stores a run that begins with a history, all of it or nothing, unless its idempotency key is taken. `status` is where the run
    /// is after it. A journal that cannot store them as one refuses.
    async fn create_from(&self, header: Header, _history: Vec<Event>, _status: RunStatus) -> Result<Created, Error> {
        Err(Error::Failed(format!("run `{}` has a history, and this journal takes new runs only", header.run)))
    }
    /// Forgets ended runs, their events, keys and what only they were pinned to. Returns how many. A journal that bounds itself
    /// has nothing to do.
    async fn prune(&self, _retention: Retention) -> Result<usize, Error> {
        Ok(0)
    }
    /// Forgets one run as [`prune`](Self::prune) does, whatever its status says: that it has ended, or cannot be read, is for the caller to
    /// know. False when it stays, because a run that has not ended may ask for it, or nothing is ever forgotten.
    async fn forget(&self, _run: &RunId) -> Result<bool, Error> {
        Ok(false)
    }
    /// Appends events. `progress` is where the run is after them. Without events only that is stored: a run may get somewhere by its
    /// first event alone.
    ///
    /// That the run rests is remembered until it is appended to again; a journal that does not remember it has the run among the
    /// unfinished. So is what it has used, until something else is said; a journal that does not remember that counts from the restart on.
    async fn advance(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), Error>;
    /// Appends events, and says no more than the status: see [`advance`](Self::advance).
    async fn append(&self, run: &RunId, events: &[Event], status: RunStatus) -> Result<(), Error> {
        self.advance(run, events, Progress::at(status)).await
    }
    /// The runs with this [`ROOT_LABEL`], and that run itself; nothing when there are none.
    async fn members(&self, _root: &RunId) -> Result<Vec<Member>, Error> {
        Ok(Vec::new())
    }
    /// What a run has used itself, as far as it was written.
    async fn used(&self, _run: &RunId) -> Result<Used, Error> {
        Ok(Used::default())
    }
    /// The runs with this [`PARENT_LABEL`] and a [`ROOT_LABEL`] that have not ended.
    async fn children(&self, _parent: &RunId) -> Result<Vec<Child>, Error> {
        Ok(Vec::new())
    }
    /// Runs that have not ended and whose parent has, or is no more.
    async fn orphans(&self) -> Result<Vec<RunId>, Error> {
        Ok(Vec::new())
    }
    /// Runs that rest although a run that one of their steps started does not, or has changed since: they may have to hear of it.
    async fn stirred(&self) -> Result<Vec<RunId>, Error> {
        Ok(Vec::new())
    }
    /// One run, without its events.
    async fn record(&self, run: &RunId) -> Result<Record, Error>;
    /// The first event of a run: what it was started with.
    async fn first(&self, run: &RunId) -> Result<Event, Error>;
    /// The run that an idempotency key belongs to.
    async fn find(&self, key: &str) -> Result<Option<RunId>, Error>;
    /// The events of a run, in order.
    async fn events(&self, run: &RunId) -> Result<Vec<Event>, Error>;
    /// Both, for who goes on with a run.
    async fn whole(&self, run: &RunId) -> Result<(Record, Vec<Event>), Error> {
        Ok((self.record(run).await?, self.events(run).await?))
    }
    /// Every run, newest change first.
    async fn list(&self) -> Result<Vec<Record>, Error>;
    /// The runs that fit, newest change first.
    async fn select(&self, query: &Query) -> Result<Found, Error> {
        let mut records = self.list().await?;
        records.retain(|record| query.fits(record));
        let total = records.len();
        records.retain(|record| query.is_after_place(record));
        records.truncate(query.runs_max.unwrap_or(usize::MAX));
        Ok(Found { records, total })
    }
    /// Every run that has not ended and does not rest, oldest first: what is resumed after a restart.
    async fn unfinished(&self) -> Result<Vec<Record>, Error>;
    /// Every run that rests.
    async fn resting(&self) -> Result<Vec<Resting>, Error> {
        Ok(Vec::new())
    }
}
