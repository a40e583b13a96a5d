//! The wall clock, for timestamps only: durations are measured on the monotonic clock.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::time::Timestamp;

/// What the wall clock says. It may jump; a run's own time never goes backwards, see `Driver::now`.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    #[cfg(test)]
    let now = tests::jumped(now);
    now
}

#[cfg(test)]
mod tests;
