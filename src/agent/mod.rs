//! Calls other agents: card → dialect → request → value, with a deadline, bounds and typed errors.
//!
//! Used by `engine`. Knows nothing of workflows, registries or the journal. Never repeats a call: only the engine does, and asks
//! the [`Gate`] of an agent before it calls.

mod call;
mod client;
mod direct;
mod error;
mod secret;

mod follow;
mod hold;
mod opening;
mod plain;
mod reply;
mod watch;

mod endpoint;
mod v03;
mod v1;

mod breaker;
mod bulkhead;
mod gate;

mod body;
mod dial;
mod dialer;
mod http;
mod rpc;
mod stream;

pub use breaker::{BreakerOptions, Circuit};
pub use call::{Call, Progress, Question, Remote, Reply};
pub use client::{Client, Options};
pub use dialer::Dialer;
pub use direct::{Direct, Opened, Updates};
pub use error::{Error, ErrorKind, Reach};
pub use gate::{Gate, GateOptions, GateStatus, Gates, Pass};
pub use hold::Hold;
pub use secret::Secret;
