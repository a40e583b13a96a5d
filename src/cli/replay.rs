//! `gantry replay`: runs an exported run again against its recorded answers. Calls nobody.

use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use super::aside::aside;
use super::diagnostics;
use super::exit::{Exit, Failure};
use super::runs::plan_of;
use super::terminal::{self, Terminal, one_line, say};
use crate::engine::{Divergence, Export, replay};
use crate::ids::Digest;
use crate::limits;

/// Arguments of `gantry replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayArguments {
    /// A file of `gantry runs export`
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Replay with this workflow instead of the recorded one
    #[arg(long, value_name = "FILE")]
    workflow: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Succeeds when the replay agrees with the record, and fails at the first difference.
pub(super) async fn execute(arguments: ReplayArguments, terminal: Terminal) -> Result<Exit, Failure> {
    aside(move || compare(&arguments, terminal)).await
}

fn compare(arguments: &ReplayArguments, terminal: Terminal) -> Result<Exit, Failure> {
    let export = read(&arguments.file)?;
    let recorded = plan_of(&export.header.workflow, &export.source, export.header.digest.clone(), terminal)?;
    let plan = match &arguments.workflow {
        None => recorded.clone(),
        Some(file) => {
            let text = diagnostics::read(file)?;
            let digest = Digest::parse(&format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes()))));
            let digest = digest.map_err(|error| Failure::internal(error.to_string()))?;
            plan_of(&file.display().to_string(), &text, digest, terminal)?
        }
    };
    let replayed = replay(&export, recorded, plan).map_err(|mismatch| {
        Failure::new(Exit::Failed, format!("`{}` does not fit itself: {mismatch}", arguments.file.display()))
            .hint("the file was changed or is damaged; export the run again")
    })?;
    if arguments.json {
        terminal::json(&replayed)?;
    }
    let run = &export.header.run;
    match &replayed.divergence {
        Some(divergence) => {
            if !arguments.json {
                terminal::data(&describe(divergence))?;
            }
            say(&format!("run {run} goes another way after {} of {} events", replayed.events, export.events.len()));
            Ok(Exit::Failed)
        }
        None => {
            let status = replayed.outcome.as_ref().map_or("it had not ended", |outcome| outcome.status().as_str());
            say(&format!("run {run} goes the same way: {} events, {status}", replayed.events));
            Ok(Exit::Ok)
        }
    }
}

fn describe(divergence: &Divergence) -> String {
    let place = divergence.step.as_ref().map_or_else(|| "the run".to_owned(), |path| format!("step `{}` ({path})", path.step()));
    format!(
        "first difference: {place}, after {} (event {})\n  recorded: {}\n  now:      {}",
        one_line(&divergence.after, 100),
        divergence.event,
        one_line(&divergence.recorded, 300),
        one_line(&divergence.now, 300)
    )
}

fn read(file: &Path) -> Result<Export, Failure> {
    let mut bytes = Vec::new();
    let read = std::fs::File::open(file).and_then(|file| {
        // What says that it is too large is not read. What does not say its size, such as a pipe, is read until it is too large.
        if file.metadata()?.len() > limits::EXPORT_BYTES_MAX {
            return Ok(false);
        }
        file.take(limits::EXPORT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok(bytes.len() as u64 <= limits::EXPORT_BYTES_MAX)
    });
    let fits = read.map_err(|error| Failure::usage(format!("cannot read `{}`: {error}", file.display())))?;
    if !fits {
        return Err(Failure::usage(format!("`{}` is larger than {} bytes", file.display(), limits::EXPORT_BYTES_MAX)));
    }
    let refused =
        |why: String| Failure::usage(format!("`{}` is no exported run: {why}", file.display())).hint("make one with `gantry runs export`");
    let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| refused(error.to_string()))?;
    match value["format"].as_u64() {
        Some(format) if format <= u64::from(Export::FORMAT) => serde_json::from_value(value).map_err(|error| refused(error.to_string())),
        Some(format) => {
            Err(refused(format!("it has format {format}, and this gantry knows {}", Export::FORMAT)).hint("use a newer gantry"))
        }
        None => Err(refused("it has no `format`".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_refused_by_its_size_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.json");
        // No byte of it is on the disk.
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(limits::EXPORT_BYTES_MAX + 1).unwrap();
        let refused = read(&path).unwrap_err().to_string();
        assert_eq!(refused, format!("error: `{}` is larger than 1073741824 bytes", path.display()));
        file.set_len(0).unwrap();
        let refused = read(&path).unwrap_err().to_string();
        assert!(refused.contains("is no exported run"), "{refused}");
    }
}
