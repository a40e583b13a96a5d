//! Long transitions: what is more than is done for one event is done piece by piece, with an event for each.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::Driver;
use crate::engine::Error;
use crate::interpreter::{Event, Transition};
use crate::limits;

/// Pieces of work that are done at most before others have their turn. Fewer where they are dear: one may evaluate hundreds of templates.
const TURN: u32 = 64;
/// How long a turn may take before the next is a shorter one.
const LONG_TURN: Duration = Duration::from_millis(1);
/// How long the work goes on whoever asks, so that those who ask again and again do not make an event of each few pieces.
const UNDISTURBED: Duration = Duration::from_millis(5);
/// Changes that are told before watchers are waited for.
const TOLD_AT_ONCE: usize = limits::SUBSCRIBER_UPDATES_MAX / 2;

impl Driver {
    /// Does more of what followed from the events before, until its time is up or something else has happened. How much that was is in the
    /// event, so that how fast this machine is counts only once; nobody acts on it before the journal has it.
    pub(super) async fn do_more(&mut self) -> Result<(), Error> {
        let (begun, at) = (Instant::now(), self.now());
        let (mut work, mut turn, mut parts) = (0_u32, 1, Vec::<Transition>::new());
        while self.run.is_cut() {
            let turn_begun = std::time::Instant::now();
            let (part, done) = self.run.do_more(turn, at);
            turn = if turn_begun.elapsed() < LONG_TURN { TURN.min(turn * 2) } else { 1.max(turn / 2) };
            work = work.saturating_add(done);
            match parts.last_mut() {
                Some(last) if last.changes.len() < TOLD_AT_ONCE => last.extend(part),
                _ => parts.push(part),
            }
            self.others_turn().await;
            let taken = begun.elapsed();
            if taken >= limits::EVENT_WORK_TIME || (taken >= UNDISTURBED && self.is_wanted()) {
                break;
            }
        }
        let Some(work) = NonZeroU32::new(work) else { return Ok(()) };
        self.count();
        let (mut followed, done) = (vec![Event::Continued { work, at }], parts.len());
        if let Some(event) = self.exhausted() {
            self.stop(event.clone(), &mut parts)?;
            followed.push(event);
        }
        let mut events = self.given_up_by(&parts, at);
        events.append(&mut followed);
        let status = self.run.status();
        self.append(&events, status, self.rests_until(status, &parts)).await?;
        for (index, part) in parts.into_iter().enumerate() {
            self.carry_out(if index < done { at } else { self.at }, part);
            self.let_others().await;
        }
        if self.run.is_busy() {
            Box::pin(self.go_on(self.at)).await?;
        }
        Ok(())
    }

    /// Whether something waits for the run's task.
    fn is_wanted(&self) -> bool {
        !self.inbox.is_empty() || self.heard.is_some() || self.timers.is_due() || self.engine.inner.abandon.is_cancelled()
    }
}
