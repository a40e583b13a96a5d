//! The moment in which a run comes to be: it can be reached before it is in the journal, and begins as soon as it is.

use tracing::debug;

use super::Embedded;
use super::drive::Driver;
use crate::interpreter::{Event, RunStatus};

/// A run on its way into the journal. Whoever finds it there by its key can reach it already, and waits until it begins. Dropped in the
/// middle, because its starter has gone, it finds out in the background whether it is in the journal, and then begins all the same: what
/// was accepted must not lie there with nobody to drive it.
pub(super) struct Beginning {
    engine: Embedded,
    driver: Option<(Box<Driver>, Vec<Event>)>,
}

impl Beginning {
    pub(super) fn new(engine: &Embedded, driver: Box<Driver>, history: Vec<Event>) -> Self {
        Self { engine: engine.clone(), driver: Some((driver, history)) }
    }

    /// It is in the journal.
    pub(super) fn go(mut self) {
        if let Some((driver, history)) = self.driver.take() {
            self.engine.drive(driver, history);
        }
    }

    /// It is not, and will not be.
    pub(super) fn forget(mut self) {
        if let Some((driver, _)) = self.driver.take() {
            driver.forget();
        }
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        let Some((driver, history)) = self.driver.take() else { return };
        // Without a runtime the process is at its end, and the next one finds the run.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let engine = self.engine.clone();
        let tasks = engine.inner.tasks.clone();
        tasks.spawn_on(
            async move {
                // The journal writes in order: this comes after what the starter asked for.
                match engine.inner.journal.append(driver.run_id(), &[], RunStatus::Running).await {
                    Ok(()) => Box::pin(driver.drive(history)).await,
                    Err(error) => {
                        debug!(run_id = %driver.run_id(), %error, "a run whose starter has gone was not accepted");
                        driver.forget();
                    }
                }
            },
            &runtime,
        );
    }
}
