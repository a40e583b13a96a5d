//! Those who have gone are forgotten, also by a run that tells nothing.

use super::*;
use crate::interpreter::Change;
use crate::time::Timestamp;

fn update(seq: u64) -> Arc<Update> {
    Arc::new(Update { seq, at: Timestamp::default(), change: Change::RunStarted })
}

#[test]
fn who_has_gone_is_forgotten_when_the_next_one_comes() {
    let mut watchers = Watchers::default();
    let stays = watchers.add();
    for _ in 0..1_000 {
        drop(watchers.add());
        assert!(watchers.watchers.len() <= 2, "{}", watchers.watchers.len());
    }
    drop(stays);
    drop(watchers.add());
    assert_eq!(watchers.watchers.len(), 1);
    watchers.tell(&update(1));
    assert!(watchers.is_empty());
}

#[test]
fn those_who_have_gone_take_no_memory_once_that_is_said() {
    let mut watchers = Watchers::default();
    let stays = watchers.add();
    drop((0..100).map(|_| watchers.add()).collect::<Vec<_>>());
    watchers.forget_gone();
    assert_eq!(watchers.watchers.len(), 1);
    drop(stays);
    watchers.forget_gone();
    assert_eq!((watchers.watchers.len(), watchers.watchers.capacity()), (0, 0));
}

#[tokio::test]
async fn who_stays_is_told_everything_in_order() {
    let mut watchers = Watchers::default();
    let (mut first, gone) = (watchers.add(), watchers.add());
    watchers.tell(&update(1));
    drop(gone);
    let mut second = watchers.add();
    watchers.tell(&update(2));
    drop(watchers);
    for (updates, expected) in [(&mut first, &[1, 2][..]), (&mut second, &[2])] {
        for seq in expected {
            assert!(matches!(updates.next().await, Next::Update(update) if update.seq == *seq));
        }
        assert!(matches!(updates.next().await, Next::End));
    }
}
