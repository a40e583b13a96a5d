//! What waits for one reader of a stream. Bounded in bytes, but for what came within a second, and in time: a reader that stops reading is cut and can subscribe
//! again for a snapshot; it never holds up the task, the other readers, or memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::a2a::StreamResponse;

/// A reader that is behind by no more than this is not slow, however much came at once: the results of a run end with it, all of them at
/// the same moment, before anybody can have taken the first.
const PROMPT: Duration = Duration::from_secs(1);

/// One reader's queue.
#[derive(Debug)]
pub(in crate::server) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
    bytes_max: usize,
    age_max: Duration,
}

#[derive(Debug, Default)]
struct Waiting {
    events: VecDeque<(Arc<StreamResponse>, usize, Instant)>,
    bytes: usize,
    end: Option<Taken>,
}

/// What a reader gets next.
#[derive(Debug, Clone)]
pub(in crate::server) enum Taken {
    /// An event.
    Event(Arc<StreamResponse>),
    /// Nothing follows.
    End,
    /// The reader was too slow and has missed events.
    Cut,
    /// The stream ends before the task does, for this reason.
    Stopped(&'static str),
}

impl Queue {
    pub(super) fn new(bytes_max: usize, age_max: Duration) -> Self {
        Self { waiting: Mutex::default(), changed: Notify::new(), bytes_max, age_max }
    }

    /// Adds an event of about this size. False when the reader is gone or was cut: the queue can be forgotten.
    pub(super) fn push(&self, event: &Arc<StreamResponse>, bytes: usize) -> bool {
        let mut waiting = self.lock();
        if waiting.end.is_some() {
            return false;
        }
        let age_max = if waiting.bytes + bytes > self.bytes_max { PROMPT } else { self.age_max };
        if waiting.events.front().is_some_and(|(_, _, since)| since.elapsed() > age_max) {
            waiting.events.clear();
            waiting.bytes = 0;
            waiting.end = Some(Taken::Cut);
        } else {
            waiting.bytes += bytes;
            waiting.events.push_back((Arc::clone(event), bytes, Instant::now()));
        }
        let open = waiting.end.is_none();
        drop(waiting);
        self.changed.notify_one();
        open
    }

    /// Nothing will follow what is queued.
    pub(super) fn end(&self) {
        self.lock().end.get_or_insert(Taken::End);
        self.changed.notify_one();
    }

    /// Nothing will follow what is queued, for this reason.
    pub(in crate::server) fn stop(&self, why: &'static str) {
        self.lock().end.get_or_insert(Taken::Stopped(why));
        self.changed.notify_one();
    }

    /// The reader is gone.
    pub(in crate::server) fn close(&self) {
        let mut waiting = self.lock();
        waiting.events.clear();
        waiting.end = Some(Taken::End);
    }

    /// Waits for the next event. Safe to drop while waiting. Only one reader may wait.
    pub(in crate::server) async fn take(&self) -> Taken {
        loop {
            {
                let mut waiting = self.lock();
                if let Some((event, bytes, _)) = waiting.events.pop_front() {
                    waiting.bytes -= bytes;
                    return Taken::Event(event);
                }
                if let Some(end) = &waiting.end {
                    return end.clone();
                }
            }
            self.changed.notified().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        // A panic while the lock was held cannot leave the queue half changed in a way that matters more than the stream.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::a2a::Message;

    fn event() -> Arc<StreamResponse> {
        Arc::new(StreamResponse::Message(Message::default()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_does_not_read_is_cut_by_bytes() {
        let queue = Queue::new(100, Duration::from_secs(10));
        assert!(queue.push(&event(), 99));
        tokio::time::advance(Duration::from_millis(1_001)).await;
        assert!(queue.push(&event(), 1), "as many bytes as may wait");
        assert!(!queue.push(&event(), 1));
        assert!(!queue.push(&event(), 1));
        assert!(matches!(queue.take().await, Taken::Cut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_cannot_have_read_yet_is_not_cut() {
        let queue = Queue::new(100, Duration::from_secs(10));
        for _ in 0..3 {
            tokio::time::advance(Duration::from_millis(500)).await;
            assert!(queue.push(&event(), 1_000));
        }
        queue.end();
        for _ in 0..3 {
            assert!(matches!(queue.take().await, Taken::Event(_)));
        }
        assert!(matches!(queue.take().await, Taken::End));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_does_not_read_is_cut_by_time() {
        let queue = Queue::new(100, Duration::from_secs(10));
        assert!(queue.push(&event(), 1));
        tokio::time::advance(Duration::from_millis(10_001)).await;
        assert!(!queue.push(&event(), 1));
        assert!(matches!(queue.take().await, Taken::Cut));
    }

    #[tokio::test]
    async fn what_is_queued_comes_before_the_end() {
        let queue = Queue::new(100, Duration::from_secs(10));
        assert!(queue.push(&event(), 1));
        queue.end();
        assert!(!queue.push(&event(), 1));
        assert!(matches!(queue.take().await, Taken::Event(_)));
        assert!(matches!(queue.take().await, Taken::End));
    }
}
