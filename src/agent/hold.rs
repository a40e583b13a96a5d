//! When an agent may be told that a task of a call is no longer wanted: at once, or when whoever made the call says so.
//!
//! An engine that is to remember why it gave a call up tells the agent after that is stored: should the process end in between, the same
//! call is made again, and must not find its task canceled.

use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

/// One for each call. Cheap to clone; all clones are the same. Until somebody keeps it, agents are told at once: few calls need more.
#[derive(Debug, Clone, Default)]
pub struct Hold(Arc<OnceLock<watch::Sender<bool>>>);

impl Hold {
    /// From now on nobody is told before [`release`](Self::release), and nobody ever when every clone is dropped before.
    pub fn keep(&self) {
        self.0.get_or_init(|| watch::Sender::new(false)).send_replace(false);
    }

    /// Whoever is to be told is told.
    pub fn release(&self) {
        if let Some(told) = self.0.get() {
            told.send_replace(true);
        }
    }

    /// Waits, without keeping the hold alive, until it is known whether anybody is told.
    pub fn verdict(&self) -> impl Future<Output = bool> + Send + 'static {
        let told = self.0.get().map(watch::Sender::subscribe);
        async move {
            match told {
                Some(mut told) => told.wait_for(|released| *released).await.is_ok(),
                None => true,
            }
        }
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
