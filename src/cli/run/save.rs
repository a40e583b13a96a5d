//! Keeps what a run made in a directory (`app/`): `metadata.json`, one file for each result, code as a source file.
//!
//! Invariant: nothing is written or removed outside that directory, no path is taken from what an agent says, and files that
//! gantry did not write there are never replaced. A file appears whole or not at all.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::super::terminal;
use super::report::{Report, StepReport};
use super::result::Form;
use crate::interpreter::{RunStatus, StepStatus};
use crate::time::Timestamp;

const METADATA: &str = "metadata.json";
/// A `metadata.json` of gantry's own is far smaller; a larger one is not read.
const METADATA_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why a result could not be kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The file system said no.
    #[error("cannot write `{}`: {source}", path.display())]
    Io {
        /// What was to be written.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `metadata.json` belongs to somebody else.
    #[error("`{}` was not written by gantry, so nothing is saved there", .0.display())]
    Foreign(PathBuf),
}

/// What was written.
#[derive(Debug)]
pub(super) struct Saved {
    /// Into which directory.
    pub(super) directory: PathBuf,
    /// The names, `metadata.json` first.
    pub(super) files: Vec<String>,
    /// Those of the run before that somebody has changed, which stay.
    pub(super) kept: Vec<String>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    workflow_id: &'a str,
    workflow_name: &'a str,
    version: &'a str,
    digest: &'a str,
    reference: &'a str,
    run_id: &'a str,
    status: RunStatus,
    input: &'a Value,
    error: Option<String>,
    started_at: Timestamp,
    finished_at: Option<Timestamp>,
    duration_ms: Option<u64>,
    steps: Vec<StepMetadata<'a>>,
    output_file: Option<String>,
    /// Every file of this run, so that the next one can replace exactly these.
    files: Vec<String>,
}

#[derive(Serialize)]
struct StepMetadata<'a> {
    id: &'a str,
    skill: Option<&'a str>,
    agent: Option<&'a str>,
    status: StepStatus,
    attempts: u32,
    duration_ms: Option<u64>,
    file: Option<String>,
    code_file: Option<String>,
    error: Option<String>,
}

/// As much of an earlier `metadata.json` as is needed to recognise and replace it.
#[derive(Deserialize)]
struct Previous {
    #[serde(rename = "workflow_id")]
    _workflow_id: String,
    #[serde(rename = "run_id")]
    _run_id: String,
    files: Vec<String>,
}

/// Whether a run could be written into `directory`, which need not be there yet. Asked before the run, whose work would be for
/// nothing; nothing is created.
pub(super) fn check(directory: &Path) -> Result<(), Error> {
    let path = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let nearest = path.ancestors().map(|place| if place.as_os_str().is_empty() { Path::new(".") } else { place });
    let nearest = nearest.into_iter().find(|place| place.symlink_metadata().is_ok()).unwrap_or(Path::new("."));
    let failed = |source| Error::Io { path: directory.to_owned(), source };
    if !nearest.is_dir() {
        let what = format!("`{}` is not a directory", nearest.display());
        return Err(failed(io::Error::new(io::ErrorKind::NotADirectory, what)));
    }
    // Permissions alone do not say it: file systems are mounted read-only, or are full.
    tempfile::tempfile_in(nearest).map_err(|error| failed(terminal::without_name(error)))?;
    previous(directory).map(drop)
}

/// Writes a run into `directory`, replacing what an earlier run left there. What of that somebody has changed since stays, unless a file of
/// this run has its name.
pub(super) fn save(report: &Report, directory: &Path) -> Result<Saved, Error> {
    std::fs::create_dir_all(directory).map_err(|source| Error::Io { path: directory.to_owned(), source })?;
    let previous = previous(directory)?;
    // Written last: what is newer was changed by somebody else.
    let saved_at = modified(&directory.join(METADATA));
    let mut writer = Writer { directory, previous: &previous, written: BTreeSet::from([METADATA.to_owned()]), files: Vec::new() };
    let mut steps = Vec::new();
    let mut number = 0;
    let mut ids = BTreeSet::new();
    for step in report.steps.iter().filter(|step| step.is_call()) {
        // Steps in maps and loops have their number, whether and however often they were begun, and no file.
        number += usize::from(ids.insert(&step.id));
        if !step.is_repeated {
            steps.push(writer.step(number, step)?);
        }
    }
    let output_file = match &report.output {
        Some(output) if !output.is_null() => Some(writer.value("output", output)?),
        _ => None,
    };
    let Writer { mut files, .. } = writer;
    files.insert(0, METADATA.to_owned());
    let metadata = Metadata {
        workflow_id: &report.workflow.id,
        workflow_name: &report.workflow.name,
        version: &report.workflow.version,
        digest: &report.workflow.digest,
        reference: &report.workflow.reference,
        run_id: &report.run_id,
        status: report.status,
        input: &report.input,
        error: report.error.as_ref().map(ToString::to_string),
        started_at: report.started_at,
        finished_at: report.finished_at,
        duration_ms: report.duration_ms,
        steps,
        output_file,
        files: files.clone(),
    };
    write(directory, METADATA, &pretty(&metadata))?;
    let mut kept = Vec::new();
    for name in previous.iter().filter(|name| !files.contains(name)) {
        let path = directory.join(name);
        if modified(&path) > saved_at {
            kept.push(name.clone());
        } else {
            // Gone already is as good.
            let _gone = std::fs::remove_file(path);
        }
    }
    Ok(Saved { directory: directory.to_owned(), files, kept })
}

/// When a file was changed last; nothing is earlier than any time.
fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::symlink_metadata(path).and_then(|found| found.modified()).ok()
}

/// The files of an earlier run, by name.
fn previous(directory: &Path) -> Result<BTreeSet<String>, Error> {
    let path = directory.join(METADATA);
    let found = match std::fs::symlink_metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(source) => return Err(Error::Io { path, source }),
        Ok(found) => found,
    };
    if !found.is_file() || found.len() > METADATA_BYTES_MAX {
        return Err(Error::Foreign(path));
    }
    let text = std::fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    let previous: Previous = serde_json::from_slice(&text).map_err(|_| Error::Foreign(path))?;
    // The list is only as good as whoever edited it: names that are paths are not ours.
    Ok(previous.files.into_iter().filter(|name| is_plain_name(name) && name != METADATA).collect())
}

fn is_plain_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!((parts.next(), parts.next()), (Some(std::path::Component::Normal(part)), None) if part == name)
}

struct Writer<'a> {
    directory: &'a Path,
    previous: &'a BTreeSet<String>,
    /// Names of this run, lower-cased: some file systems do not tell `A` from `a`.
    written: BTreeSet<String>,
    files: Vec<String>,
}

impl Writer<'_> {
    fn step<'s>(&mut self, number: usize, step: &'s StepReport) -> Result<StepMetadata<'s>, Error> {
        let mut file = None;
        let mut code_file = None;
        if step.status == StepStatus::Completed {
            let stem = format!("{number}-{}", step.id);
            file = Some(self.value(&stem, &step.outputs)?);
            if let Some(code) = Form::of(&step.outputs).code() {
                code_file = Some(self.text(&code.file_name(&stem), code.text)?);
            }
        }
        Ok(StepMetadata {
            id: &step.id,
            skill: step.skill.as_deref(),
            agent: step.agent_name(),
            status: step.status,
            attempts: step.attempts,
            duration_ms: step.duration_ms,
            file,
            code_file,
            error: step.error.as_ref().map(ToString::to_string),
        })
    }

    /// A text as `.md`, everything else as `.json`.
    fn value(&mut self, stem: &str, value: &Value) -> Result<String, Error> {
        match Form::of(value) {
            Form::Text(text) => self.text(&format!("{stem}.md"), text),
            Form::Code { .. } | Form::Data(_) => self.text(&format!("{stem}.json"), &pretty(value)),
        }
    }

    fn text(&mut self, name: &str, text: &str) -> Result<String, Error> {
        let name = self.free_name(name);
        let ended = if text.ends_with('\n') { text.to_owned() } else { format!("{text}\n") };
        write(self.directory, &name, &ended)?;
        self.written.insert(name.to_lowercase());
        self.files.push(name.clone());
        Ok(name)
    }

    /// `name`, or with a number before its extension when the name is taken by this run or by somebody else's file.
    fn free_name(&self, name: &str) -> String {
        let (stem, extension) = name.rsplit_once('.').map_or((name, String::new()), |(stem, extension)| (stem, format!(".{extension}")));
        let candidates = std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{stem}-{number}{extension}")));
        let is_free = |name: &String| {
            let ours = self.previous.contains(name);
            !self.written.contains(&name.to_lowercase()) && (ours || self.directory.join(name).symlink_metadata().is_err())
        };
        candidates.into_iter().find(is_free).expect("the numbers do not end")
    }
}

fn pretty(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("keys are strings");
    text.push('\n');
    text
}

fn write(directory: &Path, name: &str, text: &str) -> Result<(), Error> {
    let path = directory.join(name);
    terminal::write_file(&path, text).map_err(|source| Error::Io { path, source })
}

#[cfg(test)]
mod tests;
