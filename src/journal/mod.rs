//! The durable list of each run's events, and what is needed to find runs again.
//!
//! Used by `engine`. Names `interpreter` for [`Event`](crate::interpreter::Event) and nothing else above floor 0.

mod api;
mod data_dir;
mod memory;
mod sqlite;

pub use api::{
    Child, Created, Error, Found, Header, Journal, Member, PARENT_LABEL, Progress, Query, ROOT_LABEL, Record, Resting, Retention,
    STEP_LABEL, Used,
};
pub use data_dir::DataDir;
pub use memory::Memory;
pub use sqlite::Sqlite;
