//! A shutdown waits for what is in flight, and for nothing else: a run whose child rests is parked at once, however long the child would rest.

use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry::agent::Client;
use gantry::engine::embedded::{Counts, Embedded, Options};
use gantry::engine::{Engine, Filter};
use gantry::interpreter::RunStatus;
use gantry::journal::Sqlite;
use serde_json::json;

use super::agent::PATIENCE;
use super::world::{World, client_options, output};

/// Longer than the test may take: a shutdown that takes it all is noticed.
const GRACE: Duration = Duration::from_secs(3600);

const WAITS: &str = "metadata: {id: child, name: C, version: 1.0.0}\nsteps: [{id: w, step_type: wait, for: 300d}]";
const ASKS: &str = "metadata: {id: child, name: C, version: 1.0.0}\nsteps: [{id: ask, step_type: input, prompt: well?}]";
const MIDDLE: &str = "metadata: {id: middle, name: M, version: 1.0.0}\nsteps: [{id: in, step_type: workflow, workflow: child}]";

fn engine(world: &World) -> Embedded {
    let options = Options { rest_after: Duration::from_millis(20), ..Options::default() };
    Embedded::new(options, Arc::clone(&world.discovery), Client::new(client_options()), Arc::clone(&world.journal))
}

async fn until(engine: &Embedded, what: Counts) {
    let wait = async {
        while engine.counts() != what {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, wait).await;
    waited.unwrap_or_else(|_| panic!("never {what:?}, but {:?}", engine.counts()));
}

/// What a child waits for, the workflow that is called, and how many runs are awake and at rest when nothing more happens by itself.
const CASES: [(&str, &str, Counts); 4] = [
    (WAITS, "child", Counts { awake: 1, resting: 1 }),
    (WAITS, "middle", Counts { awake: 2, resting: 1 }),
    // A question goes up, and the runs above it wait for its answer as it does.
    (ASKS, "child", Counts { awake: 0, resting: 2 }),
    (ASKS, "middle", Counts { awake: 0, resting: 3 }),
];

#[tokio::test]
async fn a_child_at_rest_holds_up_no_shutdown_of_the_runs_above_it() {
    for (child, called, counts) in CASES {
        let dir = tempfile::tempdir().unwrap();
        let world = World::with(Arc::new(Sqlite::open(dir.path()).unwrap()));
        world.push_workflow(child).await;
        world.push_workflow(MIDDLE).await;
        let before = engine(&world);
        let world = World { engine: before, ..world };
        let run = world.start(&format!("steps: [{{id: sub, step_type: workflow, workflow: {called}}}]"), json!({})).await;
        until(&world.engine, counts).await;

        let begun = Instant::now();
        let stopped = tokio::time::timeout(PATIENCE, world.engine.shutdown(GRACE)).await;
        let parked = stopped.unwrap_or_else(|_| panic!("{called} with {child}: still stopping after {:?}", begun.elapsed()));
        assert_eq!(parked, counts.awake + counts.resting, "{called} with {child}");

        // None of them has failed or ended by that: they go on, and end together.
        let after = engine(&world);
        let runs = after.list(&Filter::default()).await.unwrap();
        assert!(runs.iter().all(|run| !run.status.is_terminal()), "{runs:#?}");
        assert_eq!(after.recover().await.unwrap().resumed, parked);
        until(&after, counts).await;
        if child == ASKS {
            after.answer(&run, None, Arc::new(json!("yes"))).await.unwrap();
            assert_eq!(output(&super::world::end(&after, &run).await), &json!("yes"));
        } else {
            after.cancel(&run, "enough").await.unwrap();
            assert_eq!(super::world::end(&after, &run).await.status, RunStatus::Canceled);
        }
        until(&after, Counts { awake: 0, resting: 0 }).await;
        let runs = after.list(&Filter::default()).await.unwrap();
        assert!(runs.iter().all(|run| run.status.is_terminal()), "{runs:#?}");
    }
}
