//! What a run and the runs below and above it tell each other while no call connects them.

use tracing::{Instrument, debug};

use super::Driver;
use crate::engine::Error;
use crate::engine::embedded::children::{Wanted, is_same_question};
use crate::engine::embedded::delegate::asked_by;
use crate::interpreter::{Event, RemoteTask, Transition};
use crate::plan::Path;

impl Driver {
    /// Takes note of the questions that the run asks, if a run above it may pass them on.
    pub(super) fn note_questions(&mut self) {
        if self.lineage.usage.above().is_some() {
            self.asked = self.run.waiting().into_iter().filter_map(|path| Some((path.clone(), self.run.asking(&path)?))).collect();
        }
    }

    /// Tells the run above which questions are settled, once that is stored.
    pub(super) fn tell_above(&mut self) {
        let Some(parent) = self.lineage.usage.above() else { return };
        let is_settled = |(path, attempt): &(Path, u32)| self.run.asking(path) != Some(*attempt);
        let (settled, asked): (Vec<_>, Vec<_>) = std::mem::take(&mut self.asked).into_iter().partition(is_settled);
        self.asked = asked;
        for (path, attempt) in settled {
            let remote = RemoteTask { task_id: self.id.to_string(), context_id: asked_by(&path, attempt) };
            let told = self.engine.clone().tell_settled(parent.clone(), remote);
            // Not waited for here: the run above may be waiting for this one.
            self.engine.inner.tasks.spawn(told.in_current_span());
        }
    }

    /// Finds out whether a question that a step passes on is still asked, when it may be one of a run below.
    pub(super) fn look_below(&self, path: &Path) {
        if !self.run.plan().may_start_runs() {
            return;
        }
        if let Some(remote) = self.run.question(path).and_then(|question| question.remote.clone()) {
            let looks = self.engine.clone().look_after(self.id.clone(), remote);
            self.engine.inner.tasks.spawn(looks.in_current_span());
        }
    }

    /// After a pause: what became of the children in the meantime, and which of them nobody waits for.
    pub(super) async fn look_after_children(&mut self, outstanding: &Transition) {
        // Only a process that ended can have left any.
        if self.recovered {
            let wanted = Wanted::by(&self.id, &self.run, outstanding);
            let orphans = self.engine.unwanted(&self.id, &wanted).await;
            self.engine.cancel_orphans(orphans);
        }
        for path in self.run.waiting() {
            self.look_below(&path);
        }
    }

    /// A child no longer asks what a step passes on: the step waits for the child again. What it is told stands for no answer.
    pub(super) async fn question_settled(&mut self, remote: &RemoteTask) -> Result<(), Error> {
        let asks = |path: &Path| {
            self.run.question(path).and_then(|question| question.remote.as_ref()).is_some_and(|asked| is_same_question(asked, remote))
        };
        let Some(path) = self.run.waiting().into_iter().find(asks) else { return Ok(()) };
        debug!(step = path.step(), child = %remote.task_id, "the question of a run below is settled");
        let at = self.now();
        self.record(vec![Event::Answered { path, answer: std::sync::Arc::default(), note: None, at }]).await
    }

    /// An outcome that came too late: whoever asks in it waits in vain.
    pub(super) fn unheard(&self, event: &Event) {
        let Event::Asked { path, question, by, .. } = event else { return };
        let Some(remote) = question.remote.clone() else { return };
        if self.run.question(path).and_then(|question| question.remote.as_ref()) == Some(&remote) {
            return;
        }
        let Some((skill, own, agent)) = self.run.addressee(path, by.as_deref()) else { return };
        debug!(step = path.step(), task = %remote.task_id, "a question came too late");
        self.engine.inner.tasks.spawn(self.engine.clone().give_up(skill, own, agent, remote).in_current_span());
    }
}
