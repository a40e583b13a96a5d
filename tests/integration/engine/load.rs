//! Many runs and long runs at once, every single one right.

use std::sync::Arc;

use gantry::engine::{Engine, Start};
use gantry::interpreter::RunStatus;
use gantry::journal::{Journal, Memory, Sqlite};
use serde_json::json;
use tokio::task::JoinSet;

use super::agent::Agent;
use super::world::{World, end, output};

fn chain(count: usize) -> String {
    let step = |n: usize| {
        let from = if n == 0 { "workflow.input.n".to_owned() } else { format!("steps.s{}.outputs.n", n - 1) };
        format!("  - {{id: s{n}, skill: add, inputs: {{n: \"{{{{ {from} }}}}\"}}}}\n")
    };
    format!("steps:\n{}", (0..count).map(step).collect::<String>())
}

/// Starts so many runs of a chain at once; each must have counted up from its own number.
async fn check(journal: Arc<dyn Journal>, runs: usize, steps: usize) {
    let agent = Agent::plain("adder", &["add"], |call| json!({"n": call.inputs["n"].as_u64().unwrap() + 1})).await;
    let world = World::with(journal);
    world.meet(&[&agent]);
    let plan = world.plan(&chain(steps));
    let mut all = JoinSet::new();
    for n in 0..runs {
        let (engine, plan) = (world.engine.clone(), Arc::clone(&plan));
        all.spawn(async move {
            let run = engine.start(Start::new(plan, Arc::new(json!({"n": n * 1000})))).await.unwrap().run;
            (n, end(&engine, &run).await)
        });
    }
    while let Some(done) = all.join_next().await {
        let (n, ended) = done.unwrap();
        assert_eq!(ended.status, RunStatus::Completed, "run {n}");
        assert_eq!(output(&ended), &json!({"n": n * 1000 + steps}), "run {n}");
        assert!(ended.steps.iter().all(|step| step.attempts == 1), "run {n}");
    }
    assert_eq!(agent.look(|seen| seen.calls.len()), runs * steps);
    let keys: std::collections::BTreeSet<_> = agent.look(|seen| seen.message_ids("add")).into_iter().collect();
    assert_eq!(keys.len(), runs * steps, "every call has a key of its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_runs_of_a_hundred_steps() {
    check(Arc::new(Memory::default()), 10, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_runs_of_three_steps() {
    check(Arc::new(Memory::default()), 500, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_durable_runs_of_three_steps() {
    let dir = tempfile::tempdir().unwrap();
    check(Arc::new(Sqlite::open(dir.path()).unwrap()), 100, 3).await;
}
