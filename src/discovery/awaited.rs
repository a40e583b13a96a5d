//! A registry that was away when the process began: nothing of it is known yet, so that whoever needs it waits for it instead of failing.
//! Once it has answered it is like any other, and this says no more.

use tokio::sync::watch;

/// Whether the registry has to answer for the first time.
#[derive(Debug)]
pub(super) struct Awaited(watch::Sender<bool>);

impl Default for Awaited {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Awaited {
    /// Nobody answers there yet; or somebody has.
    pub(super) fn set(&self, awaited: bool) {
        self.0.send_replace(awaited);
    }

    pub(super) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it has answered. Safe to drop.
    pub(super) async fn is_over(&self) {
        // The sender lives in `self`, so that it cannot be gone.
        let _ = self.0.subscribe().wait_for(|awaited| !awaited).await;
    }
}
