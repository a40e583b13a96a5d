//! Contract tests of the agent client, over real HTTP on loopback: each dialect, each way an agent can fail.

pub(crate) mod support;

mod contract;
mod hostile;
mod streams;
mod tasks;
mod transport;
