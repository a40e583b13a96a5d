//! `gantry send`: one message to any A2A agent, and what comes of it.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::answer::{Answer, Style};
use super::callee::{Callee, CalleeArguments, is};
use super::exit::{Exit, Failure};
use super::run;
use super::terminal::{Terminal, one_line, say};
use crate::a2a::{ErrorCode, Message, Part, Role, SKILL_EXTENSION, SendMessageConfiguration, SendMessageParams, SendMessageResponse, Task};
use crate::agent::Opened;
use crate::config::Config;
use crate::limits::STEP_TIMEOUT;
use crate::time::parse_duration;

/// The first wait between two looks at a task, and the longest. Each is half as long again as the one before.
const POLL_FIRST: Duration = Duration::from_millis(20);
const POLL_LAST: Duration = Duration::from_secs(1);
/// Looks that may fail in a row before the agent counts as gone.
const POLL_FAILURES_MAX: u32 = 5;

/// Arguments of `gantry send`.
#[derive(Debug, clap::Args)]
pub struct SendArguments {
    #[command(flatten)]
    callee: CalleeArguments,
    /// What to say
    #[arg(value_name = "TEXT", required_unless_present = "data")]
    text: Option<String>,
    /// The skill that is meant
    #[arg(long, value_name = "SKILL")]
    skill: Option<String>,
    /// Data beside the text or instead of it; `@FILE` reads a file, `-` standard input
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    data: Option<String>,
    /// Show states, messages and results as they come
    #[arg(long)]
    stream: bool,
    /// Return as soon as there is a task
    #[arg(long, conflicts_with = "stream")]
    no_wait: bool,
    /// Print JSON of A2A 1.0: one object, or one a line with --stream
    #[arg(long)]
    json: bool,
    /// The conversation that the message belongs to
    #[arg(long, value_name = "ID")]
    context: Option<String>,
    /// The task that the message answers
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// The message's id, so that a repeat is known as one [default: a new one]
    #[arg(long, value_name = "ID")]
    message_id: Option<String>,
    /// Wait no longer than this [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

impl SendArguments {
    fn message(&self) -> Result<Message, Failure> {
        let mut message = Message {
            message_id: self.message_id.clone().unwrap_or_else(|| Uuid::new_v4().to_string()),
            context_id: self.context.clone(),
            task_id: self.task.clone(),
            role: Role::User,
            parts: self.text.iter().map(Part::text).collect(),
            ..Message::default()
        };
        if let Some(data) = &self.data {
            message.parts.push(Part::data(read_data(data)?));
        }
        if let Some(skill) = &self.skill {
            message.metadata.insert(SKILL_EXTENSION.to_owned(), json!({ "skill": skill }));
            message.metadata.insert("skill".to_owned(), Value::String(skill.clone()));
            message.extensions.push(SKILL_EXTENSION.to_owned());
        }
        Ok(message)
    }

    fn style(&self) -> Style {
        match (self.json, self.stream) {
            (false, _) => Style::Human,
            (true, false) => Style::Json,
            (true, true) => Style::JsonLines,
        }
    }
}

pub(super) async fn execute(arguments: SendArguments, config: &Config, terminal: Terminal) -> Result<Exit, Failure> {
    let message = arguments.message()?;
    let timeout = arguments.timeout.unwrap_or(STEP_TIMEOUT);
    let callee = Callee::find(&arguments.callee, config, Some(timeout)).await?;
    warn_of_skill(&arguments, &callee);
    let mut answer = Answer::new(&callee.url, arguments.style(), terminal);
    let sent = if arguments.stream {
        stream(&callee, message, &mut answer).await
    } else {
        send(&callee, message, !arguments.no_wait, &mut answer).await
    };
    sent.map_err(|failure| answer.left(failure))?;
    Ok(answer.exit())
}

/// Extended cards may have more skills than the public one, so that this is no error.
fn warn_of_skill(arguments: &SendArguments, callee: &Callee) {
    let (Some(skill), Some(card)) = (&arguments.skill, &callee.card) else { return };
    if card.skill(skill).is_some() || arguments.json {
        return;
    }
    let offered = card.skills.iter().map(|skill| skill.id.as_str()).collect::<Vec<_>>().join(", ");
    say(&format!("warning: the card of `{}` names no skill `{skill}`; it names: {}", one_line(&card.name, 80), one_line(&offered, 400)));
}

/// Streams, or waits for the whole answer when the agent does not stream.
async fn stream(callee: &Callee, message: Message, answer: &mut Answer) -> Result<(), Failure> {
    let params = SendMessageParams { message: message.clone(), ..SendMessageParams::default() };
    let opened = callee
        .within(async {
            match callee.agent.stream(params).await {
                Err(error) if is(&error, ErrorCode::UnsupportedOperation) || is(&error, ErrorCode::MethodNotFound) => Ok(None),
                opened => opened.map(Some),
            }
        })
        .await?;
    match opened {
        Some(Opened::Updates(updates)) => answer.stream(callee, updates).await,
        Some(Opened::Reply(reply)) => whole(callee, reply, true, answer).await,
        // Refused before anything was begun, so that sending it again begins nothing twice; a task that has ended says so again.
        None => send(callee, message, true, answer).await,
    }
}

/// Sends the message; the answer is the task as it is at its end, or the agent's message.
async fn send(callee: &Callee, message: Message, wait: bool, answer: &mut Answer) -> Result<(), Failure> {
    // At once, so that the task's id is known and a timeout leaves nothing behind that cannot be found again.
    let configuration = Some(SendMessageConfiguration { return_immediately: true, ..SendMessageConfiguration::default() });
    let params = SendMessageParams { message, configuration, ..SendMessageParams::default() };
    let reply = callee.within(callee.agent.send_message(params)).await?;
    whole(callee, reply, wait, answer).await
}

async fn whole(callee: &Callee, reply: SendMessageResponse, wait: bool, answer: &mut Answer) -> Result<(), Failure> {
    let reply = match reply {
        SendMessageResponse::Task(task) if wait && !is_settled(&task) => {
            answer.begun(&task);
            SendMessageResponse::Task(settled(callee, task.id, answer).await?)
        }
        reply => reply,
    };
    answer.reply(reply)
}

/// Looks at a task until it has ended or waits for its caller.
async fn settled(callee: &Callee, id: String, answer: &mut Answer) -> Result<Task, Failure> {
    let mut wait = POLL_FIRST;
    let mut failures = 0;
    loop {
        let looked = callee.within(async {
            tokio::time::sleep(wait).await;
            match callee.agent.get_task(&id, None).await {
                Err(error) if error.is_transient() && failures < POLL_FAILURES_MAX => Ok(Err(error.retry_after)),
                looked => looked.map(Ok),
            }
        });
        wait = match looked.await? {
            Ok(task) if is_settled(&task) => return Ok(task),
            Ok(task) => {
                failures = 0;
                answer.begun(&task);
                (wait * 3 / 2).min(POLL_LAST)
            }
            Err(retry_after) => {
                failures += 1;
                (wait * 3 / 2).min(POLL_LAST).max(retry_after.unwrap_or_default())
            }
        };
    }
}

fn is_settled(task: &Task) -> bool {
    task.status.state.is_terminal() || task.status.state.is_interrupted()
}

/// JSON given as it is, in a file, or on standard input.
fn read_data(text: &str) -> Result<Value, Failure> {
    let text = match text.strip_prefix('@') {
        Some(file) => run::read(file)?,
        None if text == "-" => run::read("-")?,
        None => text.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| {
        Failure::usage(format!("--data is not JSON: {error}")).hint("for example --data '{\"count\": 3}'; plain text goes without --data")
    })
}
