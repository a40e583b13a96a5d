//! How `gantry runs …` and `gantry agent list` reach the gantry that holds a data directory: one connection for one wish, on the loopback interface alone.
//!
//! The address and a secret stand in the directory's lock file, which only its owner can read: who can read the journal may control
//! its runs, and nobody else. It works whatever the A2A endpoint listens on, speaks or demands, and for runs of every caller.
//!
//! The protocol is lines: the secret, then the wish as JSON; back come replies as JSON until the connection ends. It is between two
//! processes of one version and may change with each.

mod ask;
mod listen;
mod wish;

pub use ask::{Asked, Error, answers, ask};
pub use listen::Listener;
pub use wish::{Reply, Wish};
