//! Topics in, drafts out.

use serde_json::json;

use crate::sample_agents::skill_check::{check, check_refused, run};

#[test]
fn requests_are_understood() {
    for (params, pointer, expected) in [
        (json!({"topic": "Write a blog post about remote work"}), "/format", json!("blog post")),
        (json!({"topic": "Write a blog post about remote work"}), "/title", json!("Remote work")),
        (json!({"request": "Please draft a friendly email to invite the team"}), "/tone", json!("friendly")),
        (json!({"request": "Please draft a friendly email to invite the team"}), "/title", json!("Invite the team")),
        (json!({"topic": "remote work"}), "/title", json!("Remote work")),
        (json!({"topic": "remote work"}), "/format", json!("article")),
        (json!({"topic": "remote work", "format": "social post", "tone": "formal"}), "/format", json!("social post")),
        (json!({"topic": "remote work", "tone": "Professional"}), "/tone", json!("formal")),
        (json!({"topic": "remote work", "format": "report"}), "/outline/0", json!("Summary")),
        (json!({"topic": "Create"}), "/title", json!("Create")),
        (json!({"topic": "An article about bees"}), "/title", json!("Bees")),
        (json!({"topic": "A short report on tea"}), "/title", json!("Tea")),
        (json!({"topic": "The story of tea"}), "/title", json!("The story of tea")),
        (json!({"topic": "A letter for you"}), "/title", json!("A letter for you")),
        (json!({"topic": "On liberty"}), "/title", json!("On liberty")),
        (json!({"topic": {"title": "x", "text": "tea"}}), "/title", json!("Tea")),
    ] {
        check("create_content", params, pointer, expected);
    }
}

#[test]
fn length_audience_and_points_are_respected() {
    let words = |length: serde_json::Value| {
        run("create_content", json!({"topic": "tea", "length": length})).unwrap()["word_count"].as_u64().unwrap()
    };
    assert!((40..=140).contains(&words(json!("short"))), "{}", words(json!("short")));
    assert!((450..=600).contains(&words(json!("long"))), "{}", words(json!("long")));
    assert!((260..=380).contains(&words(json!(300))), "{}", words(json!(300)));
    assert!(words(json!(1_000_000)) < 2_200);
    let draft = run("create_content", json!({"topic": "tea", "audience": "beginners", "points": ["water", "leaves"]})).unwrap();
    let body = draft["body"].as_str().unwrap();
    assert!(body.contains("beginners") && body.contains("- water") && body.contains("- leaves"), "{body}");
    assert!(draft["outline"].as_array().unwrap().iter().all(|heading| body.contains(&format!("## {}", heading.as_str().unwrap()))));
}

#[test]
fn drafts_say_where_they_come_from_and_what_was_not_understood() {
    let draft = run("create_content", json!({"topic": "tea", "tone": "piratical", "format": "opera"})).unwrap();
    let note = draft["note"].as_str().unwrap();
    assert!(note.contains("offline stand-in") && note.contains("`piratical`") && note.contains("`opera`"), "{note}");
    assert_eq!(draft["source"], "offline stand-in");
}

#[test]
fn nothing_to_write_about_is_refused() {
    check_refused("create_content", json!({}), "one of `topic`");
    check_refused("create_content", json!({"topic": ""}), "`topic` is empty");
    check_refused("create_content", json!({"topic": "x", "points": "y"}), "`points`");
}
