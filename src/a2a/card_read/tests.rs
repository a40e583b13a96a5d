//! Cards as they are met, and what is refused of them.

use serde_json::{Value, json};

use super::super::card::{Card, CardError, Dialect};

fn fixture(name: &str) -> Card {
    let path = format!("{}/tests/fixtures/agent-cards/{name}.json", env!("CARGO_MANIFEST_DIR"));
    Card::parse(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn interfaces_are_found_and_ordered() {
    use Dialect::{A2a1, A2a03, Plain};
    type Expected = &'static [(Dialect, &'static str, Option<&'static str>)];
    let cases: [(&str, Expected); 8] = [
        ("a2a-1.0", &[(A2a1, "https://recipes.example/a2a/v1", Some("kitchen"))]),
        ("a2a-0.3", &[(A2a03, "http://localhost:9999/", None)]),
        ("a2a-0.2", &[(A2a03, "http://localhost:9998/", None)]),
        ("both", &[(A2a1, "https://two.example/new", None), (A2a03, "https://two.example/old", None)]),
        ("snake-case", &[(A2a1, "http://localhost:7000", None)]),
        ("prototype", &[(Plain, "http://localhost:8001", None)]),
        ("solace", &[(A2a03, "http://localhost:8800/orders", None)]),
        ("grpc-only", &[]),
    ];
    for (name, expected) in cases {
        let card = fixture(name);
        let found: Vec<_> = card.interfaces.iter().map(|i| (i.dialect, i.url.as_str(), i.tenant.as_deref())).collect();
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn members_are_read() {
    let card = fixture("a2a-1.0");
    assert_eq!((card.name.as_str(), card.version.as_str()), ("Recipe Agent", "1.2.0"));
    assert!(card.streaming && !card.push_notifications);
    assert_eq!(card.required_extensions, ["https://example.org/ext/audit"]);
    let find = card.skill("find").unwrap();
    assert_eq!(find.input_modes, ["application/json"]);
    assert_eq!(find.tags, ["food"]);
    assert_eq!(find.examples, ["a soup"]);
    assert!(card.skill("absent").is_none());
    assert!(fixture("snake-case").push_notifications);
    assert!(fixture("a2a-0.3").push_notifications);
    assert_eq!(fixture("prototype").skill("create_plan").unwrap().name, "create_plan");
}

#[test]
fn schemas_come_from_wherever_they_are_declared() {
    let schema = |name: &str, skill: &str| {
        let card = fixture(name);
        let skill = card.skill(skill).unwrap();
        (skill.input_schema.clone(), skill.output_schema.clone())
    };
    let (input, output) = schema("a2a-1.0", "find");
    assert_eq!(input, Some(json!({ "type": "object", "required": ["dish"] })));
    assert_eq!(output, Some(json!({ "type": "object" })));
    assert_eq!(schema("a2a-1.0", "write"), (None, None));
    assert_eq!(schema("prototype", "create_plan").1.unwrap()["properties"]["plan"]["type"], "string");
    let (input, output) = schema("solace", "order");
    assert_eq!((input.unwrap()["title"].clone(), output.unwrap()["title"].clone()), (json!("in"), json!("out")));
}

#[test]
fn refusals_name_the_member() {
    let skills = |count: usize| (0..count).map(|at| json!({ "id": format!("s{at}") })).collect::<Vec<_>>();
    let plain = |skills: Value| json!({ "name": "a", "url": "http://a", "skills": skills });
    let interface = |interface: Value| json!({ "name": "a", "supportedInterfaces": [interface] });
    for (card, expected) in [
        (json!([]), "not an agent card: not a JSON object"),
        (json!({}), "the agent card has no `name`: steps and errors name an agent by it"),
        (json!({ "name": " " }), "the agent card's `name` is empty"),
        (json!({ "name": 1 }), "the agent card's `name` is not a text"),
        (json!({ "name": "a" }), "the agent card has no `supportedInterfaces`: nor a `url`, so the agent cannot be called"),
        (
            json!({ "name": "a", "supportedInterfaces": [] }),
            "the agent card has no `supportedInterfaces`: nor a `url`, so the agent cannot be called",
        ),
        (json!({ "name": "a", "supportedInterfaces": [7] }), "the agent card's `supportedInterfaces[0]` is not an object"),
        (interface(json!({})), "the agent card has no `supportedInterfaces[0].url`: the agent cannot be called"),
        (
            interface(json!({ "url": "/a2a" })),
            "the agent card's `supportedInterfaces[0].url` is not an absolute URL: relative URL without a base",
        ),
        (
            interface(json!({ "url": "file:///etc/passwd" })),
            "the agent card's `supportedInterfaces[0].url` has the scheme `file`; http or https is needed",
        ),
        (json!({ "name": "a", "url": "ftp://a" }), "the agent card's `url` has the scheme `ftp`; http or https is needed"),
        (json!({ "name": "a", "url": null }), "the agent card has no `url`: the agent cannot be called"),
        (plain(json!({})), "the agent card's `skills` is not a list"),
        (plain(json!([1])), "the agent card's `skills[0]` is not an object"),
        (plain(json!([{ "id": "a" }, {}])), "the agent card has no `skills[1].id`: steps name a skill by it"),
        (plain(json!([{ "id": "a" }, { "id": "a" }])), "the agent card's `skills[1].id` repeats `a`"),
        (plain(json!(skills(1_001))), "the agent card's `skills` has more than 1000 entries"),
    ] {
        let error = Card::parse(card.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    }
    let control = plain(json!([{ "id": "a\u{7}" }]));
    assert!(matches!(Card::parse(control.to_string().as_bytes()), Err(CardError::Invalid { field, .. }) if field == "skills[0].id"));
    assert_eq!(Card::parse(plain(json!(skills(1_000))).to_string().as_bytes()).unwrap().skills.len(), 1_000);
}

#[test]
fn bounds_hold() {
    let large = format!("{{\"name\": \"{}\"}}", "a".repeat(crate::limits::CARD_BYTES_MAX));
    assert!(matches!(Card::parse(large.as_bytes()), Err(CardError::TooLarge { .. })));
    for depth in [65, 1_000, 100_000] {
        let deep = format!("{{\"name\": \"a\", \"x\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(matches!(Card::parse(deep.as_bytes()), Err(CardError::Form(_))), "{depth}");
    }
    for text in ["", "{", "null", "<html></html>", "\u{feff}{}"] {
        assert!(matches!(Card::parse(text.as_bytes()), Err(CardError::Form(_))), "{text:?}");
    }
}

#[test]
fn written_cards_read_back() {
    for name in ["a2a-1.0", "a2a-0.3", "a2a-0.2", "both", "snake-case", "prototype", "solace"] {
        let mut card = fixture(name);
        let json = card.to_json();
        let back = Card::parse(json.to_string().as_bytes()).unwrap();
        // What the older forms leave out is filled in when written.
        if card.version.is_empty() {
            card.version = "0.0.0".to_owned();
        }
        if card.input_modes.is_empty() {
            card.input_modes = vec!["application/json".to_owned(), "text/plain".to_owned()];
        }
        assert_eq!(back, card, "{name}");
    }
}

#[test]
fn one_card_serves_all_clients() {
    let mut card = fixture("prototype");
    let base = card.interfaces[0].url.clone();
    for dialect in [Dialect::A2a1, Dialect::A2a03] {
        card.interfaces.insert(0, super::super::card::Interface { url: format!("{base}/"), dialect, tenant: None });
    }
    card.interfaces.sort_by_key(|interface| interface.dialect);
    let json = card.to_json();
    assert_eq!(json["supportedInterfaces"][0]["protocolVersion"], "1.0");
    assert_eq!(json["supportedInterfaces"][0]["protocolBinding"], "JSONRPC");
    assert_eq!(
        (&json["url"], &json["protocolVersion"], &json["preferredTransport"]),
        (&json!("http://localhost:8001/"), &json!("0.3.0"), &json!("JSONRPC"))
    );
    assert_eq!(json["skills"][0]["input_schema"]["type"], "object");
    for required in ["name", "description", "version", "capabilities", "defaultInputModes", "defaultOutputModes", "skills"] {
        assert!(json.get(required).is_some(), "{required}");
    }
    // The strict types of another implementation read it.
    let strict: a2a_protocol_types::agent_card::AgentCard = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(strict.supported_interfaces.len(), 3);
    assert_eq!(Card::parse(json.to_string().as_bytes()).unwrap().interfaces, card.interfaces);

    let plain = card.to_plain_json();
    let members: Vec<&String> = plain.as_object().unwrap().keys().collect();
    assert_eq!(members, ["name", "url", "skills"]);
    assert_eq!(plain["url"], "http://localhost:8001");
    assert_eq!(Card::parse(plain.to_string().as_bytes()).unwrap().interfaces[0].dialect, Dialect::Plain);
}
