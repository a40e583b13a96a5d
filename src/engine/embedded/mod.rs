//! The embedded engine: one task per run on this process's tokio runtime.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::{Engine, Error, Filter, RunSummary, Start, Started, Subscription};
use crate::agent;
use crate::discovery::Discovery;
use crate::ids::RunId;
use crate::interpreter::Snapshot;

/// Bounds of the engine.
#[derive(Debug, Clone)]
pub struct Options {
    /// Runs under way at once; more are refused.
    pub runs_max: usize,
    /// How deep runs may nest.
    pub depth_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { runs_max: 20_000, depth_max: crate::limits::RUN_DEPTH_MAX }
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Embedded {}

impl Embedded {
    /// An engine that finds agents with `discovery` and calls them with `agents`.
    pub fn new(_options: Options, _discovery: Arc<Discovery>, _agents: agent::Client) -> Self {
        Self {}
    }

    /// Stops accepting, cancels what runs, and waits at most `grace` for the agents to be told. Returns how many runs were cut off.
    pub async fn shutdown(&self, _grace: Duration) -> usize {
        0
    }
}

#[async_trait]
impl Engine for Embedded {
    async fn start(&self, _start: Start) -> Result<Started, Error> {
        std::future::pending().await
    }
    async fn cancel(&self, _run: &RunId, _reason: &str) -> Result<(), Error> {
        std::future::pending().await
    }
    async fn answer(&self, _run: &RunId, _step: Option<&str>, _answer: Arc<Value>) -> Result<(), Error> {
        std::future::pending().await
    }
    async fn snapshot(&self, _run: &RunId) -> Result<Snapshot, Error> {
        std::future::pending().await
    }
    async fn subscribe(&self, _run: &RunId) -> Result<Subscription, Error> {
        std::future::pending().await
    }
    async fn list(&self, _filter: &Filter) -> Result<Vec<RunSummary>, Error> {
        std::future::pending().await
    }
    async fn summary(&self, _run: &RunId) -> Result<RunSummary, Error> {
        std::future::pending().await
    }
}
