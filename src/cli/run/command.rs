//! The arguments of `gantry run`, and its way: surroundings, workflow, input, run, report.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::arguments::{CallsChoice, ModelChoice, RegistryChoice};
use super::super::exit::{Exit, Failure, chain};
use super::super::origins::{Origins, word};
use super::super::runs::{self, RetryArguments};
use super::super::serve::open_journal;
use super::super::surroundings::{Surroundings, engine_options};
use super::super::terminal::{self, Terminal, say};
use super::follow::{Ended, follow};
use super::input::{InputArguments, as_text, assemble};
use super::progress::Progress;
use super::report::{Origin, Report};
use super::{find, save, show};
use crate::config::Config;
use crate::engine::embedded::Embedded;
use crate::engine::{self, Engine, Start, Subscription};
use crate::ids::RunId;
use crate::interpreter::{ErrorClass, RunStatus};
use crate::journal::DataDir;
use crate::limits::{self, MESSAGE_ID_BYTES_MAX};
use crate::plan::Plan;
use crate::shutdown::Shutdown;
use crate::time::parse_duration;

/// How long agents have to hear that a run was canceled.
const GRACE: Duration = Duration::from_secs(5);

/// The workflow that runs when none is named.
const WORKFLOW: &str = "code-generation-v1";

/// What else can be done with a run by this name.
#[derive(Debug, clap::Subcommand)]
pub(super) enum RunCommand {
    /// Go on where a run failed or was canceled: the same as `gantry runs retry`
    Retry(RetryArguments),
}

/// Arguments of `gantry run`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RunArguments {
    #[command(subcommand)]
    command: Option<RunCommand>,
    #[command(flatten)]
    input: InputArguments,
    /// Workflow: its id, `id:tag`, `id@sha256:…`, `host/repository:tag`, or a YAML file [default: code-generation-v1]
    #[arg(short, long, value_name = "ID|FILE")]
    workflow: Option<String>,
    /// The version, when the workflow is given by id
    #[arg(long, value_name = "TAG")]
    version: Option<String>,
    /// Add an agent for this run, by its card in a file or at a URL; given more than once for several
    #[arg(long = "agent-card", value_name = "FILE|URL")]
    agent_cards: Vec<String>,
    #[command(flatten)]
    registry: RegistryChoice,
    #[command(flatten)]
    model: ModelChoice,
    #[command(flatten)]
    calls: CallsChoice,
    /// Where results are saved
    #[arg(long, value_name = "DIR", default_value = "app")]
    out: PathBuf,
    /// Save nothing
    #[arg(long, conflicts_with = "out")]
    no_save: bool,
    /// Print one JSON object instead of the results
    #[arg(long)]
    json: bool,
    /// Print nothing but the output
    #[arg(short, long)]
    quiet: bool,
    /// Keep the run in this data directory, for `gantry runs` [default: it is kept in memory]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The same key gives the same run: one that was started with it is told again, or gone on with
    #[arg(long, value_name = "KEY", requires = "data_dir")]
    idempotency_key: Option<String>,
    /// Cancel the run when it takes longer: `90`, `30s`, `5m`
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

impl RunArguments {
    fn workflow(&self) -> &str {
        self.workflow.as_deref().unwrap_or(WORKFLOW)
    }
}

pub(in crate::cli) async fn execute(
    arguments: RunArguments,
    mut config: Config,
    terminal: Terminal,
    shutdown: &Shutdown,
) -> Result<Exit, Failure> {
    if let Some(RunCommand::Retry(arguments)) = arguments.command {
        return runs::retry(arguments, &config).await;
    }
    arguments.model.apply(&mut config);
    arguments.calls.apply(&mut config);
    if arguments.timeout == Some(Duration::ZERO) {
        return Err(Failure::usage("`--timeout` must be longer than nothing").hint("for example --timeout 90, or leave it away"));
    }
    if let Some(file) = arguments.input.request.as_deref().filter(|request| arguments.workflow.is_none() && find::is_workflow_file(request))
    {
        return Err(Failure::usage(format!("`{file}` is a file, and would be taken for a request to `{WORKFLOW}`"))
            .hint(format!("`gantry run --workflow {}` runs what is in it; `--workflow {WORKFLOW}` means the request", word(file))));
    }
    // Not by the parser of the command line, which shows the whole of what it refuses.
    match arguments.idempotency_key.as_deref().map(str::len) {
        Some(0) => return Err(Failure::usage("`--idempotency-key`: a key has at least one character")),
        Some(length) if length > MESSAGE_ID_BYTES_MAX => {
            return Err(Failure::usage(format!("`--idempotency-key`: a key has at most {MESSAGE_ID_BYTES_MAX} bytes, this one {length}")));
        }
        Some(_) | None => {}
    }
    match run(&arguments, &config, terminal, shutdown).await {
        Ok(begun) => begun,
        Err(failure) => {
            if arguments.json {
                terminal::json(&without_report(None, &failure))?;
            }
            Err(failure)
        }
    }
}

/// A reader of JSON gets its one object also when there was no run, or it was lost sight of.
fn without_report(run: Option<&RunId>, failure: &Failure) -> Value {
    let status = if run.is_some() { "unknown" } else { "not_started" };
    let error = json!({"message": failure.message, "hint": failure.hint, "diagnostics": failure.diagnostics});
    json!({"run_id": run, "status": status, "error": error})
}

/// How a run that has begun ended, of which everything is told, or why none has begun.
type Begun = Result<Result<Exit, Failure>, Failure>;

async fn run(arguments: &RunArguments, config: &Config, terminal: Terminal, shutdown: &Shutdown) -> Begun {
    let surroundings = tokio::select! {
        found = Surroundings::find_or_start(&arguments.registry, config, terminal, Some(arguments.workflow())) => found?,
        () = shutdown.requested().cancelled() => return Err(Failure::new(Exit::Interrupted, "interrupted before the run started")),
    };
    let outcome = run_in(&surroundings, arguments, config, terminal, shutdown).await;
    surroundings.shutdown().await;
    outcome
}

async fn run_in(surroundings: &Surroundings, arguments: &RunArguments, config: &Config, terminal: Terminal, shutdown: &Shutdown) -> Begun {
    let agents = surroundings.agent_client(config);
    let prepared = async {
        find::add_cards(&arguments.agent_cards, &surroundings.discovery, &agents).await?;
        find::workflow(arguments.workflow(), arguments.version.as_deref(), surroundings).await
    };
    let (plan, origin) = tokio::select! {
        found = prepared => found?,
        () = shutdown.requested().cancelled() => return Err(Failure::new(Exit::Interrupted, "interrupted before the run started")),
    };
    let input = assemble(&arguments.input, plan.workflow().input.as_deref())?;
    let chatty = !arguments.quiet && !arguments.json;
    if chatty {
        say(&format!("{} ({}) with {}", origin.reference, origin.choice, surroundings.location));
        input.note.iter().for_each(|note| say(note));
    }
    if arguments.model.model.is_some() && !surroundings.is_built_in() {
        say(&format!(
            "--model has no effect: it is for the sample agents that are built in, and those of {} are called",
            surroundings.location
        ));
    }
    if !arguments.no_save {
        save::check(&arguments.out).map_err(|error| {
            Failure::usage(format!("the run was not started: {error}"))
                .hint("choose another directory with --out, or save nothing with --no-save")
        })?;
    }
    let origins = origins(surroundings, arguments);
    // Held until the run has ended: nobody else may write there meanwhile.
    let (journal, mut held) = open_journal(arguments.data_dir.as_deref())?;
    let engine = Embedded::new(engine_options(config, surroundings.is_built_in()), surroundings.discovery.clone(), agents, journal);
    let value = Arc::new(input.value);
    // Kept apart from the keys that callers of a server choose: those begin with a name.
    let key = arguments.idempotency_key.as_ref().map(|key| format!("\u{1f}gantry run\u{1f}{key}"));
    let start = Start { idempotency_key: key, ..Start::new(plan.clone(), value.clone()) };
    let started = engine.start_watched(start).await;
    let (started, watched) = started.map_err(|error| refused(error, &plan, arguments))?;
    // Now that there is something that may have to go on; it does so already, whether it can be noted or not.
    if let Some(held) = &mut held
        && let Err(failure) = origins.note(held)
    {
        tracing::warn!(error = failure.message, "the data directory does not say where the agents of this run are found");
    }
    if !started.new {
        engine.go_on_with(&started.run).await.map_err(|error| Failure::internal(chain(&error)))?;
        if chatty {
            say(&format!("run {} was started with this idempotency key before", started.run));
            let status = engine.summary(&started.run).await.map(|summary| summary.status);
            if matches!(status, Ok(RunStatus::Failed | RunStatus::Canceled)) {
                say("  it has ended and is not run again: choose another key for a new run");
            }
        }
    }
    let run = Running { engine: &engine, run: started.run.clone(), plan: &plan, origin: &origin, input: value };
    let ended = attend(run, watched, surroundings, arguments, terminal, shutdown).await;
    if let (Some(held), Ok(summary)) = (&mut held, engine.summary(&started.run).await) {
        leave(held, summary.status);
    }
    Ok(ended)
}

/// Leaves a data directory with what it said of agents before. Nothing of a run that has ended goes on by itself; one that may be retried is
/// told of where nothing else is known.
fn leave(held: &mut DataDir, status: RunStatus) {
    let is_told = match status {
        RunStatus::Running | RunStatus::InputRequired => true,
        RunStatus::Failed | RunStatus::Canceled => !held.was_noted(),
        RunStatus::Completed => false,
    };
    if !is_told && let Err(error) = held.note_earlier() {
        tracing::warn!(error = chain(&error), "what the data directory says of agents is of this run");
    }
}

/// Where the agents of the run are found.
fn origins(surroundings: &Surroundings, arguments: &RunArguments) -> Origins {
    let model = arguments.model.model.as_deref().filter(|_| surroundings.is_built_in());
    surroundings.origins().with_cards(&arguments.agent_cards).with_model(model)
}

/// A run that has begun.
struct Running<'a> {
    engine: &'a Embedded,
    run: RunId,
    plan: &'a Plan,
    origin: &'a Origin,
    input: Arc<Value>,
}

/// Watches it until its end, and tells what it came to.
async fn attend(
    running: Running<'_>,
    watched: Option<Subscription>,
    surroundings: &Surroundings,
    arguments: &RunArguments,
    terminal: Terminal,
    shutdown: &Shutdown,
) -> Result<Exit, Failure> {
    let Running { engine, run, plan, origin, input } = running;
    let mut progress = Progress::new(arguments.quiet || arguments.json, terminal);
    let followed = follow(engine, &run, watched, plan, &mut progress, shutdown, arguments.timeout).await;
    if let (true, Err(failure)) = (arguments.json, &followed) {
        terminal::json(&without_report(Some(&run), failure))?;
    }
    let (snapshot, ended) = followed?;
    engine.shutdown(GRACE).await;
    let mut report = Report::new(plan, origin, input, &snapshot);
    if arguments.json && plan.repeats() {
        match engine.updates(&run, 0, limits::REPORT_UPDATES_MAX).await {
            Ok(updates) => report.add_repetitions(plan, updates, limits::REPORT_UPDATES_MAX),
            // The run has ended, and what is known of it is told.
            Err(error) => {
                tracing::warn!(%error, "what steps in maps and loops came to each time cannot be read");
                report.has_more_steps = true;
            }
        }
    }
    explain(&mut report, surroundings);
    tell(&report, arguments, terminal)?;
    match (ended, report.status) {
        (_, RunStatus::Completed) => Ok(Exit::Ok),
        (Ended::Interrupted, _) => Ok(Exit::Interrupted),
        (Ended::Stopped, _) => Err(stopped(&run, surroundings, arguments)),
        (_, RunStatus::Failed | RunStatus::Canceled | RunStatus::Running | RunStatus::InputRequired) => Ok(Exit::Failed),
    }
}

/// A run that goes no further has not failed: its journal did, or the engine.
fn stopped(run: &RunId, surroundings: &Surroundings, arguments: &RunArguments) -> Failure {
    let goes_on = match (&arguments.idempotency_key, &arguments.data_dir) {
        (Some(_), _) => Some("the same command goes on with it".to_owned()),
        (None, Some(data_dir)) => Some(format!("{}: it goes on with the run", origins(surroundings, arguments).start(data_dir))),
        (None, None) => None,
    };
    Failure::internal(format!("run `{run}` stopped before its end; the log says why"))
        .hint(goes_on.unwrap_or_else(|| "it was kept in memory; run it again".to_owned()))
}

/// Prints and saves what there is.
fn tell(report: &Report, arguments: &RunArguments, terminal: Terminal) -> Result<(), Failure> {
    let saved = if arguments.no_save { Ok(None) } else { save::save(report, &arguments.out).map(Some) };
    if arguments.json {
        terminal::json(report)?;
    } else if arguments.quiet {
        if let Some(output) = show::output(report) {
            terminal::data(&output)?;
        }
        if report.status != RunStatus::Completed {
            say(&show::outcome(report, terminal));
        }
    } else {
        terminal::data(&show::results(report, terminal))?;
        say(&show::outcome(report, terminal));
        if let Ok(Some(saved)) = &saved {
            say(&format!("  saved in {}: {}", saved.directory.display(), saved.files.join(" ")));
            if !saved.kept.is_empty() {
                say(&format!("  kept, since it was changed: {}", saved.kept.join(" ")));
            }
        }
    }
    match saved {
        Ok(_) => Ok(()),
        Err(error) => {
            Err(Failure::internal(chain(&error))
                .hint("the run itself has ended as shown; choose another directory with --out, or --no-save"))
        }
    }
}

/// Adds what to do next where only the command line knows it.
fn explain(report: &mut Report, surroundings: &Surroundings) {
    if let Some(error) = &mut report.error
        && error.code == ErrorClass::NoAgent
        && error.hint.is_none()
    {
        let ways = if surroundings.is_built_in() {
            "add one with --agent-card, or use a registry that has one with --registry"
        } else {
            "push a card with `gantry agent push FILE`, add one with --agent-card, or use --embedded"
        };
        error.hint = Some(format!("{} has no agent for it: {ways}", surroundings.location));
    }
}

fn refused(error: engine::Error, plan: &Plan, arguments: &RunArguments) -> Failure {
    match &error {
        engine::Error::InvalidInput(_) => {
            let hint = as_text(&arguments.input, plan.workflow().input.as_deref())
                .unwrap_or_else(|| "give inputs as a request, with --input KEY=VALUE, or with --input-file".to_owned());
            Failure::usage(error.to_string()).hint(hint)
        }
        engine::Error::Limit(_) | engine::Error::Cycle(_) | engine::Error::References(_) => Failure::new(Exit::Failed, error.to_string()),
        engine::Error::Busy(_) | engine::Error::Full(_) => Failure::unavailable(error.to_string()),
        engine::Error::KeyReused(_) => {
            let key = arguments.idempotency_key.clone().unwrap_or_default();
            Failure::usage(engine::Error::KeyReused(key).to_string())
                .hint("choose another key, or give the workflow and input of the first time")
        }
        engine::Error::NotFound(_)
        | engine::Error::Ended { .. }
        | engine::Error::NotWaiting { .. }
        | engine::Error::NotRetryable { .. }
        | engine::Error::ShuttingDown
        | engine::Error::Journal(_)
        | engine::Error::Damaged(_)
        | engine::Error::Mismatch(_) => Failure::internal(chain(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_report_it_is_told_whether_a_run_has_begun() {
        let failure = Failure::internal("lost").hint("look");
        let run = RunId::parse("r").unwrap();
        for (run, id, status) in [(None, json!(null), "not_started"), (Some(&run), json!("r"), "unknown")] {
            let error = json!({"message": "lost", "hint": "look", "diagnostics": []});
            assert_eq!(without_report(run, &failure), json!({"run_id": id, "status": status, "error": error}));
        }
    }

    #[test]
    fn a_run_that_has_ended_leaves_what_was_noted_before_it() {
        let site = tempfile::tempdir().unwrap();
        for (earlier, status, left) in [
            (None, RunStatus::Completed, None),
            // It may be retried.
            (None, RunStatus::Failed, Some("own")),
            (None, RunStatus::Canceled, Some("own")),
            (None, RunStatus::Running, Some("own")),
            (None, RunStatus::InputRequired, Some("own")),
            (Some("earlier"), RunStatus::Completed, Some("earlier")),
            (Some("earlier"), RunStatus::Failed, Some("earlier")),
            (Some("earlier"), RunStatus::Canceled, Some("earlier")),
            (Some("earlier"), RunStatus::Running, Some("own")),
        ] {
            DataDir::lock(site.path()).unwrap().note(earlier.unwrap_or_default()).unwrap();
            let mut held = DataDir::lock(site.path()).unwrap();
            held.note("own").unwrap();
            leave(&mut held, status);
            assert_eq!(DataDir::noted(site.path()).as_deref(), left, "{status:?} after {earlier:?}");
            drop(held);
            assert_eq!(DataDir::noted(site.path()).as_deref(), left, "{status:?} after {earlier:?}: its holder has ended");
        }
    }
}
