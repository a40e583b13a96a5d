//! The 1.0 types on the wire: what is read, what is written, and that another implementation reads it.

use serde_json::{Value, json};

use super::super::{SendMessageParams, SendMessageResponse, StreamResponse, Task, TaskState};
use super::*;

#[test]
fn both_spellings_nulls_and_unknown_members_are_read() {
    let camel = json!({ "messageId": "m", "contextId": "c", "taskId": "t", "role": "ROLE_USER", "parts": [{ "text": "x", "mediaType": "text/plain" }],
        "referenceTaskIds": ["r"] });
    let snake = json!({ "message_id": "m", "context_id": "c", "task_id": "t", "role": "ROLE_USER", "parts": [{ "text": "x", "media_type": "text/plain" }],
        "reference_task_ids": ["r"], "metadata": null, "extensions": null, "new_member": { "deep": [1] } });
    let read: Message = serde_json::from_value(camel.clone()).unwrap();
    assert_eq!(serde_json::from_value::<Message>(snake).unwrap(), read);
    assert_eq!(serde_json::to_value(&read).unwrap(), camel);
    let bare: Message = serde_json::from_value(json!({ "messageId": "m", "contextId": "", "role": "ROLE_NEW", "parts": null })).unwrap();
    assert_eq!(bare, Message { message_id: "m".to_owned(), ..Message::default() });
}

#[test]
fn a_part_holds_exactly_one_content() {
    for good in [
        json!({ "text": "" }),
        json!({ "raw": "AAAA", "filename": "a", "mediaType": "image/png" }),
        json!({ "url": "http://x" }),
        json!({ "data": null }),
        json!({ "data": 9_007_199_254_740_993_u64, "metadata": { "k": 1 } }),
    ] {
        let part: Part = serde_json::from_value(good.clone()).unwrap();
        assert_eq!(serde_json::to_value(&part).unwrap(), good);
    }
    for bad in [
        json!({}),
        json!({ "text": "a", "url": "b" }),
        json!({ "text": 1 }),
        json!({ "kind": "file", "file": {} }),
        json!([]),
        json!("text"),
    ] {
        assert!(serde_json::from_value::<Part>(bad.clone()).is_err(), "{bad}");
    }
    let all: Part = serde_json::from_value(json!({ "text": "a", "raw": null, "url": null, "data": null, "metadata": null })).unwrap();
    assert_eq!(all, Part::text("a"));
}

#[test]
fn results_and_events_are_one_of_several() {
    let task = json!({ "id": "t", "status": { "state": "TASK_STATE_WORKING" } });
    let StreamResponse::Task(read) = serde_json::from_value(json!({ "task": task, "message": null, "later": 1 })).unwrap() else {
        panic!("not a task")
    };
    assert_eq!((read.status.state, read.context_id.as_str()), (TaskState::Working, ""));
    let update = json!({ "artifact_update": { "task_id": "t", "artifact": { "artifact_id": "a", "parts": [] }, "last_chunk": true } });
    let StreamResponse::ArtifactUpdate(read) = serde_json::from_value(update).unwrap() else { panic!("not an artifact update") };
    assert!(read.last_chunk && !read.append);
    for bad in [json!({}), json!({ "task": task, "statusUpdate": { "taskId": "t", "status": {} } }), json!(null), json!([task])] {
        assert!(serde_json::from_value::<StreamResponse>(bad.clone()).is_err(), "{bad}");
    }
    for bad in [
        json!({}),
        json!({ "task": task, "message": { "messageId": "m" } }),
        json!({ "statusUpdate": { "taskId": "t", "status": {} } }),
        json!(1),
    ] {
        assert!(serde_json::from_value::<SendMessageResponse>(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn another_implementation_reads_what_is_written() {
    use a2a_protocol_types as strict;
    let task: Task = serde_json::from_value(json!({
        "id": "t", "contextId": "c",
        "status": { "state": "TASK_STATE_INPUT_REQUIRED", "timestamp": "2026-01-02T03:04:05.678Z",
            "message": { "messageId": "m", "role": "ROLE_AGENT", "parts": [{ "text": "which?" }] } },
        "artifacts": [{ "artifactId": "a", "name": "n", "parts": [{ "data": { "n": 9_007_199_254_740_993_u64 } }, { "raw": "AA" }, { "url": "http://x" }] }],
        "history": [{ "messageId": "h", "role": "ROLE_USER", "parts": [{ "text": "go" }], "metadata": { "skill": "s" } }], "metadata": { "k": "v" } }))
    .unwrap();
    let ours = serde_json::to_value(&task).unwrap();
    let theirs: strict::task::Task = serde_json::from_value(ours.clone()).unwrap();
    assert_eq!(serde_json::to_value(&theirs).unwrap(), ours);
    let params = SendMessageParams { message: task.history[0].clone(), ..SendMessageParams::default() };
    let ours = serde_json::to_value(&params).unwrap();
    let theirs: strict::params::MessageSendParams = serde_json::from_value(ours.clone()).unwrap();
    assert_eq!(serde_json::to_value(&theirs).unwrap(), ours);
}

#[test]
fn data_is_shared_not_copied() {
    let payload = Arc::new(json!({ "large": "payload" }));
    let part = Part::data(Arc::clone(&payload));
    let PartContent::Data(data) = &part.clone().content else { panic!("not data") };
    assert!(Arc::ptr_eq(data, &payload));
    let _: Value = serde_json::to_value(&part).unwrap();
}

#[test]
fn a_compact_part_says_the_same() {
    use crate::a2a::v03::V03;
    use crate::a2a::{Shape, parts_value};
    let many = vec![json!({ "n": 1.5, "text": "a\n\"é" }); 5_000];
    for value in [json!(many), json!({ "items": many, "more": null })] {
        let (loose, mut compact) = (Part::data(value.clone()), Part::data(value.clone()));
        compact.compact();
        let PartContent::Written(written) = &compact.content else { panic!("not written") };
        assert_eq!((written.value(), written.is_object()), (value.clone(), value.is_object()));
        let wire = |part: &Part| (serde_json::to_string(part).unwrap(), serde_json::to_string(&V03(part)).unwrap());
        assert_eq!(wire(&compact), wire(&loose));
        assert_eq!(serde_json::to_value(&compact).unwrap(), json!({ "data": value }));
        assert_eq!(parts_value(vec![compact.clone()], Shape::Any), parts_value(vec![loose.clone()], Shape::Any));
        assert_eq!(parts_value(vec![compact.clone(), compact], Shape::Any), parts_value(vec![loose.clone(), loose], Shape::Any));
    }
    for mut part in [Part::data(json!([1, 2])), Part::text("x".repeat(100_000)), Part::data(json!("x".repeat(100_000)))] {
        let before = part.clone();
        part.compact();
        assert_eq!(part, before);
    }
}
