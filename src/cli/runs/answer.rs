//! `gantry runs answer`.

use std::io::Read;
use std::path::PathBuf;

use serde_json::Value;

use super::super::exit::{Exit, Failure};
use super::super::terminal::{Terminal, say};
use super::directory::{DirectoryChoice, plan_of};
use crate::config::Config;
use crate::control::Wish;
use crate::interpreter::RunStatus;
use crate::journal::Header;
use crate::limits;
use crate::workflow::closest;

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
    /// The step that waits, when several do: its id, or its path in a map
    #[arg(long, value_name = "STEP")]
    step: Option<String>,
    #[command(flatten)]
    directory: DirectoryChoice,
}

pub(super) async fn execute(arguments: AnswerArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let directory = arguments.directory.open(config)?;
    let text = match (arguments.answer, arguments.file) {
        (Some(text), _) => text,
        (None, Some(file)) => read(&file)?,
        (None, None) => return Err(Failure::usage("there is no answer")),
    };
    // As at the A2A endpoint: data when it is JSON, unless the step wants the text; else a text.
    let (answer, text) = match serde_json::from_str(&text) {
        Ok(answer) => (answer, Some(text)),
        Err(_) => (Value::String(text), None),
    };
    let (_, record) = directory.find(&arguments.run).await?;
    let run = record.header.run.clone();
    let waits_for_nobody = arguments.step.is_none() && record.status == RunStatus::Running;
    let asked = directory.ask(&Wish::Answer { run: run.clone(), step: arguments.step.clone(), answer, text }).await;
    if let Err(failure) = asked {
        if failure.exit != Exit::Failed {
            return Err(failure);
        }
        return Err(match arguments.step {
            None if waits_for_nobody => failure
                .hint(format!("`gantry runs show {run}` shows what the run is at; with --step ID a step gets its answer before it asks")),
            None => failure,
            Some(step) => match unknown(&record.header, &step, terminal) {
                Some(Some(meant)) => {
                    Failure { exit: Exit::Usage, ..failure }.hint(format!("the workflow has no step `{step}`; did you mean `{meant}`?"))
                }
                Some(None) => Failure { exit: Exit::Usage, ..failure },
                None => failure,
            },
        });
    }
    say(&format!("run {run} has its answer"));
    Ok(Exit::Ok)
}

/// Set when the workflow has no step of this id, and it is no path: to the step that has nearly this id, if one has.
fn unknown(header: &Header, step: &str, terminal: Terminal) -> Option<Option<String>> {
    let plan = plan_of(&header.workflow, &header.source, header.digest.clone(), terminal).ok()?;
    if step.starts_with('/') || plan.find(step).is_some() {
        return None;
    }
    Some(closest(step, plan.nodes().map(|(_, node)| node.id.as_str())).map(str::to_owned))
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
    Ok(without_newline(text))
}

/// A file ends with a newline, which is no part of what it says.
fn without_newline(mut text: String) -> String {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::without_newline;

    #[test]
    fn one_newline_at_the_end_is_no_part_of_an_answer() {
        let cases =
            [("yes\n", "yes"), ("yes\r\n", "yes"), ("yes\n\n", "yes\n"), ("a\nb", "a\nb"), ("yes\r", "yes\r"), ("\n", ""), ("", "")];
        for (text, expected) in cases {
            assert_eq!(without_newline(text.to_owned()), expected, "{text:?}");
        }
    }
}
