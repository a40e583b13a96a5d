//! Skills to agents: the choice and its reason, pins, what is said when there is nobody, healing, and what it costs.

use std::time::Duration;

use gantry::a2a::Card;
use gantry::discovery::Error;
use gantry::registry::Kind;

use super::world::{Count, NEVER_STALE, Spy, card, card_at};

async fn offer(spy: &Spy, repository: &str, name: &str, skills: &[&str], tags: &[&str]) -> String {
    spy.put(&format!("agents/{repository}"), Kind::AgentCard, &card(name, skills), tags).await.to_string()
}

#[tokio::test]
async fn the_choice_among_agents_is_the_same_every_time_and_says_why() {
    let spy = Spy::embedded();
    offer(&spy, "z", "alpha", &["plan"], &["v1"]).await;
    offer(&spy, "b", "beta", &["plan", "build"], &["v1"]).await;
    offer(&spy, "a", "gamma", &["plan"], &["v1"]).await;
    // Two versions: the lower offers more, the higher counts.
    offer(&spy, "d", "delta", &["plan", "old"], &["1.0.0"]).await;
    offer(&spy, "d", "delta", &["new"], &["1.1.0"]).await;
    let discovery = spy.discovery(NEVER_STALE);
    discovery.add_card(Card::parse(card("by-hand", &["test"]).as_bytes()).unwrap());
    discovery.add_card(Card::parse(card("also-by-hand", &["test", "build"]).as_bytes()).unwrap());
    let cases = [
        ("plan", "alpha", "first of 3 by name (others: `beta`, `gamma`)"),
        ("new", "delta", "only agent with the skill"),
        ("build", "also-by-hand", "its card was given by hand"),
        ("test", "by-hand", "first of 2 cards given by hand"),
    ];
    for _ in 0..2 {
        for (skill, name, reason) in cases {
            let found = discovery.agent(skill, None).await.unwrap();
            assert_eq!((found.card.name.as_str(), found.reason.as_str()), (name, reason), "{skill}");
        }
    }
    let names: Vec<_> =
        discovery.agents().await.unwrap().iter().map(|line| format!("{}@{}", line.card.name, line.tag.as_deref().unwrap_or("-"))).collect();
    assert_eq!(names, ["alpha@v1", "also-by-hand@-", "beta@v1", "by-hand@-", "delta@1.1.0", "gamma@v1"]);
    // The same name again takes the place of the first.
    discovery.add_card(Card::parse(card_at("by-hand", "http://localhost:9", &["test"]).as_bytes()).unwrap());
    assert_eq!(discovery.agent("test", None).await.unwrap().card.interfaces[0].url, "http://localhost:9");
}

#[tokio::test]
async fn pins_choose_by_name_tag_and_digest() {
    let spy = Spy::embedded();
    let old = offer(&spy, "planner", "Plan Agent", &["plan", "old"], &["1.0.0"]).await;
    let new = offer(&spy, "planner", "Plan Agent", &["plan"], &["1.1.0"]).await;
    offer(&spy, "aaa", "aaa", &["plan"], &["v1"]).await;
    let odd = offer(&spy, "odd", "odd: v2", &["plan"], &["v1"]).await;
    let discovery = spy.discovery(NEVER_STALE);
    let by_hand = card("Given One", &["plan"]);
    let given = gantry::registry::digest::sha256(by_hand.as_bytes());
    discovery.add_card_read(Card::parse(by_hand.as_bytes()).unwrap(), given.clone());
    let given = given.to_string();
    let found = [
        ("Plan Agent".to_owned(), "plan", Some(&new)),
        ("plan-agent".to_owned(), "plan", Some(&new)),
        ("planner".to_owned(), "plan", Some(&new)),
        ("agents/planner".to_owned(), "plan", Some(&new)),
        ("planner:1.0.0".to_owned(), "old", Some(&old)),
        ("agents/planner:1.0.0".to_owned(), "old", Some(&old)),
        ("Plan Agent:1.0.0".to_owned(), "plan", Some(&old)),
        (format!("planner@{old}"), "old", Some(&old)),
        (format!("planner:1.1.0@{old}"), "old", Some(&old)),
        ("odd: v2".to_owned(), "plan", Some(&odd)),
        ("given-one".to_owned(), "plan", Some(&given)),
    ];
    for (pin, skill, digest) in found {
        let found = discovery.agent(skill, Some(&pin)).await.unwrap_or_else(|error| panic!("{pin}: {error}"));
        assert_eq!(found.digest.as_ref().map(|digest| digest.as_str()), digest.map(String::as_str), "{pin}");
        assert!(found.reason.starts_with(&format!("pinned to `{pin}`")), "{}", found.reason);
    }
    let refused = [
        ("Plan Agnt".to_owned(), "plan", "there is no such agent: did you mean `Plan Agent`?"),
        ("aaa".to_owned(), "old", "the step is pinned to the agent `aaa`, which offers `plan`"),
        ("planner".to_owned(), "old", "the step is pinned to the agent `planner`, which offers `plan`"),
        ("given-one".to_owned(), "old", "which offers `plan`"),
        ("planner:9.9.9".to_owned(), "plan", "`agents/planner` has no such version"),
        (format!("aaa@{old}"), "plan", "`agents/aaa` has no such version"),
        ("../x:v1".to_owned(), "plan", "the step is pinned to `../x:v1`, and there is no such agent"),
        (String::new(), "plan", "there is no such agent"),
    ];
    for (pin, skill, expected) in refused {
        let error = discovery.agent(skill, Some(&pin)).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{pin}: `{error}` has no `{expected}`");
    }
}

#[tokio::test(start_paused = true)]
async fn everybody_who_offers_a_skill_is_told_in_the_order_of_choice() {
    let spy = Spy::remote();
    for (repository, name) in [("z", "alpha"), ("b", "beta"), ("a", "gamma")] {
        offer(&spy, repository, name, &["plan"], &["v1"]).await;
    }
    let discovery = spy.discovery(NEVER_STALE);
    let offers = discovery.offers("plan").await.unwrap();
    let mut found = Vec::new();
    for place in 0..offers.len() {
        let taken = discovery.take(&offers, place).await.unwrap();
        assert_eq!(taken.card.name, offers.card(place).name);
        assert!(taken.digest.is_some());
        found.push(format!("{}: {}", taken.card.name, taken.reason));
    }
    let expected = ["alpha: first of 3 by name (others: `beta`, `gamma`)", "beta: number 2 of 3 by name", "gamma: number 3 of 3 by name"];
    assert_eq!(found, expected);
    assert!(discovery.take(&offers, 3).await.is_none());
    assert!(matches!(discovery.offers("nobody").await.unwrap_err(), Error::NoAgent { .. }));

    // One whose card says something else by now is looked at again when a call has failed, and may drop out.
    offer(&spy, "b", "beta", &["plan"], &["v2"]).await;
    offer(&spy, "a", "gamma", &["rest"], &["v2"]).await;
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(discovery.take(&offers, 2).await.is_some(), "nobody said that it failed");
    discovery.forget_agent("beta");
    discovery.forget_agent("gamma");
    assert!(discovery.take(&offers, 1).await.is_some_and(|taken| taken.card.name == "beta"));
    assert!(discovery.take(&offers, 2).await.is_none(), "it offers the skill no longer");

    // Cards given by hand hide the registry's, and need none.
    discovery.add_card(Card::parse(card("one", &["plan"]).as_bytes()).unwrap());
    assert_eq!(discovery.offers("plan").await.unwrap().len(), 1);
    discovery.add_card(Card::parse(card("another", &["plan"]).as_bytes()).unwrap());
    let offers = discovery.offers("plan").await.unwrap();
    let reasons = [discovery.take(&offers, 0).await.unwrap().reason, discovery.take(&offers, 1).await.unwrap().reason];
    assert_eq!(reasons, ["first of 2 cards given by hand", "number 2 of 2 cards given by hand"]);
}

#[tokio::test]
async fn a_skill_nobody_offers_is_said_with_those_there_are() {
    let spy = Spy::embedded();
    let discovery = spy.discovery(NEVER_STALE);
    let error = discovery.agent("create_plan", None).await.unwrap_err();
    assert_eq!(error.to_string(), "no agent offers the skill `create_plan`: there are no agents");
    offer(&spy, "planner", "planner", &["create_plan", "zzz"], &["v1"]).await;
    let many: Vec<_> = (0..30).map(|n| format!("skill_{n:02}")).collect();
    offer(&spy, "many", "many", &many.iter().map(String::as_str).collect::<Vec<_>>(), &["v1"]).await;
    spy.put("agents/broken", Kind::AgentCard, "[]", &["v1"]).await;
    let error = discovery.agent("create_plans", None).await.unwrap_err();
    assert!(matches!(&error, Error::NoAgent { skill, .. } if skill == "create_plans"));
    let expected = "no agent offers the skill `create_plans`: did you mean `create_plan`? there are `create_plan`, `skill_00`, `skill_01`, \
                    `skill_02`, `skill_03`, `skill_04`, `skill_05`, `skill_06` and 24 more; the card of `agents/broken` cannot be read: ";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(error.hint().is_some());
    // The broken card hinders nobody.
    assert_eq!(discovery.agent("zzz", None).await.unwrap().card.name, "planner");
    assert_eq!(discovery.agents().await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_card_that_its_manifest_contradicts_is_not_used() {
    let spy = Spy::embedded();
    let cases = [
        ("good", ("dev.gantry.skills", r#"["plan"]"#), ""),
        ("name", ("dev.gantry.id", "somebody else"), "says `somebody else`, the content's name `name`"),
        ("skills", ("dev.gantry.skills", r#"["plan","pay"]"#), r#"says `["pay","plan"]`, the content's skills `["plan"]`"#),
    ];
    for (name, claim, _) in cases {
        spy.put_claiming(&format!("agents/{name}"), Kind::AgentCard, &card(name, &["plan"]), &["v1"], &[claim]).await;
    }
    let discovery = spy.discovery(NEVER_STALE);
    assert_eq!(discovery.agent("plan", None).await.unwrap().reason, "only agent with the skill");
    for (name, _, expected) in cases {
        match discovery.agent("plan", Some(&format!("{name}:v1"))).await {
            Ok(_) => assert_eq!(expected, "", "{name} was believed"),
            Err(error) => assert!(!expected.is_empty() && error.to_string().contains(expected), "{name}: {error}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_agent_is_found_while_the_index_is_still_trusted() {
    let spy = Spy::remote();
    offer(&spy, "planner", "planner", &["plan"], &["v1"]).await;
    let discovery = spy.discovery(NEVER_STALE);
    discovery.agent("plan", None).await.unwrap();
    offer(&spy, "tester", "tester", &["test"], &["v1"]).await;
    tokio::time::advance(Duration::from_millis(201)).await;
    assert_eq!(discovery.agent("test", None).await.unwrap().card.name, "tester");
    spy.count();
    for _ in 0..100 {
        discovery.agent("nobody", None).await.unwrap_err();
    }
    assert_eq!(spy.count(), Count::default(), "asked a moment ago, not asked again");
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_moved_is_found_again_after_a_failed_call() {
    let spy = Spy::remote();
    let put = async |url: &str, tag: &str| spy.put("agents/planner", Kind::AgentCard, &card_at("planner", url, &["plan"]), &[tag]).await;
    put("http://localhost:1", "v1").await;
    offer(&spy, "other", "other", &["plan"], &["v1"]).await;
    let discovery = spy.discovery(NEVER_STALE);
    let url = async |pin: Option<&str>| discovery.agent("plan", pin).await.unwrap().card.interfaces[0].url.clone();
    assert_eq!(url(Some("planner")).await, "http://localhost:1");
    assert_eq!(url(Some("planner:v1")).await, "http://localhost:1");
    put("http://localhost:2", "v1").await;
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(url(Some("planner")).await, "http://localhost:1", "nobody said that it failed");
    discovery.forget_agent("planner");
    assert_eq!(url(Some("planner")).await, "http://localhost:2");
    assert_eq!(url(Some("planner:v1")).await, "http://localhost:2");

    // A tag that was pinned heals as well, and so does the choice when the agent has gone up by a version.
    put("http://localhost:3", "v1").await;
    put("http://localhost:4", "v2").await;
    tokio::time::advance(Duration::from_secs(1)).await;
    discovery.forget_agent("planner");
    assert_eq!(url(Some("planner:v1")).await, "http://localhost:3");
    assert_eq!(url(Some("planner")).await, "http://localhost:4");

    // An agent that is gone gives way to the next.
    assert_eq!(discovery.agent("plan", None).await.unwrap().card.name, "other");
    spy.layout.delete("agents/other", &gantry::registry::At::Tag("v1".to_owned())).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    discovery.forget_agent("other");
    assert_eq!(discovery.agent("plan", None).await.unwrap().card.name, "planner");
    discovery.forget_agent("never heard of");
}

#[tokio::test(start_paused = true)]
async fn a_dead_agent_does_not_cause_a_storm() {
    let spy = Spy::remote();
    offer(&spy, "planner", "planner", &["plan"], &["v1"]).await;
    let discovery = spy.discovery(NEVER_STALE);
    discovery.agent("plan", None).await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    spy.count();
    for _ in 0..10 {
        for _ in 0..100 {
            discovery.forget_agent("planner");
            discovery.agent("plan", None).await.unwrap();
        }
        tokio::time::advance(Duration::from_millis(21)).await;
    }
    // 210 ms have passed: a look at the beginning, and one after 200 ms at most.
    let count = spy.count();
    assert!((1..=2).contains(&count.resolve) && count.tags == count.resolve, "{count:?}");
    assert_eq!((count.manifest, count.artifact, count.repositories), (0, 0, 0), "{count:?}");
}

#[tokio::test]
async fn a_thousand_agents_are_read_once() {
    const AGENTS: usize = 1_000;
    let spy = Spy::remote();
    for n in 0..AGENTS {
        offer(&spy, &format!("agent-{n:04}"), &format!("agent-{n:04}"), &["common", &format!("skill-{n}")], &["v1"]).await;
    }
    let discovery = spy.discovery(NEVER_STALE);
    assert_eq!(discovery.agent("skill-777", None).await.unwrap().card.name, "agent-0777");
    assert_eq!(spy.count(), Count { repositories: 1, tags: AGENTS, manifest: AGENTS, artifact: AGENTS, resolve: 0 });
    for n in 0..AGENTS {
        assert_eq!(discovery.agent(&format!("skill-{n}"), None).await.unwrap().card.name, format!("agent-{n:04}"));
    }
    let found = discovery.agent("common", None).await.unwrap();
    assert_eq!(found.card.name, "agent-0000");
    assert!(found.reason.starts_with("first of 1000 by name") && found.reason.len() < 300, "{}", found.reason);
    assert_eq!(spy.count(), Count::default());
    // When names are stale, they are asked for, and no card is read a second time.
    let discovery = spy.discovery(Duration::ZERO);
    discovery.agent("common", None).await.unwrap();
    spy.count();
    discovery.agent("common", None).await.unwrap();
    assert_eq!(spy.count(), Count { repositories: 1, tags: AGENTS, resolve: AGENTS, manifest: 0, artifact: 0 });
}
