//! `gantry runs export`.

use std::path::{Path, PathBuf};

use super::super::aside::aside;
use super::super::exit::{Exit, Failure};
use super::super::terminal::{self, say};
use super::directory::{DirectoryChoice, whole};
use crate::config::Config;
use crate::engine::Export;

/// Arguments of `gantry runs export`.
#[derive(Debug, clap::Args)]
pub struct ExportArguments {
    /// The run's id, or its beginning
    #[arg(value_name = "RUN")]
    run: String,
    /// The file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    directory: DirectoryChoice,
}

pub(super) async fn execute(arguments: ExportArguments, config: &Config) -> Result<Exit, Failure> {
    let directory = arguments.directory.open(config)?;
    let (journal, export) = directory.export(&arguments.run).await?;
    let exit = whole(&journal, export.status);
    aside(move || write(&export, arguments.out.as_deref())).await?;
    Ok(exit)
}

fn write(export: &Export, out: Option<&Path>) -> Result<(), Failure> {
    let Some(out) = out else {
        terminal::json(export)?;
        return Ok(());
    };
    let text = serde_json::to_string_pretty(export).map_err(|error| Failure::internal(format!("cannot write JSON: {error}")))?;
    terminal::write_file(out, &text).map_err(|error| Failure::usage(format!("cannot write `{}`: {error}", out.display())))?;
    say(&format!(
        "run {} with {} events is in {}; it holds everything that agents and people said",
        export.header.run,
        export.events.len(),
        out.display()
    ));
    Ok(())
}
