//! The binary's allocator, and how it is made to give memory back.
//!
//! A step is many small allocations on several threads, which mimalloc serves fast. What is free it returns to the system while threads ask
//! it for more, and not by itself: a process that was busy and is quiet would keep what it had at its busiest, for ever. So when the
//! process has become quiet, each of its threads asks for some memory.

use std::hint::black_box;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use gantry::threads;
use tokio::runtime::{Handle, RuntimeMetrics};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Between two looks at how busy the process is.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Threads that have worked for less than this between two looks, together, are quiet.
const QUIET: Duration = Duration::from_millis(50);
/// At which of the looks since it became quiet memory is given back. What ended tasks and idle connections hold is free only later. Twice
/// in a row each time: what the first finds free goes to the system when it has been free for a second, if somebody asks again.
const GIVE_BACK_AT: [u32; 10] = [1, 2, 3, 4, 7, 8, 13, 14, 25, 26];
/// A thread's memory is looked through once in ten thousand allocations that are not small.
const ALLOCATIONS: usize = 11_000;
/// Not small.
const ALLOCATION_BYTES: usize = 2 * 1024;
/// So large that it is none of a thread's own memory: for this, what no thread needs is looked through.
const LARGE_ALLOCATION_BYTES: usize = 4 * 1024 * 1024;
/// How often a thread asks each time, so that what the first finds is seen to by the next.
const ASKED_AT_ONCE: usize = 4;
/// How long threads wait for each other, so that each of them asks, and not the one twice that is there first.
const MEETING: Duration = Duration::from_millis(20);

/// Gives memory back whenever the process has been busy and is quiet. Never ends.
pub(crate) async fn give_back_when_quiet() {
    let mut look = tokio::time::interval(LOOK_EVERY);
    let (mut before, mut quiet_looks) = (worked(), None);
    loop {
        look.tick().await;
        let now = worked();
        let is_quiet = now.saturating_sub(before) < QUIET;
        before = now;
        quiet_looks = match quiet_looks {
            _ if !is_quiet => Some(0),
            Some(looks) if looks < GIVE_BACK_AT[GIVE_BACK_AT.len() - 1] => Some(looks + 1),
            Some(_) | None => None,
        };
        if quiet_looks.is_some_and(|looks| GIVE_BACK_AT.contains(&looks)) {
            give_back().await;
            // What that took is no work of the process's own.
            before = worked();
        }
    }
}

/// The runtimes whose threads work: the one that this is called on, and those of the threads that serve.
fn runtimes() -> impl Iterator<Item = Handle> {
    std::iter::once(Handle::current()).chain(threads::every())
}

/// How long all threads have worked so far.
fn worked() -> Duration {
    let of =
        |metrics: &RuntimeMetrics| (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum::<Duration>();
    runtimes().map(|runtime| of(&runtime.metrics())).sum()
}

/// Lets every thread ask for memory, for some milliseconds. A thread waits for the others for [`MEETING`] at most.
async fn give_back() {
    let each = runtimes().flat_map(|runtime| std::iter::repeat_n(runtime.clone(), runtime.metrics().num_workers()));
    let each: Vec<_> = each.collect();
    let threads = each.len();
    let meeting = Arc::new(Meeting::default());
    let ask_together = |meeting: Arc<Meeting>| async move {
        meeting.wait_for(threads, MEETING);
        (0..ASKED_AT_ONCE).for_each(|_| ask());
    };
    let asking: Vec<_> = each.into_iter().map(|runtime| runtime.spawn(ask_together(Arc::clone(&meeting)))).collect();
    for asked in asking {
        // One that has ended drops it, and nothing depends on it.
        let _ = asked.await;
    }
}

/// Where threads wait for each other. On a machine that is busy with something else, one of them would run the tasks of all.
#[derive(Default)]
struct Meeting {
    present: Mutex<usize>,
    arrived: Condvar,
}

impl Meeting {
    /// Holds this thread until so many are there, or until that takes too long: one may be at work after all. Whether they are.
    fn wait_for(&self, threads: usize, patience: Duration) -> bool {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        *present += 1;
        self.arrived.notify_all();
        let waited = self.arrived.wait_timeout_while(present, patience, |present| *present < threads);
        *waited.unwrap_or_else(PoisonError::into_inner).0 >= threads
    }
}

fn ask() {
    for _ in 0..ALLOCATIONS {
        drop(black_box(Vec::<u8>::with_capacity(ALLOCATION_BYTES)));
    }
    drop(black_box(Vec::<u8>::with_capacity(LARGE_ALLOCATION_BYTES)));
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Kilobytes of this process that are no part of a file.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux has it");
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("Linux says it");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Ends when all of them have taken what they take.
    async fn busy(task: usize, all: Arc<tokio::sync::Barrier>) {
        let mut held: Vec<Vec<u8>> = Vec::new();
        for n in 0..60 {
            held.push(vec![1; 16 + (n * 97 + task * 31) % 900]);
            if n % 20 == 0 {
                // Ends on another thread, maybe, than it began on.
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        all.wait().await;
    }

    #[test]
    fn threads_wait_for_each_other_and_for_none_that_does_not_come() {
        let (meeting, long) = (Meeting::default(), Duration::from_secs(60));
        let met = std::thread::scope(|threads| {
            let coming = [(); 2].map(|()| threads.spawn(|| meeting.wait_for(2, long)));
            coming.map(|coming| coming.join().expect("it cannot fail"))
        });
        assert_eq!(met, [true, true]);
        assert!(!Meeting::default().wait_for(2, Duration::from_millis(1)), "nobody else comes");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_process_that_was_busy_has_its_memory_back_after_a_while() {
        let before = resident();
        let all = Arc::new(tokio::sync::Barrier::new(3_000));
        let tasks: Vec<_> = (0..3_000).map(|task| tokio::spawn(busy(task, Arc::clone(&all)))).collect();
        for task in tasks {
            task.await.expect("it cannot fail");
        }
        let at_its_end = resident();
        assert!(at_its_end > before + 50_000, "the test takes memory: {before} KB before, {at_its_end} KB after");
        let mut after = at_its_end;
        for _ in 0..10 {
            give_back().await;
            after = resident();
            if after < before + (at_its_end - before) / 4 {
                return;
            }
            // What is free is given back when it has been free for a second.
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        panic!("{before} KB before, {at_its_end} KB when all had ended, {after} KB later");
    }
}
