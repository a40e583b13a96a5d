//! Long transitions event by event: how much work each has.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use super::Driver;
use crate::engine::Error;
use crate::interpreter::Event;
use crate::limits;

/// Work of the next event. The journal has it with the event, so that how fast this machine is counts only once.
#[derive(Debug)]
pub(super) struct Pace(NonZeroU32);

impl Pace {
    /// The first event has so much.
    pub(super) fn new(work: NonZeroU32) -> Self {
        Self(work)
    }

    /// More after an event that was soon done, less after one that took too long.
    fn took(&mut self, time: Duration) {
        let work = self.0.get();
        let next = match time {
            time if time > limits::EVENT_WORK_TIME => work / 2,
            time if time < limits::EVENT_WORK_TIME / 2 => (work * 2).min(limits::EVENT_WORK_MAX),
            _ => work,
        };
        self.0 = NonZeroU32::new(next).unwrap_or(NonZeroU32::MIN);
    }
}

impl Driver {
    /// Does more of what followed from the events before.
    pub(super) async fn do_more(&mut self) -> Result<(), Error> {
        let (begun, at) = (Instant::now(), self.now());
        self.record(vec![Event::Continued { work: self.pace.0, at }]).await?;
        self.pace.took(begun.elapsed());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_have_as_much_work_as_fits_into_their_time() {
        let mut pace = Pace::new(limits::EVENT_WORK);
        for (milliseconds, work) in [(1, 512), (49, 1024), (50, 1024), (100, 1024), (101, 512), (5_000, 256)] {
            pace.took(Duration::from_millis(milliseconds));
            assert_eq!(pace.0.get(), work, "after {milliseconds} ms");
        }
        (0..40).for_each(|_| pace.took(Duration::ZERO));
        assert_eq!(pace.0.get(), limits::EVENT_WORK_MAX);
        (0..40).for_each(|_| pace.took(Duration::from_secs(1)));
        assert_eq!(pace.0.get(), 1, "never none");
    }
}
