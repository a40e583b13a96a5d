//! A registry that is down, stalls, lies, or is asked by many at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gantry::discovery::Error;
use gantry::registry::{self, Kind};
use tokio::task::JoinSet;

use super::world::{Count, NEVER_STALE, Spy, card, workflow};

const TTL: Duration = Duration::from_secs(5);

async fn filled(spy: &Spy) {
    spy.put("workflows/flow", Kind::Workflow, &workflow("flow-v1", "1.0.0", "plan"), &["v1"]).await;
    spy.put("agents/planner", Kind::AgentCard, &card("planner", &["plan"]), &["v1"]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_cached_outlives_the_registry() {
    let spy = Spy::remote();
    filled(&spy).await;
    let discovery = spy.discovery(TTL);
    let digest = discovery.workflow("flow").await.unwrap().plan.digest().clone();
    discovery.workflow("flow-v1").await.unwrap();
    discovery.agent("plan", None).await.unwrap();
    let list = discovery.workflows().await.unwrap();
    spy.down.store(true, Ordering::SeqCst);
    assert_eq!(discovery.workflow("flow").await.unwrap().choice, "only tag", "still trusted");
    tokio::time::advance(TTL).await;

    let by_id = "only tag, with the id `flow-v1` in `workflows/flow`; from cache, registry unreachable";
    let cases = [
        ("flow".to_owned(), "only tag; from cache, registry unreachable"),
        ("flow:v1".to_owned(), "tag `v1` as asked; from cache, registry unreachable"),
        ("flow-v1".to_owned(), by_id),
        (format!("flow@{digest}"), "digest as asked"),
    ];
    for _ in 0..3 {
        for (reference, choice) in &cases {
            assert_eq!(discovery.workflow(reference).await.unwrap().choice, *choice, "{reference}");
        }
        let agent = discovery.agent("plan", None).await.unwrap();
        assert_eq!(agent.reason, "only agent with the skill; from cache, registry unreachable");
        assert_eq!(discovery.workflows().await.unwrap(), list);
    }
    let asked = spy.count();
    discovery.workflow("flow").await.unwrap();
    discovery.agent("plan", None).await.unwrap();
    assert_eq!(spy.count(), Count::default(), "a registry that failed a moment ago is left alone, after {asked:?}");

    // What is not cached fails, quickly and plainly.
    for reference in ["never-seen", "flow:v2"] {
        let error = discovery.workflow(reference).await.unwrap_err();
        assert!(matches!(error, Error::Registry(_)) && error.is_transient() && error.hint().is_some(), "{error:?}");
    }
    let error = discovery.agent("unheard", None).await.unwrap_err();
    assert_eq!(error.to_string(), "no agent offers the skill `unheard`: there is `plan`; from cache, registry unreachable");

    // It comes back, and is asked again.
    spy.down.store(false, Ordering::SeqCst);
    tokio::time::advance(TTL).await;
    assert_eq!(discovery.workflow("flow").await.unwrap().choice, "only tag");
    assert_eq!(discovery.agent("plan", None).await.unwrap().reason, "only agent with the skill");
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_down_from_the_start_hinders_no_start() {
    let spy = Spy::remote();
    filled(&spy).await;
    spy.down.store(true, Ordering::SeqCst);
    let discovery = spy.discovery(TTL);
    assert_eq!(spy.count(), Count::default(), "nothing is asked before it is needed");
    discovery.add_card(gantry::a2a::Card::parse(card("by-hand", &["plan"]).as_bytes()).unwrap());
    assert_eq!(discovery.agent("plan", None).await.unwrap().card.name, "by-hand", "needs no registry");
    assert!(discovery.plan_from_text("f.yaml", workflow("f", "1.0.0", "x").as_bytes()).is_ok());
    let error = discovery.workflow("flow").await.unwrap_err();
    assert_eq!(error.to_string(), "the registry failed: the registry of `workflows/flow` is unavailable: connection refused");
    assert!(matches!(discovery.agent("other", None).await.unwrap_err(), Error::Registry(_)));
    spy.down.store(false, Ordering::SeqCst);
    tokio::time::advance(Duration::from_millis(201)).await;
    assert!(discovery.workflow("flow").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_stalls_holds_up_nobody_who_has_an_answer() {
    let spy = Spy::remote();
    filled(&spy).await;
    let discovery = spy.discovery(TTL);
    discovery.workflow("flow").await.unwrap();
    discovery.agent("plan", None).await.unwrap();
    tokio::time::advance(TTL).await;
    spy.stalled.store(true, Ordering::SeqCst);
    let began = tokio::time::Instant::now();
    assert_eq!(discovery.workflow("flow:v1").await.unwrap().choice, "tag `v1` as asked; from cache, registry slow");
    assert_eq!(discovery.agent("plan", None).await.unwrap().reason, "only agent with the skill; from cache, registry slow");
    assert!(began.elapsed() <= 3 * gantry::limits::REGISTRY_PATIENCE, "{:?}", began.elapsed());
    let began = tokio::time::Instant::now();
    for _ in 0..100 {
        discovery.workflow("flow:v1").await.unwrap();
        discovery.agent("plan", None).await.unwrap();
    }
    assert_eq!(began.elapsed(), Duration::ZERO, "and it is not waited for again at once");
}

#[tokio::test]
async fn many_who_ask_the_same_ask_the_registry_once() {
    let spy = Spy::remote();
    filled(&spy).await;
    let discovery = Arc::new(spy.discovery(NEVER_STALE));
    let mut lookups = JoinSet::new();
    for n in 0..100 {
        let discovery = Arc::clone(&discovery);
        lookups.spawn(async move {
            if n % 2 == 0 {
                discovery.workflow("flow").await.map(|found| found.choice)
            } else {
                discovery.agent("plan", None).await.map(|found| found.reason)
            }
        });
    }
    for result in lookups.join_all().await {
        result.unwrap();
    }
    assert_eq!(spy.count(), Count { repositories: 1, tags: 2, manifest: 2, artifact: 2, resolve: 0 });
}

#[tokio::test]
async fn a_caller_that_goes_away_does_not_take_the_answer_with_it() {
    let spy = Spy::remote();
    filled(&spy).await;
    let discovery = spy.discovery(NEVER_STALE);
    {
        let lookup = std::pin::pin!(discovery.workflow("flow"));
        // Polled once, and dropped while the registry is asked.
        assert!(futures_util::poll!(lookup).is_pending());
    }
    assert_eq!(discovery.workflow("flow").await.unwrap().choice, "only tag");
    assert_eq!(spy.count(), Count { tags: 1, manifest: 1, artifact: 1, ..Count::default() }, "what it had asked for was used");
}

#[tokio::test]
async fn content_that_is_not_what_its_digest_says_is_refused() {
    let spy = Spy::remote();
    filled(&spy).await;
    spy.lying.store(true, Ordering::SeqCst);
    let digest = registry::Store::resolve(&spy.layout, "workflows/flow", "v1").await.unwrap();
    let discovery = spy.discovery(Duration::ZERO);
    for reference in ["flow".to_owned(), "flow:v1".to_owned(), "flow-v1".to_owned(), format!("flow@{digest}")] {
        let error = discovery.workflow(&reference).await.unwrap_err();
        let mismatch = matches!(&error, Error::Registry(error) if matches!(**error, registry::Error::DigestMismatch { .. }));
        assert!(mismatch || reference == "flow-v1", "{reference}: {error:?}");
    }
    assert!(discovery.workflows().await.unwrap().is_empty());
    let error = discovery.agent("plan", None).await.unwrap_err();
    assert!(error.to_string().contains("the card of `agents/planner` cannot be read"), "{error}");
}
