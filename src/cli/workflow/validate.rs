//! `gantry workflow validate`: every problem of every file, and between them, in one pass. Works offline.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::json;

use super::super::diagnostics::{count, read, render};
use super::super::exit::{Exit, Failure};
use super::super::terminal::{self, Terminal, say};
use super::references::Files;
use crate::plan::Plan;
use crate::workflow::{Diagnostic, Severity, parse};

/// Most files of one call; a folder with more is surely not meant.
const FILES_MAX: usize = 10_000;
/// Deepest folder below the one that is named.
const DEPTH_MAX: usize = 8;

/// Arguments of `gantry workflow validate`.
#[derive(Debug, clap::Args)]
pub struct ValidateArguments {
    /// Files, or folders whose `.yaml` and `.yml` files are checked
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Warnings fail, too
    #[arg(long)]
    deny_warnings: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn execute(arguments: &ValidateArguments, terminal: Terminal) -> Result<Exit, Failure> {
    let mut files = Vec::new();
    for path in &arguments.paths {
        if path.is_dir() {
            let before = files.len();
            collect(path, 0, &mut files).map_err(|error| Failure::usage(format!("cannot read `{}`: {error}", path.display())))?;
            if files.len() == before {
                return Err(Failure::usage(format!("`{}` has no .yaml or .yml files", path.display())));
            }
        } else {
            files.push(path.clone());
        }
    }
    let mut valid = true;
    let mut objects = Vec::new();
    let mut known = Files::default();
    let checked: Vec<_> = files.iter().map(|file| Checked::file(file, &mut known)).collect();
    for mut checked in checked {
        checked.diagnostics.extend(checked.plan.as_ref().and_then(|plan| known.check(plan)));
        let fine = checked.is_fine(arguments.deny_warnings);
        valid &= fine;
        if arguments.json {
            objects.push(
                json!({"file": checked.name, "valid": fine, "id": checked.id, "error": checked.unread, "diagnostics": checked.diagnostics}),
            );
        } else {
            checked.tell(fine, terminal)?;
        }
    }
    if arguments.json {
        terminal::json(&objects)?;
    }
    Ok(if valid { Exit::Ok } else { Exit::Failed })
}

struct Checked {
    name: String,
    text: String,
    id: Option<String>,
    /// What it is when it is valid for itself.
    plan: Option<Arc<Plan>>,
    diagnostics: Vec<Diagnostic>,
    /// Why the file could not be read at all.
    unread: Option<String>,
}

impl Checked {
    fn file(path: &Path, known: &mut Files) -> Self {
        let name = path.display().to_string();
        match read(path) {
            Err(failure) => {
                Self { name, text: String::new(), id: None, plan: None, diagnostics: Vec::new(), unread: Some(failure.message) }
            }
            Ok(text) => {
                let parsed = parse(&text);
                let id = parsed.workflow.as_ref().map(|workflow| workflow.metadata.id.to_string());
                let plan = parsed.workflow.map(|workflow| known.add(workflow, &text));
                Self { name, text, id, plan, diagnostics: parsed.diagnostics, unread: None }
            }
        }
    }

    fn is_fine(&self, deny_warnings: bool) -> bool {
        let errors = self.diagnostics.iter().any(|one| deny_warnings || one.severity == Severity::Error);
        self.unread.is_none() && !errors
    }

    fn tell(&self, fine: bool, terminal: Terminal) -> Result<(), Failure> {
        if let Some(why) = &self.unread {
            say(&format!("error: {why}"));
        }
        if !self.diagnostics.is_empty() {
            say(&render(&self.name, &self.text, &self.diagnostics, terminal));
        }
        let verdict = if fine { "ok" } else { "invalid" };
        let details = match &self.unread {
            Some(_) => "cannot be read".to_owned(),
            None => count(&self.diagnostics),
        };
        terminal::data(&format!("{}: {verdict} ({details})", self.name))
    }
}

/// The workflow files below a folder, by name. Links to folders are not followed, so that a loop of them does no harm.
fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            if depth < DEPTH_MAX {
                collect(&path, depth + 1, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") && files.len() < FILES_MAX {
            files.push(path);
        }
    }
    Ok(())
}
