//! A process that may not open many files: it takes as many as the system allows, lets no more in than it can serve, and its calls wait
//! for a socket instead of failing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;

use crate::gantries::{Gantry, Site, wait_for};
use crate::many::{Slow, site, states};

/// Few enough that some dozens of connections are too many.
const FILES: usize = 140;

const ONE: &str = "steps: [{id: a, skill: work, inputs: {said: \"{{ workflow.input.said }}\"}}]\n";

/// A gantry whose process begins with these limits of open files.
async fn limited(site: &Site, limits: &str, configuration: &str) -> Gantry {
    site.serve_behind(&["sh", "-c", &format!("{limits} && exec \"$0\" \"$@\"")], "gantry", configuration).await
}

/// One that makes as many calls at once as it may open files: the places in front of them must not be what keeps them from failing.
async fn short_of_sockets(site: &Site) -> Gantry {
    limited(site, &format!("ulimit -n {FILES}"), &format!("calls_max = {FILES}\nlog = \"gantry=debug\"\n")).await
}

#[tokio::test]
#[cfg(target_os = "linux")]
async fn as_many_files_may_be_open_as_the_system_allows() {
    let site = site(&Slow::start(Duration::ZERO)).await;
    let gantry = limited(&site, "ulimit -S -n 200 && ulimit -H -n 4000", "").await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", gantry.pid())).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().take(2).collect::<Vec<_>>(), ["4000", "4000"], "soft and hard");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_waits_for_a_socket_and_does_not_fail() {
    let runs = 200;
    // Longer than it takes to begin them.
    let agent = Slow::start(Duration::from_secs(6));
    let site = site(&agent).await;
    site.push_steps("one", ONE).await;
    let gantry = short_of_sockets(&site).await;
    // One caller: the connections of many would be refused.
    for n in 0..runs {
        gantry.begin("one", json!({ "said": format!("{n}:") })).await;
    }
    wait_for("the end of all runs", || async {
        let states = states(&gantry).await;
        (!states.contains_key("WORKING") && !states.contains_key("SUBMITTED")).then_some(())
    })
    .await;
    assert_eq!(states(&gantry).await, BTreeMap::from([("COMPLETED".to_owned(), runs)]));
    assert_eq!(agent.calls(), runs, "each step was called once");
    assert!(site.log("gantry").contains("there is no socket for a call"), "it was short of them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_waits_for_a_socket_keeps_its_timeout_and_is_parked_by_a_stop() {
    let agent = Slow::start(Duration::from_secs(6));
    let site = site(&agent).await;
    site.push_steps("one", ONE).await;
    site.push_steps("short", "steps: [{id: a, skill: work, timeout: 2s, inputs: {said: x}}]\n").await;
    let gantry = short_of_sockets(&site).await;
    for n in 0..200 {
        gantry.begin("one", json!({ "said": format!("{n}:") })).await;
    }
    wait_for("a call without a socket", || async { site.log("gantry").contains("there is no socket for a call").then_some(()) }).await;
    let begun = Instant::now();
    let late = gantry.execute("short", json!({})).await;
    let took = begun.elapsed();
    assert_eq!(late["status"]["state"], "TASK_STATE_FAILED", "{late}");
    // It is a matter of luck whether it gets a socket that is free for a moment.
    let said = late["status"]["message"].to_string();
    assert!(said.contains("(unavailable)") || said.contains("(timeout)"), "{said}");
    assert!(took >= Duration::from_millis(1_900), "{took:?}");
    let called = agent.calls();
    gantry.signal("TERM");
    assert!(gantry.ended().await.success());
    // Those that had a socket when it was told to stop may have been on their way.
    assert!(agent.calls() <= called + 10, "{called} calls before the stop, {} after it", agent.calls());
    assert!(called < 200, "some waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_callers_are_let_in_than_there_are_files_to_serve_them_with() {
    let site = site(&Slow::start(Duration::from_secs(1))).await;
    let gantry = limited(&site, &format!("ulimit -n {FILES}"), "").await;
    // 38 connections fit, of which 34 may have a request under way.
    let answers = join_all((0..37).map(|_| gantry.try_execute("chain", json!({ "said": "1:" })))).await;
    let (mut good, mut refused) = (0, 0);
    for answer in answers {
        match answer.expect("no connection is cut") {
            (200, _, task) => {
                assert_eq!(task["result"]["task"]["status"]["state"], "TASK_STATE_COMPLETED", "{task}");
                good += 1;
            }
            (503, Some(_), _) => refused += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((good, refused), (34, 3));
}
