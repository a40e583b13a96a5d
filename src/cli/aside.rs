//! Work that takes long without waiting for anything: a signal ends the command meanwhile, as it ends one that waits.

use super::exit::Failure;

/// Does it beside the one who listens for signals. Who is interrupted leaves, and does not wait for it.
pub(super) async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(broken) => Err(Failure::internal(broken.to_string())),
    }
}
