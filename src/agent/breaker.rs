//! The circuit of one agent: closed while it answers, open for a while when it does not, then half-open for one call that finds out.
//!
//! Used by `gate`. Time comes in as data, from the monotonic clock. Invariant: while the circuit is not closed, one call at a time is let
//! through. The next follows when it has ended, or has taken as long as the agent was left alone: a slow one must not keep away
//! everybody from an agent that is back. Each that follows so waits twice as long, like each pause.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};
use tokio::time::Instant;

use super::error::Error;
use crate::limits::{CIRCUIT_REASON_BYTES_MAX, RETRY_AFTER_MAX};

/// The sliding window moves in so many steps.
const BUCKETS: usize = 10;
/// Pauses double at most so often before they are at their longest.
const DOUBLINGS_MAX: u32 = 20;

/// When an agent is left alone, and for how long.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BreakerOptions {
    /// Without it every call is made, however many have failed.
    pub enabled: bool,
    /// So many failures in a row open the circuit.
    pub failures: NonZeroU32,
    /// So large a share of failures among the calls of the window opens it, too.
    #[serde(deserialize_with = "share")]
    pub failure_rate: f64,
    /// The share counts from so many calls on.
    pub calls_min: NonZeroU32,
    /// How far the window reaches back.
    #[serde(deserialize_with = "span")]
    pub window: Duration,
    /// The first pause. Each that follows without a success in between is twice as long.
    #[serde(deserialize_with = "span")]
    pub pause: Duration,
    /// The longest pause.
    #[serde(deserialize_with = "span")]
    pub pause_max: Duration,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        let count = |count| NonZeroU32::new(count).expect("it is not 0");
        Self {
            enabled: true,
            failures: count(5),
            failure_rate: 0.5,
            calls_min: count(20),
            window: Duration::from_secs(10),
            pause: Duration::from_secs(1),
            pause_max: Duration::from_secs(30),
        }
    }
}

/// Where a circuit is, as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Circuit {
    /// Calls are made.
    Closed,
    /// The agent is left alone.
    Open,
    /// The next call, or the one under way, finds out.
    HalfOpen,
}

impl Circuit {
    /// As it is written in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// One agent's circuit.
#[derive(Debug)]
pub(super) struct Breaker {
    options: BreakerOptions,
    /// Even while closed. Raised with every opening and every closing, so that what was begun before does not count after.
    epoch: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    window: Window,
    in_a_row: u32,
    /// Openings without a lasting success in between.
    openings: u32,
    closed_at: Option<Instant>,
    probes: u64,
    why: Why,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Closed,
    Open {
        until: Instant,
    },
    /// `newest` was let through last, and `first` is the first that may still say that the agent is back. Until `next` no other is.
    HalfOpen {
        first: u64,
        newest: u64,
        next: Instant,
    },
}

/// What opened a circuit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Why {
    /// Failures in a row, or failures among calls.
    pub(super) count: String,
    /// The last failure, in short. The agent's own words may be in it, which are not for the log.
    pub(super) last: String,
}

/// A call that may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Admission {
    epoch: u64,
    probe: Option<u64>,
}

impl Admission {
    /// Whether the circuit waits for what comes of this call.
    pub(super) fn is_probe(self) -> bool {
        self.probe.is_some()
    }
}

/// A call that must not be made now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shut {
    /// How long the agent is left alone; none while a call finds out whether it is back.
    pub(super) wait: Option<Duration>,
    /// When it is worth trying again.
    pub(super) hint: Duration,
    pub(super) why: Why,
}

/// A change that somebody should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    Opened { pause: Duration, why: Why },
    Closed,
}

/// What the state of a circuit looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) circuit: Circuit,
    pub(super) in_a_row: u32,
    pub(super) wait: Option<Duration>,
    pub(super) why: Option<Why>,
}

impl Breaker {
    pub(super) fn new(options: BreakerOptions) -> Self {
        let state = State {
            phase: Phase::Closed,
            window: Window::default(),
            in_a_row: 0,
            openings: 0,
            closed_at: None,
            probes: 0,
            why: Why::default(),
        };
        Self { options, epoch: AtomicU64::new(0), state: Mutex::new(state) }
    }

    /// Whether every call is let through. Costs one load.
    pub(super) fn is_closed(&self) -> bool {
        self.epoch.load(Ordering::Acquire).is_multiple_of(2)
    }

    /// Whether a call would be refused. Changes nothing: a probe is taken by [`Self::admit`] alone.
    pub(super) fn refuses(&self, now: impl FnOnce() -> Instant) -> Option<Shut> {
        if self.is_closed() {
            return None;
        }
        let now = now();
        let state = self.state();
        match state.phase {
            Phase::Open { until } if now < until => Some(state.shut(Some(until - now), self.options.pause)),
            Phase::HalfOpen { next, .. } if now < next => Some(state.shut(None, next - now)),
            Phase::Open { .. } | Phase::HalfOpen { .. } | Phase::Closed => None,
        }
    }

    /// Lets a call through, or not. The first after the pause is a probe.
    pub(super) fn admit(&self, now: impl FnOnce() -> Instant) -> Result<Admission, Shut> {
        let epoch = self.epoch.load(Ordering::Acquire);
        if epoch.is_multiple_of(2) {
            return Ok(Admission { epoch, probe: None });
        }
        let now = now();
        let mut state = self.state();
        let epoch = self.epoch.load(Ordering::Acquire);
        match state.phase {
            Phase::Closed => Ok(Admission { epoch, probe: None }),
            Phase::Open { until } if now < until => Err(state.shut(Some(until - now), self.options.pause)),
            Phase::HalfOpen { next, .. } if now < next => Err(state.shut(None, next - now)),
            Phase::HalfOpen { first, .. } => {
                state.openings = state.openings.saturating_add(1);
                Ok(self.probe(&mut state, Some(first), epoch, now))
            }
            Phase::Open { .. } => Ok(self.probe(&mut state, None, epoch, now)),
        }
    }

    /// Lets the next probe go, after `first` when that is still under way.
    fn probe(&self, state: &mut State, first: Option<u64>, epoch: u64, now: Instant) -> Admission {
        state.probes += 1;
        let newest = state.probes;
        let next = now + self.pause(state.openings.saturating_sub(1));
        state.phase = Phase::HalfOpen { first: first.unwrap_or(newest), newest, next };
        Admission { epoch, probe: Some(newest) }
    }

    /// The agent answered.
    pub(super) fn succeeded(&self, admission: Admission, now: Instant) -> Option<Turn> {
        if !self.options.enabled {
            return None;
        }
        let mut state = self.state();
        match state.phase {
            Phase::Closed if self.is_current(admission) => {
                state.in_a_row = 0;
                state.window.record(now, self.options.window, true);
                None
            }
            // A slow one that was not waited for any more knows it as well as the last.
            Phase::HalfOpen { first, newest, .. } if admission.probe.is_some_and(|probe| (first..=newest).contains(&probe)) => {
                state.phase = Phase::Closed;
                state.window = Window::default();
                state.in_a_row = 0;
                state.closed_at = Some(now);
                self.epoch.fetch_add(1, Ordering::AcqRel);
                Some(Turn::Closed)
            }
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// The agent is away or overloaded. `asked` is how long it wants to be left alone.
    pub(super) fn failed(&self, admission: Admission, now: Instant, error: &Error) -> Option<Turn> {
        if !self.options.enabled {
            return None;
        }
        let mut state = self.state();
        match state.phase {
            Phase::Closed if self.is_current(admission) => {
                state.in_a_row += 1;
                let (failed, calls) = state.window.record(now, self.options.window, false);
                let count = self.too_many(state.in_a_row, failed, calls)?;
                let lasting = state.closed_at.is_none_or(|closed| now.duration_since(closed) > self.options.window);
                if lasting {
                    state.openings = 0;
                }
                self.epoch.fetch_add(1, Ordering::AcqRel);
                Some(self.open(&mut state, now, count, error))
            }
            // Of those before it only a success counts: they tell how the agent was when they began.
            Phase::HalfOpen { newest, .. } if admission.probe == Some(newest) => {
                state.in_a_row = state.in_a_row.saturating_add(1);
                let count = state.why.count.clone();
                Some(self.open(&mut state, now, count, error))
            }
            Phase::Closed | Phase::Open { .. } | Phase::HalfOpen { .. } => None,
        }
    }

    /// The call ended without telling anything of the agent: it was given up. A probe leaves its place to the next call.
    pub(super) fn told_nothing(&self, admission: Admission, now: Instant) {
        if admission.probe.is_none() {
            return;
        }
        let mut state = self.state();
        if let Phase::HalfOpen { newest, .. } = state.phase
            && admission.probe == Some(newest)
        {
            state.phase = Phase::Open { until: now };
        }
    }

    pub(super) fn look(&self, now: Instant) -> Look {
        let state = self.state();
        let (circuit, wait) = match state.phase {
            Phase::Closed => (Circuit::Closed, None),
            Phase::Open { until } if now < until => (Circuit::Open, Some(until - now)),
            Phase::Open { .. } | Phase::HalfOpen { .. } => (Circuit::HalfOpen, None),
        };
        let why = (circuit != Circuit::Closed).then(|| state.why.clone());
        Look { circuit, in_a_row: state.in_a_row, wait, why }
    }

    fn is_current(&self, admission: Admission) -> bool {
        admission.epoch == self.epoch.load(Ordering::Acquire)
    }

    /// What there is too much of, in words.
    fn too_many(&self, in_a_row: u32, failed: u32, calls: u32) -> Option<String> {
        if in_a_row >= self.options.failures.get() {
            return Some(format!("{in_a_row} failures in a row"));
        }
        let share = f64::from(failed) / f64::from(calls.max(1));
        let window = crate::time::humanize(self.options.window);
        (calls >= self.options.calls_min.get() && share >= self.options.failure_rate)
            .then(|| format!("{failed} failures in {calls} calls within {window}"))
    }

    fn open(&self, state: &mut State, now: Instant, count: String, error: &Error) -> Turn {
        let grown = self.pause(state.openings);
        state.openings = state.openings.saturating_add(1);
        let pause = grown.max(error.retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        let last = error.message[..error.message.floor_char_boundary(CIRCUIT_REASON_BYTES_MAX)].to_owned();
        state.why = Why { count, last };
        state.phase = Phase::Open { until: now + pause };
        Turn::Opened { pause, why: state.why.clone() }
    }

    /// How long the agent is left alone after so many pauses.
    fn pause(&self, before: u32) -> Duration {
        let longest = self.options.pause_max.max(self.options.pause);
        self.options.pause.saturating_mul(1 << before.min(DOUBLINGS_MAX)).min(longest)
    }

    /// Held for a few instructions, never across an await.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Those who wait must not all come back in the same moment, so that they get hints that differ a little.
    fn shut(&self, wait: Option<Duration>, pause: Duration) -> Shut {
        let base = wait.unwrap_or(pause);
        let spread = base / 8 + Duration::from_millis(50);
        Shut { wait, hint: base + spread.mul_f64(fastrand::f64()), why: self.why.clone() }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; the last: {}", self.count, self.last)
    }
}

/// Calls and failures of the last while, in steps.
#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    /// The step of the newest bucket, counted from the beginning.
    newest: u64,
    buckets: [Bucket; BUCKETS],
}

#[derive(Debug, Default, Clone, Copy)]
struct Bucket {
    calls: u32,
    failed: u32,
}

impl Window {
    /// Counts a call. Returns failures and calls of the window when it failed; nobody asks otherwise.
    fn record(&mut self, now: Instant, length: Duration, good: bool) -> (u32, u32) {
        let began = *self.began.get_or_insert(now);
        let width = (length.as_nanos() / BUCKETS as u128).max(1);
        let step = u64::try_from(now.duration_since(began).as_nanos() / width).unwrap_or(u64::MAX);
        let forget = step.saturating_sub(self.newest).min(BUCKETS as u64);
        for passed in 1..=forget {
            // Of the steps since the newest only the last few have buckets.
            self.buckets[((step - forget + passed) % BUCKETS as u64) as usize] = Bucket::default();
        }
        self.newest = self.newest.max(step);
        let bucket = &mut self.buckets[(self.newest % BUCKETS as u64) as usize];
        bucket.calls = bucket.calls.saturating_add(1);
        if good {
            return (0, 0);
        }
        bucket.failed = bucket.failed.saturating_add(1);
        self.buckets.iter().fold((0, 0), |(failed, calls), bucket| (failed + bucket.failed, calls + bucket.calls))
    }
}

/// More than 0, at most 1.
fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    let fits = share > 0.0 && share <= 1.0;
    fits.then_some(share).ok_or_else(|| serde::de::Error::custom("expected a share of more than 0 and at most 1, as in 0.5"))
}

/// A duration that is not 0, as authors of workflows write them: `30`, `"500ms"`, `"5m"`.
fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(f64),
        Text(String),
    }
    let written = Written::deserialize(deserializer).map_err(|_| serde::de::Error::custom("expected a duration, as in 30s"))?;
    let span = match written {
        Written::Seconds(seconds) => crate::time::from_seconds(seconds),
        Written::Text(text) => crate::time::parse_duration(&text),
    }
    .map_err(serde::de::Error::custom)?;
    (!span.is_zero()).then_some(span).ok_or_else(|| serde::de::Error::custom("expected a duration that is not 0"))
}

#[cfg(test)]
mod tests;
