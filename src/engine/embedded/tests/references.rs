//! How long a start follows references, how many of them, and for how long it is remembered that they were.

use super::*;
use crate::interpreter::{ErrorClass, Outcome, RemoteTask};
use crate::plan::Refused;
use crate::registry::{self, Artifact, At, Kind, Manifest, Pushed};

/// A registry that never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl Store for Silent {
    fn location(&self) -> String {
        "nowhere".to_owned()
    }

    async fn manifest(&self, _: &str, _: &At) -> Result<Manifest, registry::Error> {
        std::future::pending().await
    }

    async fn resolve(&self, _: &str, _: &str) -> Result<Digest, registry::Error> {
        std::future::pending().await
    }

    async fn artifact(&self, _: &str, _: &Manifest, _: Kind) -> Result<Artifact, registry::Error> {
        std::future::pending().await
    }

    async fn push(&self, _: &str, _: Kind, _: bytes::Bytes, _: BTreeMap<String, String>, _: &[String]) -> Result<Pushed, registry::Error> {
        std::future::pending().await
    }

    async fn tags(&self, _: &str) -> Result<Vec<String>, registry::Error> {
        std::future::pending().await
    }

    async fn repositories(&self, _: &str) -> Result<Vec<String>, registry::Error> {
        std::future::pending().await
    }
}

const REFERS: &str = "steps: [{id: sub, step_type: workflow, workflow: other}]";

#[tokio::test(start_paused = true)]
async fn a_start_waits_so_long_for_a_slow_registry_and_soon_after_not_again() {
    let engine = over(Arc::new(Silent), Options::default(), Arc::new(Memory::default()));
    for (passes, waits) in [
        (Duration::ZERO, limits::REFERENCES_PATIENCE),
        (Duration::ZERO, Duration::ZERO),
        (limits::REFERENCES_TRUSTED - Duration::from_millis(1), Duration::ZERO),
        (Duration::from_millis(1), limits::REFERENCES_PATIENCE),
    ] {
        tokio::time::sleep(passes).await;
        let begun = Instant::now();
        start(&engine, REFERS).await.expect("a registry that is slow does not hinder it");
        assert_eq!(begun.elapsed(), waits, "after {passes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_references_are_followed_and_one_more_is_refused() {
    for (more, is_refused) in [(0, false), (1, true)] {
        let engine = engine(Options::default(), Arc::new(Memory::default()));
        let step = |n: usize| format!("  - {{id: s{n}, step_type: workflow, workflow: w{n}}}\n");
        let steps: String = (0..limits::REFERENCES_FOLLOWED_MAX + more).map(step).collect();
        let started = start(&engine, &format!("steps:\n{steps}")).await;
        match started {
            Err(Error::References(refused @ Refused::TooMany { lookups_max: limits::REFERENCES_FOLLOWED_MAX, .. })) if is_refused => {
                assert!(refused.to_string().contains("`w:1.0.0` leads to more than 1000 references to workflows"), "{refused}");
            }
            started => assert!(started.is_ok() && !is_refused, "{more}: {started:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_agent_of_a_task_that_is_given_up_is_looked_for_no_longer_than_a_registry_may_take() {
    let engine = over(Arc::new(Silent), Options::default(), Arc::new(Memory::default()));
    let remote = RemoteTask { task_id: "t".to_owned(), context_id: "c".to_owned() };
    let begun = Instant::now();
    engine.give_up(SkillId::parse("s").unwrap(), false, None, remote).await;
    assert_eq!(begun.elapsed(), limits::REGISTRY_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn what_a_step_needs_is_looked_for_as_long_as_the_step_may_take() {
    let engine = over(Arc::new(Silent), Options::default(), Arc::new(Memory::default()));
    for (step, said) in [
        ("skill: work", "no agent for skill `work` was found in time"),
        ("step_type: workflow, workflow: other", "workflow `other` was not found in time"),
        ("skill: execute_workflow, agent: gantry, inputs: {workflow_id: other}", "no agent for skill `execute_workflow` was found in time"),
    ] {
        let run = start(&engine, &format!("steps: [{{id: only, {step}, timeout: 5s}}]")).await.unwrap();
        let begun = Instant::now();
        let ended = tokio::time::timeout(Duration::from_secs(600), engine.wait(&run)).await.expect("it is not looked for without end");
        assert_eq!(begun.elapsed(), Duration::from_secs(5), "{step}");
        let Some(Outcome::Failed { error }) = ended.unwrap().outcome else { panic!("{step}: it did not fail") };
        assert_eq!((error.code, error.message.as_str()), (ErrorClass::Timeout, said));
    }
}
