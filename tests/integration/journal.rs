//! A journal of the tests: passes everything on to another one, and lets the test have a hand in what is written.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use gantry::ids::RunId;
use gantry::interpreter::{Event, RunStatus};
use gantry::journal::{Child, Created, Error, Found, Header, Journal, Member, Memory, Progress, Query, Record, Resting, Retention, Used};

type Before = dyn Fn(&RunId, &[Event], Progress) -> BoxFuture<'static, Result<(), Error>> + Send + Sync;

/// A journal whose writes the test sees, holds up or refuses.
pub(crate) struct Handled {
    inner: Arc<dyn Journal>,
    outlives_engines: bool,
    before: Box<Before>,
    trees_read: AtomicUsize,
}

impl Handled {
    /// `before` is asked before each write: with the first event of a new run, and with what is appended.
    pub(crate) fn new(
        inner: Arc<dyn Journal>,
        before: impl Fn(&RunId, &[Event], Progress) -> BoxFuture<'static, Result<(), Error>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { outlives_engines: inner.is_durable(), inner, before: Box::new(before), trees_read: AtomicUsize::new(0) })
    }

    /// The same in memory, and as if that was durable: for engines that go on with each other's runs.
    pub(crate) fn in_memory(
        before: impl Fn(&RunId, &[Event], Progress) -> BoxFuture<'static, Result<(), Error>> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let inner = Arc::new(Memory::default());
        Arc::new(Self { outlives_engines: true, inner, before: Box::new(before), trees_read: AtomicUsize::new(0) })
    }

    /// How often all runs of a tree were read.
    pub(crate) fn trees_read(&self) -> usize {
        self.trees_read.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Handled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handled").field("inner", &self.inner).finish_non_exhaustive()
    }
}

#[async_trait]
impl Journal for Handled {
    fn is_durable(&self) -> bool {
        self.outlives_engines
    }

    async fn create(&self, header: Header, first: Event) -> Result<Created, Error> {
        (self.before)(&header.run, std::slice::from_ref(&first), Progress::at(RunStatus::Running)).await?;
        self.inner.create(header, first).await
    }

    async fn create_from(&self, header: Header, history: Vec<Event>, status: RunStatus) -> Result<Created, Error> {
        (self.before)(&header.run, &history, Progress::at(status)).await?;
        self.inner.create_from(header, history, status).await
    }

    async fn advance(&self, run: &RunId, events: &[Event], progress: Progress) -> Result<(), Error> {
        (self.before)(run, events, progress).await?;
        self.inner.advance(run, events, progress).await
    }

    async fn prune(&self, retention: Retention) -> Result<usize, Error> {
        self.inner.prune(retention).await
    }

    async fn used(&self, run: &RunId) -> Result<Used, Error> {
        self.inner.used(run).await
    }

    async fn members(&self, root: &RunId) -> Result<Vec<Member>, Error> {
        self.trees_read.fetch_add(1, Ordering::SeqCst);
        self.inner.members(root).await
    }

    async fn children(&self, parent: &RunId) -> Result<Vec<Child>, Error> {
        self.inner.children(parent).await
    }

    async fn orphans(&self) -> Result<Vec<RunId>, Error> {
        self.inner.orphans().await
    }

    async fn stirred(&self) -> Result<Vec<RunId>, Error> {
        self.inner.stirred().await
    }

    async fn record(&self, run: &RunId) -> Result<Record, Error> {
        self.inner.record(run).await
    }

    async fn first(&self, run: &RunId) -> Result<Event, Error> {
        self.inner.first(run).await
    }

    async fn find(&self, key: &str) -> Result<Option<RunId>, Error> {
        self.inner.find(key).await
    }

    async fn events(&self, run: &RunId) -> Result<Vec<Event>, Error> {
        self.inner.events(run).await
    }

    async fn list(&self) -> Result<Vec<Record>, Error> {
        self.inner.list().await
    }

    async fn select(&self, query: &Query) -> Result<Found, Error> {
        self.inner.select(query).await
    }

    async fn unfinished(&self) -> Result<Vec<Record>, Error> {
        self.inner.unfinished().await
    }

    async fn resting(&self) -> Result<Vec<Resting>, Error> {
        self.inner.resting().await
    }
}
