//! What messages led to, so that a repeat gets the same answer: the next one, and ten thousand at once.
//!
//! A message is known by a hash with keys of this process: a hundred thousand of them take a few megabytes, and nobody outside can make two
//! messages that have the same.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use quick_cache::sync::Cache;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::auth::Caller;
use crate::a2a;

/// Messages that are remembered.
const MESSAGES_MAX: usize = 100_000;

/// What a message led to, for its repeats.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Remembered {
    /// The task of this id.
    Task(String),
    /// The answer itself.
    Message(Box<a2a::Message>),
}

/// The messages of all callers.
pub(super) struct Seen {
    keys: [RandomState; 2],
    messages: Cache<u128, Entry>,
}

/// One message. Small: almost all are tasks with an id of ours.
#[derive(Clone)]
enum Entry {
    /// Repeats wait for the first; when it is refused, the next one tries.
    UnderWay(Arc<OnceCell<Remembered>>),
    Task(Uuid),
    Other(Arc<Remembered>),
}

impl Entry {
    fn of(remembered: &Remembered) -> Self {
        match remembered {
            Remembered::Task(id) => match Uuid::try_parse(id) {
                Ok(uuid) if uuid.to_string() == *id => Self::Task(uuid),
                _ => Self::Other(Arc::new(remembered.clone())),
            },
            Remembered::Message(_) => Self::Other(Arc::new(remembered.clone())),
        }
    }
}

impl Seen {
    pub(super) fn new() -> Self {
        const { assert!(size_of::<Entry>() <= 24) };
        Self { keys: [RandomState::new(), RandomState::new()], messages: Cache::new(MESSAGES_MAX) }
    }

    /// What the message led to. Only its first sender carries out `first`.
    ///
    /// # Errors
    /// Those of `first`: then nothing is remembered, and whoever repeats the message tries again.
    pub(super) async fn once<E>(
        &self,
        caller: &Caller,
        task_id: Option<&str>,
        message_id: &str,
        first: impl Future<Output = Result<Remembered, E>>,
    ) -> Result<Remembered, E> {
        let [high, low] = self.keys.each_ref().map(|keys| u128::from(keys.hash_one((&**caller, task_id, message_id))));
        let key = high << 64 | low;
        let entry = self.messages.get_or_insert_with(&key, || Ok::<_, E>(Entry::UnderWay(Arc::default())))?;
        let cell = match entry {
            Entry::UnderWay(cell) => cell,
            Entry::Task(uuid) => return Ok(Remembered::Task(uuid.to_string())),
            Entry::Other(remembered) => return Ok((*remembered).clone()),
        };
        let remembered = cell.get_or_try_init(|| first).await?.clone();
        self.messages.insert(key, Entry::of(&remembered));
        Ok(remembered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn message(text: &str) -> Remembered {
        Remembered::Message(Box::new(a2a::Message { message_id: text.to_owned(), ..a2a::Message::default() }))
    }

    #[tokio::test]
    async fn repeats_get_what_the_first_got_and_others_do_not() {
        let seen = Seen::new();
        let (ann, bob) = (Caller::from("ann"), Caller::from("bob"));
        let uuid = Uuid::new_v4();
        for answer in [Remembered::Task(uuid.to_string()), Remembered::Task(uuid.simple().to_string()), message("m")] {
            let id = format!("{answer:?}");
            for _ in 0..3 {
                let got = seen.once(&ann, None, &id, async { Ok::<_, ()>(answer.clone()) }).await;
                assert_eq!(got, Ok(answer.clone()));
                let repeated = seen.once(&ann, None, &id, async { Err(()) }).await;
                assert_eq!(repeated, Ok(answer.clone()), "the second one does nothing");
            }
            for (caller, task) in [(&bob, None), (&ann, Some("t")), (&ann, Some(""))] {
                assert_eq!(seen.once(caller, task, &id, async { Err(7) }).await, Err(7), "another message");
            }
        }
    }

    #[test]
    fn so_many_messages_are_remembered() {
        let (seen, answer) = (Seen::new(), Entry::Task(Uuid::new_v4()));
        for key in 0..2 * MESSAGES_MAX as u128 {
            seen.messages.insert(key, answer.clone());
        }
        assert!(seen.messages.len() <= MESSAGES_MAX && seen.messages.len() > MESSAGES_MAX / 2, "{}", seen.messages.len());
        assert!(seen.messages.get(&(2 * MESSAGES_MAX as u128 - 1)).is_some(), "what came last is there");
    }

    #[tokio::test]
    async fn of_many_at_once_one_does_the_work_and_a_refusal_is_not_remembered() {
        let seen = Seen::new();
        let ann = Caller::from("ann");
        assert_eq!(seen.once(&ann, None, "m", async { Err("no") }).await, Err("no"));
        let made = AtomicUsize::new(0);
        let one = || {
            seen.once(&ann, None, "m", async {
                tokio::task::yield_now().await;
                made.fetch_add(1, Ordering::Relaxed);
                Ok::<_, ()>(message("answer"))
            })
        };
        let all = futures_util::future::join_all((0..100).map(|_| one())).await;
        assert!(all.into_iter().all(|got| got == Ok(message("answer"))));
        assert_eq!(made.into_inner(), 1);
    }
}
