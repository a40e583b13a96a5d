//! Messages in, what they ask for out.

use serde_json::json;

use super::*;

fn ask(message: Value) -> Result<Ask, i64> {
    let mut message = message;
    message["messageId"] = json!("m");
    Ask::of(serde_json::from_value(message).unwrap()).map_err(|failure| failure.error.code)
}

fn execute(input: Value) -> Ask {
    Ask::Execute(Execute::read(input).unwrap())
}

#[test]
fn a_message_names_its_skill_in_many_ways() {
    let inputs = json!({"workflow_id": "w", "version": "v1", "input": {"n": 42.0}});
    let expected = execute(json!({"workflow_id": "w", "version": "v1", "input": {"n": 42}}));
    for message in [
        json!({"parts": [{"data": inputs}], "metadata": {"urn:gantry:a2a:skill:v1": {"skill": "execute_workflow"}}}),
        json!({"parts": [{"data": inputs}], "metadata": {"skill": "execute_workflow"}}),
        json!({"parts": [{"data": inputs}], "metadata": {"skillId": "execute_workflow"}}),
        json!({"parts": [{"data": {"skill": "execute_workflow", "input": inputs}}]}),
        json!({"parts": [{"data": inputs}]}),
        json!({"parts": [{"text": inputs.to_string()}], "metadata": {"skill": "execute_workflow"}}),
        json!({"parts": [{"data": {"input": {"n": 42}}}],
            "metadata": {"urn:gantry:a2a:skill:v1": {"skill": "execute_workflow", "workflow_id": "w", "version": "v1"}}}),
    ] {
        assert_eq!(ask(message.clone()), Ok(expected.clone()), "{message}");
    }
    assert_eq!(
        ask(json!({"parts": [{"text": "hello"}, {"data": {"a": 1}}]})),
        Ok(Ask::Route { text: "hello".into(), data: json!({"a": 1}).as_object().unwrap().clone() })
    );
    assert_eq!(
        ask(json!({"parts": [{"data": {"request": "hello", "context": {"a": 1}}}], "metadata": {"skill": "route_request"}})),
        Ok(Ask::Route { text: "hello".into(), data: json!({"a": 1}).as_object().unwrap().clone() })
    );
    assert_eq!(
        ask(json!({"parts": [{"text": "primes"}], "metadata": {"skill": "workflow:code"}})),
        Ok(Ask::Workflow { id: "code".into(), text: "primes".into(), data: Map::new() })
    );
    for message in [
        json!({"parts": [{"text": "x"}], "metadata": {"skill": "fly"}}),
        json!({"parts": [{"data": {"input": {}}}], "metadata": {"skill": "execute_workflow"}}),
        json!({"parts": [{"data": {"workflow_id": ""}}], "metadata": {"skill": "execute_workflow"}}),
    ] {
        assert_eq!(ask(message.clone()), Err(-32602), "{message}");
    }
}

#[test]
fn a_member_that_is_mistyped_is_refused_and_one_of_somebody_else_is_not() {
    let refusal = |read: Result<Ask, Failure>| read.err().map(|failure| (failure.error.code, failure.error.message));
    for (name, meant) in [
        ("idempotencyKey", Some("idempotency_key")),
        ("idempotency-key", Some("idempotency_key")),
        ("inputs", Some("input")),
        ("Input", Some("input")),
        ("verison", Some("version")),
        ("digests", Some("digest")),
        // It is there as well.
        ("workflowId", None),
        // Old callers send more than is asked for.
        ("metadata", None),
        ("session", None),
        ("workflow", None),
        ("skill", None),
        ("context_id", None),
    ] {
        let mut data = json!({ "workflow_id": "w" });
        data[name] = json!("x");
        let inputs = json!({ "skill": "execute_workflow", "input": data });
        let told = |read| {
            let expected = meant.map(|meant| format!("unknown member `{name}`; did you mean `{meant}`?"));
            match (refusal(read), expected) {
                (None, None) => {}
                (Some((-32602, message)), Some(expected)) => assert!(message.contains(&expected), "{message}"),
                (read, expected) => panic!("{name}: {read:?} instead of {expected:?}"),
            }
        };
        told(Execute::read(data.clone()).map(Ask::Execute));
        for message in [
            json!({ "messageId": "m", "parts": [{ "data": data }], "metadata": { "skill": "execute_workflow" } }),
            json!({ "messageId": "m", "parts": [{ "data": data }] }),
            json!({ "messageId": "m", "parts": [{ "text": data.to_string() }], "metadata": { "skill": "execute_workflow" } }),
            json!({ "messageId": "m", "parts": [{ "data": inputs }] }),
        ] {
            told(Ask::of(serde_json::from_value(message).unwrap()));
        }
    }
    let read = refusal(Execute::read(json!({ "workflowId": "w" })).map(Ask::Execute));
    assert!(read.unwrap().1.contains("did you mean `workflow_id`?"));
    let many: Map<String, Value> = (1..100).map(|n| (format!("{}input", "_".repeat(n)), json!(n))).collect();
    assert_eq!(refusal(Execute::read(Value::Object(many)).map(Ask::Execute)).unwrap().1.matches("did you mean").count(), 5);
}

/// Comparing takes a while, and a caller may send hundreds of thousands.
#[test]
fn of_very_many_unknown_members_the_first_are_looked_at() {
    for (before, refused) in [(0, false), (UNKNOWN_MAX - 1, true), (UNKNOWN_MAX, false), (UNKNOWN_MAX * 100, false)] {
        let mut members = Map::from_iter([("workflow_id".to_owned(), json!("w"))]);
        members.extend((0..before).map(|n| (format!("another-{n:05}"), json!(n))));
        if before > 0 {
            members.insert("inputs".to_owned(), json!({}));
        }
        let read = Execute::read(Value::Object(members));
        assert_eq!(read.is_err(), refused, "{before}: {read:?}");
    }
}

#[test]
fn every_member_is_known() {
    let all = json!({ "workflow_id": "w", "version": "1", "digest": "d", "input": {}, "idempotency_key": "k" });
    assert_eq!(all.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>(), MEMBERS.to_vec());
    // One more breaks this line, and belongs into the list.
    let Execute { workflow_id: _, version: _, digest: _, input: _, idempotency_key: _ } = Execute::read(all).unwrap();
}

#[test]
fn a_text_goes_where_the_schema_wants_it() {
    let schema =
        json!({"properties": {"n": {"type": "integer"}, "topic": {"type": "string"}, "text": {"type": "string"}}, "required": ["topic"]});
    for (data, schema, expected) in [
        (json!({}), None, json!({"requirements": "t", "request": "t", "text": "t"})),
        (json!({"request": "x"}), None, json!({"request": "x", "requirements": "t", "text": "t"})),
        (json!({}), Some(&schema), json!({"topic": "t"})),
        (json!({"topic": "x"}), Some(&schema), json!({"topic": "x", "text": "t"})),
        (json!({"topic": "x", "text": "y"}), Some(&schema), json!({"topic": "x", "text": "y"})),
    ] {
        assert_eq!(fitted_input("t", data.as_object().unwrap().clone(), schema), expected, "{data}");
    }
}

#[test]
fn depth_is_read_and_bounded() {
    let digest = format!("sha256:{}", "0".repeat(64));
    let read = |told: Value| {
        let message = Message { metadata: Map::from_iter([(RUN_EXTENSION.to_owned(), told)]), ..Message::default() };
        ancestry(&message, 3).map(|found| found.len()).map_err(|failure| failure.error.code)
    };
    for (told, expected) in [
        (json!({}), Ok(0)),
        (json!({"depth": 2, "ancestry": [{"digest": digest, "workflow": "a"}]}), Ok(1)),
        (json!({"depth": 3}), Err(-32602)),
        (
            json!({"depth": 0, "ancestry": [{"digest": digest, "workflow": "a"}, {"digest": digest, "workflow": "b"}, {"digest": digest, "workflow": "c"}]}),
            Err(-32602),
        ),
        (json!({"depth": -1}), Err(-32602)),
        (json!({"ancestry": [{"digest": "x", "workflow": "a"}]}), Err(-32602)),
        (json!("deep"), Err(-32602)),
    ] {
        assert_eq!(read(told.clone()), expected, "{told}");
    }
}
