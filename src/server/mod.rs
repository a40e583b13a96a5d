//! The A2A front: gantry as an agent. One port serves JSON-RPC (dispatched by jsonrpsee) in both dialects of A2A, streams, the
//! agent card, health, and the prototype's plain protocol.
//!
//! Used by `cli`. Only `error` here knows JSON-RPC codes; only `tasks` turns updates of runs into A2A tasks. A run is never
//! tied to the connection that started it.

mod options;

mod bind;
mod connection;

mod admission;
mod auth;
mod envelope;
mod error;
mod routes;
mod rpc;

mod answer;
mod ask;
mod card;
mod kept;
mod methods;
mod own;
mod plain;
mod query;
mod routing;
mod seen;
mod send;
mod start;
mod state;
mod stream;

mod push;
mod tasks;

pub use auth::AuthError;
pub use bind::{Bound, Error, Server};
pub use card::CardFault;
pub use options::{AuthOptions, CardOptions, LimitOptions, Options, PushOptions, TlsOptions, Token, WorkflowSkills};
