//! `gantry completions SHELL`.

use clap::CommandFactory;

use super::arguments::Arguments;
use super::exit::{Exit, Failure};
use super::terminal;

/// Which shell.
#[derive(Debug, clap::Args)]
pub struct CompletionsArguments {
    /// The shell
    shell: clap_complete::Shell,
}

pub(super) fn execute(arguments: &CompletionsArguments) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "gantry", &mut script);
    terminal::data(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
