//! The contract with an agent, dialect by dialect.

use gantry::agent::Reply;
use serde_json::json;
use wiremock::{Mock, MockServer, matchers};

use super::support::{DIALECTS, answering, ask, call, card, client, success};

#[tokio::test]
async fn an_answer_at_once_costs_one_request() {
    for dialect in DIALECTS {
        let agent = MockServer::start().await;
        let value = json!({ "plan": ["a", "b"], "count": 42, "big": 9_007_199_254_740_993_u64 });
        let result = success(dialect, &value);
        Mock::given(matchers::method("POST")).respond_with(answering(move |_| json!({ "result": result }))).mount(&agent).await;
        let reply = ask(&client(), call(card(dialect, &agent.uri()))).await.unwrap();
        assert_eq!(reply, Reply::Value(value), "{dialect:?}");
        assert_eq!(agent.received_requests().await.unwrap().len(), 1, "{dialect:?}");
    }
}
