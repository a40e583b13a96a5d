//! The Python SDK as a client, each version in its own dialect.

use serde_json::{Value, json};
use tokio::process::Command;

use super::{Installed, PYTHON_1, PYTHON_03, Seen, script, skills, strings};
use crate::gantries::{Gantry, Site, artifact, status};

/// Rules that ask who somebody is.
const LOGIN: &str = r#"
[[server.router.rules]]
name = "login"
when = { text = "^log me in$" }
respond = [{ status = "auth_required", message = "who are you?" }]
[[server.router.rules]]
name = "let in"
when = { text = "^it is me$", taskId = "." }
respond = [{ artifact = { id = "pass", name = "pass", parts = [{ data = { valid = 42 } }] } }, { status = "completed" }]
"#;

/// Runs a client against a gantry that has the workflows; none when the SDK is not installed.
async fn run(installed: &Installed, client: &str) -> Option<(Site, Gantry, Seen)> {
    let python = installed.find()?;
    let site = Site::new().await;
    site.push_workflows("sdk").await;
    let gantry = site.serve("gantry", LOGIN).await;
    let seen = Seen::by(Command::new(python).arg(script(client)).arg(&gantry.url)).await;
    Some((site, gantry, seen))
}

#[tokio::test]
async fn version_1_speaks_all_of_1_0() {
    let Some((_site, gantry, seen)) = run(&PYTHON_1, "client_1.py").await else { return };
    let card = &seen.at("card")["card"];
    let interfaces: Vec<&Value> = card["supportedInterfaces"].as_array().unwrap().iter().map(|i| &i["protocolVersion"]).collect();
    assert_eq!((&card["name"], interfaces), (&json!("gantry"), vec![&json!("1.0"), &json!("0.3")]));
    assert!(["execute_workflow", "route_request", "workflow:sdk-echo"].iter().all(|id| skills(card).contains(id)), "{card:#}");

    for (name, big) in [("send", 9_007_199_254_740_992.0), ("skill", 0.0), ("part", 0.0)] {
        let task = seen.task(name);
        assert_eq!(status(task), "COMPLETED", "{name}: {task:#}");
        // The SDK keeps every number as a double, and reads them back as such.
        let output = &artifact(task, "output")[0]["data"];
        let number = |member: &str| output[member].as_f64().unwrap();
        assert_eq!((number("n"), number("next"), number("big")), (42.0, 43.0, big), "{name}");
        assert_eq!(output["text"], "42 apples", "{name}: it sends 42.0 and means 42");
        let kept = gantry.task(&task["id"]).await;
        let kept = &artifact(&kept, "output")[0]["data"];
        assert_eq!((kept["n"].to_string(), kept["next"].to_string()), ("42".to_owned(), "43".to_owned()), "{name}");
    }
    assert_eq!(artifact(seen.task("route"), "output")[0]["text"], "leaves fall: a haiku about autumn leaves");
    assert_eq!(status(seen.task("failed")), "FAILED: step `too_much`: 2000 is more than 1000 (too_expensive)");
    for (name, error, told) in [
        ("no_workflow", "InvalidParamsError", "sdk-nowhere"),
        ("no_task", "TaskNotFoundError", "nobody"),
        ("no_cancel", "TaskNotFoundError", "nobody"),
        ("bad_input", "InvalidParamsError", "input.n"),
    ] {
        assert_eq!(seen.at(name)["error"], error, "{name}");
        assert!(seen.at(name)["message"].as_str().unwrap().contains(told), "{}", seen.at(name));
    }

    let whole = |step| ["task:TASK_STATE_SUBMITTED", "status:TASK_STATE_WORKING", step, "artifact:output", "status:TASK_STATE_COMPLETED"];
    assert_eq!(strings(&seen.at("stream")["events"]), whole("artifact:step:/0:next"));
    assert_eq!(seen.at("stream")["output"]["artifact"]["parts"][0]["data"]["text"], "42 apples");
    assert_eq!(strings(&seen.at("stream_route")["events"]), whole("artifact:step:/0:verse"));

    assert_eq!(status(seen.task("asked")), "INPUT_REQUIRED: Publish this? ship it");
    let answered = seen.at("answered");
    assert_eq!((status(&answered["task"]).as_str(), &answered["same"]), ("COMPLETED", &json!(true)));
    let kept = gantry.task(&answered["task"]["id"]).await;
    assert_eq!(artifact(&kept, "output")[0]["data"], json!({ "answer": { "publish": true, "copies": 42 } }));
    let first = ["task:TASK_STATE_SUBMITTED", "status:TASK_STATE_WORKING", "artifact:step:/0:draft", "status:TASK_STATE_INPUT_REQUIRED"];
    assert_eq!(strings(&seen.at("stream_asked")["first"]), first, "the stream ends with the question");
    let second = ["task:TASK_STATE_WORKING", "artifact:step:/1:approve", "artifact:output", "status:TASK_STATE_COMPLETED"];
    assert_eq!(strings(&seen.at("stream_asked")["second"]), second);
    assert_eq!(artifact(seen.task("stream_answered"), "output")[0]["data"], json!({ "answer": { "publish": false } }));

    let canceled = seen.at("canceled");
    assert_eq!(canceled["state"], "TASK_STATE_CANCELED");
    assert!(canceled["first"].as_str().unwrap().starts_with("task:"), "{canceled}");
    assert_eq!(strings(&canceled["rest"]).last(), Some(&"status:TASK_STATE_CANCELED"), "subscribers see the end");
    assert_eq!(seen.at("canceled_twice")["error"], "TaskNotCancelableError");

    let listed = seen.at("list");
    assert_eq!((&listed["total"], &listed["seen"], &listed["distinct"], &listed["pages"]), (&json!(10), &json!(10), &json!(10), &json!(4)));
    assert_eq!(strings(&listed["canceled"]), ["TASK_STATE_CANCELED"]);

    assert_eq!(status(seen.task("login")), "AUTH_REQUIRED: who are you?");
    let let_in = seen.at("let_in");
    assert_eq!((status(&let_in["task"]).as_str(), &let_in["same"]), ("COMPLETED", &json!(true)));
    assert_eq!(artifact(&let_in["task"], "pass")[0]["data"]["valid"], 42.0);
    assert_eq!(strings(&seen.at("stream_login")["first"]), ["task:TASK_STATE_SUBMITTED", "status:TASK_STATE_AUTH_REQUIRED"]);
    let second = ["task:TASK_STATE_WORKING", "artifact:pass", "status:TASK_STATE_COMPLETED"];
    assert_eq!(strings(&seen.at("stream_login")["second"]), second);
}

#[tokio::test]
async fn version_0_3_speaks_all_of_0_3() {
    let Some((_site, gantry, seen)) = run(&PYTHON_03, "client_03.py").await else { return };
    let card = &seen.at("card")["card"];
    assert_eq!((&card["name"], &card["url"], &card["preferredTransport"]), (&json!("gantry"), &json!(gantry.url), &json!("JSONRPC")));
    assert!(["execute_workflow", "route_request", "workflow:sdk-echo"].iter().all(|id| skills(card).contains(id)), "{card:#}");

    // This SDK keeps integers, so that they must be the same to the last digit.
    for (name, big) in [("send", 9_007_199_254_740_993_u64), ("skill", 0), ("part", 0)] {
        let task = seen.task(name);
        assert_eq!((&task["kind"], status(task).as_str()), (&json!("task"), "completed"), "{name}: {task:#}");
        let part = &artifact(task, "output")[0];
        assert_eq!(part, &json!({ "kind": "data", "data": { "n": 42, "next": 43, "big": big, "text": "42 apples" } }), "{name}");
    }
    let part = &artifact(seen.task("route"), "output")[0];
    assert_eq!(part, &json!({ "kind": "text", "text": "leaves fall: a haiku about autumn leaves" }));
    assert_eq!(status(seen.task("failed")), "failed: step `too_much`: 2000 is more than 1000 (too_expensive)");
    for (name, code, told) in [
        ("no_workflow", -32602, "sdk-nowhere"),
        ("no_task", -32001, "nobody"),
        ("no_cancel", -32001, "nobody"),
        ("bad_input", -32602, "input.n"),
    ] {
        assert_eq!(seen.at(name)["code"], code, "{name}");
        assert!(seen.at(name)["message"].as_str().unwrap().contains(told), "{}", seen.at(name));
    }

    let whole = |step| ["task:submitted", "status:working", step, "artifact:output", "status:completed final"];
    assert_eq!(strings(&seen.at("stream")["events"]), whole("artifact:step:/0:next"));
    assert_eq!(artifact(seen.task("stream"), "output")[0]["data"]["n"].to_string(), "42", "as the SDK put the events together");
    assert_eq!(strings(&seen.at("stream_route")["events"]), whole("artifact:step:/0:verse"));

    assert_eq!(status(seen.task("asked")), "input-required: Publish this? ship it");
    let answered = seen.at("answered");
    assert_eq!((status(&answered["task"]).as_str(), &answered["same"]), ("completed", &json!(true)));
    assert_eq!(artifact(&answered["task"], "output")[0]["data"], json!({ "answer": { "publish": true, "copies": 42 } }));
    let first = ["task:submitted", "status:working", "artifact:step:/0:draft", "status:input-required final"];
    assert_eq!(strings(&seen.at("stream_asked")["first"]), first, "the stream ends with the question");
    let second = ["task:working", "artifact:step:/1:approve", "artifact:output", "status:completed final"];
    assert_eq!(strings(&seen.at("stream_asked")["second"]), second);
    assert_eq!(artifact(seen.task("stream_answered"), "output")[0]["data"], json!({ "answer": { "publish": false } }));

    let canceled = seen.at("canceled");
    assert_eq!(canceled["state"], "canceled");
    assert!(canceled["first"].as_str().unwrap().starts_with("task:"), "{canceled}");
    assert_eq!(strings(&canceled["rest"]).last(), Some(&"status:canceled final"), "subscribers see the end");
    assert_eq!(seen.at("canceled_twice")["code"], -32002);

    assert_eq!(status(seen.task("login")), "auth-required: who are you?");
    let let_in = seen.at("let_in");
    assert_eq!((status(&let_in["task"]).as_str(), &let_in["same"]), ("completed", &json!(true)));
    assert_eq!(artifact(&let_in["task"], "pass")[0]["data"]["valid"], 42);
    assert_eq!(strings(&seen.at("stream_login")["first"]), ["task:submitted", "status:auth-required final"]);
    assert_eq!(strings(&seen.at("stream_login")["second"]), ["task:working", "artifact:pass", "status:completed final"]);
}
