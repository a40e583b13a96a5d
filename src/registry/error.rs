//! Why a registry did not do it.
//!
//! Every message names what was asked for, with the host where there is one. Never a credential, never a whole body.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::ids::Digest;

/// What a caller can do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No such repository, tag, manifest or blob.
    #[error("`{0}` is not in the registry")]
    NotFound(String),
    /// The registry wants a credential, or another one.
    #[error("no access to `{what}`: {reason}")]
    Unauthorized {
        /// What was asked for.
        what: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The registry was not reached, or could not answer.
    #[error("the registry of `{what}` is unavailable: {reason}")]
    Unavailable {
        /// What was asked for.
        what: String,
        /// What happened.
        reason: String,
        /// A retry may help.
        transient: bool,
        /// How long the registry asks to wait.
        retry_after: Option<Duration>,
    },
    /// More bytes or entries than are read.
    #[error("`{what}` is larger than the limit of {bytes_max} bytes")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// The limit.
        bytes_max: u64,
    },
    /// The bytes are not those that were asked for.
    #[error("`{what}` has other content than its digest says: expected {expected}, read {actual}; nothing of it was used")]
    DigestMismatch {
        /// What was asked for.
        what: String,
        /// The digest that was asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
    },
    /// What was asked for has a name that nothing in a registry can have. Nothing was asked.
    #[error("{reason}")]
    BadName {
        /// The name as it was given.
        name: String,
        /// Why it is none; names the name.
        reason: String,
    },
    /// What is there cannot be used: garbage, a wrong kind, several fitting layers.
    #[error("`{what}` cannot be used: {reason}")]
    Invalid {
        /// What was asked for.
        what: String,
        /// Why, and what to do.
        reason: String,
    },
    /// The registry understood and said no: read-only, a tag that may not move, a quota.
    #[error("the registry refused `{what}`: {reason}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Another process writes to this directory.
    #[error("the registry directory {} is in use by {holder}; stop it, use its HTTP address, or choose another directory", root.display())]
    Locked {
        /// The directory.
        root: PathBuf,
        /// Who holds it, and since when.
        holder: String,
    },
    /// The disk did not do it.
    #[error("cannot use {}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// A retry, later, may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { transient: true, .. })
    }

    /// `reason` names the name.
    pub(super) fn bad_name(name: impl Into<String>, reason: impl ToString) -> Self {
        Self::BadName { name: name.into(), reason: reason.to_string() }
    }

    pub(super) fn invalid(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), reason: reason.into() }
    }
}
