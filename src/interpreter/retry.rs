//! When the next attempt is due.

use std::time::Duration;

use super::StepError;
use crate::limits;
use crate::workflow::Retry;

/// The delay before the attempt after so many `failures`, or `None` when there is to be none.
///
/// With jitter the delay is drawn between half and the whole by `entropy`. A longer wish of the agent (Retry-After) wins.
pub(super) fn delay(policy: Option<&Retry>, failures: u32, error: &StepError, entropy: u32) -> Option<Duration> {
    let policy = policy?;
    let worth_it = error.code.retry_on().is_some_and(|class| policy.on.contains(&class));
    if !worth_it || failures >= policy.max_attempts.get() {
        return None;
    }
    let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
    let whole = (policy.initial.as_secs_f64() * policy.factor.powi(exponent)).min(policy.max.as_secs_f64());
    let drawn = if policy.jitter { whole * (0.5 + 0.5 * f64::from(entropy) / f64::from(u32::MAX)) } else { whole };
    let drawn = Duration::from_millis((drawn * 1000.0).round() as u64);
    let wished = Duration::from_millis(error.retry_after_ms.unwrap_or(0)).min(limits::RETRY_AFTER_MAX);
    Some(drawn.max(wished))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::interpreter::ErrorClass;
    use crate::workflow::RetryOn;

    fn policy(jitter: bool) -> Retry {
        Retry {
            max_attempts: NonZeroU32::new(5).unwrap(),
            initial: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(5),
            jitter,
            on: vec![RetryOn::Unavailable],
        }
    }

    #[test]
    fn delays_grow_and_are_capped() {
        let error = StepError::new(ErrorClass::Unavailable, "down");
        for (attempt, ms) in [(1, Some(1000)), (2, Some(2000)), (3, Some(4000)), (4, Some(5000)), (5, None), (6, None)] {
            assert_eq!(delay(Some(&policy(false)), attempt, &error, 7), ms.map(Duration::from_millis), "after attempt {attempt}");
        }
    }

    #[test]
    fn jitter_draws_between_half_and_whole() {
        let error = StepError::new(ErrorClass::Unavailable, "down");
        assert_eq!(delay(Some(&policy(true)), 1, &error, 0), Some(Duration::from_millis(500)));
        assert_eq!(delay(Some(&policy(true)), 1, &error, u32::MAX), Some(Duration::from_millis(1000)));
    }

    #[test]
    fn only_classes_of_the_policy_are_retried() {
        for class in [ErrorClass::Timeout, ErrorClass::Rejected, ErrorClass::Template, ErrorClass::AgentError] {
            assert_eq!(delay(Some(&policy(false)), 1, &StepError::new(class, "x"), 0), None, "{class:?}");
        }
        assert_eq!(delay(None, 1, &StepError::new(ErrorClass::Unavailable, "x"), 0), None);
    }

    #[test]
    fn a_wish_of_the_agent_wins_within_its_bound() {
        let wish = |ms| StepError::new(ErrorClass::Unavailable, "busy").with(|error| error.retry_after_ms = Some(ms));
        assert_eq!(delay(Some(&policy(false)), 1, &wish(3000), 0), Some(Duration::from_secs(3)));
        assert_eq!(delay(Some(&policy(false)), 1, &wish(10), 0), Some(Duration::from_secs(1)));
        assert_eq!(delay(Some(&policy(false)), 1, &wish(9_999_999), 0), Some(limits::RETRY_AFTER_MAX));
    }
}
