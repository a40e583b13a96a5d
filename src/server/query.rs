//! Reads, lists and cancels tasks, and keeps their webhooks. Everything is scoped to the caller: not-yours is not there.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::join_all;
use serde_json::Map;
use tokio::time::Instant;

use super::auth::Caller;
use super::error::{Failure, OwnCode};
use super::kept;
use super::start::add_webhook;
use super::state::App;
use super::tasks::{Kind, Task, Trouble, follow, now};
use crate::a2a::{
    self, CancelTaskParams, ErrorCode, GetTaskParams, ListPushConfigsParams, ListPushConfigsResult, ListTasksParams, ListTasksResult, Part,
    PushConfigIdParams, TaskPushNotificationConfig, TaskState,
};
use crate::engine;
use crate::ids::RunId;
use crate::interpreter::RunStatus;
use crate::time::Timestamp;

/// How long a cancel waits for the run to end before it answers with the task as it stands.
const CANCEL_WAIT: Duration = Duration::from_secs(5);
/// How long the tasks of an earlier process may take to be read before they are served as they are.
const REVIVE_WAIT: Duration = Duration::from_secs(5);
/// Tasks of an earlier process that are made anew at the start. Older ones are when somebody asks for them by id.
const REVIVED_MAX: usize = 1_000;
/// When it is said that there is no such task. Longer than looking for one takes.
const NOT_FOUND_AFTER: Duration = Duration::from_millis(5);
/// Runs under way that are looked through for tasks at work, or that wait: as many as there can be. Those that rest are not among them.
const AT_WORK_LISTED_MAX: usize = crate::limits::RUNS_MAX;
const PAGE_SIZE: u32 = 50;
const PAGE_SIZE_MAX: i64 = 100;

/// The caller's task, and from now on all that happens to it.
pub(super) async fn find(app: &Arc<App>, caller: &Caller, id: &str) -> Result<Arc<Task>, Failure> {
    let task = known(app, caller, id).await?;
    up_to_date(std::slice::from_ref(&task)).await;
    is_readable(app, &task)?;
    Ok(task)
}

/// The caller's task as it stands. A run that rests is not brought back for that.
async fn look_up(app: &Arc<App>, caller: &Caller, id: &str) -> Result<Arc<Task>, Failure> {
    let task = known(app, caller, id).await?;
    if !has_all(app, &task).await {
        up_to_date(std::slice::from_ref(&task)).await;
    }
    is_readable(app, &task)?;
    Ok(task)
}

/// Whether the record of a task has everything though nobody keeps it up: its run rests, and is where it was when the task asked. What
/// the journal has may be newer all the same: an answer that came early, from which nothing follows yet.
async fn has_all(app: &App, task: &Task) -> bool {
    let Kind::Run(run) = task.kind() else { return true };
    let (state, changed_at) = task.state();
    if task.is_kept_up() || !state.is_interrupted() || !app.engine.rests(&run) {
        return false;
    }
    let Ok(summary) = app.engine.summary(&run).await else { return false };
    if summary.changed_at == changed_at || task.has_all_of(summary.changed_at) {
        return true;
    }
    // Read from the journal, which wakes nothing.
    let is_where_it_was = app.engine.snapshot(&run).await.is_ok_and(|snapshot| snapshot.changed_at == changed_at);
    if is_where_it_was {
        task.knows(summary.changed_at);
    }
    is_where_it_was
}

/// The caller's task, also when only its run is known: after a restart, and when it has left memory. That there is none is said at the
/// same moment whether nobody has such a task or somebody else has: looking takes a little longer when there is something to find.
async fn known(app: &Arc<App>, caller: &Caller, id: &str) -> Result<Arc<Task>, Failure> {
    let answered = Instant::now() + NOT_FOUND_AFTER;
    let task = match app.store.get(caller, id) {
        Some(task) => Some(task),
        None => revive(app, caller, id).await?,
    };
    let Some(task) = task else {
        tokio::time::sleep_until(answered).await;
        return Err(Failure::no_task(id));
    };
    Ok(task)
}

/// Refuses a task whose run cannot be read: it is in a state, and nobody knows which. The next one who asks tries again.
fn is_readable(app: &App, task: &Arc<Task>) -> Result<(), Failure> {
    if task.trouble() != Some(Trouble::Unreadable) {
        return Ok(());
    }
    app.store.remove(task);
    let told = format!("how task `{}` stands cannot be read; the cause is in gantry's log", task.id);
    Err(Failure::new(ErrorCode::InternalError, told))
}

/// Refuses to answer with a task that was waited for and of whose run nothing more is heard: it is no result.
pub(super) fn goes_on(app: &App, task: &Arc<Task>) -> Result<(), Failure> {
    is_readable(app, task)?;
    match task.trouble() {
        Some(trouble) => Err(Failure::new(ErrorCode::InternalError, format!("task `{}`: {}", task.id, trouble.told()))),
        None => Ok(()),
    }
}

/// Waits until the records of these tasks have everything that has happened.
pub(super) async fn up_to_date(tasks: &[Arc<Task>]) {
    let waiting = join_all(tasks.iter().map(|task| task.up_to_date()));
    if tokio::time::timeout(REVIVE_WAIT, waiting).await.is_err() {
        tracing::warn!("some tasks are shown as they were: their runs do not answer");
    }
}

async fn revive(app: &Arc<App>, caller: &Caller, id: &str) -> Result<Option<Arc<Task>>, Failure> {
    let Ok(run) = RunId::parse(id) else { return Ok(None) };
    let Ok(summary) = app.engine.summary(&run).await else { return Ok(None) };
    // A run whose task has another id is found by that id only.
    let is_it = kept::task_id(&summary).is_some_and(|task| task == id);
    if !is_it || summary.labels.get(kept::CALLER).is_none_or(|owner| **owner != **caller) {
        return Ok(None);
    }
    let Some(task) = remake(app, &summary) else { return Ok(None) };
    settle(&task, &summary).await?;
    Ok((task.caller == *caller).then_some(task))
}

/// Waits until a task that is made anew has been read: one that ended, or that waits for its caller, must not be seen as just accepted.
async fn settle(task: &Task, summary: &engine::RunSummary) -> Result<(), Failure> {
    let is_settled = summary.status.is_terminal() || summary.status == RunStatus::InputRequired;
    if !is_settled || tokio::time::timeout(REVIVE_WAIT, task.settled()).await.is_ok() {
        return Ok(());
    }
    // A run with a step that waits can be at work elsewhere.
    if !summary.status.is_terminal() {
        return Ok(());
    }
    Err(Failure::own(OwnCode::Overloaded, format!("task `{}` is still being read from the journal; try again", task.id)))
}

/// Makes the tasks whose ids only their runs' labels know anew, the latest first: those of earlier versions. Every other task of an
/// earlier process is made anew when somebody asks for it.
pub(super) async fn revive_renamed(app: &Arc<App>) {
    let kept = app.options.limits.tasks_max.min(REVIVED_MAX);
    let filter = engine::Filter { labelled: Some(kept::TASK.to_owned()), runs_max: Some(kept), ..engine::Filter::default() };
    match app.engine.list(&filter).await {
        Ok(runs) => runs.iter().for_each(|run| drop(remake(app, run))),
        Err(error) => tracing::warn!(%error, "tasks of earlier runs cannot be listed; most are still found by their id"),
    }
}

/// The task of a run, made of what the journal knows of it unless it is in memory.
pub(super) fn remake(app: &Arc<App>, summary: &engine::RunSummary) -> Option<Arc<Task>> {
    let (task, new) = app.store.add(kept::task(summary)?);
    if new {
        app.spawn(follow(app.following(), summary.run.clone(), &task, None));
    }
    Some(task)
}

/// A task as it is answered: the history cut to what was asked for.
pub(super) fn shaped(mut record: a2a::Task, history_length: Option<u32>) -> a2a::Task {
    if let Some(kept) = history_length {
        let surplus = record.history.len().saturating_sub(usize::try_from(kept).unwrap_or(usize::MAX));
        record.history.drain(..surplus);
    }
    record
}

pub(super) async fn get(app: &Arc<App>, caller: &Caller, params: GetTaskParams) -> Result<a2a::Task, Failure> {
    let task = look_up(app, caller, &params.id).await?;
    Ok(shaped(task.record(), params.history_length))
}

pub(super) async fn list(app: &Arc<App>, caller: &Caller, params: &ListTasksParams) -> Result<ListTasksResult, Failure> {
    let page_size = match params.page_size {
        None => PAGE_SIZE,
        Some(size @ 1..=PAGE_SIZE_MAX) => u32::try_from(size).unwrap_or(PAGE_SIZE),
        Some(_) => return Err(Failure::field("pageSize", "must be from 1 to 100")),
    };
    let after = match params.status_timestamp_after.as_deref().map(Timestamp::parse) {
        None => None,
        Some(Some(after)) => Some(after),
        Some(None) => return Err(Failure::field("statusTimestampAfter", "is not an RFC 3339 timestamp")),
    };
    let from = params.page_token.as_deref().map(read_token).transpose()?;
    let wanted = params.status.filter(|wanted| *wanted != TaskState::Unspecified);
    let mut tasks = app.store.of(caller);
    tasks.retain(|task| params.context_id.as_ref().is_none_or(|context| task.context_id == *context));
    let (mut rows, mut total) = (Vec::new(), 0);
    // The journal knows every run, whether its task is in memory or not.
    if app.engine.is_durable() {
        tasks.retain(|task| !matches!(task.kind(), Kind::Run(_)));
        let mut labels = BTreeMap::from([(kept::CALLER.to_owned(), caller.to_string())]);
        labels.extend(params.context_id.as_ref().map(|context| (kept::CONTEXT.to_owned(), context.clone())));
        // That moment is within.
        let changed_after = after.map(|after| Timestamp::from_unix_ms(after.unix_ms().saturating_sub(1)));
        let filter = engine::Filter { labels, changed_after, ..engine::Filter::default() };
        (rows, total) = of_runs(app, filter, wanted, from.as_ref(), page_size as usize + 1).await?;
        // A request that has found its workflow meanwhile is known as both.
        let found: HashSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
        let is_one = |task: &Arc<Task>| found.contains(task.id.as_str()) || (from.is_some() && matches!(task.kind(), Kind::Run(_)));
        tasks.retain(|task| !is_one(task));
    } else {
        up_to_date(&tasks).await;
    }
    tasks.retain(|task| {
        let (state, changed_at) = task.state();
        wanted.is_none_or(|wanted| wanted == state) && after.is_none_or(|after| changed_at >= after)
    });
    total += tasks.len();
    let in_memory = tasks.into_iter().map(|task| Row { at: task.state().1, id: task.id.clone(), what: What::Task(task) });
    rows.extend(in_memory.filter(|row| from.as_ref().is_none_or(|(at, id)| (row.at, &row.id) < (*at, id))));
    rows.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    let more = rows.len() > page_size as usize;
    rows.truncate(page_size as usize);
    let next_page_token = rows.last().filter(|_| more).map(|row| write_token(row.at, &row.id)).unwrap_or_default();
    let records = join_all(rows.into_iter().map(|row| read(app, row, params.include_artifacts))).await;
    let shape = |record: Result<a2a::Task, Failure>| {
        record.map(|record| {
            let mut record = shaped(record, params.history_length);
            if !params.include_artifacts {
                record.artifacts.clear();
            }
            record
        })
    };
    let tasks = records.into_iter().map(shape).collect::<Result<_, _>>()?;
    Ok(ListTasksResult { tasks, next_page_token, page_size, total_size: total as u64 })
}

/// One line of a list before it is read.
struct Row {
    at: Timestamp,
    id: String,
    what: What,
}

enum What {
    Task(Arc<Task>),
    Run(engine::RunSummary),
}

impl Row {
    fn of(run: engine::RunSummary) -> Self {
        Self { at: run.changed_at, id: run.run.to_string(), what: What::Run(run) }
    }
}

/// The runs whose tasks are in the wanted state, those after a place first, at most so many; and how many there are in all.
async fn of_runs(
    app: &App,
    filter: engine::Filter,
    wanted: Option<TaskState>,
    from: Option<&(Timestamp, String)>,
    rows_max: usize,
) -> Result<(Vec<Row>, usize), Failure> {
    let ended = match wanted {
        None => None,
        Some(TaskState::Completed) => Some(RunStatus::Completed),
        Some(TaskState::Failed) => Some(RunStatus::Failed),
        Some(TaskState::Canceled) => Some(RunStatus::Canceled),
        Some(state @ (TaskState::Working | TaskState::InputRequired | TaskState::AuthRequired)) => {
            return of_unfinished(app, filter, state, from, rows_max).await;
        }
        // Nobody sees the moment in which a run has been accepted and has not begun.
        Some(TaskState::Submitted | TaskState::Rejected | TaskState::Unspecified) => return Ok((Vec::new(), 0)),
    };
    let page = app.engine.page(&engine::Filter { status: ended, before: from.cloned(), runs_max: Some(rows_max), ..filter }).await?;
    Ok((page.runs.into_iter().map(Row::of).collect(), page.total))
}

/// The same, of runs that have not ended. What those that rest wait for the journal knows, however many there are; whether something else
/// is under way while a step of another waits, and for what it waits, only its task knows.
async fn of_unfinished(
    app: &App,
    filter: engine::Filter,
    wanted: TaskState,
    from: Option<&(Timestamp, String)>,
    rows_max: usize,
) -> Result<(Vec<Row>, usize), Failure> {
    let status = if wanted == TaskState::Working { RunStatus::Running } else { RunStatus::InputRequired };
    let (status, asks_access) = (Some(status), Some(wanted == TaskState::AuthRequired));
    let (before, runs_max) = (from.cloned(), Some(rows_max));
    let at_rest = engine::Filter { rests: Some(true), status, asks_access, before, runs_max, ..filter.clone() };
    let at_work = engine::Filter { rests: Some(false), unfinished: true, runs_max: Some(AT_WORK_LISTED_MAX), ..filter };
    // In this order: one that comes to rest between the two looks is in both, not in none.
    let mut runs = app.engine.page(&at_work).await?.runs;
    let at_rest = app.engine.page(&at_rest).await?;
    let resting: HashSet<RunId> = at_rest.runs.iter().map(|run| run.run.clone()).collect();
    runs.retain(|run| !resting.contains(&run.run) && state_of(app, run) == wanted);
    let total = at_rest.total + runs.len();
    let mut rows: Vec<Row> = runs.into_iter().map(Row::of).collect();
    rows.retain(|row| from.is_none_or(|(at, id)| (row.at, &row.id) < (*at, id)));
    rows.extend(at_rest.runs.into_iter().map(Row::of));
    rows.sort_by(|a, b| (b.at, &b.id).cmp(&(a.at, &a.id)));
    rows.truncate(rows_max);
    Ok((rows, total))
}

/// The state of a task in a list: its own while it is in memory, else what its run's status says.
fn state_of(app: &App, run: &engine::RunSummary) -> TaskState {
    match in_memory(app, run).map(|task| task.state().0) {
        // It has begun since, and nobody has looked.
        Some(TaskState::Submitted) | None => kept::state(run),
        Some(state) => state,
    }
}

/// The task of a run, when it is in memory.
fn in_memory(app: &App, run: &engine::RunSummary) -> Option<Arc<Task>> {
    app.store.get(run.labels.get(kept::CALLER)?, &kept::task_id(run)?)
}

/// The record of a row. Of a task that is not in memory only the artifacts need its run's events; without them it is not made anew.
async fn read(app: &Arc<App>, row: Row, with_artifacts: bool) -> Result<a2a::Task, Failure> {
    let run = match row.what {
        What::Task(task) => return Ok(task.record()),
        What::Run(run) => run,
    };
    let task = match in_memory(app, &run) {
        None if !with_artifacts => return kept::record(&run).ok_or_else(|| Failure::no_task(&row.id)),
        None => remake(app, &run).ok_or_else(|| Failure::no_task(&row.id))?,
        Some(task) => {
            // What waits for its caller, here and in the journal, has not moved: it need not be brought back for a list.
            if !(task.state().0.is_interrupted() && run.status == RunStatus::InputRequired) {
                up_to_date(std::slice::from_ref(&task)).await;
            }
            task
        }
    };
    settle(&task, &run).await?;
    if is_readable(app, &task).is_err() {
        // One that cannot be read must not hide the others: its line has what the list of runs knows.
        return kept::record(&run).ok_or_else(|| Failure::no_task(&row.id));
    }
    Ok(task.record())
}

/// Where a page ended: the moment and the id of its last task.
fn write_token(at: Timestamp, id: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {id}", at.unix_ms()))
}

fn read_token(token: &str) -> Result<(Timestamp, String), Failure> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let (at, id) = text.split_once(' ')?;
        Some((Timestamp::from_unix_ms(at.parse().ok()?), id.to_owned()))
    };
    read().ok_or_else(|| Failure::field("pageToken", "is not a token of this server"))
}

pub(super) async fn cancel(app: &Arc<App>, caller: &Caller, params: CancelTaskParams) -> Result<a2a::Task, Failure> {
    let task = find(app, caller, &params.id).await?;
    let ended = |id: &str| Failure::new(ErrorCode::TaskNotCancelable, format!("task `{id}` has ended"));
    if task.state().0.is_terminal() {
        return Err(ended(&params.id));
    }
    match task.kind() {
        Kind::Run(run) => {
            match app.engine.cancel(&run, "by the caller").await {
                Ok(()) => {}
                Err(engine::Error::Ended { .. }) => return Err(ended(&params.id)),
                Err(error) => return Err(error.into()),
            }
            // The run ends by itself when its handlers have run; a task that does not within the time is answered as it stands.
            let _ = tokio::time::timeout(CANCEL_WAIT, task.ended()).await;
        }
        Kind::Script | Kind::Dialogue(_) => {
            task.give_up();
            if !task.set_status(TaskState::Canceled, vec![Part::text("canceled by the caller")], now(), Map::new()) {
                return Err(ended(&params.id));
            }
        }
    }
    Ok(task.record())
}

/// Whether webhooks are offered, and this one may be called.
pub(super) async fn check_webhook(app: &App, config: &TaskPushNotificationConfig) -> Result<(), Failure> {
    offers_webhooks(app)?;
    app.deliverer.check(config).await
}

pub(super) fn offers_webhooks(app: &App) -> Result<(), Failure> {
    if app.options.card.push_notifications {
        return Ok(());
    }
    Err(Failure::new(ErrorCode::PushNotificationNotSupported, "push notifications are not offered here"))
}

pub(super) async fn create_webhook(
    app: &Arc<App>,
    caller: &Caller,
    config: TaskPushNotificationConfig,
) -> Result<TaskPushNotificationConfig, Failure> {
    let task = find(app, caller, &config.task_id).await?;
    check_webhook(app, &config).await?;
    add_webhook(app, &task, config)
}

pub(super) async fn get_webhook(
    app: &Arc<App>,
    caller: &Caller,
    params: &PushConfigIdParams,
) -> Result<TaskPushNotificationConfig, Failure> {
    let configs = look_up(app, caller, &params.task_id).await?.push_configs();
    // 0.3 may leave the id out and means the only one, or the first.
    let found = configs.into_iter().find(|config| params.id.is_empty() || config.id.as_ref() == Some(&params.id));
    found.ok_or_else(|| Failure::new(ErrorCode::TaskNotFound, "the task has no such webhook"))
}

pub(super) async fn list_webhooks(
    app: &Arc<App>,
    caller: &Caller,
    params: &ListPushConfigsParams,
) -> Result<ListPushConfigsResult, Failure> {
    let task = look_up(app, caller, &params.task_id).await?;
    // There are at most a handful, so that one page holds them all.
    Ok(ListPushConfigsResult { configs: task.push_configs(), next_page_token: String::new() })
}

pub(super) async fn delete_webhook(app: &Arc<App>, caller: &Caller, params: &PushConfigIdParams) -> Result<(), Failure> {
    look_up(app, caller, &params.task_id).await?.with_webhooks(|webhooks| webhooks.remove(&params.id));
    Ok(())
}

#[cfg(test)]
mod tests;
