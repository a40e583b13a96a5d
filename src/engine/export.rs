//! One run as a file: everything that is needed to look at it, or to run it again against the recorded answers, without a journal,
//! a registry or an agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ids::{Digest, RunId};
use crate::interpreter::{Event, RunStatus};
use crate::journal::Record;
use crate::time::Timestamp;

/// A run with its workflow and events. Holds every payload; idempotency keys, which may be secrets of callers, are left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Export {
    /// The version of this format.
    pub format: u32,
    /// The gantry that wrote it.
    pub gantry: String,
    /// What the run was started with.
    pub header: ExportHeader,
    /// Where it was.
    pub status: RunStatus,
    /// When its last event happened.
    pub changed_at: Timestamp,
    /// The workflow's text.
    pub source: Arc<str>,
    /// Every event, in order.
    pub events: Vec<Event>,
}

/// What a run was started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExportHeader {
    /// The run.
    pub run: RunId,
    /// `metadata.id`.
    pub workflow: String,
    /// `metadata.version`.
    pub version: String,
    /// What the run is pinned to.
    pub digest: Digest,
    /// As given at the start.
    pub labels: BTreeMap<String, String>,
    /// When it was accepted.
    pub started_at: Timestamp,
}

impl Export {
    /// The version that this gantry writes, and the newest that it reads. From 2 on there may be events that say when another process went
    /// on, and who had a call that was given up; from 3 on those that do more of what followed before.
    pub const FORMAT: u32 = 3;

    /// Puts together what a journal holds of a run.
    pub fn new(record: Record, events: Vec<Event>) -> Self {
        let header = record.header;
        Self {
            format: Self::FORMAT,
            gantry: env!("CARGO_PKG_VERSION").to_owned(),
            source: Arc::clone(&header.source),
            header: ExportHeader {
                run: header.run,
                workflow: header.workflow,
                version: header.version,
                digest: header.digest,
                labels: header.labels,
                started_at: header.started_at,
            },
            status: record.status,
            changed_at: record.changed_at,
            events,
        }
    }
}
