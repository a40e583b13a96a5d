//! The embedded registry's HTTP face: the `/v2/` API of distribution-spec over a [`Layout`](super::Layout).
//!
//! Repository names hold slashes, so that a router of path patterns cannot take them apart: one fallback handler reads
//! the path itself. Used by `gantry up` and by the tests; must not know what a workflow or a card is.

mod blobs;
mod body;
mod dispatch;
mod lists;
mod manifests;
mod options;
mod query;
mod reply;
mod route;
mod serve;
mod uploads;

pub use dispatch::router;
pub use options::{Options, WriteToken, Writes};
pub use serve::serve;
