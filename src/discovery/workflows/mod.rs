//! Workflow references to plans, and the list of workflows.

mod find;
mod ids;
mod list;

pub(super) use find::find;
pub(super) use ids::Ids;
pub(super) use list::list;
