//! Which agent an attempt goes to, and to whom next when that one surely began nothing.
//!
//! A step that is pinned to an agent, and the answer to an agent's question, go to that agent and to nobody else.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Deserialize;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::Embedded;
use super::invoke::{Lineage, Outcome, Ties, step_error};
use super::own::OwnCall;
use crate::agent::{self, ErrorKind, Gate, GateOptions, Pass, Reach};
use crate::discovery::{self, FoundAgent, Offers};
use crate::ids::RunId;
use crate::interpreter::{AgentUsed, Invocation, StepError};
use crate::limits;
use crate::time::humanize;

/// Agents that a reason names.
const NAMES_MAX: usize = 3;

/// How agents are called.
#[derive(Debug, Clone)]
pub struct CallOptions {
    /// Which of several agents for a skill.
    pub choice: Choice,
    /// Whether the next is asked when one is away.
    pub failover: bool,
    /// What stands between the engine and each agent.
    pub gates: GateOptions,
}

impl Default for CallOptions {
    fn default() -> Self {
        Self { choice: Choice::First, failover: true, gates: GateOptions::default() }
    }
}

/// Which of several agents that offer a skill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// The first by name, always; cards given by hand in the order given.
    #[default]
    First,
    /// The one that was not chosen for the longest time.
    RoundRobin,
    /// The one with the fewest calls in flight.
    LeastBusy,
}

impl std::str::FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.replace('-', "_").as_str() {
            "first" => Ok(Self::First),
            "round_robin" => Ok(Self::RoundRobin),
            "least_busy" => Ok(Self::LeastBusy),
            _ => Err("expected first, round_robin or least_busy".to_owned()),
        }
    }
}

/// An agent that was found, and the way to it.
pub(super) struct Chosen {
    pub(super) found: FoundAgent,
    gate: Arc<Gate>,
}

/// An agent that began nothing, and why.
struct Tried {
    gate: Arc<Gate>,
    error: agent::Error,
}

/// The smallest is chosen.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    left_alone: bool,
    failed_before: bool,
    policy: (usize, u64),
    place: usize,
}

impl Embedded {
    /// The agent for an attempt. When nothing speaks against the first, this costs a look at its gate.
    pub(super) async fn choose(&self, invocation: &Invocation) -> Result<Chosen, discovery::Error> {
        let (discovery, options) = (&self.inner.discovery, &self.inner.options.calls);
        let skill = invocation.skill.as_str();
        if invocation.agent.is_some() || options.choice == Choice::First {
            let first = self.with_gate(discovery.agent(skill, invocation.agent.as_deref()).await?);
            let undisputed = invocation.after.is_none() && first.gate.is_closed();
            if undisputed || invocation.agent.is_some() || !options.failover {
                return Ok(first);
            }
        }
        // Boxed: most attempts need none of this.
        match Box::pin(self.best(invocation, &[])).await? {
            Some(chosen) => Ok(chosen),
            None => Ok(self.with_gate(discovery.agent(skill, None).await?)),
        }
    }

    fn with_gate(&self, found: FoundAgent) -> Chosen {
        let gate = self.inner.gates.gate(&found.card);
        Chosen { found, gate }
    }

    /// Calls the agent that was chosen; while each surely begins nothing and the attempt may, goes on to the next.
    #[expect(clippy::too_many_arguments, reason = "what an attempt is made of, from one caller")]
    pub(super) async fn call_one_of(
        &self,
        run: &RunId,
        invocation: &Invocation,
        lineage: &Lineage,
        ties: &Ties,
        started: Instant,
        mut chosen: Chosen,
        by: &mut Option<Arc<AgentUsed>>,
    ) -> Result<Outcome, StepError> {
        let mut tried = Vec::new();
        loop {
            let FoundAgent { card, digest, reason } = &chosen.found;
            *by = Some(Arc::new(AgentUsed { name: card.name.clone(), card: digest.clone(), reason: reason.clone() }));
            // A call to this engine itself takes no place: the calls of its run need them.
            if let Some(skills) = self.own_skills(card) {
                ties.ask(by);
                let left = invocation.timeout.saturating_sub(started.elapsed());
                return Box::pin(self.call_this_engine(OwnCall { skills, card }, run, invocation, lineage, ties, left)).await;
            }
            let pass = match self.pass(invocation, &ties.cancel, started, &chosen).await {
                Ok(None) => return Ok(Outcome::Parked),
                entered => entered,
            };
            let outcome = match pass {
                Ok(mut pass) => {
                    ties.ask(by);
                    let left = invocation.timeout.saturating_sub(started.elapsed());
                    let outcome = self.call(run, invocation, lineage, ties, &chosen.found, left, pass.as_mut()).await;
                    match (&outcome, &mut pass) {
                        (Ok(Outcome::Parked), _) => {}
                        (Ok(_), Some(pass)) => pass.succeeded(),
                        (Err(error), Some(pass)) => pass.failed(error),
                        (_, None) => {}
                    }
                    outcome
                }
                Err(error) => Err(error),
            };
            let error = match outcome {
                Ok(outcome) => return Ok(outcome),
                Err(error) => error,
            };
            let may_go_on = self.inner.options.calls.failover
                && invocation.agent.is_none()
                && invocation.resume.is_none()
                && error.surely_not_begun()
                && !ties.cancel.is_cancelled();
            tried.push(Tried { gate: chosen.gate, error });
            if !may_go_on || tried.len() == limits::FAILOVER_AGENTS_MAX {
                return Err(given_up(&tried));
            }
            chosen = match Box::pin(self.next(invocation, started, &tried)).await {
                Some(next) => next,
                None => return Err(given_up(&tried)),
            };
            info!(step = %invocation.step, attempt = invocation.attempt, agent = %chosen.found.card.name, "another agent is asked");
        }
    }

    /// The next agent, if one is found in the time that is left.
    async fn next(&self, invocation: &Invocation, started: Instant, tried: &[Tried]) -> Option<Chosen> {
        let left = invocation.timeout.saturating_sub(started.elapsed());
        timeout(left, self.best(invocation, tried)).await.ok()?.ok()?
    }

    /// Waits for a place at the agent, no longer than the attempt may take. `None` when this engine stops meanwhile: nothing has begun.
    async fn pass(
        &self,
        invocation: &Invocation,
        cancel: &CancellationToken,
        started: Instant,
        chosen: &Chosen,
    ) -> Result<Option<Pass>, agent::Error> {
        let (agent, skill) = (chosen.found.card.name.as_str(), invocation.skill.as_str());
        if let Some(entered) = chosen.gate.try_enter(agent, skill) {
            return entered.map(Some);
        }
        let failed = |kind, message: String| {
            let (agent, skill, reach) = (agent.to_owned(), skill.to_owned(), Reach::Nowhere);
            agent::Error { kind, agent, skill, message, code: None, status: None, retry_after: None, reach }
        };
        let left = invocation.timeout.saturating_sub(started.elapsed());
        // Dropping the wait leaves the queue.
        tokio::select! {
            entered = Box::pin(chosen.gate.enter(agent, skill)) => entered.map(Some),
            // With a journal in memory the run is canceled instead, and its handlers still call.
            () = self.inner.stopping.cancelled(), if self.inner.journal.is_durable() => Ok(None),
            () = cancel.cancelled() => Err(failed(ErrorKind::Canceled, "the call was canceled".to_owned())),
            () = tokio::time::sleep(left) => Err(failed(ErrorKind::Timeout, format!(
                "it was not called within {}: as many calls as are allowed at once were in flight (calls_per_agent_max, calls_max)",
                humanize(invocation.timeout),
            ))),
        }
    }

    /// The agent that a call went to, where it can have been no other: the one that the author wants, or the only one with the skill.
    pub(super) async fn only_agent(&self, invocation: &Invocation) -> Option<FoundAgent> {
        let (discovery, skill) = (&self.inner.discovery, invocation.skill.as_str());
        if let Some(agent) = &invocation.agent {
            return discovery.agent(skill, Some(agent)).await.ok();
        }
        let offers = discovery.offers(skill).await.ok().filter(|offers| offers.len() == 1)?;
        discovery.take(&offers, 0).await
    }

    /// The best of those that offer the skill and were not tried.
    async fn best(&self, invocation: &Invocation, tried: &[Tried]) -> Result<Option<Chosen>, discovery::Error> {
        let offers = self.inner.discovery.offers(invocation.skill.as_str()).await?;
        let mut ranked: Vec<(Rank, Arc<Gate>)> = (0..offers.len().min(limits::CHOICE_AGENTS_MAX))
            .map(|place| (place, self.inner.gates.gate(offers.card(place))))
            .filter(|(_, gate)| !tried.iter().any(|tried| Arc::ptr_eq(&tried.gate, gate)))
            .map(|(place, gate)| (self.rank(invocation, &offers, place, &gate), gate))
            .collect();
        ranked.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (rank, gate) in &ranked {
            let Some(mut found) = self.inner.discovery.take(&offers, rank.place).await else { continue };
            found.reason = self.reason(&found.reason, rank, &offers, &ranked, tried);
            self.inner.gates.chosen(gate);
            // Its card may have been read anew just now, with another address.
            return Ok(Some(self.with_gate(found)));
        }
        Ok(None)
    }

    fn rank(&self, invocation: &Invocation, offers: &Offers, place: usize, gate: &Gate) -> Rank {
        let options = &self.inner.options.calls;
        let failed_before = invocation.after.as_ref().is_some_and(|before| before.name == offers.card(place).name);
        let policy = match options.choice {
            Choice::First => (0, 0),
            Choice::RoundRobin => (0, gate.turn()),
            Choice::LeastBusy => (gate.load(), gate.turn()),
        };
        Rank { left_alone: options.failover && gate.is_left_alone(), failed_before: options.failover && failed_before, policy, place }
    }

    /// Why this one, for people: it stands in the journal.
    fn reason(&self, base: &str, rank: &Rank, offers: &Offers, ranked: &[(Rank, Arc<Gate>)], tried: &[Tried]) -> String {
        let mut reason = match self.inner.options.calls.choice {
            Choice::RoundRobin if offers.len() > 1 => format!("by turn, {base}"),
            Choice::LeastBusy if offers.len() > 1 => format!("least busy ({} calls), {base}", rank.policy.0),
            Choice::First | Choice::RoundRobin | Choice::LeastBusy => base.to_owned(),
        };
        let passed_over = ranked
            .iter()
            .map(|(other, _)| other)
            .filter(|other| (other.left_alone, other.failed_before) > (rank.left_alone, rank.failed_before));
        for (index, other) in passed_over.enumerate().take(NAMES_MAX) {
            let why = if other.left_alone { "is left alone" } else { "failed the attempt before" };
            let between = if index == 0 { "; " } else { ", " };
            let _ = write!(reason, "{between}`{}` {why}", clipped(&offers.card(other.place).name));
        }
        for Tried { error, .. } in tried.iter().take(NAMES_MAX) {
            let _ = write!(reason, "; after `{}`: {}", clipped(&error.agent), clipped(&error.message));
        }
        reason
    }
}

/// The failure of an attempt that went to one agent or several. The last one's, and what the others said.
fn given_up(tried: &[Tried]) -> StepError {
    let (last, before) = tried.split_last().expect("somebody was tried");
    let mut error = step_error(&last.error);
    for Tried { error: earlier, .. } in before.iter().take(NAMES_MAX) {
        let _ = write!(error.message, "; before it `{}`: {}", clipped(&earlier.agent), clipped(&earlier.message));
    }
    // One that did not say when it wants to be asked again may be asked when the step's own policy says.
    let hints: Option<Vec<_>> = tried.iter().map(|tried| tried.error.retry_after).collect();
    let soonest = hints.and_then(|hints| hints.into_iter().min());
    error.retry_after_ms = soonest.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
    error
}

fn clipped(text: &str) -> &str {
    &text[..text.floor_char_boundary(limits::CIRCUIT_REASON_BYTES_MAX)]
}
