//! A workflow that has been checked and is ready to run, flattened so that the interpreter finds everything by index.
//!
//! Pure. Made by `discovery` (or the CLI for a file), run by `interpreter`, pinned by digest for the life of a run.

mod build;
mod node;
mod references;
mod walk;

pub use build::Plan;
pub use node::{CatchOrNot, Handler, Node, NodeIndex, NodeKind, Owner, Path, ReduceBy, Sequence, SequenceIndex};
pub use references::{Asked, EXECUTE_WORKFLOW, OWN_NAME, ROUTE_REQUEST, Reference, WORKFLOW_PREFIX, reference_to};
pub use walk::{Bounds, Hop, Refused, Walk};
