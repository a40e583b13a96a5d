//! Webhooks: configurations of a task, and the delivery of its events.
//!
//! Delivery never holds up a task: every webhook has its own bounded queue and worker. What does not fit, or fails five
//! times, is dropped and counted.

mod deliver;
mod webhooks;

pub(super) use deliver::Deliverer;
pub(super) use webhooks::Webhooks;
