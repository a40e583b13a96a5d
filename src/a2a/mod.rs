//! The A2A data model: the 1.0 wire types, the 0.3 dialect, and agent cards of every kind that is met in practice.
//!
//! Words only: no I/O. Used by `agent` (calling), `server` (being called) and `discovery` (cards).

mod card;
pub mod extension;

pub use card::{Card, CardError, Dialect, Interface, Skill};
