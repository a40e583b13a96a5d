//! Starts runs and scripts as tasks.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::auth::Caller;
use super::error::Failure;
use super::kept;
use super::query;
use super::send;
use super::state::App;
use super::tasks::{AboutRun, Kind, NewTask, Queue, Task, Trouble, follow, now};
use crate::a2a::{self, Message};
use crate::discovery::FoundWorkflow;
use crate::engine::{self, Start, Started, Subscription};
use crate::ids::RunId;
use crate::interpreter::Ancestor;
use crate::limits::MESSAGE_ID_BYTES_MAX;

/// A stream that was opened before anything happened to the task.
pub(super) type Opened = Box<(a2a::Task, Arc<Queue>)>;

/// From whom, in which conversation, above which runs.
pub(super) struct Origin<'a> {
    pub(super) caller: &'a Caller,
    pub(super) context_id: String,
    pub(super) message: Option<Message>,
    pub(super) ancestry: Vec<Ancestor>,
    /// The same key gives the same run; of this caller only.
    pub(super) idempotency_key: Option<Key>,
    /// The webhook that came with the message. It was checked.
    pub(super) webhook: Option<a2a::TaskPushNotificationConfig>,
    /// Somebody wants every event from the first.
    pub(super) streaming: bool,
}

/// What makes a repeat of a start the same start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    /// The `idempotency_key` that came with the input.
    Given(String),
    /// The id of the message.
    Message(String),
    /// The header of a call over the plain protocol.
    Header(String),
}

impl Key {
    /// As it is kept. A key is worth nothing outside its caller: others must neither collide with it nor guess it.
    fn of(&self, caller: &Caller) -> String {
        match self {
            Self::Given(key) => format!("{caller}\u{1f}{key}"),
            Self::Message(id) => format!("{caller}\u{1f}message\u{1f}{id}"),
            Self::Header(key) => format!("{caller}\u{1f}header\u{1f}{key}"),
        }
    }

    /// The refusal of a key that stands for another start, in the caller's own words.
    fn reused(&self) -> Failure {
        let shown = |key: &str| key.chars().take(80).collect::<String>();
        self.refused(match self {
            Self::Given(key) | Self::Header(key) => engine::Error::KeyReused(shown(key)).to_string(),
            Self::Message(id) => format!("message id `{}` was used before with another workflow or input", shown(id)),
        })
    }

    /// # Errors
    /// When it is longer than a key may be.
    fn check(&self) -> Result<(), Failure> {
        let (Self::Given(key) | Self::Message(key) | Self::Header(key)) = self;
        if key.len() > MESSAGE_ID_BYTES_MAX { Err(self.refused(format!("is longer than {MESSAGE_ID_BYTES_MAX} bytes"))) } else { Ok(()) }
    }

    fn refused(&self, why: String) -> Failure {
        let field = match self {
            Self::Given(_) => "idempotency_key",
            Self::Header(_) => "Idempotency-Key",
            Self::Message(_) => "message.messageId",
        };
        Failure::field(field, why)
    }
}

/// The task of a run, and what follows the run for it.
pub(super) struct Begun {
    pub(super) task: Arc<Task>,
    opened: Option<Opened>,
    /// None when somebody else does.
    following: Option<BoxFuture<'static, ()>>,
}

impl Begun {
    /// Waits until a blocking call may answer, and follows the run meanwhile: for one caller that needs no task of its own. What is
    /// left of it goes on in the background, also when the caller has gone.
    pub(super) async fn settle(&mut self, app: &Arc<App>) {
        let mut following = Foreground { app, task: &self.task, work: self.following.take() };
        tokio::select! {
            biased;
            () = following.ended() => {}
            () = send::settle(app, &self.task) => {}
        }
    }

    /// Follows the run in the background.
    fn in_background(self, app: &App) -> (Arc<Task>, Option<Opened>) {
        if let Some(following) = self.following {
            let task = Arc::downgrade(&self.task);
            app.spawn(async move {
                following.await;
                if let Some(task) = task.upgrade() {
                    task.pack();
                }
            });
        }
        (self.task, self.opened)
    }
}

/// Work that a request does itself as long as it is there.
struct Foreground<'a> {
    app: &'a Arc<App>,
    task: &'a Task,
    work: Option<BoxFuture<'static, ()>>,
}

impl Foreground<'_> {
    /// Never, when there is nothing to do. Safe to drop.
    async fn ended(&mut self) {
        let Some(work) = &mut self.work else { return std::future::pending().await };
        work.await;
        self.work = None;
    }
}

impl Drop for Foreground<'_> {
    fn drop(&mut self) {
        let Some(work) = self.work.take() else { return };
        if std::thread::panicking() {
            // It may be what broke. Whoever asks for the task next has it made anew.
            self.task.lose(Trouble::Unreadable);
        } else if tokio::runtime::Handle::try_current().is_ok() {
            // Without a runtime the process is at its end.
            self.app.spawn(work);
        }
    }
}

/// A run of the workflow, as a task of its own.
pub(super) async fn run(
    app: &Arc<App>,
    origin: Origin<'_>,
    found: FoundWorkflow,
    input: Value,
    metadata: Map<String, Value>,
) -> Result<(Arc<Task>, Option<Opened>), Failure> {
    Ok(begin(app, origin, found, input, metadata).await?.in_background(app))
}

/// The same, for one who follows the run.
pub(super) async fn begin(
    app: &Arc<App>,
    origin: Origin<'_>,
    found: FoundWorkflow,
    input: Value,
    metadata: Map<String, Value>,
) -> Result<Begun, Failure> {
    // Before the run's own times, so that the task's are those of the run, here and when it is made anew.
    let since = now();
    let (started, subscription) =
        start(app, &origin, &found, input, Before { history: origin.message.as_slice(), metadata: &metadata }, None).await?;
    if !started.new {
        // Its task is the one that was made for it then.
        let task = Box::pin(query::find(app, origin.caller, started.run.as_str())).await?;
        let opened = open(app, &task, &origin)?;
        return Ok(Begun { task, opened, following: None });
    }
    let is_repetitive = found.plan.repeats();
    let new = NewTask {
        id: started.run.to_string(),
        context_id: origin.context_id.clone(),
        caller: Arc::clone(origin.caller),
        kind: Kind::Run(started.run.clone()),
        history: origin.message.clone().into_iter().collect(),
        about: Some(AboutRun { run: started.run.clone(), plan: found.plan, choice: found.choice }),
        metadata,
        since,
        is_remade: false,
    };
    // Somebody who repeats the message can have made the task already, while this one waited for the journal.
    let (task, new) = app.store.add(new);
    let following = new.then(|| follow(app.following(), started.run, &task, subscription).boxed());
    if new && is_repetitive {
        // What repeated steps yielded is gone from the run's snapshot when they have ended: who wants it must follow the run.
        task.want();
    }
    let opened = open(app, &task, &origin);
    let begun = Begun { task, opened: None, following };
    match opened {
        Ok(opened) => Ok(Begun { opened, ..begun }),
        Err(failure) => {
            // The run goes on, and its task with it.
            begun.in_background(app);
            Err(failure)
        }
    }
}

/// A task without a run: a script or a dialogue. What drives it is started by the caller.
pub(super) fn bare(
    app: &Arc<App>,
    origin: Origin<'_>,
    kind: Kind,
    metadata: Map<String, Value>,
) -> Result<(Arc<Task>, Option<Opened>), Failure> {
    let new = NewTask {
        id: uuid::Uuid::new_v4().to_string(),
        context_id: origin.context_id.clone(),
        caller: Arc::clone(origin.caller),
        kind,
        history: origin.message.clone().into_iter().collect(),
        about: None,
        metadata,
        since: now(),
        is_remade: false,
    };
    let (task, _) = app.store.add(new);
    let opened = open(app, &task, &origin)?;
    Ok((task, opened))
}

/// Starts a run for a task that exists: a dialogue that has found its workflow.
pub(super) async fn run_on(
    app: &Arc<App>,
    task: &Arc<Task>,
    origin: Origin<'_>,
    found: FoundWorkflow,
    input: Value,
    about: Map<String, Value>,
) -> Result<(), Failure> {
    let history = task.record().history;
    // The run has the task's id, so that the task is found by it also when only the journal knows it.
    let (started, subscription) =
        start(app, &origin, &found, input, Before { history: &history, metadata: &about }, RunId::parse(&task.id).ok()).await?;
    if found.plan.repeats() {
        task.want();
    }
    let mut metadata = AboutRun { run: started.run.clone(), plan: found.plan, choice: found.choice }.metadata();
    metadata.extend(about);
    task.becomes(Kind::Run(started.run.clone()), metadata);
    app.spawn(follow(app.following(), started.run, task, subscription));
    Ok(())
}

/// What a task has before its run begins.
struct Before<'a> {
    history: &'a [Message],
    metadata: &'a Map<String, Value>,
}

async fn start(
    app: &Arc<App>,
    origin: &Origin<'_>,
    found: &FoundWorkflow,
    input: Value,
    before: Before<'_>,
    run: Option<RunId>,
) -> Result<(Started, Option<Subscription>), Failure> {
    origin.idempotency_key.as_ref().map_or(Ok(()), Key::check)?;
    let start = Start {
        plan: Arc::clone(&found.plan),
        input: Arc::new(input),
        idempotency_key: origin.idempotency_key.as_ref().map(|key| key.of(origin.caller)),
        ancestry: origin.ancestry.clone(),
        labels: kept::labels(origin.caller, &origin.context_id),
        // Only a task that can leave memory has to be found again.
        note: app.engine.is_durable().then(|| kept::note(before.history, &found.choice, before.metadata)).flatten(),
        run,
    };
    let started = match origin.streaming || found.plan.repeats() {
        true => app.engine.start_watched(start).await,
        false => app.engine.start(start).await.map(|started| (started, None)),
    };
    let (started, subscription) = started.map_err(|error| match (&error, &origin.idempotency_key) {
        (engine::Error::KeyReused(_), Some(key)) => key.reused(),
        _ => error.into(),
    })?;
    tracing::info!(run_id = %started.run, workflow = %found.plan.workflow().metadata.id, digest = %found.plan.digest(), new = started.new, "run accepted");
    Ok((started, subscription))
}

/// What must be there before the first event: the webhook and the stream.
fn open(app: &Arc<App>, task: &Arc<Task>, origin: &Origin<'_>) -> Result<Option<Opened>, Failure> {
    if let Some(config) = &origin.webhook {
        add_webhook(app, task, config.clone())?;
    }
    Ok(origin.streaming.then(|| task.subscribe()))
}

/// Adds a webhook that was checked to a task.
pub(super) fn add_webhook(
    app: &Arc<App>,
    task: &Arc<Task>,
    mut config: a2a::TaskPushNotificationConfig,
) -> Result<a2a::TaskPushNotificationConfig, Failure> {
    config.task_id.clone_from(&task.id);
    config.id.get_or_insert_with(|| uuid::Uuid::new_v4().to_string());
    let ended = task.state().0.is_terminal();
    task.want();
    if let Some(worker) = task.with_webhooks(|webhooks| webhooks.set(config.clone(), &app.deliverer, ended))? {
        app.spawn(worker.run());
    }
    Ok(config)
}
