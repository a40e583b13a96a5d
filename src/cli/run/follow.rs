//! Watches one run until it ends, and ends it when its user or its time says so.

use std::time::Duration;

use tokio::time::Instant;

use super::super::exit::{Failure, chain};
use super::super::terminal::one_line;
use super::progress::Progress;
use crate::engine::{self, Engine, Next, Subscription};
use crate::ids::{RunId, StepId};
use crate::interpreter::{Change, Question, Snapshot, StepStatus};
use crate::plan::{Path, Plan};
use crate::shutdown::Shutdown;

/// A canceled run that has not ended after this time is left behind.
const CANCEL_MAX: Duration = Duration::from_secs(10);

/// What ended the watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// The run, by itself.
    Alone,
    /// A signal.
    Interrupted,
    /// `--timeout`, or a question that nobody here can answer.
    Canceled,
    /// A fault: the run has not ended, and goes no further here.
    Stopped,
}

/// Shows a run's changes until it has ended. `watched`: of a run that is watched from its first update.
pub(super) async fn follow(
    engine: &impl Engine,
    run: &RunId,
    watched: Option<Subscription>,
    plan: &Plan,
    progress: &mut Progress,
    shutdown: &Shutdown,
    timeout: Option<Duration>,
) -> Result<(Snapshot, Ended), Failure> {
    let mut ended = Ended::Alone;
    // What is asked, of the snapshot or of an update: nobody here can answer, and only a step with a timeout goes on by itself.
    let question = |path: &Path, step: &StepId, asked: &Question| {
        let goes_on = plan.find(path.step()).is_some_and(|node| plan.node(node).timeout.is_some());
        (!goes_on || asked.remote.is_some()).then(|| {
            let asked = one_line(&asked.text(), 200);
            (Ended::Canceled, format!("step `{step}` asks what nobody here can answer: {asked}"))
        })
    };
    let waits = |snapshot: &Snapshot| {
        let asked = snapshot.steps.iter().filter_map(|step| step.question.as_ref().map(|asked| (step, asked)));
        asked.filter(|(step, _)| step.status == StepStatus::Waiting).find_map(|(step, asked)| question(&step.path, &step.id, asked))
    };
    let mut deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut watched = match watched {
        Some(watched) => watched,
        None => engine.subscribe(run).await.map_err(failed)?,
    };
    progress.catch_up(&watched.snapshot);
    let mut found = waits(&watched.snapshot);
    while !watched.snapshot.status.is_terminal() {
        let wish = tokio::select! {
            () = std::future::ready(()), if found.is_some() && ended == Ended::Alone => found.take(),
            next = watched.next() => match next {
                Next::Update(update) => {
                    progress.show(&update.change);
                    match &update.change {
                        Change::RunFinished { .. } => break,
                        Change::StepWaiting { path, step, question: asked } if ended == Ended::Alone => question(path, step, asked),
                        _ => None,
                    }
                }
                Next::Lagged => {
                    watched = engine.subscribe(run).await.map_err(failed)?;
                    progress.catch_up(&watched.snapshot);
                    found = waits(&watched.snapshot);
                    None
                }
                Next::End => break,
            },
            () = shutdown.requested().cancelled(), if ended == Ended::Alone => {
                progress.line("canceling the run; interrupt again to leave at once");
                Some((Ended::Interrupted, "interrupted".to_owned()))
            }
            () = until(deadline) => {
                if ended != Ended::Alone {
                    break;
                }
                Some((Ended::Canceled, format!("took longer than {}", crate::time::humanize(timeout.unwrap_or_default()))))
            }
        };
        if let Some((why, reason)) = wish {
            ended = why;
            deadline = Some(Instant::now() + CANCEL_MAX);
            match engine.cancel(run, &reason).await {
                // It ended while it was to be canceled; its last update is on the way.
                Ok(()) | Err(engine::Error::Ended { .. } | engine::Error::NotFound(_)) => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }
    let snapshot = engine.snapshot(run).await;
    progress.end(snapshot.as_ref().ok().and_then(|snapshot| snapshot.outcome.as_ref()));
    let snapshot = snapshot.map_err(failed)?;
    let is_stopped = ended != Ended::Interrupted && !snapshot.status.is_terminal();
    Ok((snapshot, if is_stopped { Ended::Stopped } else { ended }))
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn failed(error: engine::Error) -> Failure {
    Failure::internal(format!("lost sight of the run: {}", chain(&error)))
}
