//! The JavaScript SDK as a client.

use serde_json::json;
use tokio::process::Command;

use super::{NODE_MODULES, Seen, script, skills, strings};
use crate::gantries::{Site, artifact, status};

#[tokio::test]
async fn it_speaks_1_0() {
    let Some(modules) = NODE_MODULES.find() else { return };
    let site = Site::new().await;
    site.push_workflows("sdk").await;
    let gantry = site.serve("gantry", "").await;
    let seen = Seen::by(Command::new("node").arg(script("client.mjs")).arg(modules).arg(&gantry.url)).await;

    let card = &seen.at("card")["card"];
    assert_eq!((&card["name"], &seen.at("client")["version"]), (&json!("gantry"), &json!("1.0")));
    assert!(["execute_workflow", "route_request", "workflow:sdk-echo"].iter().all(|id| skills(card).contains(id)), "{card:#}");

    // JavaScript has doubles: the program itself cannot hold 9007199254740993.
    let sent = seen.task("send");
    assert_eq!(status(sent), "COMPLETED", "{sent:#}");
    assert_eq!(artifact(sent, "output")[0]["data"], json!({ "n": 42, "next": 43, "big": 9_007_199_254_740_992_u64, "text": "42 apples" }));
    assert_eq!(artifact(seen.task("route"), "output")[0]["text"], "leaves fall: a haiku about autumn leaves");
    assert_eq!(status(seen.task("failed")), "FAILED: step `too_much`: 2000 is more than 1000 (too_expensive)");
    for (name, told) in [("no_workflow", "sdk-nowhere"), ("no_task", "nobody")] {
        assert!(seen.at(name)["message"].as_str().unwrap().contains(told), "{}", seen.at(name));
    }
    assert_eq!(seen.at("no_task")["error"], "JsonRpcTaskNotFoundError");

    let step = "artifact:step:/0:next";
    let whole = ["task:TASK_STATE_SUBMITTED", "status:TASK_STATE_WORKING", step, "artifact:output", "status:TASK_STATE_COMPLETED"];
    assert_eq!(strings(&seen.at("stream")["events"]), whole);
    let output = &seen.at("stream")["output"]["artifactUpdate"];
    assert_eq!((&output["artifact"]["parts"][0]["data"]["n"], &output["lastChunk"]), (&json!(42), &json!(true)));

    assert_eq!(status(seen.task("asked")), "INPUT_REQUIRED: Publish this? ship it");
    let answered = ["task:TASK_STATE_WORKING", "artifact:step:/1:approve", "artifact:output", "status:TASK_STATE_COMPLETED"];
    assert_eq!(strings(&seen.at("answered")["events"]), answered);
    assert_eq!(artifact(seen.task("answered"), "output")[0]["data"], json!({ "answer": { "publish": true, "copies": 42 } }));
    assert_eq!(seen.at("canceled")["state"], "TASK_STATE_CANCELED");
    assert_eq!(seen.at("list")["ids"], json!([true]), "by its context");
}
