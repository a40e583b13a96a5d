//! Follows one A2A call to its end in either dialect: send, stream or poll, recover when a stream breaks, and cancel the
//! remote task if the call is given up.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::call::{Call, Progress, Question, Remote, Reply};
use super::endpoint::{Endpoint, Opened};
use super::error::{ErrorKind, Failure, Reach};
use super::opening::Opening;
use super::reply;
use super::stream::Events;
use super::watch::Watch;
use crate::a2a::{
    ErrorCode, Message, SendMessageConfiguration, SendMessageParams, SendMessageResponse, Shape, Task, TaskState, TaskStatus,
    normalize_numbers, parts_value, reply_value,
};

/// The first wait between two looks at a task, and the longest. Each is half as long again as the one before.
const POLL_FIRST: Duration = Duration::from_millis(10);
const POLL_LAST: Duration = Duration::from_secs(1);
/// Looks that may fail in a row before the agent counts as gone.
const POLL_FAILURES_MAX: u32 = 5;
/// Streams that are opened anew in one call before polling takes over.
const SUBSCRIBE_MAX: u32 = 3;

/// Where a call ended before its value was read.
enum Ended {
    /// The agent answered with a message.
    Message(Message),
    /// The task is terminal or interrupted.
    Settled,
    /// The stream broke; the task goes on somewhere.
    Broken(Failure),
}

/// Dropping the future gives the call up, and the remote task with it.
pub(super) async fn call(endpoint: &Arc<Endpoint>, call: &Call, on_progress: &mut (dyn FnMut(Progress) + Send)) -> Result<Reply, Failure> {
    let mut watch = Watch::new(endpoint, call.resume.as_ref(), on_progress);
    let outcome = drive(endpoint, call, &mut watch).await;
    match &outcome {
        // What was answered cannot be used, so whatever still runs there is in vain.
        Err(failure) if matches!(failure.kind, ErrorKind::InvalidReply | ErrorKind::TooLarge) => endpoint.hold.keep(),
        // An agent that is out of reach may remember the message when it is repeated: its task is left alone.
        Ok(_) | Err(_) => watch.disarm(),
    }
    outcome
}

async fn drive(endpoint: &Arc<Endpoint>, call: &Call, watch: &mut Watch<'_>) -> Result<Reply, Failure> {
    let opened = open(endpoint, call).await?;
    finish(endpoint, call, watch, opened).await.map_err(Failure::after_begin)
}

/// What comes after the agent has taken the message.
async fn finish(endpoint: &Arc<Endpoint>, call: &Call, watch: &mut Watch<'_>, opened: Opened) -> Result<Reply, Failure> {
    let ended = match opened {
        Opened::Reply(SendMessageResponse::Message(message)) => Ended::Message(message),
        Opened::Reply(SendMessageResponse::Task(task)) => {
            watch.snapshot(task, 0)?;
            if watch.is_settled() { Ended::Settled } else { poll(endpoint, watch).await? }
        }
        Opened::Stream(events, id) => {
            watch.begin_stream(call.resume.is_none());
            match follow(endpoint, events, &id, watch).await? {
                Ended::Broken(failure) => recover(endpoint, watch, failure).await?,
                ended => ended,
            }
        }
    };
    let shape = Shape::of(call.card.skill(&call.skill).and_then(|skill| skill.output_schema.as_ref()));
    match ended {
        Ended::Message(message) => value(parts_value(message.parts, shape), call),
        Ended::Broken(failure) => Err(failure),
        Ended::Settled => {
            if !watch.is_complete() {
                let (task, bytes) = endpoint.task(watch.task_id().unwrap_or_default()).await?;
                watch.snapshot(task, bytes)?;
            }
            settle(watch.take(), shape, call)
        }
    }
}

/// Gives a call up that is not under way here: the message that made it finds its task.
pub(super) fn take_back(endpoint: &Arc<Endpoint>, call: &Call) {
    Opening::give_up(endpoint, params(endpoint, call), call.card.streaming);
}

/// Sends the message.
async fn open(endpoint: &Arc<Endpoint>, call: &Call) -> Result<Opened, Failure> {
    Opening::send(endpoint, params(endpoint, call), call.card.streaming).await
}

fn params(endpoint: &Endpoint, call: &Call) -> SendMessageParams {
    let metadata = call.metadata.as_deref().cloned().unwrap_or_default();
    let mut message = Message::calling(&call.card, &call.skill, &call.inputs, &call.message_id, metadata);
    if let Some(remote) = &call.resume {
        message.task_id = Some(remote.task_id.clone());
        message.context_id = Some(remote.context_id.clone()).filter(|id| !id.is_empty());
    }
    // At once, so that the task is known. One that is known is waited for: an agent that answered at once could only say that it still
    // waits for what this message tells it, which looks like another question.
    let return_immediately = call.resume.is_none();
    let configuration = Some(SendMessageConfiguration { return_immediately, ..SendMessageConfiguration::default() });
    SendMessageParams { tenant: endpoint.tenant(), message, configuration, ..SendMessageParams::default() }
}

pub(super) fn is(failure: &Failure, codes: &[ErrorCode]) -> bool {
    failure.code.and_then(ErrorCode::from_number).is_some_and(|code| codes.contains(&code))
}

async fn follow(endpoint: &Endpoint, mut events: Events, id: &str, watch: &mut Watch<'_>) -> Result<Ended, Failure> {
    loop {
        let data = match events.next().await {
            Ok(Some(data)) => data,
            Ok(None) => return Ok(Ended::Broken(Failure::new(ErrorKind::Unavailable, "its stream ended before its task did"))),
            Err(failure) if failure.kind == ErrorKind::Unavailable => return Ok(Ended::Broken(failure)),
            Err(failure) => return Err(failure),
        };
        if let Some(message) = watch.apply(endpoint.event(&data, id)?, data.len())? {
            return Ok(Ended::Message(message));
        }
        if watch.is_settled() {
            return Ok(Ended::Settled);
        }
    }
}

/// A stream broke: subscribe again, and poll when that does not help. Without a task there is nothing to go back to.
async fn recover(endpoint: &Endpoint, watch: &mut Watch<'_>, broken: Failure) -> Result<Ended, Failure> {
    let Some(task_id) = watch.task_id().map(str::to_owned) else { return Err(broken) };
    let mut wait = POLL_FIRST;
    for _ in 0..SUBSCRIBE_MAX {
        tokio::time::sleep(wait).await;
        wait = next_wait(wait);
        let (events, id) = match endpoint.subscribe(&task_id).await {
            Ok(opened) => opened,
            Err(failure) if failure.kind == ErrorKind::Unavailable => continue,
            // Ended meanwhile, or no subscriptions here: looking at the task tells.
            Err(_) => break,
        };
        watch.begin_stream(false);
        match follow(endpoint, events, &id, watch).await? {
            Ended::Broken(_) => {}
            ended => return Ok(ended),
        }
    }
    poll(endpoint, watch).await
}

async fn poll(endpoint: &Endpoint, watch: &mut Watch<'_>) -> Result<Ended, Failure> {
    let Some(task_id) = watch.task_id().map(str::to_owned) else {
        return Err(Failure::invalid("the answer is a task without an id"));
    };
    let mut wait = POLL_FIRST;
    let mut failures = 0;
    loop {
        tokio::time::sleep(wait).await;
        wait = next_wait(wait);
        match endpoint.task(&task_id).await {
            Ok((task, bytes)) => {
                failures = 0;
                watch.snapshot(task, bytes)?;
                if watch.is_settled() {
                    return Ok(Ended::Settled);
                }
            }
            Err(failure) if is(&failure, &[ErrorCode::TaskNotFound]) => {
                let code = failure.code;
                let lost = Failure::new(ErrorKind::Unavailable, "it no longer knows the task it made for this call");
                return Err(Failure { code, ..lost.reaching(Reach::Answered) });
            }
            Err(failure) if matches!(failure.kind, ErrorKind::Unavailable | ErrorKind::RateLimited) && failures < POLL_FAILURES_MAX => {
                failures += u32::from(!failure.reach.is_of_this_machine());
                wait = wait.max(failure.retry_after.unwrap_or_default());
            }
            Err(failure) => return Err(failure),
        }
    }
}

fn next_wait(wait: Duration) -> Duration {
    (wait * 3 / 2).min(POLL_LAST)
}

/// What a settled task means to its caller.
fn settle(task: Task, shape: Shape, call: &Call) -> Result<Reply, Failure> {
    let failed = |kind, what: &str| {
        let said = said(&task.status);
        Err(Failure::new(kind, if said.is_empty() { what.to_owned() } else { format!("{what}: {said}") }))
    };
    match task.status.state {
        TaskState::Completed => value(reply_value(task, shape), call),
        TaskState::Failed => failed(ErrorKind::AgentError, "its task failed"),
        TaskState::Canceled => failed(ErrorKind::AgentError, "its task was canceled there"),
        TaskState::Rejected => failed(ErrorKind::Rejected, "it rejects the task"),
        TaskState::InputRequired | TaskState::AuthRequired => {
            let auth = task.status.state == TaskState::AuthRequired;
            let parts = task.status.message.map(|message| message.parts).unwrap_or_default();
            let mut prompt = parts_value(parts, Shape::Any).unwrap_or_else(|| serde_json::json!({ "text": "" }));
            normalize_numbers(&mut prompt);
            let prompt = reply::checked(Some(prompt), call)?;
            Ok(Reply::Question(Question { remote: Remote { task_id: task.id, context_id: task.context_id }, auth, prompt }))
        }
        TaskState::Submitted | TaskState::Working | TaskState::Unspecified => Err(Failure::invalid("its task went back to work")),
    }
}

fn value(value: Option<Value>, call: &Call) -> Result<Reply, Failure> {
    let mut value = reply::checked(value, call)?;
    normalize_numbers(&mut value);
    Ok(Reply::Value(value))
}

/// What the agent says about a status: whole, because secrets are taken out before it is cut.
fn said(status: &TaskStatus) -> String {
    let Some(message) = &status.message else { return String::new() };
    let text = message.text();
    if !text.trim().is_empty() {
        return text.trim().to_owned();
    }
    parts_value(message.parts.clone(), Shape::Any).map(|value| value.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_at_a_task_become_rarer_up_to_one_a_second() {
        let waits = std::iter::successors(Some(POLL_FIRST), |wait| Some(next_wait(*wait)));
        let waits: Vec<_> = waits.take(15).map(|wait| wait.as_micros()).collect();
        assert_eq!(waits[..4], [10_000, 15_000, 22_500, 33_750]);
        assert_eq!(waits[10..], [576_650, 864_975, 1_000_000, 1_000_000, 1_000_000]);
    }
}
