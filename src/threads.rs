//! Threads for what is served, each with a runtime that keeps its work to itself.
//!
//! On a runtime of several threads a task goes on wherever there is a moment, and what it holds moves from one processor's memory to
//! another's with every answer that it waited for: that was a fifth of all that a run of small steps cost. Here a connection, the runs that
//! it starts and the calls they make stay on one thread; what would be more than others have begins on another. What has begun stays where
//! it is, however busy that thread is: whoever computes for long must give others their turn.
//!
//! Used by `http_client`, `engine`, `server` and the binary. What is not served, and runs that a start or a timer takes up, have the
//! process's own runtime.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::available_parallelism;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// More threads than that are not begun: what is served waits for others most of the time.
pub(crate) const THREADS_MAX: usize = 64;
/// More tasks than this, and more than twice as many as the thread with the fewest has, are more than others have.
const TASKS_UNEVEN: usize = 32;
/// Threads for what blocks, of all runtimes together: as many as one runtime would have.
const BLOCKING_THREADS_MAX: usize = 512;

/// All threads of the process, for who looks after its memory.
static EVERY: Mutex<Vec<Handle>> = Mutex::new(Vec::new());
/// The number of the next one.
static NUMBER: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static HERE: RefCell<Option<Here>> = const { RefCell::new(None) };
}

/// What a thread knows of itself.
struct Here {
    number: usize,
    all: Arc<[Handle]>,
}

/// The threads. They end when the last clone is dropped, and what they have not finished with them.
#[derive(Debug, Clone)]
pub struct Threads {
    all: Arc<[Handle]>,
    /// Where the search for the one with the fewest tasks begins, so that none is the first each time.
    turn: Arc<AtomicUsize>,
    _end: Arc<DropGuard>,
}

impl Threads {
    /// Begins one for each processor.
    ///
    /// # Errors
    /// When the system has no thread, or no file descriptor for it.
    pub fn begin() -> io::Result<Self> {
        Self::with(available_parallelism().map_or(1, usize::from).min(THREADS_MAX))
    }

    fn with(count: usize) -> io::Result<Self> {
        let end = CancellationToken::new();
        let (mut all, mut knots) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for number in 0..count {
            let blocking = (BLOCKING_THREADS_MAX / count).max(1);
            let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(blocking).build()?;
            let (knot, others) = mpsc::channel::<Arc<[Handle]>>();
            all.push(runtime.handle().clone());
            knots.push(knot);
            let ended = end.clone().cancelled_owned();
            std::thread::Builder::new().name(format!("serve-{number}")).spawn(move || {
                // Not when beginning the others failed.
                let Ok(all) = others.recv() else { return };
                let number = NUMBER.fetch_add(1, Ordering::Relaxed);
                HERE.with(|here| *here.borrow_mut() = Some(Here { number, all }));
                runtime.block_on(ended);
                every_one().retain(|other| other.id() != runtime.handle().id());
            })?;
        }
        every_one().extend(all.iter().cloned());
        let all: Arc<[Handle]> = all.into();
        for knot in knots {
            // The thread waits for it.
            let _ = knot.send(Arc::clone(&all));
        }
        Ok(Self { all, turn: Arc::default(), _end: Arc::new(end.drop_guard()) })
    }

    /// The one with the fewest tasks.
    pub fn idlest(&self) -> &Handle {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.all.len();
        let (before, after) = self.all.split_at(turn);
        fewest(after.iter().chain(before)).expect("there is a thread for each processor")
    }
}

/// Where a task that this one begins is to be done: by this thread, unless that has far more to do than another.
pub fn place() -> Handle {
    HERE.with_borrow(|here| {
        let own = Handle::current();
        let Some(Here { all, .. }) = here else { return own };
        let at_work = tasks(&own);
        if at_work <= TASKS_UNEVEN {
            return own;
        }
        let idlest = fewest(all.iter()).unwrap_or(&own);
        if at_work > 2 * tasks(idlest) { idlest.clone() } else { own }
    })
}

/// The number of this thread, which no other has had; none on a thread that shares its work.
pub fn number() -> Option<usize> {
    HERE.with_borrow(|here| here.as_ref().map(|here| here.number))
}

/// How many threads share what this one begins with; one on a thread that has none beside it.
pub(crate) fn beside() -> usize {
    HERE.with_borrow(|here| here.as_ref().map_or(1, |here| here.all.len()))
}

/// Every one that there is. What is given to one that has just ended is dropped.
pub fn every() -> Vec<Handle> {
    every_one().clone()
}

fn every_one() -> MutexGuard<'static, Vec<Handle>> {
    EVERY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first of those with the fewest tasks.
fn fewest<'a>(threads: impl Iterator<Item = &'a Handle>) -> Option<&'a Handle> {
    threads.min_by_key(|handle| tasks(handle))
}

fn tasks(handle: &Handle) -> usize {
    handle.metrics().num_alive_tasks()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::thread::ThreadId;

    use tokio::task::JoinHandle;

    use super::*;

    fn thread() -> ThreadId {
        std::thread::current().id()
    }

    async fn all_end(wait: &CancellationToken, work: Vec<JoinHandle<()>>) {
        wait.cancel();
        for task in work {
            task.await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_begins_on_a_thread_stays_there() {
        let threads = Threads::with(2).unwrap();
        assert_eq!(number(), None, "a test has no such thread");
        assert_eq!(place().id(), Handle::current().id());
        for _ in 0..4 {
            let stays = threads.idlest().spawn(async {
                let began = thread();
                tokio::task::yield_now().await;
                let below = place().spawn(async { (thread(), number()) }).await.unwrap();
                (began, number()) == below && thread() == began && number().is_some()
            });
            assert!(stays.await.unwrap());
        }
    }

    #[tokio::test]
    async fn each_has_its_share() {
        let threads = Threads::with(3).unwrap();
        let wait = CancellationToken::new();
        let at_work = |_| threads.idlest().spawn(wait.clone().cancelled_owned());
        let work: Vec<_> = (0..30).map(at_work).collect();
        let counts: Vec<_> = threads.all.iter().map(tasks).collect();
        assert_eq!(counts, [10, 10, 10]);
        all_end(&wait, work).await;
    }

    #[tokio::test]
    async fn what_is_more_than_others_have_begins_elsewhere() {
        let threads = Threads::with(2).unwrap();
        let wait = CancellationToken::new();
        let waiting = wait.clone();
        let begun = threads.all[0].spawn(async move {
            let begin = |_| place().spawn(waiting.clone().cancelled_owned());
            (0..3 * TASKS_UNEVEN).map(begin).collect::<Vec<_>>()
        });
        let work = begun.await.unwrap();
        let (here, there) = (tasks(&threads.all[0]), tasks(&threads.all[1]));
        assert!(here > TASKS_UNEVEN && there >= TASKS_UNEVEN && here <= 2 * there + 1, "{here} and {there}");
        all_end(&wait, work).await;
    }

    #[tokio::test]
    async fn they_end_with_the_last_who_holds_them() {
        let threads = Threads::with(2).unwrap();
        let numbers: Vec<_> = threads.all.iter().map(|handle| handle.spawn(async { number() })).collect();
        let mut seen = BTreeSet::new();
        for number in numbers {
            assert!(seen.insert(number.await.unwrap()), "no two have one number");
        }
        let (handle, held) = (threads.all[0].clone(), threads.clone());
        let forever = handle.spawn(std::future::pending::<()>());
        drop(threads);
        handle.spawn(async {}).await.unwrap();
        drop(held);
        assert!(forever.await.unwrap_err().is_cancelled());
        assert!(handle.spawn(async {}).await.unwrap_err().is_cancelled());
        assert!(every().iter().all(|other| other.id() != handle.id()), "it is forgotten");
    }
}
