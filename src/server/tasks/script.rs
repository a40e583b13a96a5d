//! Plays a script on a task.

use std::sync::Arc;

use serde_json::Map;

use super::task::{Task, now};
use crate::a2a::Artifact;
use crate::router::{Act, Said};

/// Carries out the acts in order. Ends early when the task is cancelled.
pub(in crate::server) async fn play(task: Arc<Task>, acts: Vec<Act>) {
    for act in acts {
        match act {
            // A lone message is answered without a task and never comes here.
            Act::Message(_) => {}
            Act::Status { state, message } => {
                let parts = message.as_ref().map(Said::parts).unwrap_or_default();
                task.set_status(state.task_state(), parts, now(), Map::new());
            }
            Act::Artifact(piece) => {
                let artifact = Artifact { artifact_id: piece.id, name: piece.name, parts: piece.parts, ..Artifact::default() };
                task.add_artifact(artifact, piece.append, piece.last_chunk);
            }
            Act::Delay(duration) => {
                tokio::select! {
                    () = tokio::time::sleep(duration) => {}
                    () = task.given_up() => return,
                }
            }
        }
        if task.is_given_up() {
            return;
        }
    }
}
