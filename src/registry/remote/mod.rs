//! The client for registries over HTTP.
//!
//! Built on what was seen to go wrong: every answer is bounded in size and time, every content is checked against its
//! digest, credentials go to the registry's own host only, and what may be tried again is tried again.

mod addresses;
mod answer;
mod auth;
mod challenge;
mod client;
mod lists;
mod options;
mod push;
mod store;
mod transport;

pub use client::Remote;
pub use options::{Addresses, Credential, RemoteOptions, Scheme, Secret};
