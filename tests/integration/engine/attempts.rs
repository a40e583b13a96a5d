//! One step's attempts: timeouts that cancel, retries that wait, keys that tell a repeat, and what each failure looks like in the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use gantry::interpreter::{ErrorClass, RunStatus};
use gantry::journal::Memory;
use gantry::registry::Layout;
use serde_json::json;

use super::agent::{A2A, Act, Agent, Call, Speaks};
use super::world::{World, client_options, failure, output, step};

fn retried(policy: &str) -> String {
    format!("steps:\n  - {{id: only, skill: work, timeout: 400ms, retry: {{initial: 10ms, jitter: false, {policy}}}}}")
}

fn json_type() -> Vec<(&'static str, String)> {
    vec![("content-type", "application/json".to_owned())]
}

#[tokio::test]
async fn a_timeout_cancels_the_task_at_the_agent() {
    for speaks in A2A {
        let agent = Agent::start("tasks", &["work"], speaks, |_| Act::Hang).await;
        let ended = World::knowing(&[&agent]).run("steps:\n  - {id: only, skill: work, timeout: 500ms}", json!({})).await;
        assert_eq!(failure(&ended).code, ErrorClass::Timeout, "{speaks:?}");
        agent.until("its task canceled", |seen| seen.canceled == ["task-1"]).await;
    }
}

#[tokio::test]
async fn every_attempt_has_an_id_of_its_own_made_of_run_path_and_attempt() {
    for speaks in [Speaks::Plain, Speaks::A2a1, Speaks::A2a03] {
        let script = |call: &Call| if call.before < 2 { Act::Fail("not yet".to_owned()) } else { Act::Reply(json!({"ok": true})) };
        let agent = Agent::start("moody", &["work"], speaks, script).await;
        let ended = World::knowing(&[&agent]).run(&retried("max_attempts: 3"), json!({})).await;
        assert_eq!(output(&ended), &json!({"ok": true}), "{speaks:?}");
        assert_eq!(step(&ended, "only").attempts, 3, "{speaks:?}");
        let expected: Vec<_> = (1..=3).map(|attempt| format!("{}/0:only#{attempt}", ended.run)).collect();
        assert_eq!(agent.look(|seen| seen.message_ids("work")), expected, "{speaks:?}");
    }
}

#[tokio::test]
async fn attempts_end_with_the_policy_and_the_last_error_stands() {
    let agent = Agent::start("broken", &["work"], Speaks::Plain, |call| Act::Fail(format!("failure {}", call.before + 1))).await;
    let ended = World::knowing(&[&agent]).run(&retried("max_attempts: 4"), json!({})).await;
    assert!(failure(&ended).message.contains("failure 4"), "{:?}", failure(&ended));
    assert_eq!((step(&ended, "only").attempts, agent.look(|seen| seen.calls.len())), (4, 4));
}

#[tokio::test]
async fn a_hanging_attempt_is_given_up_and_made_again() {
    let script = |call: &Call| if call.before == 0 { Act::Hang } else { Act::Reply(json!("late but here")) };
    let agent = Agent::start("moody", &["work"], Speaks::Plain, script).await;
    let ended = World::knowing(&[&agent]).run(&retried("max_attempts: 2, on: [timeout]"), json!({})).await;
    assert_eq!(output(&ended), &json!("late but here"));
    agent.until("the first call closed", |seen| seen.hung_up == 1 && seen.in_flight == 0).await;
}

#[tokio::test]
async fn only_the_classes_that_are_listed_are_retried() {
    let answer = |status: u16| Act::Http(status, json_type(), json!({"error": {"code": -1, "message": "no"}}).to_string());
    let acts = [
        ("timeout", ErrorClass::Timeout, Act::Hang),
        ("unavailable", ErrorClass::Unavailable, answer(503)),
        ("rate_limited", ErrorClass::RateLimited, answer(429)),
        ("agent_error", ErrorClass::AgentError, Act::Fail("no".to_owned())),
        ("", ErrorClass::Rejected, answer(400)),
    ];
    for (word, class, act) in acts {
        let agent = Agent::start("broken", &["work"], Speaks::Plain, move |_| act.clone()).await;
        let world = World::knowing(&[&agent]);
        for listed in ["timeout", "unavailable", "rate_limited", "agent_error"] {
            let calls = if listed == word { 2 } else { 1 };
            let before = agent.look(|seen| seen.calls.len());
            let ended = world.run(&retried(&format!("max_attempts: 2, on: [{listed}]")), json!({})).await;
            assert_eq!(failure(&ended).code, class, "{word} with {listed}");
            assert_eq!(agent.look(|seen| seen.calls.len()) - before, calls, "{word} with on: [{listed}]");
        }
    }
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    // The wish is longer than the policy's own delay: the update says when the next attempt is due.
    let script = |call: &Call| match call.before {
        0 => Act::Http(429, vec![("retry-after", "1".to_owned()), ("content-type", "application/json".to_owned())], "{}".to_owned()),
        _ => Act::Reply(json!("now")),
    };
    let agent = Agent::start("busy", &["work"], Speaks::Plain, script).await;
    let world = World::knowing(&[&agent]);
    let run = world.start(&retried("max_attempts: 2"), json!({})).await;
    let ended = world.end(&run).await;
    assert_eq!(output(&ended), &json!("now"));
    let events = world.journal.events(&run).await.unwrap();
    let at = |word: &str| events.iter().find(|event| serde_json::to_value(event).unwrap()["event"] == word).unwrap().at();
    assert_eq!(serde_json::to_value(&events[1]).unwrap()["error"]["retry_after_ms"], 1000);
    let waited = at("timer_fired").since_ms(at("failed"));
    assert!(waited >= 999, "waited {waited} ms");
}

#[tokio::test]
async fn failures_name_step_skill_agent_line_and_cause() {
    let html = || vec![("content-type", "text/html".to_owned())];
    let big = format!("{{\"result\": \"{}\"}}", "x".repeat(5 << 20));
    let cases: Vec<(&str, ErrorClass, &str, Act)> = vec![
        ("an error of the agent", ErrorClass::AgentError, "the moon is wrong", Act::Fail("the moon is wrong".to_owned())),
        ("HTTP 500", ErrorClass::Unavailable, "500", Act::Http(500, json_type(), "{}".to_owned())),
        ("HTTP 429", ErrorClass::RateLimited, "429", Act::Http(429, json_type(), "{}".to_owned())),
        ("HTTP 404", ErrorClass::Rejected, "404", Act::Http(404, json_type(), "{}".to_owned())),
        ("a page", ErrorClass::InvalidReply, "text/html", Act::Http(200, html(), "<html>hello</html>".to_owned())),
        ("no JSON", ErrorClass::InvalidReply, "not JSON", Act::Http(200, json_type(), "{".to_owned())),
        ("an empty body", ErrorClass::InvalidReply, "empty", Act::Http(200, json_type(), String::new())),
        (
            "another call's id",
            ErrorClass::InvalidReply,
            "\"other\"",
            Act::Http(200, json_type(), json!({"jsonrpc": "2.0", "id": "other", "error": {"code": -1, "message": "x"}}).to_string()),
        ),
        (
            "result and error",
            ErrorClass::InvalidReply,
            "both",
            Act::Http(200, json_type(), json!({"result": 1, "error": {"code": -1, "message": "x"}}).to_string()),
        ),
        ("too much", ErrorClass::TooLarge, "larger than", Act::Http(200, json_type(), big)),
        (
            "a redirect",
            ErrorClass::Refused,
            "redirects",
            Act::Http(307, vec![("location", "http://169.254.169.254/latest".to_owned())], String::new()),
        ),
        ("a hang", ErrorClass::Timeout, "no answer", Act::Hang),
    ];
    for (what, class, said, act) in cases {
        for speaks in [Speaks::Plain, Speaks::A2a1, Speaks::A2a03] {
            let act = act.clone();
            let agent = Agent::start("bad-agent", &["work"], speaks, move |_| act.clone()).await;
            let yaml = "steps:\n  - {id: first, step_type: parallel, branches: {steps: []}}\n  - {id: only, skill: work, timeout: 500ms}";
            let ended = World::knowing(&[&agent]).run(yaml, json!({})).await;
            let error = failure(&ended);
            let what = format!("{what} in {speaks:?}: {error:?}");
            assert_eq!(error.code, class, "{what}");
            // A2A's results have a form of their own, which is looked at first.
            assert!(error.message.contains(said) || (said == "both" && speaks != Speaks::Plain), "{what}");
            assert_eq!((error.step.as_deref(), error.skill.as_deref(), error.line), (Some("only"), Some("work"), Some(4)), "{what}");
            assert_eq!(error.agent.as_deref(), Some("bad-agent"), "{what}");
            assert_eq!(step(&ended, "only").error.as_ref(), Some(error), "{what}");
            assert_eq!(step(&ended, "only").agent.as_ref().unwrap().name, "bad-agent", "{what}");
        }
    }
}

#[tokio::test]
async fn an_agent_that_is_gone_is_unavailable_by_name() {
    let agent = Agent::plain("gone", &["work"], |_| json!(1)).await;
    let card = agent.card();
    drop(agent);
    let world = World::new();
    world.discovery.add_card(card);
    let ended = world.run("steps:\n  - {id: only, skill: work, on_error: continue}\n  - {id: next, skill: work}", json!({})).await;
    for id in ["only", "next"] {
        let error = step(&ended, id).error.as_ref().unwrap();
        assert_eq!((error.code, error.agent.as_deref()), (ErrorClass::Unavailable, Some("gone")), "{error:?}");
    }
}

#[tokio::test]
async fn a_failure_that_is_caught_keeps_its_data_and_the_branch_stands_in() {
    let breaks = Agent::start("breaks", &["work"], Speaks::Plain, |_| Act::Fail("no flour".to_owned())).await;
    let tells = Agent::plain("tells", &["tell"], |call| call.inputs.clone()).await;
    let yaml = "
steps:
  - id: bake
    skill: work
    on_error:
      steps:
        - {id: buy, skill: tell, inputs: {why: \"{{ steps.bake.error.message }}\", code: \"{{ steps.bake.error.code }}\"}}
  - {id: eat, skill: tell, inputs: {what: \"{{ steps.bake.outputs }}\", status: \"{{ steps.bake.status }}\"}}
";
    let ended = World::knowing(&[&breaks, &tells]).run(yaml, json!({})).await;
    assert_eq!(ended.status, RunStatus::Completed);
    let eaten = output(&ended);
    assert_eq!((&eaten["what"]["code"], &eaten["status"]), (&json!("agent_error"), &json!("failed")));
    assert!(eaten["what"]["why"].as_str().unwrap().contains("no flour"), "{eaten}");
}

#[tokio::test]
async fn an_agent_that_moved_is_found_by_the_next_attempt() {
    let layout = Layout::ephemeral().unwrap();
    let old = Agent::plain("mover", &["work"], |_| json!("old")).await;
    let world = World::over(Arc::new(layout), Arc::new(Memory::default()), client_options());
    let push = async |agent: &Agent, version: &str| {
        let mut card: serde_json::Value = serde_json::from_str(&agent.card_text()).unwrap();
        card["version"] = json!(version);
        world.discovery.push_card(card.to_string().into(), None, &[]).await.unwrap();
    };
    push(&old, "1.0.0").await;
    assert_eq!(output(&world.run(&retried("max_attempts: 2"), json!({})).await), &json!("old"));
    let new = Agent::plain("mover", &["work"], |_| json!("new")).await;
    drop(old);
    push(&new, "1.0.1").await;
    let ended = world.run(&retried("max_attempts: 2"), json!({})).await;
    assert_eq!(output(&ended), &json!("new"));
}

/// A registry that does not say when it changes, as remote ones do not: what is cached is wrong until a call has failed.
#[tokio::test]
async fn a_cached_address_that_is_wrong_heals_after_one_failed_call() {
    let layout = Arc::new(Layout::ephemeral().unwrap());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = listener.local_addr().unwrap().to_string();
    let stop = tokio_util::sync::CancellationToken::new();
    let served = tokio::spawn(gantry::registry::http::serve(listener, Arc::clone(&layout), Default::default(), stop.clone()));
    let remote = gantry::registry::Remote::new(&registry, Default::default()).unwrap();
    let world = World::over(Arc::new(remote), Arc::new(Memory::default()), client_options());
    let push = async |agent: &Agent| {
        let card = agent.card_text().into();
        use gantry::registry::{Kind, Store};
        layout.push("agents/mover", Kind::AgentCard, card, Default::default(), &["v1".to_owned()]).await.unwrap();
    };
    let moved = Arc::new(AtomicUsize::new(0));
    let old = Agent::plain("mover", &["work"], |_| json!("old")).await;
    push(&old).await;
    assert_eq!(output(&world.run(&retried("max_attempts: 2"), json!({})).await), &json!("old"));
    let counter = Arc::clone(&moved);
    let new = Agent::plain("mover", &["work"], move |_| json!(counter.fetch_add(1, Ordering::SeqCst))).await;
    drop(old);
    push(&new).await;
    // The first attempt may go to the old address; the second must not. The pause keeps a dead agent from causing a storm of lookups.
    let ended = world.run(&retried("max_attempts: 2").replace("10ms", "250ms"), json!({})).await;
    assert_eq!(output(&ended), &json!(0), "{ended:#?}");
    assert_eq!(step(&ended, "only").attempts, 2, "the first attempt went to the old address");
    stop.cancel();
    served.await.unwrap().unwrap();
}
