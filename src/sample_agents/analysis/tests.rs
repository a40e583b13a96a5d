//! Texts in, findings out.

use serde_json::{Value, json};

use crate::limits;
use crate::sample_agents::skill_check::{check, check_refused, run};

#[test]
fn sentiment_is_told() {
    for (text, label) in [
        ("I love this wonderful product!", "positive"),
        ("This is a terrible, horrible failure.", "negative"),
        ("The train leaves at noon.", "neutral"),
        ("The food was not good.", "negative"),
        ("???", "neutral"),
        ("The plot was good. But the ending was awful, boring and sad.", "negative"),
    ] {
        check("analyze_sentiment", json!({"text": text}), "/label", json!(label));
    }
    let both = json!({"text": "I love it. I hate it."});
    check("analyze_sentiment", both.clone(), "/sentences/0/label", json!("positive"));
    check("analyze_sentiment", both.clone(), "/sentences/1/label", json!("negative"));
    check("analyze_sentiment", both, "/sentence_count", json!(2));
}

/// Type and text of each entity.
fn entities(text: &str) -> Vec<(String, String)> {
    let result = run("extract_entities", json!({"text": text})).unwrap();
    let pair = |entity: &Value| (entity["type"].as_str().unwrap().to_owned(), entity["text"].as_str().unwrap().to_owned());
    result["entities"].as_array().unwrap().iter().map(pair).collect()
}

#[test]
fn entities_are_found() {
    let cases: &[(&str, &[(&str, &str)])] = &[
        ("nothing to see here", &[]),
        (
            "Write to ada@example.org or see https://example.org/a?b=c.",
            &[("email", "ada@example.org"), ("url", "https://example.org/a?b=c")],
        ),
        ("On 2026-11-23 and March 5, 2027 at 10:30", &[("date", "2026-11-23"), ("date", "March 5, 2027"), ("time", "10:30")]),
        (
            "It cost $1,200.50 or 30 EUR, up 12.5% from 7",
            &[("money", "$1,200.50"), ("money", "30 EUR"), ("percent", "12.5%"), ("number", "7")],
        ),
        ("a grant of €3 million", &[("money", "€3 million")]),
        (
            "The engineer Ada Lovelace met Charles Babbage in London.",
            &[("name", "Ada Lovelace"), ("name", "Charles Babbage"), ("name", "London")],
        ),
        ("The Bank of England and NASA", &[("name", "Bank of England"), ("acronym", "NASA")]),
        ("Yesterday it rained.", &[]),
        ("follow @gantry_bot with #release", &[("mention", "@gantry_bot"), ("hashtag", "#release")]),
        ("I saw it and I went", &[]),
        ("Größe: München und Zürich", &[("name", "Zürich")]),
    ];
    for (text, expected) in cases {
        let found = entities(text);
        let found: Vec<(&str, &str)> = found.iter().map(|(kind, text)| (kind.as_str(), text.as_str())).collect();
        assert_eq!(&found, expected, "{text}");
    }
}

#[test]
fn places_are_counted_in_characters() {
    let result = run("extract_entities", json!({"text": "äöü: 7 and 7"})).unwrap();
    assert_eq!(result["entities"][0]["count"], 2);
    assert_eq!(result["entities"][0]["offsets"], json!([{"start": 5, "end": 6}, {"start": 11, "end": 12}]));
    assert_eq!((&result["count"], &result["by_type"]["number"]), (&json!(1), &json!(1)));
}

#[test]
fn topics_are_scored_with_their_evidence() {
    for (text, primary) in [
        ("The team won the championship match in the stadium", "sports"),
        ("The bank raised its interest rate and inflation fell", "finance"),
        ("Doctors treat the infection with a new vaccine", "health"),
        ("La la la", "general"),
        ("Our software runs in the cloud on a server", "technology"),
    ] {
        check("classify_topics", json!({"text": text}), "/primary", json!(primary));
    }
    let result = run("classify_topics", json!({"text": "A server, two servers and many Servers. The hotel."})).unwrap();
    assert_eq!(result["keywords"][0], json!({"word": "server", "count": 3}));
    assert_eq!(result["topics"][0], json!({"topic": "technology", "score": 0.75, "evidence": ["servers", "server"]}));
    assert_eq!(result["topics"][1]["evidence"], json!(["hotel"]));
}

#[test]
fn requests_are_categorised_for_routing() {
    for (request, category) in [
        ("Create a function to calculate prime numbers", "code_generation"),
        ("Write a Python script that renames files", "code_generation"),
        ("Implement a REST API in Rust", "code_generation"),
        ("Fix the bug in this JavaScript function", "code_generation"),
        ("Analyze this data: a,b\n1,2\n3,4", "data_analysis"),
        ("What is the average of these numbers: 3, 5, 9", "data_analysis"),
        ("Find correlations in the attached CSV", "data_analysis"),
        ("[{\"x\": 1}, {\"x\": 2}]", "data_analysis"),
        ("Write a blog post about remote work", "content_creation"),
        ("Draft a friendly email to the team", "content_creation"),
        ("Compose a short story", "content_creation"),
        ("Hello there", "unknown"),
        ("What time is it?", "unknown"),
    ] {
        check("analyze_request", json!({"request": request}), "/category", json!(category));
    }
    let request = json!({"request": "Write a Rust function that parses dates"});
    check("analyze_request", request.clone(), "/language", json!("rust"));
    check("analyze_request", request.clone(), "/subject", json!("parses dates"));
    let result = run("analyze_request", request).unwrap();
    assert!(result["confidence"].as_f64().unwrap() > 0.5 && result["evidence"].as_array().unwrap().contains(&json!("function")));
}

#[test]
fn results_are_joined() {
    let sentiment = run("analyze_sentiment", json!({"text": "I love it"})).unwrap();
    let topics = run("classify_topics", json!({"text": "a server in the cloud"})).unwrap();
    let entities = run("extract_entities", json!({"text": "We met Ada Lovelace"})).unwrap();
    let params = json!({"sentiment": sentiment, "topics": topics, "entities": entities, "other": {"n": 1}, "broken": null});
    let result = run("aggregate_results", params.clone()).unwrap();
    let highlights: Vec<&str> = result["highlights"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(
        highlights,
        [
            "sentiment: positive (0.6369)",
            "topics: technology (keywords server, cloud)",
            "entities: 1 entity (Ada Lovelace)",
            "other: 1 field (n)"
        ]
    );
    assert_eq!(result["combined"], params);
    assert_eq!((&result["statistics"]["results"], &result["statistics"]["present"]), (&json!(5), &json!(4)));
    assert_eq!(result["statistics"]["missing"], json!(["broken"]));
    assert!(result["headline"].as_str().unwrap().ends_with("without broken"));
    check("aggregate_results", json!({"entities": {"entities": [], "count": 0}}), "/headline", json!("entities: none"));
    check("aggregate_results", json!({"results": {"a": 1, "b": 2}}), "/statistics/results", json!(2));
    check("aggregate_results", json!({"a": null}), "/headline", json!("No results; without a"));
    check_refused("aggregate_results", json!({}), "the input");
}

#[test]
fn texts_may_come_under_several_names_and_must_come() {
    for skill in ["analyze_sentiment", "extract_entities", "classify_topics", "analyze_request"] {
        for name in ["text", "request", "content", "requirements"] {
            run(skill, json!({ name: "x" })).unwrap();
        }
        check_refused(skill, json!({}), "one of `text`");
        check_refused(skill, json!({"text": ""}), "`text` is empty");
        run(skill, json!({"text": {"body": "A draft."}})).unwrap();
    }
}

#[test]
fn strange_texts_are_survived() {
    let strange = [
        "\u{0}\u{1}\u{7f}",
        "🙂🙃👩‍👩‍👧 :) :(",
        "\u{202e}abc",
        "ﷺ ݐ",
        "not",
        "never so this",
        "least",
        "a b c d e f g",
        "İ ı ß ﬀ",
        "'''' --- ###",
        "at least very least good",
    ];
    let long = "word ".repeat(100_000);
    let run_on = "A".repeat(500_000);
    for text in strange.into_iter().chain([long.as_str(), run_on.as_str()]) {
        for skill in ["analyze_sentiment", "extract_entities", "classify_topics", "analyze_request"] {
            let started = std::time::Instant::now();
            let result = run(skill, json!({"text": text})).unwrap_or_else(|error| panic!("{skill}: {error}"));
            assert!(result.to_string().len() < 200_000 && started.elapsed().as_secs() < 20, "{skill}");
        }
    }
}

#[test]
fn lists_end_and_totals_count_everything() {
    let most = limits::SAMPLE_LIST_MAX;
    for (count, listed) in [(most, most), (most + 3, most)] {
        let text: String = (0..count).map(|n| format!("Write to p{n}@example.org today. ")).collect();
        let found = run("extract_entities", json!({"text": text})).unwrap();
        assert_eq!((found["entities"].as_array().unwrap().len(), &found["count"]), (listed, &json!(count)));
        assert_eq!(found["by_type"]["email"], json!(count));
        let found = run("analyze_sentiment", json!({"text": "I love it. ".repeat(count)})).unwrap();
        assert_eq!((found["sentences"].as_array().unwrap().len(), &found["sentence_count"]), (listed, &json!(count)));
    }
}
