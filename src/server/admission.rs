//! Who gets in: requests at once, bytes of bodies at once, requests a second of one caller. What does not is answered at
//! once with our own codes and `Retry-After`, before anything is read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::{Failure, OwnCode};
use super::options::LimitOptions;

/// Bodies are counted in pieces of this size: a semaphore holds fewer permits than a machine has bytes.
const PIECE_BYTES: usize = 1024;
/// Callers whose rate is remembered; more than that, and the quiet ones are forgotten.
const CALLERS_MAX: usize = 10_000;

/// The gate.
#[derive(Debug)]
pub(super) struct Admission {
    requests: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
    rate_per_second: Option<u32>,
    buckets: Mutex<HashMap<Arc<str>, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Admission {
    pub(super) fn new(limits: &LimitOptions) -> Self {
        let pieces = (limits.body_bytes_total_max.max(limits.body_bytes_max) / PIECE_BYTES).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            requests: Arc::new(Semaphore::new(limits.requests_max.clamp(1, Semaphore::MAX_PERMITS))),
            bodies: Arc::new(Semaphore::new(pieces)),
            rate_per_second: limits.rate_per_second,
            buckets: Mutex::default(),
        }
    }

    /// A request begins; it has ended when the permit is dropped.
    pub(super) fn enter(&self, caller: &Arc<str>) -> Result<OwnedSemaphorePermit, Failure> {
        self.take_token(caller)?;
        let full = |_| Failure::own(OwnCode::Overloaded, "gantry has as many requests under way as it takes; try again");
        Arc::clone(&self.requests).try_acquire_owned().map_err(full)
    }

    /// A body of this size is about to be read.
    pub(super) fn body(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Failure> {
        let pieces = u32::try_from(bytes.div_ceil(PIECE_BYTES).max(1)).unwrap_or(u32::MAX);
        let full = |_| Failure::own(OwnCode::Overloaded, "gantry is reading as many bodies as it takes; try again");
        Arc::clone(&self.bodies).try_acquire_many_owned(pieces).map_err(full)
    }

    /// A token bucket for each caller that holds one second's worth.
    fn take_token(&self, caller: &Arc<str>) -> Result<(), Failure> {
        let Some(rate) = self.rate_per_second else { return Ok(()) };
        let rate = f64::from(rate.max(1));
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CALLERS_MAX {
            buckets.retain(|_, bucket| now.duration_since(bucket.at) < Duration::from_secs(1));
        }
        let bucket = buckets.entry(Arc::clone(caller)).or_insert(Bucket { tokens: rate, at: now });
        bucket.tokens = (bucket.tokens + now.duration_since(bucket.at).as_secs_f64() * rate).min(rate);
        bucket.at = now;
        if bucket.tokens < 1.0 {
            return Err(Failure::own(OwnCode::RateLimited, format!("more than {rate} requests a second; wait a second")));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gate_closes_and_opens() {
        let limits = LimitOptions {
            requests_max: 1,
            rate_per_second: Some(3),
            body_bytes_max: 1024,
            body_bytes_total_max: 2048,
            ..LimitOptions::default()
        };
        let admission = Admission::new(&limits);
        let (ann, bob) = (Arc::from("ann"), Arc::from("bob"));
        let permit = admission.enter(&ann).unwrap();
        assert_eq!(admission.enter(&ann).unwrap_err().status, 503);
        drop(permit);
        assert!(admission.enter(&ann).is_ok());
        let refused = admission.enter(&ann).unwrap_err();
        assert_eq!((refused.status.as_u16(), refused.error.code), (429, -32050));
        assert!(refused.retry_after.is_some());
        assert!(admission.enter(&bob).is_ok(), "the rate is each caller's own");
        let first = admission.body(2048).unwrap();
        assert_eq!(admission.body(1).unwrap_err().status, 503);
        drop(first);
        assert!(admission.body(1).is_ok());
    }

    #[test]
    fn of_very_many_callers_those_are_remembered_that_were_here_within_a_second() {
        let admission = Admission::new(&LimitOptions { rate_per_second: Some(1), ..LimitOptions::default() });
        let remembered = || admission.buckets.lock().unwrap().len();
        for n in 0..CALLERS_MAX {
            drop(admission.enter(&Arc::from(n.to_string())));
        }
        assert_eq!(remembered(), CALLERS_MAX);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(2)).unwrap();
        admission.buckets.lock().unwrap().iter_mut().filter(|(name, _)| name.len() > 1).for_each(|(_, bucket)| bucket.at = long_ago);
        let newest = Arc::from("newest");
        assert!(admission.enter(&newest).is_ok());
        assert_eq!(remembered(), 11, "the ten that were here just now, and the new one");
        assert_eq!(admission.enter(&newest).unwrap_err().status, 429);
    }
}
