//! An agent that never answers: how long it is waited for, and how many do.

use tokio::time::Instant;

use super::*;
use crate::a2a::Interface;

const SECOND: Duration = Duration::from_secs(1);
const URL: &str = "http://silent.example/";

/// The agent's name never becomes an address, so that nothing but the clock goes on.
fn client() -> Client {
    let options = Options { connect_timeout: SECOND * 3600, ..Options::default() };
    Client::with_lookup(options, Arc::new(|_| Box::pin(std::future::pending())))
}

fn card() -> Card {
    let interfaces = vec![Interface { url: URL.to_owned(), dialect: Dialect::A2a1, tenant: None }];
    Card { name: "silent".to_owned(), interfaces, ..Card::default() }
}

fn call() -> Call {
    Call {
        card: Arc::new(card()),
        skill: "s".to_owned(),
        inputs: Arc::new(serde_json::json!({})),
        message_id: "m".to_owned(),
        timeout: SECOND,
        metadata: None,
        resume: None,
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_call_that_was_given_up_is_waited_for_five_seconds() {
    let (client, begun) = (client(), Instant::now());
    let error = client.call(call(), CancellationToken::new(), |_| {}).await.unwrap_err();
    assert_eq!((error.kind, begun.elapsed()), (ErrorKind::Timeout, SECOND));
    client.drain().await;
    assert_eq!(begun.elapsed(), SECOND * 6);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_late_answers_are_waited_for_at_once_and_no_more() {
    let (client, begun) = (client(), Instant::now());
    for given_up in 1..=1_100 {
        client.take_back(&call());
        assert_eq!(client.http().tasks.len(), given_up.min(1_000));
    }
    tokio::time::sleep(SECOND * 6).await;
    client.take_back(&call());
    assert_eq!(client.http().tasks.len(), 1, "there is room again");
    client.drain().await;
    assert_eq!(begun.elapsed(), SECOND * 11);
}

#[tokio::test(start_paused = true)]
async fn telling_an_agent_to_cancel_takes_five_seconds_at_most() {
    let (client, begun) = (client(), Instant::now());
    client.cancel_task(&card(), "t-1");
    assert_eq!(client.http().tasks.len(), 1);
    client.drain().await;
    assert_eq!(begun.elapsed(), SECOND * 5);
}

#[tokio::test(start_paused = true)]
async fn reading_a_card_takes_twenty_seconds_at_most() {
    let begun = Instant::now();
    let error = client().fetch_card(URL).await.unwrap_err();
    assert_eq!((error.kind, begun.elapsed()), (ErrorKind::Timeout, SECOND * 20));
    assert_eq!(error.to_string(), "cannot read the card of agent `http://silent.example/`: no card within 20s");
}
