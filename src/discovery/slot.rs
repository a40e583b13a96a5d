//! One remembered answer to a question whose answer may change: what a tag points at, which repositories there are.
//!
//! A slot is trusted for a time, is asked for once however many callers want it, and keeps its last answer while the registry is
//! away. Used by `origin`, `agents`, `workflows`. Invariant: the lock of a slot is never held across an await.

use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use quick_cache::sync::Cache;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use super::Error;
use crate::{limits, registry};

/// A caller goes round again when an answer that was on its way began before something changed. Twice is enough: the second begins after.
const ROUNDS_MAX: usize = 3;

/// Loads that are under way. They belong to nobody's request: a caller that goes away does not stop the answer others wait for.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(ended) = tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                warn!(%error, "a registry lookup broke");
            }
        }
        tasks.spawn(task);
    }

    /// Stops what is under way.
    pub(super) fn abort(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }
}

/// The state of the registry as far as it can be seen from here without asking: any difference makes names stale at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    /// The store's own count of changes, when it has one; then nothing is stale as long as it stands.
    pub(super) store: Option<u64>,
    /// Pushes made through this discovery.
    pub(super) pushes: u64,
}

/// How fresh an answer must be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask<'a> {
    pub(super) now: Instant,
    pub(super) stamp: Stamp,
    /// None: the answer never changes.
    pub(super) age_max: Option<Duration>,
    pub(super) tasks: &'a Tasks,
}

/// Where an answer came from. The greater is the worse, so that the worst of several can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trust {
    Fresh,
    /// From memory: the registry takes its time.
    Slow,
    /// From memory: the registry failed.
    Unreachable,
}

impl Trust {
    /// What a reader is told after the reason for a choice.
    pub(super) fn note(self) -> &'static str {
        match self {
            Self::Fresh => "",
            Self::Slow => "; from cache, registry slow",
            Self::Unreachable => "; from cache, registry unreachable",
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub(super) struct Read<V> {
    pub(super) value: V,
    pub(super) trust: Trust,
}

impl<V> Read<V> {
    /// Straight from the registry.
    pub(super) fn fresh(value: V) -> Self {
        Self { value, trust: Trust::Fresh }
    }
}

/// What a load gives. An index that is made of what was remembered says so, and is trusted no longer than the registry is left alone.
pub(super) type Answer<V> = BoxFuture<'static, Result<Read<V>, Error>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Slot<V>(RwLock<State<V>>);

#[derive(Debug)]
struct State<V> {
    known: Option<Known<V>>,
    failure: Option<Failure>,
    /// Closed when the load that is under way has ended, however it ended.
    flight: Option<watch::Receiver<()>>,
    /// Until then the registry is left alone, if something is known.
    rest: Option<(Instant, Stamp)>,
}

#[derive(Debug, Clone)]
struct Known<V> {
    value: V,
    trust: Trust,
    asked: Instant,
    landed: Instant,
    stamp: Stamp,
}

#[derive(Debug)]
struct Failure {
    error: Error,
    at: Instant,
    stamp: Stamp,
}

enum Step<V> {
    Done(Result<Read<V>, Error>),
    Wait(watch::Receiver<()>, Option<V>),
}

impl<V> Default for Slot<V> {
    fn default() -> Self {
        Self(RwLock::new(State { known: None, failure: None, flight: None, rest: None }))
    }
}

impl<V: Clone + Send + Sync + 'static> Slot<V> {
    /// The answer, as fresh as asked; `load` gets what is known and asks the registry. Safe to drop while waiting.
    pub(super) async fn read<L>(self: &Arc<Self>, ask: &Ask<'_>, load: L) -> Result<Read<V>, Error>
    where
        L: Fn(Option<V>) -> Answer<V>,
    {
        match self.fresh(ask) {
            Some(read) => Ok(read),
            // Boxed: most answers are known, and every step of every run looks here for its agent.
            None => Box::pin(self.load(ask, load)).await,
        }
    }

    async fn load<L>(self: &Arc<Self>, ask: &Ask<'_>, load: L) -> Result<Read<V>, Error>
    where
        L: Fn(Option<V>) -> Answer<V>,
    {
        for _ in 0..ROUNDS_MAX {
            match self.begin(ask, &load) {
                Step::Done(result) => return result,
                // The sender is only ever dropped, so both give an error when the load has ended.
                Step::Wait(mut flight, None) => drop(flight.changed().await),
                Step::Wait(mut flight, Some(value)) => {
                    if timeout(limits::REGISTRY_PATIENCE, flight.changed()).await.is_err() {
                        self.rest(ask.stamp);
                        return Ok(Read { value, trust: Trust::Slow });
                    }
                }
            }
            if let Some(result) = self.landed(ask) {
                return result;
            }
        }
        self.last_resort()
    }

    /// Changes what is known without asking. Nothing happens when nothing is known.
    pub(super) fn update(&self, change: impl FnOnce(&V) -> V) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = &mut state.known {
            known.value = change(&known.value);
        }
    }

    /// What is known, fresh or not.
    pub(super) fn known(&self) -> Option<V> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).known.as_ref().map(|known| known.value.clone())
    }

    fn fresh(&self, ask: &Ask<'_>) -> Option<Read<V>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).fresh(ask)
    }

    /// Joins the load under way, or begins one.
    fn begin<L>(self: &Arc<Self>, ask: &Ask<'_>, load: &L) -> Step<V>
    where
        L: Fn(Option<V>) -> Answer<V>,
    {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // It may have landed since the caller looked.
        if let Some(read) = state.fresh(ask) {
            return Step::Done(Ok(read));
        }
        let value = state.known.as_ref().map(|known| known.value.clone());
        let resting = state.rest.is_some_and(|(until, stamp)| ask.now < until && stamp == ask.stamp);
        if let (Some(value), true) = (&value, resting) {
            let trust = if state.failure.is_some() { Trust::Unreachable } else { Trust::Slow };
            return Step::Done(Ok(Read { value: value.clone(), trust }));
        }
        if let (None, Some(failure)) = (&value, &state.failure)
            && failure.stamp == ask.stamp
            && ask.now.duration_since(failure.at) < limits::LOOK_AGAIN_PAUSE
        {
            return Step::Done(Err(failure.error.clone()));
        }
        if let Some(flight) = &state.flight
            && flight.has_changed().is_ok()
        {
            return Step::Wait(flight.clone(), value);
        }
        let (ended, flight) = watch::channel(());
        state.flight = Some(flight.clone());
        let (slot, asked, stamp, answer) = (Arc::clone(self), Instant::now(), ask.stamp, load(value.clone()));
        ask.tasks.spawn(async move {
            let result = answer.await;
            slot.land(result, asked, stamp);
            drop(ended);
        });
        Step::Wait(flight, value)
    }

    fn land(&self, result: Result<Read<V>, Error>, asked: Instant, stamp: Stamp) {
        let landed = Instant::now();
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(Read { value, trust }) => {
                state.known = Some(Known { value, trust, asked, landed, stamp });
                (state.failure, state.rest) = (None, None);
            }
            Err(error) => {
                debug!(%error, "a registry lookup failed");
                state.failure = Some(Failure { error, at: landed, stamp });
                state.rest = Some((landed + limits::REGISTRY_REST, stamp));
            }
        }
    }

    /// What a caller that waited gets; none when it must go round again.
    fn landed(&self, ask: &Ask<'_>) -> Option<Result<Read<V>, Error>> {
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(failure) = &state.failure
            && failure.at >= ask.now
        {
            return Some(match &state.known {
                Some(known) => Ok(Read { value: known.value.clone(), trust: Trust::Unreachable }),
                None => Err(failure.error.clone()),
            });
        }
        let known = state.known.as_ref().filter(|known| known.landed >= ask.now)?;
        let new_enough = ask.age_max.is_none() || known.stamp == ask.stamp || known.asked >= ask.now;
        new_enough.then(|| Ok(known.read()))
    }

    fn rest(&self, stamp: Stamp) {
        let until = Instant::now() + limits::REGISTRY_REST;
        self.0.write().unwrap_or_else(PoisonError::into_inner).rest = Some((until, stamp));
    }

    fn last_resort(&self) -> Result<Read<V>, Error> {
        match self.known() {
            Some(value) => Ok(Read { value, trust: Trust::Slow }),
            None => Err(registry::Error::Unavailable {
                what: "a lookup".to_owned(),
                reason: "it was stopped before it had an answer".to_owned(),
                transient: true,
                retry_after: None,
            }
            .into()),
        }
    }
}

impl<V: Clone> State<V> {
    fn fresh(&self, ask: &Ask<'_>) -> Option<Read<V>> {
        let known = self.known.as_ref()?;
        let Some(age_max) = ask.age_max else { return Some(known.read()) };
        let age = ask.now.duration_since(known.asked);
        let fresh = match known.trust {
            Trust::Fresh => ask.stamp.store.is_some() || age < age_max,
            Trust::Slow | Trust::Unreachable => age < limits::REGISTRY_REST,
        };
        (fresh && known.stamp == ask.stamp).then(|| known.read())
    }
}

impl<V: Clone> Known<V> {
    fn read(&self) -> Read<V> {
        Read { value: self.value.clone(), trust: self.trust }
    }
}

/// A bounded number of slots by key. One that falls out is asked for again.
#[derive(Debug)]
pub(super) struct Slots<K, V>(Cache<K, Arc<Slot<V>>>);

impl<K: Hash + Eq + Clone, V> Slots<K, V> {
    pub(super) fn new(count_max: usize) -> Self {
        Self(Cache::new(count_max))
    }

    pub(super) fn slot(&self, key: &K) -> Arc<Slot<V>> {
        if let Some(slot) = self.0.get(key) {
            return slot;
        }
        let Ok(slot) = self.0.get_or_insert_with(key, || Ok::<_, std::convert::Infallible>(Arc::default()));
        slot
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
