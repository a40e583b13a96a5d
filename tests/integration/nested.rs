//! A workflow that calls `execute_workflow` on a second gantry process, which calls a third: what comes back, what goes down, and
//! what is refused.

use serde_json::{Value, json};

use crate::gantries::{Gantry, Site, artifact, status, wait_for};

/// Three processes around one registry: `gantry-a` calls `gantry-b`, which calls `gantry-c`.
struct Three {
    a: Gantry,
    b: Gantry,
    c: Gantry,
    _site: Site,
}

impl Three {
    async fn new() -> Self {
        Self::with("").await
    }

    /// With more lines in the configuration of the last.
    async fn with(configuration_of_c: &str) -> Self {
        let site = Site::new().await;
        site.push_workflows("nested").await;
        let (a, b, c) = tokio::join!(site.serve("gantry-a", ""), site.serve("gantry-b", ""), site.serve("gantry-c", configuration_of_c));
        Self { a, b, c, _site: site }
    }

    /// The only task of a process.
    async fn only(of: &Gantry) -> Value {
        let tasks = of.tasks().await;
        assert_eq!(tasks.len(), 1, "{tasks:#?}");
        tasks[0].clone()
    }
}

#[tokio::test]
async fn results_come_back_through_two_processes() {
    let three = Three::new().await;
    let value = json!({ "n": 42, "big": 9_007_199_254_740_993_u64, "float": 0.5, "text": "{{ run.id }}" });
    let task = three.a.execute("nested-top", json!({ "leaf": "nested-echo", "value": value })).await;
    assert_eq!(status(&task), "COMPLETED", "{task:#}");
    let output = &artifact(&task, "output")[0]["data"];
    assert_eq!((&output["from"], &output["below"]["from"]), (&json!("top"), &json!("middle")));
    assert_eq!(output["below"]["below"], json!({ "given": value, "next": 43 }), "data stays what it was, templates in it too");
    for (gantry, workflow) in [(&three.b, "nested-middle"), (&three.c, "nested-echo")] {
        let task = Three::only(gantry).await;
        assert_eq!(status(&task), "COMPLETED");
        assert_eq!(task["metadata"]["urn:gantry:a2a:run:v1"]["workflow"], workflow);
    }
}

#[tokio::test]
async fn a_text_is_a_text_wherever_it_was_made() {
    let three = Three::new().await;
    let task = three.a.execute("nested-top", json!({ "leaf": "nested-verse", "value": {} })).await;
    assert_eq!(artifact(&task, "output")[0]["data"]["below"]["below"], "leaves fall", "{task:#}");
}

#[tokio::test]
async fn a_failure_comes_back_with_its_reason_and_the_way_it_took() {
    let three = Three::new().await;
    let task = three.a.execute("nested-top", json!({ "leaf": "nested-fails", "value": {} })).await;
    let told = status(&task);
    assert!(told.starts_with("FAILED: "), "{task:#}");
    for part in ["below", "gantry-b", "further", "gantry-c", "fall", "the leaf is dry"] {
        assert!(told.contains(part), "`{part}` is not in: {told}");
    }
    assert_eq!(status(&Three::only(&three.c).await), "FAILED: step `fall`: the leaf is dry (dry)");
}

#[tokio::test]
async fn what_the_last_refuses_fails_the_first() {
    let three = Three::new().await;
    let task = three.a.execute("nested-top", json!({ "leaf": "nested-nowhere", "value": {} })).await;
    let told = status(&task);
    assert!(told.starts_with("FAILED: ") && told.contains("nested-nowhere") && told.contains("gantry-c"), "{told}");
    assert!(three.c.tasks().await.is_empty());
}

#[tokio::test]
async fn canceling_the_first_cancels_all() {
    let three = Three::new().await;
    let task = three.a.begin("nested-top", json!({ "leaf": "nested-slow", "value": {} })).await;
    wait_for("the run of the last", || async { (!three.c.tasks().await.is_empty()).then_some(()) }).await;
    let canceled = three.a.cancel(&task["id"]).await;
    assert!(status(&canceled).starts_with("CANCELED"), "{canceled:#}");
    for gantry in [&three.b, &three.c] {
        let ended = wait_for("the end of the run below", || async {
            let task = Three::only(gantry).await;
            (!["SUBMITTED", "WORKING"].iter().any(|state| status(&task).starts_with(state))).then_some(task)
        })
        .await;
        assert!(status(&ended).starts_with("CANCELED"), "{ended:#}");
    }
}

#[tokio::test]
async fn questions_come_up_and_answers_go_down() {
    let three = Three::new().await;
    let asked = three.a.execute("nested-top", json!({ "leaf": "nested-asks", "value": {} })).await;
    assert_eq!(status(&asked), "INPUT_REQUIRED: which color?", "{asked:#}");
    for gantry in [&three.b, &three.c] {
        assert_eq!(status(&Three::only(gantry).await), "INPUT_REQUIRED: which color?");
    }
    let again = three.a.reply(&asked, json!({ "color": "red" })).await;
    assert_eq!((status(&again).as_str(), &again["id"]), ("INPUT_REQUIRED: how many, of red?", &asked["id"]), "{again:#}");
    let done = three.a.reply(&asked, json!({ "count": 42 })).await;
    assert_eq!(status(&done), "COMPLETED", "{done:#}");
    assert_eq!(artifact(&done, "output")[0]["data"]["below"]["below"], json!({ "color": "red", "count": 42 }));
    for gantry in [&three.b, &three.c] {
        assert_eq!(status(&Three::only(gantry).await), "COMPLETED", "the answers went on with the task that asked");
    }
}

#[tokio::test]
async fn a_loop_between_two_processes_is_refused_with_its_chain() {
    let three = Three::new().await;
    let task = three.a.execute("nested-ping", json!({})).await;
    let told = status(&task);
    assert!(told.starts_with("FAILED: ") && told.contains("nested-ping → nested-pong → nested-ping"), "{told}");
    assert_eq!((three.a.tasks().await.len(), three.b.tasks().await.len()), (1, 1), "the second round was never begun");
}

#[tokio::test]
async fn what_nests_too_deep_is_refused_with_its_chain() {
    let three = Three::with("[server.limits]\ndepth_runs_max = 2").await;
    let task = three.a.execute("nested-top", json!({ "leaf": "nested-echo", "value": { "n": 1 } })).await;
    let told = status(&task);
    assert!(told.starts_with("FAILED: ") && told.contains("the limit is 2") && told.contains("nested-top → nested-middle"), "{told}");
    assert!(three.c.tasks().await.is_empty());
}

/// Two processes that know each other by cards of the plain protocol.
async fn two_plain() -> (Gantry, Gantry, Site) {
    let site = Site::new().await;
    let (a, b) = tokio::join!(site.serve("gantry-a", ""), site.serve("gantry-b", ""));
    site.push_plain("plain-a", &a.url, &["execute_workflow", "workflow:plain-ping"]).await;
    site.push_plain("plain-b", &b.url, &["execute_workflow"]).await;
    (a, b, site)
}

#[tokio::test]
async fn a_loop_over_plain_json_rpc_is_refused_with_its_chain() {
    let (a, b, site) = two_plain().await;
    let more = "\"{{ workflow.input.n + 1 }}\"";
    // Were it not refused, it would end after a few rounds.
    let there = format!(
        "{{id: there, skill: execute_workflow, agent: plain-b, when: \"{{{{ workflow.input.n < 5 }}}}\", inputs: {{workflow_id: plain-pong, input: {{n: {more}}}}}}}"
    );
    site.push_steps("plain-ping", &format!("steps:\n  - {there}\n")).await;
    let back = format!("{{id: back, skill: \"workflow:plain-ping\", agent: plain-a, inputs: {{n: {more}}}}}");
    site.push_steps("plain-pong", &format!("steps:\n  - {back}\n")).await;
    let task = a.execute("plain-ping", json!({ "n": 1 })).await;
    let told = status(&task);
    assert!(told.starts_with("FAILED: ") && told.contains("plain-ping → plain-pong → plain-ping"), "{told}");
    assert_eq!((a.tasks().await.len(), b.tasks().await.len()), (1, 1), "the second round was never begun");
}

#[tokio::test]
async fn a_plain_call_that_is_made_again_after_a_crash_finds_its_run() {
    let (a, b, site) = two_plain().await;
    site.push_steps("plain-slow", "steps:\n  - {id: breath, step_type: wait, for: 1s}\n  - {id: said, step_type: set, value: rested}\n")
        .await;
    let call = "{id: there, skill: execute_workflow, agent: plain-b, inputs: {workflow_id: plain-slow, input: {}}}";
    site.push_steps("plain-calls", &format!("steps:\n  - {call}\n")).await;
    let task = a.begin("plain-calls", json!({})).await;
    wait_for("the run at the other", || async { (!b.tasks().await.is_empty()).then_some(()) }).await;
    a.signal("KILL");
    a.ended().await;
    let a = site.serve("gantry-a", "").await;
    let done = wait_for("the end", || async {
        let task = a.task(&task["id"]).await;
        (!["SUBMITTED", "WORKING"].iter().any(|state| status(&task).starts_with(state))).then_some(task)
    })
    .await;
    assert_eq!(status(&done), "COMPLETED", "{done:#}");
    assert_eq!(artifact(&done, "output")[0]["text"], "rested", "{done:#}");
    assert_eq!(b.tasks().await.len(), 1, "the call that was made again is the same call");
}
