//! What every request shares.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::auth::Auth;
use super::card::Cards;
use super::options::Options;
use super::push::Deliverer;
use super::seen::Seen;
use super::tasks::{Bounds, Following, Store, Task};
use crate::a2a;
use crate::discovery::Discovery;
use crate::engine::Engine;
use crate::router::Router;

/// What a message led to.
#[derive(Clone)]
pub(super) enum Accepted {
    /// A task was made, or goes on.
    Task(Arc<Task>),
    /// The answer itself.
    Message(Box<a2a::Message>),
}

/// The server's state.
pub(super) struct App {
    pub(super) options: Options,
    pub(super) engine: Arc<dyn Engine>,
    pub(super) discovery: Arc<Discovery>,
    pub(super) router: Router,
    pub(super) auth: Auth,
    pub(super) admission: Admission,
    pub(super) store: Store,
    pub(super) deliverer: Arc<Deliverer>,
    pub(super) cards: Cards,
    pub(super) seen: Seen,
    /// Work that outlives its request: followers of runs, scripts, webhooks.
    pub(super) work: TaskTracker,
    /// Held by those who follow runs.
    pub(super) followers: Arc<()>,
    /// No new work; streams and waiting requests end.
    pub(super) stopping: CancellationToken,
    /// Everything ends.
    pub(super) ended: CancellationToken,
}

impl App {
    pub(super) fn new(
        options: Options,
        engine: Arc<dyn Engine>,
        discovery: Arc<Discovery>,
        router: Router,
        auth: Auth,
        cards: Cards,
    ) -> Self {
        let limits = &options.limits;
        let bounds = Bounds {
            history_max: limits.history_max.max(1),
            stream_bytes_max: limits.stream_bytes_max,
            stream_age_max: limits.write_timeout,
        };
        Self {
            admission: Admission::new(limits),
            store: Store::new(limits.tasks_max, bounds, engine.is_durable()),
            deliverer: Arc::new(Deliverer::new(options.push.clone())),
            seen: Seen::new(),
            work: TaskTracker::new(),
            followers: Arc::new(()),
            stopping: CancellationToken::new(),
            ended: CancellationToken::new(),
            options,
            engine,
            discovery,
            router,
            auth,
            cards,
        }
    }

    /// Lets tasks to which nothing happens leave memory after a while, when the journal has all of them.
    pub(super) async fn let_tasks_leave(&self) {
        if !self.engine.is_durable() {
            return;
        }
        let after = self.options.limits.ended_tasks_stay;
        let mut tick = tokio::time::interval((after / 4).clamp(Duration::from_millis(10), Duration::from_secs(1)));
        loop {
            tick.tick().await;
            // Dropped here, not under the lock of the store.
            drop(self.store.leave(after, Instant::now(), |run| self.engine.rests(run)));
        }
    }

    /// What follows a run of this server.
    pub(super) fn following(&self) -> Following {
        let step_artifacts = self.options.step_artifacts;
        let (engine, count) = (Arc::clone(&self.engine), Arc::clone(&self.followers));
        Following { engine, step_artifacts, stopping: self.stopping.clone(), count }
    }

    /// How many tasks are in memory, and how many runs are followed for them.
    pub(super) fn in_memory(&self) -> (usize, usize) {
        (self.store.len(), Arc::strong_count(&self.followers) - 1)
    }

    /// Carries out work that outlives its request, until the server has ended.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        // Boxed: a large task costs more to make than the box.
        self.work.spawn(Box::pin(async move {
            tokio::select! {
                () = work => {}
                () = ended.cancelled() => {}
            }
        }));
    }
}
