//! The data directory that a command is about: its journal for reading, and the gantry that holds it.

use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::SystemTime;

use serde_json::Value;

use super::super::diagnostics;
use super::super::exit::{Exit, Failure, chain};
use super::super::origins;
use super::super::terminal::{Terminal, say};
use crate::config::Config;
use crate::control::{self, Reply, Wish};
use crate::engine::Export;
use crate::ids::{Digest, RunId};
use crate::interpreter::RunStatus;
use crate::journal::{self, DataDir, Journal, Query, Record, Sqlite};
use crate::plan::Plan;
use crate::time::Timestamp;
use crate::workflow::{self, Severity};

/// The folder of the data directory that holds runs.
pub(in crate::cli) const RUNS_DIR: &str = "runs";
/// Shortest beginning of a run's id that stands for it.
const PREFIX_MIN: usize = 4;

/// What to do about a process that holds the directory and takes no commands.
pub(super) const DEAF_HINT: &str =
    "a `gantry run` takes none, and a server that starts none yet: wait for its end, or press Ctrl-C there, which cancels its run";

/// Which data directory.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct DirectoryChoice {
    /// The data directory of the gantry that runs or ran them [default: gantry in the platform's place for state]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl DirectoryChoice {
    /// The folder with the runs.
    pub(super) fn open(&self, config: &Config) -> Result<Directory, Failure> {
        let chosen = self.data_dir.clone().or_else(|| config.data_dir());
        let data_dir = chosen.ok_or_else(|| {
            Failure::usage("there is no home directory to look for runs in").hint("name the data directory with --data-dir")
        })?;
        if let Some(file) = [&data_dir, &data_dir.join(RUNS_DIR)].into_iter().find(|path| path.exists() && !path.is_dir()) {
            return Err(Failure::unavailable(format!("{} is no directory", file.display()))
                .hint("name the directory of the gantry that runs or ran them with --data-dir"));
        }
        let named = self.data_dir.is_some() || config.data_dir.is_some();
        Ok(Directory { path: data_dir.join(RUNS_DIR), data_dir, named, warned: Once::new() })
    }
}

/// A folder with runs.
pub(super) struct Directory {
    /// What the user named.
    pub(super) data_dir: PathBuf,
    /// Where the runs are.
    pub(super) path: PathBuf,
    /// Somebody chose it: that nothing ever ran there is then a mistake, and not the state of a new machine.
    named: bool,
    /// What cannot be read there has been said.
    warned: Once,
}

impl Directory {
    /// What a command must say to find the same directory: nothing when it finds it by itself.
    pub(super) fn option(&self) -> String {
        if self.named { format!(" --data-dir {}", origins::word(&self.data_dir.display().to_string())) } else { String::new() }
    }

    /// The journal, to look at. None when nothing ever ran on this machine.
    pub(super) fn journal(&self) -> Result<Option<Sqlite>, Failure> {
        match Sqlite::open_to_read(&self.path).map_err(|error| Failure::of_journal(&error))? {
            None if self.named => {
                let what = if self.data_dir.is_dir() { "there are no runs" } else { "there is no data directory" };
                Err(Failure::unavailable(format!("{what} in {}", self.data_dir.display()))
                    .hint("name the directory of the gantry that runs or ran them with --data-dir"))
            }
            journal => {
                if let Some(damage) = journal.as_ref().and_then(Sqlite::damage) {
                    self.warned.call_once(|| say(&format!("warning: the {damage}: what was stored after it is missing here")));
                }
                Ok(journal)
            }
        }
    }

    /// The run whose id this is, or begins so.
    pub(super) async fn find(&self, text: &str) -> Result<(Sqlite, Record), Failure> {
        let journal = self.journal()?;
        // It may be among what the damage hides.
        let exit = if journal.as_ref().and_then(Sqlite::damage).is_some() { Exit::Internal } else { Exit::Unavailable };
        let absent = || {
            Failure::new(exit, format!("there is no run `{text}` in {}", self.data_dir.display()))
                .hint(format!("`gantry runs list{}` shows those there are; --data-dir names another directory", self.option()))
        };
        let journal = journal.ok_or_else(absent)?;
        let run = RunId::parse(text).map_err(|error| Failure::usage(error.to_string()))?;
        match journal.record(&run).await {
            Ok(record) => return Ok((journal, record)),
            Err(journal::Error::NotFound(_)) if text.len() >= PREFIX_MIN => {}
            Err(journal::Error::NotFound(_)) => {
                return Err(absent().hint(format!("the beginning of an id has at least {PREFIX_MIN} characters")));
            }
            Err(error) => return Err(Failure::internal(chain(&error))),
        }
        let query = Query { run_begins: Some(text.to_owned()), runs_max: Some(3), ..Query::default() };
        let mut found = journal.select(&query).await.map_err(|error| Failure::internal(chain(&error)))?.records.into_iter();
        match (found.next(), found.next()) {
            (Some(record), None) => Ok((journal, record)),
            (None, _) => Err(absent()),
            (Some(first), Some(second)) => Err(Failure::usage(format!(
                "`{text}` begins the ids of several runs: {}, {}{}",
                first.header.run,
                second.header.run,
                if found.next().is_some() { ", …" } else { "" }
            ))),
        }
    }

    /// A run with everything that is known of it.
    pub(super) async fn export(&self, text: &str) -> Result<(Sqlite, Export), Failure> {
        let (journal, record) = self.find(text).await?;
        let run = &record.header.run;
        let events = journal.events(run).await.map_err(|error| {
            let failure = Failure::internal(chain(&error));
            match error {
                journal::Error::Damaged { .. } => failure.hint(format!("`gantry runs prune {run}` forgets the run")),
                _ => failure,
            }
        })?;
        Ok((journal, Export::new(record, events)))
    }

    /// Asks the gantry that holds the directory, and waits for what it did.
    pub(super) async fn ask(&self, wish: &Wish) -> Result<Value, Failure> {
        let mut asked = control::ask(&self.path, wish).await.map_err(|error| self.unanswered(&error))?;
        match asked.next().await.map_err(|error| self.unanswered(&error))? {
            Reply::Done(done) => Ok(done),
            Reply::Refused(why) => Err(Failure::new(Exit::Failed, why)),
            Reply::Misfit(why) => Err(Failure::usage(why)),
            Reply::Broken(why) => Err(Failure::internal(why)),
            Reply::Snapshot(_) | Reply::Update(_) | Reply::Parked | Reply::Stopped => {
                Err(Failure::internal("the running gantry answers something else; is it of another version?"))
            }
        }
    }

    pub(super) fn unanswered(&self, error: &control::Error) -> Failure {
        if matches!(error, control::Error::Nobody)
            && let Some((original, holder)) = DataDir::held_original(&self.path)
        {
            let data_dir = original.parent().unwrap_or(&original).display().to_string();
            let what =
                format!("{} is a copy of {data_dir}, which is held by {holder}: its runs are under way there", self.data_dir.display());
            return Failure::unavailable(what).hint(format!("reach that gantry with --data-dir {}", origins::word(&data_dir)));
        }
        // No gantry starts on a damaged journal, so that there is none to be reached.
        if matches!(error, control::Error::Nobody)
            && let Err(damage) = Sqlite::check(&self.path)
        {
            return Failure::of_journal(&damage);
        }
        let failure = Failure::unavailable(format!("{error} ({})", self.data_dir.display()));
        match error {
            control::Error::Nobody => failure.hint(format!("{}: it goes on with the runs, and this command reaches it", self.start())),
            control::Error::Deaf { .. } => failure.hint(DEAF_HINT),
            control::Error::Silent { .. } | control::Error::Slow { .. } => {
                failure.hint("look at the run with `gantry runs show`, and try again")
            }
        }
    }

    /// What to do so that the runs go on.
    pub(super) fn start(&self) -> String {
        origins::start(&self.path, &self.data_dir)
    }
}

/// A workflow's text as a plan. What was recorded as runnable is so for ever; a file may not be.
pub(in crate::cli) fn plan_of(name: &str, text: &str, digest: Digest, terminal: Terminal) -> Result<Arc<Plan>, Failure> {
    let parsed = workflow::parse(text);
    match parsed.workflow {
        Some(workflow) if parsed.diagnostics.iter().all(|one| one.severity != Severity::Error) => {
            Ok(Arc::new(Plan::new(workflow, text, digest)))
        }
        _ => Err(diagnostics::invalid(name, text, parsed.diagnostics, terminal)),
    }
}

/// The wall clock.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The moment `duration` ago.
pub(in crate::cli) fn ago(duration: std::time::Duration) -> Timestamp {
    let ms = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Timestamp::from_unix_ms(now().unix_ms().saturating_sub(ms))
}

/// How a command ends that showed a run as far as the journal can be read: one that had not ended may have gone on behind the damage.
pub(super) fn whole(journal: &Sqlite, status: RunStatus) -> Exit {
    if journal.damage().is_some() && !status.is_terminal() { Exit::Internal } else { Exit::Ok }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_names_a_directory_with_a_blank_as_one_word() {
        let site = tempfile::tempdir().unwrap();
        let (original, data_dir) = (site.path().join("my data"), site.path().join("copy"));
        let _held = DataDir::lock(&original.join(RUNS_DIR)).unwrap();
        std::fs::create_dir_all(data_dir.join(RUNS_DIR)).unwrap();
        std::fs::copy(original.join(RUNS_DIR).join("lock"), data_dir.join(RUNS_DIR).join("lock")).unwrap();
        let directory = Directory { path: data_dir.join(RUNS_DIR), data_dir, named: true, warned: Once::new() };
        let hint = directory.unanswered(&control::Error::Nobody).hint.unwrap();
        assert_eq!(hint, format!("reach that gantry with --data-dir '{}'", original.canonicalize().unwrap().display()));
    }
}
