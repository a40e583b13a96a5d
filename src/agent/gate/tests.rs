//! Gates as the engine uses them: an agent that is away for a minute, and what its callers see and do.

use std::sync::atomic::AtomicUsize;

use tokio::task::JoinSet;

use super::*;

fn card(name: &str, url: &str) -> Card {
    let json = serde_json::json!({"name": name, "url": url, "skills": [{"id": "work", "description": "works"}]});
    Card::parse(json.to_string().as_bytes()).unwrap()
}

fn failure(kind: ErrorKind, reach: Reach) -> Error {
    Failure::new(kind, "no").reaching(reach).at("a", "work")
}

#[test]
fn cards_of_one_address_share_a_gate() {
    let gates = Gates::new(GateOptions::default());
    let gate = gates.gate(&card("a", "http://127.0.0.1:1"));
    assert!(Arc::ptr_eq(&gate, &gates.gate(&card("b", "http://127.0.0.1:1/"))));
    assert!(!Arc::ptr_eq(&gate, &gates.gate(&card("a", "http://127.0.0.1:2"))));
    let mut tenants = card("a", "http://127.0.0.1:1");
    tenants.interfaces[0].tenant = Some("t".to_owned());
    assert!(!Arc::ptr_eq(&gate, &gates.gate(&tenants)));
    assert_eq!(gates.statuses(), [], "looked at, not called");
    drop(gate.try_enter("a", "work"));
    assert_eq!(gates.statuses().len(), 1);
}

#[test]
fn statuses_hold_no_credentials() {
    let gates = Gates::new(GateOptions::default());
    drop(gates.gate(&card("a", "http://user:canary@127.0.0.1:1/x?key=canary")).try_enter("a", "work"));
    let status = serde_json::to_string(&gates.statuses()).unwrap();
    assert!(status.contains("http://127.0.0.1:1/x") && !status.contains("canary"), "{status}");
}

#[tokio::test]
async fn the_number_of_gates_is_bounded_and_open_ones_stay_longest() {
    let gates = Gates::new(GateOptions {
        breaker: BreakerOptions { failures: std::num::NonZeroU32::MIN, ..BreakerOptions::default() },
        ..GateOptions::default()
    });
    let away = card("away", "http://127.0.0.1:1/away");
    gates.gate(&away).enter("away", "work").await.unwrap().failed(&failure(ErrorKind::Unavailable, Reach::NotBegun));
    for n in 0..2 * limits::GATES_MAX {
        drop(gates.gate(&card("x", &format!("http://127.0.0.1:1/{n}"))).try_enter("x", "work"));
    }
    assert!(gates.statuses().len() <= limits::GATES_MAX);
    assert!(gates.gate(&away).is_left_alone());
}

#[tokio::test]
async fn only_outages_count_against_an_agent() {
    use ErrorKind::*;
    let cases = [
        (Timeout, Reach::Unknown, true),
        (Unavailable, Reach::NotBegun, true),
        (Unavailable, Reach::Unknown, true),
        (RateLimited, Reach::NotBegun, true),
        (Unavailable, Reach::Answered, false),
        (Unavailable, Reach::Nowhere, false),
        (AgentError, Reach::Answered, false),
        (Rejected, Reach::Answered, false),
        (InvalidReply, Reach::Answered, false),
        (TooLarge, Reach::Answered, false),
        (Refused, Reach::Answered, false),
        (Canceled, Reach::Unknown, false),
    ];
    for (kind, reach, counts) in cases {
        let gate = Gates::new(GateOptions::default()).gate(&card("a", "http://127.0.0.1:1"));
        for _ in 0..5 {
            let Ok(mut pass) = gate.enter("a", "work").await else { panic!("{kind:?} opens too early") };
            pass.failed(&failure(kind, reach));
        }
        assert_eq!(gate.is_left_alone(), counts, "{kind:?} {reach:?}");
        assert_eq!(gate.load(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_shows_signs_of_life_may_take_too_long() {
    let gate = Gates::new(GateOptions::default()).gate(&card("a", "http://127.0.0.1:1"));
    for _ in 0..50 {
        let mut pass = gate.enter("a", "work").await.unwrap();
        pass.sign_of_life();
        pass.failed(&failure(ErrorKind::Timeout, Reach::Unknown));
    }
    // One whose connection breaks all the time is away nevertheless.
    for _ in 0..5 {
        let mut pass = gate.enter("a", "work").await.unwrap();
        pass.sign_of_life();
        pass.failed(&failure(ErrorKind::Unavailable, Reach::Unknown));
    }
    assert!(gate.is_left_alone());
    // A probe that is at work closes the circuit before it has ended.
    tokio::time::advance(Duration::from_secs(1)).await;
    let mut probe = gate.enter("a", "work").await.unwrap();
    assert!(gate.is_left_alone());
    probe.sign_of_life();
    assert!(gate.is_closed() && gate.enter("a", "work").await.is_ok());
}

#[tokio::test]
async fn a_refusal_names_agent_skill_time_and_reason_and_takes_no_place() {
    let gate = Gates::new(GateOptions::default()).gate(&card("a", "http://127.0.0.1:1"));
    for _ in 0..5 {
        gate.enter("a", "work").await.unwrap().failed(&failure(ErrorKind::Unavailable, Reach::NotBegun));
    }
    let error = gate.try_enter("a", "work").unwrap().unwrap_err();
    assert_eq!((error.kind, error.reach, error.is_transient()), (ErrorKind::CircuitOpen, Reach::NotBegun, true));
    let after = error.retry_after.unwrap();
    assert!(after > Duration::from_millis(500) && after < Duration::from_millis(1300), "{after:?}");
    let said = error.to_string();
    for part in ["agent `a`", "skill `work`", "it is not called before 2", "for another ", "after 5 failures in a row; the last: no"] {
        assert!(said.contains(part), "`{said}` has no `{part}`");
    }
    assert_eq!(gate.load(), 0);
    assert!(!error.is_outage(), "a call that was never made is no failure of the agent");
}

#[tokio::test(start_paused = true)]
async fn who_waited_while_the_agent_went_away_is_refused_and_not_sent_there() {
    let one = NonZeroUsize::MIN;
    let gate = Gates::new(GateOptions { calls_per_agent_max: one, ..GateOptions::default() }).gate(&card("a", "http://127.0.0.1:1"));
    let mut under_way = gate.enter("a", "work").await.unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..100 {
        let gate = Arc::clone(&gate);
        waiting
            .spawn(async move { gate.enter("a", "work").await.map(|mut pass| pass.failed(&failure(ErrorKind::Timeout, Reach::Unknown))) });
    }
    tokio::task::yield_now().await;
    under_way.failed(&failure(ErrorKind::Timeout, Reach::Unknown));
    drop(under_way);
    let outcomes = waiting.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 4, "the fifth failure opens the circuit");
    assert!(outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).all(|error| error.kind == ErrorKind::CircuitOpen));
    assert_eq!(gate.load(), 0);
}

/// An agent is away for a minute, and a thousand callers want it and come back as they are told.
#[tokio::test(start_paused = true)]
async fn a_thousand_callers_do_not_storm_an_agent_that_is_away() {
    const CALLERS: usize = 1_000;
    const AWAY: Duration = Duration::from_secs(60);
    let gates = Arc::new(Gates::new(GateOptions::default()));
    let began = Instant::now();
    let (calls, at_once, most_at_once) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let opened = Arc::new(std::sync::OnceLock::new());
    let mut callers = JoinSet::new();
    for n in 0..CALLERS {
        let (gates, calls, opened) = (Arc::clone(&gates), Arc::clone(&calls), Arc::clone(&opened));
        let (at_once, most_at_once) = (Arc::clone(&at_once), Arc::clone(&most_at_once));
        callers.spawn(async move {
            let card = card("a", "http://127.0.0.1:1");
            // They come one after the other, as requests do.
            tokio::time::sleep(Duration::from_millis(n as u64)).await;
            let mut waits = 0;
            loop {
                let gate = gates.gate(&card);
                let hint = match gate.enter("a", "work").await {
                    Ok(mut pass) => {
                        if began.elapsed() < AWAY {
                            calls.fetch_add(1, Ordering::SeqCst);
                        }
                        let is_probe = opened.get().is_some() && began.elapsed() < AWAY;
                        if is_probe {
                            most_at_once.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        }
                        // What the network takes.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        if began.elapsed() > AWAY {
                            pass.succeeded();
                            return waits;
                        }
                        if is_probe {
                            at_once.fetch_sub(1, Ordering::SeqCst);
                        }
                        pass.failed(&failure(ErrorKind::Unavailable, Reach::NotBegun));
                        if gate.is_left_alone() {
                            opened.get_or_init(|| began.elapsed());
                        }
                        Duration::from_secs(1)
                    }
                    Err(error) => error.retry_after.unwrap(),
                };
                waits += 1;
                tokio::time::sleep(hint).await;
            }
        });
    }
    let waits = callers.join_all().await;
    let (calls, opened) = (calls.load(Ordering::SeqCst), *opened.get().unwrap());
    // 5 failures open it; 20 calls are under way when the first fails; one probe after 1, 3, 7, 15, 31 seconds.
    assert!(calls <= 2 * (5 + 20 + 5), "{calls} calls to an agent that is away");
    assert!(opened < Duration::from_secs(1), "it opened after {opened:?}");
    assert!(most_at_once.load(Ordering::SeqCst) <= 1, "probes at once");
    assert!(waits.iter().all(|waits| *waits < 60), "nobody hammers: {:?}", waits.iter().max());
    assert!(began.elapsed() < Duration::from_secs(60 + 32 + 10), "all are through soon after the agent is back: {:?}", began.elapsed());
}
