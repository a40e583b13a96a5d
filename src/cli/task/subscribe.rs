//! `gantry task subscribe`.

use std::time::Duration;

use super::super::answer::{Answer, Style, word};
use super::super::callee::{Callee, CalleeArguments, is};
use super::super::exit::{Exit, Failure};
use super::super::terminal::Terminal;
use crate::a2a::{ErrorCode, StreamResponse};
use crate::config::Config;
use crate::time::parse_duration;

/// Arguments of `gantry task subscribe`.
#[derive(Debug, clap::Args)]
pub struct SubscribeArguments {
    #[command(flatten)]
    callee: CalleeArguments,
    /// The task
    #[arg(value_name = "ID")]
    id: String,
    /// Print JSON of A2A 1.0, one object a line
    #[arg(long)]
    json: bool,
    /// Follow it no longer than this [default: to its end]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

pub(super) async fn execute(arguments: SubscribeArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let callee = Callee::find(&arguments.callee, config, arguments.timeout).await?;
    let style = if arguments.json { Style::JsonLines } else { Style::Human };
    let mut answer = Answer::new(&callee.url, style, terminal);
    follow(&callee, &arguments.id, &mut answer).await.map_err(|failure| answer.left(failure))?;
    Ok(answer.exit())
}

async fn follow(callee: &Callee, id: &str, answer: &mut Answer) -> Result<(), Failure> {
    let opened = callee
        .within(async {
            match callee.agent.subscribe(id).await {
                Err(error) if is(&error, ErrorCode::UnsupportedOperation) => Ok(None),
                opened => opened.map(Some),
            }
        })
        .await?;
    let Some(updates) = opened else {
        // A task that has ended has no more events, but it has an end.
        let task = callee.within(callee.agent.get_task(id, None)).await?;
        if !task.status.state.is_terminal() {
            return Err(Failure::unavailable("the agent does not stream, so the task cannot be followed").hint(format!(
                "look at it with: gantry task get {} {}",
                callee.url,
                word(id)
            )));
        }
        return answer.event(StreamResponse::Task(task));
    };
    answer.stream(callee, updates).await
}
