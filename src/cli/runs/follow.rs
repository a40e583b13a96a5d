//! `gantry runs follow`.

use serde::Deserialize as _;
use serde_json::{Value, json};

use super::super::exit::{Exit, Failure};
use super::super::terminal::{self, Terminal, one_line, place};
use super::directory::{DirectoryChoice, now};
use super::show::timeline_of;
use super::timeline;
use crate::config::Config;
use crate::control::{self, Reply, Wish};
use crate::interpreter::StepError;

/// Arguments of `gantry runs follow`.
#[derive(Debug, clap::Args)]
pub struct FollowArguments {
    /// The run's id, or its beginning
    #[arg(value_name = "RUN")]
    run: String,
    #[command(flatten)]
    directory: DirectoryChoice,
    /// Print a JSON object on each line
    #[arg(long)]
    json: bool,
}

/// Ends with the run: with success when it completed. A gantry that stops before that is an error of its own: nothing is known of the
/// run's end yet.
pub(super) async fn execute(arguments: FollowArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let directory = arguments.directory.open(config)?;
    let (_, record) = directory.find(&arguments.run).await?;
    let run = record.header.run;
    if record.status.is_terminal() {
        let told = timeline_of(&directory, run.as_str(), terminal).await?;
        if arguments.json {
            line(&json!({ "timeline": told }))?
        } else {
            terminal::data(&timeline::render(&told, now()))?
        }
        return Ok(exit(record.status.as_str()));
    }
    let mut asked =
        control::ask(&directory.path, &Wish::Follow { run: run.clone() }).await.map_err(|error| directory.unanswered(&error))?;
    let again = || format!("{}: it goes on with the run, and this command follows it again", directory.start());
    let mut status = None;
    loop {
        let reply = asked.next().await.map_err(|error| match &status {
            None => directory.unanswered(&error),
            Some(_) => Failure::unavailable(format!("run `{run}` has not ended: {error}")).hint(again()),
        })?;
        match reply {
            Reply::Snapshot(snapshot) => {
                status = Some(text(&snapshot["status"]));
                if arguments.json { line(&json!({ "snapshot": snapshot }))? } else { catch_up(&snapshot)? }
            }
            Reply::Update(update) => {
                if update["change"] == "run_finished" {
                    status = Some(text(&update["outcome"]["status"]));
                }
                if arguments.json { line(&json!({ "update": update }))? } else { tell(&update)? }
            }
            Reply::Done(_) => return Ok(exit(status.as_deref().unwrap_or_default())),
            Reply::Parked => {
                return Err(
                    Failure::unavailable(format!("run `{run}` is parked: the gantry that drives it is shutting down")).hint(again())
                );
            }
            Reply::Stopped => {
                return Err(Failure::internal(format!("run `{run}` stopped before its end; the log of its gantry says why"))
                    .hint("it goes on when that gantry starts again"));
            }
            Reply::Broken(why) => return Err(Failure::internal(why)),
            Reply::Refused(why) | Reply::Misfit(why) => return Err(Failure::new(Exit::Failed, why)),
        }
    }
}

fn exit(status: &str) -> Exit {
    if status == "completed" { Exit::Ok } else { Exit::Failed }
}

fn line(value: &Value) -> Result<(), Failure> {
    terminal::data(&value.to_string())
}

/// Where the run is at this moment.
fn catch_up(snapshot: &Value) -> Result<(), Failure> {
    terminal::data(&format!("run {} is {}", text(&snapshot["run"]), text(&snapshot["status"])))?;
    for step in snapshot["steps"].as_array().into_iter().flatten().filter(|step| step["status"] != "pending") {
        terminal::data(&format!("  {} {}", one_line(&text(&step["id"]), 60), text(&step["status"])))?;
    }
    Ok(())
}

fn tell(update: &Value) -> Result<(), Failure> {
    let step = one_line(&text(&update["step"]), 60);
    let said = match update["change"].as_str().unwrap_or_default() {
        "run_started" => "the run started".to_owned(),
        "step_started" => format!("{step} started, try {}", update["attempt"]),
        "step_retrying" => format!("{step} failed and is tried again: {}", message(&update["error"])),
        "step_waiting" => format!("{step} waits for an answer: {}", one_line(&update["question"]["prompt"].to_string(), 200)),
        "step_finished" if update["error"].is_null() => format!("{step} {}", text(&update["status"])),
        "step_finished" => format!("{step} {}: {}", text(&update["status"]), message(&update["error"])),
        "run_finished" => match (&update["outcome"]["error"], &update["outcome"]["reason"]) {
            (Value::Null, Value::Null) => "the run completed".to_owned(),
            (Value::Null, reason) => format!("the run was canceled: {}", one_line(&text(reason), 200)),
            (error, _) => format!("the run failed: {}", whole(error)),
        },
        other => one_line(other, 40),
    };
    terminal::data(&format!("{} {said}", text(&update["at"])))
}

/// An error with its place in the workflow's text, and what to do about it.
fn whole(error: &Value) -> String {
    let place = StepError::deserialize(error).map_or(String::new(), |error| place(&error, None));
    let hint = error["hint"].as_str().map_or(String::new(), |hint| format!("; {}", one_line(hint, 200)));
    format!("{place}{}{hint}", message(error))
}

fn message(error: &Value) -> String {
    one_line(&text(&error["message"]), 200)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
