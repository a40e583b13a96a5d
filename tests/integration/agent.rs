//! Contract tests of the agent client, over real HTTP on loopback: each dialect, each way an agent can fail.

#![expect(clippy::print_stderr, reason = "helpers of tests fail the test, and say what they skip")]

mod support;

mod contract;
mod hostile;
mod streams;
mod tasks;
mod transport;
