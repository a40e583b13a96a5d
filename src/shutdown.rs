//! The wish of the one who started the process that it ends: Ctrl-C or SIGTERM once to drain, twice to abort.
//!
//! Used by the CLI. Decides nothing: whoever runs something watches [`Shutdown::requested`] and drains.

use std::io;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Listens for signals as long as it lives.
#[derive(Debug)]
pub struct Shutdown {
    requested: CancellationToken,
    aborted: CancellationToken,
    listener: JoinHandle<()>,
}

impl Shutdown {
    /// Begins to listen. Must be called on a tokio runtime.
    pub fn listen() -> io::Result<Self> {
        let (requested, aborted) = (CancellationToken::new(), CancellationToken::new());
        let mut signals = Signals::new()?;
        let (first, second) = (requested.clone(), aborted.clone());
        let listener = tokio::spawn(async move {
            signals.next().await;
            first.cancel();
            signals.next().await;
            second.cancel();
        });
        Ok(Self { requested, aborted, listener })
    }

    /// Cancelled by the first signal: stop accepting, cancel, drain.
    pub fn requested(&self) -> &CancellationToken {
        &self.requested
    }

    /// Cancelled by the second signal: leave at once.
    pub fn aborted(&self) -> &CancellationToken {
        &self.aborted
    }
}

impl Drop for Shutdown {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

/// `SIGXFSZ`, which has this number on Linux, macOS and the BSDs.
#[cfg(unix)]
const FILE_TOO_LARGE: i32 = 25;

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        // Whoever listens to it is not ended by it: a write that would make a file larger than the process may then fails, and is told
        // as one that the disk refuses. It stays so when nobody listens any more.
        drop(signal(SignalKind::from_raw(FILE_TOO_LARGE))?);
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        // Without a way to listen there is no wish to hear; the process is then ended from outside.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
