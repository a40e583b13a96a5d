//! `gantry run`: one workflow, from finding it to showing and saving what it made.

mod command;
mod find;
mod follow;

mod input;
mod progress;
mod report;
mod result;
mod save;
mod show;

pub(super) use command::{RunArguments, execute};
pub(super) use find::read_card;
pub(super) use input::read;
pub(super) use show::{rule, whole};
