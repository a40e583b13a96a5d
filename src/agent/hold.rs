//! When an agent may be told that a task of a call is no longer wanted: at once, or when whoever made the call says so.
//!
//! An engine that is to remember why it gave a call up tells the agent after that is stored: should the process end in between, the same
//! call is made again, and must not find its task canceled.

use std::sync::Arc;

use tokio::sync::watch;

/// One for each call. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub struct Hold(Arc<watch::Sender<bool>>);

impl Default for Hold {
    /// Agents are told at once.
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }
}

impl Hold {
    /// From now on nobody is told before [`release`](Self::release), and nobody ever when every clone is dropped before.
    pub fn keep(&self) {
        self.0.send_replace(false);
    }

    /// Whoever is to be told is told.
    pub fn release(&self) {
        self.0.send_replace(true);
    }

    /// Waits, without keeping the hold alive, until it is known whether anybody is told.
    pub fn verdict(&self) -> impl Future<Output = bool> + Send + 'static {
        let mut told = self.0.subscribe();
        async move { told.wait_for(|released| *released).await.is_ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_is_told_before_the_release_and_nobody_ever_without_one() {
        let hold = Hold::default();
        assert!(hold.verdict().await, "at once, unless something is said");
        hold.keep();
        let (released, dropped) = (hold.verdict(), Hold::default());
        dropped.keep();
        let never = dropped.verdict();
        drop(dropped);
        assert!(!never.await);
        hold.release();
        drop(hold);
        assert!(released.await, "also when the call is forgotten right after");
    }
}
