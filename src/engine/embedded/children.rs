//! Runs that steps of another started, when that one does not wait for them in the middle of a call: while it passes on their question,
//! and after a restart.
//!
//! A run whose step passes on a question of a child rests, and the child tells it when the question is settled in another way than by
//! the answer that is passed down. What a process that ended could not tell is found out when either of them goes on.

use std::collections::BTreeSet;

use tracing::{info, warn};

use super::Embedded;
use super::delegate::{asked_by, child_key, meant};
use super::drive::Control;
use crate::engine::Engine as _;
use crate::ids::RunId;
use crate::interpreter::{Command, RemoteTask, Run, StepStatus, Transition};
use crate::journal::{Child, PARENT_LABEL};

/// Why a run that nobody waits for any more is canceled.
const ORPHANED: &str = "no step of the run above it waits for it any more";

/// Whether both are the same question of the same run.
pub(super) fn is_same_question(a: &RemoteTask, b: &RemoteTask) -> bool {
    let ((step_a, attempt_a), (step_b, attempt_b)) = (meant(&a.context_id), meant(&b.context_id));
    // An earlier gantry named no attempt.
    a.task_id == b.task_id && step_a == step_b && (attempt_a == attempt_b || attempt_a.is_none() || attempt_b.is_none())
}

/// What a run waits for below it.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// The idempotency keys of children whose calls are under way.
    keys: BTreeSet<String>,
    /// The steps of these calls: an author may have chosen another key.
    steps: BTreeSet<String>,
    /// Children that have asked.
    tasks: BTreeSet<String>,
}

impl Wanted {
    /// By a run of which so much is under way.
    pub(super) fn by(id: &RunId, run: &Run, outstanding: &Transition) -> Self {
        let mut wanted = Self { tasks: run.remote_tasks().into_iter().map(|remote| remote.task_id).collect(), ..Self::default() };
        for command in &outstanding.commands {
            if let Command::Call(invocation) = command {
                wanted.keys.insert(child_key(id, invocation));
                wanted.steps.insert(invocation.path.to_string());
            }
        }
        wanted
    }

    fn has(&self, parent: &RunId, child: &Child) -> bool {
        let is_ours = |key: &String| key.starts_with(&format!("{parent}/"));
        let by_key = match &child.idempotency_key {
            Some(key) if is_ours(key) => self.keys.contains(key),
            Some(_) | None => child.step.as_ref().is_some_and(|step| self.steps.contains(step)),
        };
        by_key || self.tasks.contains(child.run.as_str())
    }
}

impl Embedded {
    /// Finds out whether a child still asks what a step of the run above it passes on, and tells that run when it does not.
    pub(super) async fn look_after(self, parent: RunId, remote: RemoteTask) {
        let Ok(child) = RunId::parse(&remote.task_id) else { return };
        // The task of an agent elsewhere is no run of this engine.
        let Ok(record) = self.inner.journal.record(&child).await else { return };
        if record.header.labels.get(PARENT_LABEL).map(String::as_str) != Some(parent.as_str()) {
            return;
        }
        let asks = |step: &crate::interpreter::StepReport| {
            let asked = RemoteTask { task_id: remote.task_id.clone(), context_id: asked_by(&step.path, step.attempts) };
            step.status == StepStatus::Waiting && is_same_question(&asked, &remote)
        };
        match self.snapshot(&child).await {
            Ok(snapshot) if snapshot.steps.iter().any(asks) => {}
            Ok(_) => self.tell_settled(parent, remote).await,
            Err(error) => warn!(run_id = %parent, %child, %error, "it is not known whether a child still asks"),
        }
    }

    /// Tells a run that a question it may pass on is settled. One that does not is not interested.
    pub(super) async fn tell_settled(self, parent: RunId, remote: RemoteTask) {
        // While gantry stops nobody is reached; the next start finds it out.
        let _ = self.tell(&parent, Control::Settled(remote)).await;
    }

    /// The children of a run that none of its steps waits for: the process ended when that was stored, and before they had heard of it.
    pub(super) async fn unwanted(&self, parent: &RunId, wanted: &Wanted) -> Vec<RunId> {
        match self.inner.journal.children(parent).await {
            Ok(children) => children.into_iter().filter(|child| !wanted.has(parent, child)).map(|child| child.run).collect(),
            Err(error) => {
                warn!(run_id = %parent, %error, "it is not known which runs below one are left");
                Vec::new()
            }
        }
    }

    /// Cancels runs that nobody waits for, in the background.
    pub(super) fn cancel_orphans(&self, orphans: Vec<RunId>) {
        if orphans.is_empty() {
            return;
        }
        let engine = self.clone();
        self.inner.tasks.spawn(async move { engine.end_orphans(orphans).await });
    }

    /// The same, at once.
    pub(super) async fn end_orphans(&self, orphans: Vec<RunId>) {
        for orphan in orphans {
            info!(run_id = %orphan, "run that nobody waits for is canceled");
            self.stop_child(&orphan, ORPHANED).await;
        }
    }
}
