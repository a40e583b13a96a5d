//! Calls other agents: card → dialect → request → value, with a deadline, bounds and typed errors.
//!
//! Used by `engine`. Knows nothing of workflows, registries or the journal. Never repeats a call: only the engine does.

mod call;
mod client;
mod direct;
mod error;
mod secret;

mod follow;
mod plain;
mod reply;
mod watch;

mod endpoint;
mod v03;
mod v1;

mod body;
mod dial;
mod dialer;
mod http;
mod rpc;
mod stream;

pub use call::{Call, Progress, Question, Remote, Reply};
pub use client::{Client, Options};
pub use dialer::Dialer;
pub use direct::{Direct, Opened, Updates};
pub use error::{Error, ErrorKind};
pub use secret::Secret;
