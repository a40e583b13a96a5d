//! How many files the process may have open: each connection is one, of those that come in and of those to agents.

/// More are not asked for: twice what the bounds of connections and calls can need. Programs that it starts have as many, and some of them
/// look at each.
const WANTED: u64 = 65_536;

/// Takes as many as the system lets it have. The limit that shells and service managers set at first, often 1024, is so low for the sake
/// of old programs; a run that calls an agent for a caller who waits takes two.
pub(crate) fn raise() {
    match rlimit::increase_nofile_limit(WANTED) {
        Ok(files) => tracing::debug!(files, "files that may be open"),
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised; it stays as it is"),
    }
}

/// How many there may be at the moment, where there is a limit.
#[cfg(unix)]
pub(crate) fn open_max() -> Option<usize> {
    let (soft, _) = rlimit::Resource::NOFILE.get().ok()?;
    (soft != rlimit::INFINITY).then(|| usize::try_from(soft).unwrap_or(usize::MAX))
}

/// How many there may be at the moment, where there is a limit.
#[cfg(not(unix))]
pub(crate) fn open_max() -> Option<usize> {
    None
}
