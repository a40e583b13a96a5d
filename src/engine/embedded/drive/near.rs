//! The one call that a run's task makes itself: most runs have one at a time, and it needs no task of its own.

use std::future::{pending, poll_fn};

use tokio_util::sync::ReusableBoxFuture;

use crate::interpreter::Event;

/// What comes of a call; none when nobody waits for it any more.
type Call = ReusableBoxFuture<'static, Option<Event>>;

/// See the module. The next call takes the memory of the one before, which the processor has at hand.
#[derive(Default)]
pub(super) struct Near {
    call: Option<Call>,
    is_under_way: bool,
}

impl Near {
    pub(super) fn is_under_way(&self) -> bool {
        self.is_under_way
    }

    /// There is none under way.
    pub(super) fn start(&mut self, call: impl Future<Output = Option<Event>> + Send + 'static) {
        match &mut self.call {
            Some(place) => place.set(call),
            None => self.call = Some(ReusableBoxFuture::new(call)),
        }
        self.is_under_way = true;
    }

    /// Drops it.
    pub(super) fn leave(&mut self) {
        *self = Self::default();
    }

    /// What came of it; never, when there is none. Safe to drop.
    pub(super) async fn outcome(&mut self) -> Option<Event> {
        let Some(call) = self.call.as_mut().filter(|_| self.is_under_way) else { return pending().await };
        let event = poll_fn(|cx| call.poll(cx)).await;
        self.is_under_way = false;
        event
    }
}
