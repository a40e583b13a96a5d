//! Bounds that hold, queues in order, and places that come back.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::*;

fn pair(here: usize, all: usize) -> (Arc<Bulkhead>, Arc<Bulkhead>) {
    let all = Arc::new(Semaphore::new(all));
    (Arc::new(Bulkhead::new(here, Arc::clone(&all))), Arc::new(Bulkhead::new(here, all)))
}

#[tokio::test]
async fn so_many_go_in_and_the_next_waits() {
    let (a, b) = pair(2, 3);
    assert_eq!([a.try_enter(), a.try_enter(), a.try_enter()], [true, true, false], "the agent's own bound");
    assert_eq!([b.try_enter(), b.try_enter()], [true, false], "the bound of all");
    assert_eq!((a.in_flight(), b.in_flight(), a.waiting()), (2, 1, 0), "a try takes nothing that it does not use");
    a.leave();
    assert!(b.try_enter());
    [&a, &b, &b].iter().for_each(|bulkhead| bulkhead.leave());
    assert_eq!((a.in_flight(), b.in_flight()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_served_in_order_and_nobody_overtakes() {
    let (a, _) = pair(1, 8);
    assert!(a.try_enter());
    let mut all = JoinSet::new();
    let (order, mut served) = tokio::sync::mpsc::unbounded_channel();
    for n in 0..20 {
        let (bulkhead, order) = (Arc::clone(&a), order.clone());
        all.spawn(async move {
            bulkhead.enter().await;
            order.send(n).unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            bulkhead.leave();
        });
        tokio::task::yield_now().await;
        assert_eq!(a.waiting(), n + 1);
    }
    a.leave();
    assert!(!a.try_enter(), "the place belongs to the first who waits");
    all.join_all().await;
    drop(order);
    let mut seen = Vec::new();
    while let Some(n) = served.recv().await {
        seen.push(n);
    }
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
    assert_eq!((a.in_flight(), a.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_leaves_the_queue_and_takes_no_place_along() {
    let (a, b) = pair(1, 1);
    assert!(a.try_enter());
    // One waits at the agent, one has a place there but none of all.
    for bulkhead in [&a, &b] {
        assert!(timeout(Duration::from_secs(1), bulkhead.enter()).await.is_err());
        assert_eq!(bulkhead.waiting(), 0);
    }
    a.leave();
    assert_eq!((a.in_flight(), b.in_flight()), (0, 0));
    assert!(b.try_enter());
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_one_agent_holds_no_place_that_another_needs() {
    let (slow, quick) = pair(1, 2);
    assert!(slow.try_enter());
    let mut waiting = JoinSet::new();
    for _ in 0..10 {
        let slow = Arc::clone(&slow);
        waiting.spawn(async move { slow.enter().await });
    }
    tokio::task::yield_now().await;
    for _ in 0..100 {
        assert!(quick.try_enter(), "ten that wait for the slow agent are not in its way");
        quick.leave();
    }
}
