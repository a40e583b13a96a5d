//! The way to each agent: its circuit and its places, shared by every call to the same address.
//!
//! Used by the engine before it calls. A call that the engine answers itself takes no place: it would hold one that the calls of its
//! own children need.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{info, warn};

use super::breaker::{Admission, Breaker, BreakerOptions, Circuit, Shut, Turn};
use super::bulkhead::Bulkhead;
use super::client::shown;
use super::error::{Error, ErrorKind, Failure, Reach, clip};
use crate::a2a::Card;
use crate::limits;
use crate::time::{Timestamp, humanize};

/// What stands between the engine and its agents.
#[derive(Debug, Clone)]
pub struct GateOptions {
    /// Calls in flight to one agent; more wait.
    pub calls_per_agent_max: NonZeroUsize,
    /// Calls in flight to all of them; more wait.
    pub calls_max: NonZeroUsize,
    /// When an agent is left alone.
    pub breaker: BreakerOptions,
}

impl Default for GateOptions {
    fn default() -> Self {
        let count = |count| NonZeroUsize::new(count).expect("it is not 0");
        Self {
            calls_per_agent_max: count(limits::CALLS_PER_AGENT_MAX),
            calls_max: count(limits::CALLS_MAX),
            breaker: BreakerOptions::default(),
        }
    }
}

/// Every gate that is in use.
#[derive(Debug)]
pub struct Gates {
    options: GateOptions,
    all: Arc<Semaphore>,
    by_address: RwLock<HashMap<String, Arc<Gate>>>,
    turns: AtomicU64,
}

/// The gate of one address.
#[derive(Debug)]
pub struct Gate {
    /// The agent's name, when its card was seen first.
    name: String,
    /// Where it is, without what may be secret.
    address: String,
    breaker: Breaker,
    bulkhead: Bulkhead,
    /// When it was chosen last, in choices.
    turn: AtomicU64,
    /// It was not only compared with others.
    called: AtomicBool,
}

/// A call that may be made, and its places. Dropped without a word about the agent, it tells nothing of it.
#[derive(Debug)]
pub struct Pass {
    gate: Arc<Gate>,
    admission: Admission,
    alive: bool,
    told: bool,
}

/// What is known of an agent that was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateStatus {
    /// Its name.
    pub agent: String,
    /// Where it is, without credentials and query.
    pub address: String,
    /// Whether it is called.
    pub circuit: Circuit,
    /// How long it is left alone yet, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait_ms: Option<u64>,
    /// Why it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Failures since its last success.
    pub failures_in_a_row: u32,
    /// Calls in flight.
    pub in_flight: usize,
    /// Calls that wait for a place.
    pub waiting: usize,
}

impl GateStatus {
    /// Whether calls with this card go there.
    pub fn is_of(&self, card: &Card) -> bool {
        card.interfaces.first().is_some_and(|interface| shown(&interface.url) == self.address)
    }
}

impl Gates {
    /// No gates yet: each is made with the first call.
    pub fn new(options: GateOptions) -> Self {
        let all = Arc::new(Semaphore::new(options.calls_max.get().min(Semaphore::MAX_PERMITS)));
        Self { options, all, by_address: RwLock::default(), turns: AtomicU64::new(1) }
    }

    /// The gate of the address that calls with this card go to. Cards of one address share it.
    pub fn gate(&self, card: &Card) -> Arc<Gate> {
        let Some(interface) = card.interfaces.first() else { return Arc::new(self.made(card)) };
        let address = interface.url.trim_end_matches('/');
        match &interface.tenant {
            None => self.at(address, card),
            Some(tenant) => self.at(&format!("{address}\u{1f}{tenant}"), card),
        }
    }

    fn at(&self, address: &str, card: &Card) -> Arc<Gate> {
        let known = self.by_address.read().unwrap_or_else(PoisonError::into_inner).get(address).cloned();
        known.unwrap_or_else(|| {
            let mut gates = self.by_address.write().unwrap_or_else(PoisonError::into_inner);
            if gates.len() >= limits::GATES_MAX && !gates.contains_key(address) {
                make_room(&mut gates);
            }
            Arc::clone(gates.entry(address.to_owned()).or_insert_with(|| Arc::new(self.made(card))))
        })
    }

    fn made(&self, card: &Card) -> Gate {
        Gate {
            name: clip(&card.name),
            address: card.interfaces.first().map(|interface| shown(&interface.url)).unwrap_or_default(),
            breaker: Breaker::new(self.options.breaker.clone()),
            bulkhead: Bulkhead::new(self.options.calls_per_agent_max.get(), Arc::clone(&self.all)),
            turn: AtomicU64::new(0),
            called: AtomicBool::new(false),
        }
    }

    /// Every agent that was called lately, by name.
    pub fn statuses(&self) -> Vec<GateStatus> {
        let gates: Vec<_> = self.by_address.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let now = Instant::now();
        let mut statuses: Vec<_> = gates.iter().filter(|gate| gate.called.load(Ordering::Relaxed)).map(|gate| gate.status(now)).collect();
        statuses.sort_by(|a, b| (&a.agent, &a.address).cmp(&(&b.agent, &b.address)));
        statuses
    }

    /// Notes that an agent was chosen: those that were not go before it next time.
    pub fn chosen(&self, gate: &Gate) {
        gate.turn.store(self.turns.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// Gates that tell nothing go first, then those that are only open. What is in use stays reachable by those who use it.
fn make_room(gates: &mut HashMap<String, Arc<Gate>>) {
    let idle = |gate: &Arc<Gate>| Arc::strong_count(gate) == 1;
    gates.retain(|_, gate| !(idle(gate) && gate.breaker.is_closed()));
    if gates.len() >= limits::GATES_MAX {
        gates.retain(|_, gate| !idle(gate));
    }
    if gates.len() >= limits::GATES_MAX {
        gates.clear();
    }
}

impl Gate {
    /// Whether nothing speaks against calling. Cheap.
    pub fn is_closed(&self) -> bool {
        self.breaker.is_closed()
    }

    /// Whether a call would be refused now. Not after the pause: then the next call finds out.
    pub fn is_left_alone(&self) -> bool {
        self.breaker.refuses(Instant::now).is_some()
    }

    /// Calls in flight and those that wait.
    pub fn load(&self) -> usize {
        self.bulkhead.in_flight() + self.bulkhead.waiting()
    }

    /// When it was chosen last; the greater the later, 0 never.
    pub fn turn(&self) -> u64 {
        self.turn.load(Ordering::Relaxed)
    }

    /// Goes in at once: with a pass, or with the refusal of [`Self::enter`]. `None` when it must wait for a place.
    pub fn try_enter(self: &Arc<Self>, agent: &str, skill: &str) -> Option<Result<Pass, Error>> {
        self.note_call();
        if let Some(shut) = self.breaker.refuses(Instant::now) {
            return Some(Err(refusal(shut).at(agent, skill)));
        }
        self.bulkhead.try_enter().then(|| self.admit(agent, skill))
    }

    /// Waits for a place, unless the agent is left alone. Safe to drop while waiting.
    ///
    /// # Errors
    /// With [`ErrorKind::CircuitOpen`] when the agent is left alone: `retry_after` says until when.
    pub async fn enter(self: &Arc<Self>, agent: &str, skill: &str) -> Result<Pass, Error> {
        self.note_call();
        if let Some(shut) = self.breaker.refuses(Instant::now) {
            return Err(refusal(shut).at(agent, skill));
        }
        self.bulkhead.enter().await;
        self.admit(agent, skill)
    }

    /// With a place taken.
    fn admit(self: &Arc<Self>, agent: &str, skill: &str) -> Result<Pass, Error> {
        // It may have been given up while this call waited, and only now is it known which call is the probe.
        match self.breaker.admit(Instant::now) {
            Ok(admission) => Ok(Pass { gate: Arc::clone(self), admission, alive: false, told: false }),
            Err(shut) => {
                self.bulkhead.leave();
                Err(refusal(shut).at(agent, skill))
            }
        }
    }

    fn note_call(&self) {
        // Read first: written by every call, it would travel between processors.
        if !self.called.load(Ordering::Relaxed) {
            self.called.store(true, Ordering::Relaxed);
        }
    }

    fn status(&self, now: Instant) -> GateStatus {
        let look = self.breaker.look(now);
        GateStatus {
            agent: self.name.clone(),
            address: self.address.clone(),
            circuit: look.circuit,
            wait_ms: look.wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            why: look.why.map(|why| why.to_string()),
            failures_in_a_row: look.in_a_row,
            in_flight: self.bulkhead.in_flight(),
            waiting: self.bulkhead.waiting(),
        }
    }

    fn tell(&self, turn: Option<Turn>, last: Option<&Error>) {
        match turn {
            None => {}
            Some(Turn::Closed) => info!(agent = %self.name, "circuit closed: the agent answers again"),
            Some(Turn::Opened { pause, why }) => {
                // What the agent said stays out of the log.
                let (code, http_status) = (last.map(|error| error.kind.code()), last.and_then(|error| error.status));
                warn!(agent = %self.name, pause = %humanize(pause), why = why.count, code, http_status, "circuit open: the agent is left alone");
            }
        }
    }
}

impl Pass {
    /// The agent is at work: a circuit that waited for this closes, and that the call takes too long will not speak against it.
    pub fn sign_of_life(&mut self) {
        self.alive = true;
        if self.admission.is_probe() {
            self.succeeded();
        }
    }

    /// The agent answered.
    pub fn succeeded(&mut self) {
        if !self.told {
            self.told = true;
            self.gate.tell(self.gate.breaker.succeeded(self.admission, Instant::now()), None);
        }
    }

    /// The call failed. A failure of the agent's own making is an answer as well.
    pub fn failed(&mut self, error: &Error) {
        let at_work = self.alive && error.kind == ErrorKind::Timeout;
        match error.reach {
            _ if at_work => self.succeeded(),
            _ if error.is_outage() && !self.told => {
                self.told = true;
                self.gate.tell(self.gate.breaker.failed(self.admission, Instant::now(), error), Some(error));
            }
            Reach::Answered if error.kind != ErrorKind::Refused => self.succeeded(),
            Reach::Answered | Reach::NoSocket | Reach::Nowhere | Reach::NotBegun | Reach::Unknown => {}
        }
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.told {
            self.gate.breaker.told_nothing(self.admission, Instant::now());
        }
        self.gate.bulkhead.leave();
    }
}

fn refusal(shut: Shut) -> Failure {
    let Shut { wait, hint, why } = shut;
    let message = match wait {
        Some(wait) => {
            let until = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + wait;
            let until = Timestamp::from_unix_ms(i64::try_from(until.as_millis()).unwrap_or(i64::MAX));
            // In whole steps, for people.
            let wait = Duration::from_millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1));
            format!("it is not called before {until}, for another {}, after {why}", humanize(wait))
        }
        None => format!("it is not called while another call finds out whether it is back, after {why}"),
    };
    let mut failure = Failure::new(ErrorKind::CircuitOpen, message);
    failure.retry_after = Some(hint);
    failure
}

#[cfg(test)]
mod tests;
