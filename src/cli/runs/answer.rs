//! `gantry runs answer`.

use std::io::Read;
use std::path::PathBuf;

use serde_json::Value;

use super::super::exit::{Exit, Failure};
use super::super::terminal::say;
use super::directory::DirectoryChoice;
use crate::config::Config;
use crate::control::Wish;
use crate::interpreter::RunStatus;
use crate::limits;

/// Arguments of `gantry runs answer`.
#[derive(Debug, clap::Args)]
pub struct AnswerArguments {
    /// The run's id, or its beginning
    #[arg(value_name = "RUN")]
    run: String,
    /// The answer: JSON, or a text
    #[arg(value_name = "ANSWER", required_unless_present = "file")]
    answer: Option<String>,
    /// Take the answer from a file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "answer")]
    file: Option<PathBuf>,
    /// The step that waits, when several do
    #[arg(long, value_name = "ID")]
    step: Option<String>,
    #[command(flatten)]
    directory: DirectoryChoice,
}

pub(super) async fn execute(arguments: AnswerArguments, config: &Config) -> Result<Exit, Failure> {
    let directory = arguments.directory.open(config)?;
    let text = match (arguments.answer, arguments.file) {
        (Some(text), _) => text,
        (None, Some(file)) => read(&file)?,
        (None, None) => return Err(Failure::usage("there is no answer")),
    };
    // As at the A2A endpoint: data when it is JSON, else a text.
    let answer = serde_json::from_str(&text).unwrap_or(Value::String(text));
    let (_, record) = directory.find(&arguments.run).await?;
    let run = record.header.run;
    let waits_for_nobody = arguments.step.is_none() && record.status == RunStatus::Running;
    directory.ask(&Wish::Answer { run: run.clone(), step: arguments.step, answer }).await.map_err(|failure| match failure.exit {
        Exit::Failed if waits_for_nobody => {
            failure.hint(format!("`gantry runs show {run}` shows what the run is at; with --step ID a step gets its answer before it asks"))
        }
        _ => failure,
    })?;
    say(&format!("run {run} has its answer"));
    Ok(Exit::Ok)
}

fn read(file: &PathBuf) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::usage(format!("cannot read `{}`: {error}", file.display()));
    let mut text = String::new();
    let bytes_max = limits::RUN_INPUT_BYTES_MAX as u64 + 1;
    if file.as_os_str() == "-" {
        std::io::stdin().take(bytes_max).read_to_string(&mut text).map_err(failed)?;
    } else {
        std::fs::File::open(file).and_then(|file| file.take(bytes_max).read_to_string(&mut text)).map_err(failed)?;
    }
    if text.len() > limits::RUN_INPUT_BYTES_MAX {
        return Err(Failure::usage(format!("the answer is larger than {} bytes", limits::RUN_INPUT_BYTES_MAX)));
    }
    Ok(text)
}
