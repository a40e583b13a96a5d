//! `gantry workflow schema`.

use super::super::exit::{Exit, Failure};
use super::super::terminal;
use crate::workflow;

pub(super) fn execute() -> Result<Exit, Failure> {
    terminal::json(&workflow::json_schema())?;
    Ok(Exit::Ok)
}
