//! A part of the public collection of JSON that parsers disagree about, as answers of an agent.

use std::sync::Arc;

use gantry::a2a::Dialect;
use gantry::agent::{ErrorKind, Reply};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers};

use super::support::{DIALECTS, MESSAGE_ID, ask, call, card, client};

/// Name and bytes of every file.
fn files() -> Arc<Vec<(String, Vec<u8>)>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/server/json-parsing");
    let paths = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut files: Vec<_> =
        paths.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())).collect();
    files.sort();
    assert!(files.len() >= 50, "only {} files", files.len());
    Arc::new(files)
}

/// An agent that answers call `{"file": n}` with file n between two texts.
async fn agent(files: &Arc<Vec<(String, Vec<u8>)>>, before: String, after: &'static str) -> MockServer {
    let agent = MockServer::start().await;
    let files = Arc::clone(files);
    let respond = move |request: &Request| {
        let envelope: Value = serde_json::from_slice(&request.body).unwrap();
        let inputs = envelope["params"].pointer("/message/parts/0/data").unwrap_or(&envelope["params"]);
        let at = usize::try_from(inputs["file"].as_u64().unwrap()).unwrap();
        let body = [before.as_bytes(), &files[at].1, after.as_bytes()].concat();
        ResponseTemplate::new(200).set_body_raw(body, "application/json")
    };
    Mock::given(matchers::any()).respond_with(respond).mount(&agent).await;
    agent
}

#[tokio::test]
async fn none_is_an_answer_by_itself() {
    let files = files();
    let client = client();
    for dialect in DIALECTS {
        let agent = agent(&files, String::new(), "").await;
        for (at, (name, _)) in files.iter().enumerate() {
            let mut call = call(card(dialect, &agent.uri()));
            call.inputs = Arc::new(json!({ "file": at }));
            let error = ask(&client, call).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::InvalidReply, "{dialect:?} {name}: {error}");
        }
    }
}

#[tokio::test]
async fn as_results_the_good_are_values_and_the_bad_never() {
    let files = files();
    let client = client();
    let envelope = format!("{{\"jsonrpc\": \"2.0\", \"id\": \"{MESSAGE_ID}\", \"result\": ");
    for (dialect, before, after) in [
        (Dialect::Plain, envelope.clone(), "}"),
        (Dialect::A2a1, format!("{envelope}{{\"message\": {{\"messageId\": \"m\", \"parts\": [{{\"data\": "), "}]}}}"),
        (
            Dialect::A2a03,
            format!("{envelope}{{\"kind\": \"message\", \"messageId\": \"m\", \"parts\": [{{\"kind\": \"data\", \"data\": "),
            "}]}}",
        ),
    ] {
        let agent = agent(&files, before, after).await;
        for (at, (name, bytes)) in files.iter().enumerate() {
            let mut card = card(dialect, &agent.uri());
            card.skills[0].output_schema = None;
            let mut call = call(card);
            call.inputs = Arc::new(json!({ "file": at }));
            match (ask(&client, call).await, &name[..2]) {
                (Ok(reply), "n_") => panic!("{dialect:?} {name} was accepted as {reply:?}"),
                (Ok(Reply::Value(value)), "y_") if dialect == Dialect::Plain => {
                    assert_eq!(value, serde_json::from_slice::<Value>(bytes).unwrap(), "{name}");
                }
                (Ok(Reply::Value(_)), _) => {}
                // The 0.3 dialect has no data part that is null.
                (Err(_), "y_") if dialect == Dialect::A2a03 && name == "y_structure_lonely_null.json" => {}
                (Err(error), "y_") => panic!("{dialect:?} {name} was refused: {error}"),
                (Err(error), _) => assert_eq!(error.kind, ErrorKind::InvalidReply, "{dialect:?} {name}: {error}"),
                (Ok(Reply::Question(_)), _) => panic!("{dialect:?} {name} became a question"),
            }
        }
    }
}
