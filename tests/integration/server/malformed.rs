//! Bodies that are no requests: the right code each, nothing run, and never one of jsonrpsee's own codes.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{World, message};

/// What jsonrpsee says for itself, and A2A means something else by, or nobody means anything by.
const CODES_OF_THE_DISPATCHER: std::ops::RangeInclusive<i64> = -32010..=-32000;

#[tokio::test]
async fn what_is_no_request_gets_its_code() {
    let world = World::new().await;
    let say =
        |id: Value| json!({ "jsonrpc": "2.0", "id": id, "method": "SendMessage", "params": { "message": message("done-1") } }).to_string();
    for (body, code, id) in [
        ("", -32700, Value::Null),
        ("{", -32700, Value::Null),
        ("{}", -32600, Value::Null),
        ("null", -32600, Value::Null),
        ("\u{feff}{}", -32700, Value::Null),
        (r#"{"jsonrpc":"2.0","method":"GetTask"}"#, -32600, Value::Null),
        (r#"{"jsonrpc":"2.0","id":"a","method":1}"#, -32600, json!("a")),
        (r#"{"jsonrpc":"2.0","id":"a","method":"GetTask","params":"x"}"#, -32600, json!("a")),
        (r#"{"jsonrpc":"2.0","id":"a","method":"GetTask","params":[1]}"#, -32602, json!("a")),
        (r#"{"jsonrpc":"2.0","id":"a","method":"GetTask"}"#, -32602, json!("a")),
        (r#"{"jsonrpc":"2.0","id":null,"method":"Nope"}"#, -32601, Value::Null),
        (r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"Nope"}"#, -32601, json!(u64::MAX)),
    ] {
        let answer = world.post("/", &[], body).await;
        assert_eq!((answer.code(), &answer.body["id"]), (code, &id), "{body}: {:#}", answer.body);
    }
    for id in [json!(-1), json!(1.5), json!(true), json!({}), json!([1])] {
        let answer = world.post("/", &[], say(id.clone())).await;
        assert_eq!((answer.code(), &answer.body["id"]), (-32600, &Value::Null), "{id}");
    }
    assert_eq!(world.call("ListTasks", json!({})).await.result()["totalSize"], 0, "none of it was run");
}

#[tokio::test]
async fn batches_are_refused_whole() {
    let world = World::new().await;
    let one = json!({ "jsonrpc": "2.0", "id": 1, "method": "SendMessage", "params": { "message": message("done-1") } }).to_string();
    let many = format!("[{}]", vec![one.as_str(); 10_000].join(","));
    for body in ["[]".to_owned(), "[1,2,3]".to_owned(), format!("[{one}]"), many] {
        let answer = world.post("/", &[], body).await;
        assert_eq!(answer.code(), -32600);
        assert!(answer.body.is_object(), "one error, not one for each");
    }
    assert_eq!(world.call("ListTasks", json!({})).await.result()["totalSize"], 0);
}

#[tokio::test]
async fn bombs_are_refused_before_they_are_parsed() {
    let world = World::new().await;
    let deep = format!("{}1{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
    let inside = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"GetTask","params":{{"id":{}1{}}}}}"#, "[".repeat(200), "]".repeat(200));
    let keys = format!("{{{}}}", (0..300_000).map(|n| format!("\"{n}\":1")).collect::<Vec<_>>().join(","));
    let key = format!("{{\"{}\":1}}", "k".repeat(1_000_000));
    for body in ["[".repeat(1_000_000), deep, inside, "1".repeat(1_000_000), key, keys] {
        let started = Instant::now();
        assert_eq!(world.post("/", &[], body).await.code(), -32700);
        assert!(started.elapsed() < Duration::from_secs(5), "far too slow even for a busy machine");
    }
}

/// A part of the public collection of hostile JSON: as a whole body, and as the parameters of a request.
#[tokio::test]
async fn the_hostile_collection_gets_exact_codes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let world = World::new().await;
    let mut counted = 0;
    for entry in std::fs::read_dir(root.join("tests/fixtures/server/json-parsing")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let content = std::fs::read(&path).unwrap();
        let answer = world.post("/", &[], content.clone()).await;
        let expected: &[i64] = match name.as_bytes()[0] {
            b'n' => &[-32700],
            b'y' => &[-32600],
            _ => &[-32700, -32600],
        };
        assert_eq!(answer.status, 200, "{name}");
        assert!(expected.contains(&answer.code()), "{name}: {}", answer.body);
        let mut inside = br#"{"jsonrpc":"2.0","id":"x","method":"GetTask","params":{"id":"#.to_vec();
        inside.extend_from_slice(&content);
        inside.extend_from_slice(b"}}");
        let answer = world.post("/", &[], inside).await;
        assert_eq!(answer.status, 200, "{name}");
        assert!([-32700, -32600, -32602, -32001].contains(&answer.code()), "{name}: {}", answer.body);
        assert!(answer.code() == -32001 || !CODES_OF_THE_DISPATCHER.contains(&answer.code()), "{name}");
        counted += 1;
    }
    assert!(counted >= 20, "only {counted} files");
}
