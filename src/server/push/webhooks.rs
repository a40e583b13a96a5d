//! The webhooks of one task.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::deliver::{Deliverer, Worker};
use crate::a2a::{StreamResponse, TaskPushNotificationConfig};
use crate::server::error::Failure;

/// Webhooks by id, in the order they were made.
#[derive(Debug, Default)]
pub(in crate::server) struct Webhooks {
    list: Vec<Webhook>,
}

#[derive(Debug)]
struct Webhook {
    config: TaskPushNotificationConfig,
    /// None once the task has ended: nothing follows, the configuration can still be read.
    queue: Option<mpsc::Sender<Arc<StreamResponse>>>,
    deliverer: Arc<Deliverer>,
}

impl Webhooks {
    pub(in crate::server) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(in crate::server) fn configs(&self) -> Vec<TaskPushNotificationConfig> {
        self.list.iter().map(|webhook| webhook.config.clone()).collect()
    }

    /// Adds a webhook, or replaces the one of the same id. The configuration was checked.
    pub(in crate::server) fn set(
        &mut self,
        config: TaskPushNotificationConfig,
        deliverer: &Arc<Deliverer>,
        ended: bool,
    ) -> Result<Option<Worker>, Failure> {
        let known = self.list.iter().position(|webhook| webhook.config.id == config.id);
        if known.is_none() && self.list.len() >= deliverer.configs_max() {
            return Err(Failure::field("url", format!("the task has {} webhooks already, which is the most it may have", self.list.len())));
        }
        let (queue, worker) = if ended {
            (None, None)
        } else {
            let (queue, worker) = deliverer.worker(config.clone());
            (Some(queue), Some(worker))
        };
        let webhook = Webhook { config, queue, deliverer: Arc::clone(deliverer) };
        match known {
            Some(at) => self.list[at] = webhook,
            None => self.list.push(webhook),
        }
        Ok(worker)
    }

    /// Removes a webhook; what is queued for it is dropped with its worker's channel once delivered.
    pub(in crate::server) fn remove(&mut self, id: &str) {
        self.list.retain(|webhook| webhook.config.id.as_deref() != Some(id));
    }

    /// Queues an event for every webhook. Never waits.
    pub(in crate::server) fn notify(&self, event: &Arc<StreamResponse>) {
        for webhook in &self.list {
            if let Some(queue) = &webhook.queue
                && queue.try_send(Arc::clone(event)).is_err()
            {
                webhook.deliverer.dropped("queue full");
            }
        }
    }

    /// The task has ended: workers stop when they have delivered what is queued.
    pub(in crate::server) fn finish(&mut self) {
        self.list.iter_mut().for_each(|webhook| webhook.queue = None);
    }
}
