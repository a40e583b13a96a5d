//! Nothing but public addresses is dialled, however it is spelled, and whatever a name says the second time.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::a2a::{Card, Dialect, Interface};
use crate::agent::{Call, Client, ErrorKind, Options};

#[test]
fn addresses_are_allowed_or_not() {
    let guard = Guard::new(false, &["10.1.0.0/16".parse().unwrap()]);
    for (address, expected) in [
        ("1.1.1.1", true),
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("10.0.0.1", false),
        ("127.0.0.1", false),
        ("::ffff:127.0.0.1", false),
        ("::1", false),
    ] {
        assert_eq!(guard.allows(address.parse().unwrap()), expected, "{address}");
    }
    assert!(Guard::new(true, &[]).allows("127.0.0.1".parse().unwrap()));
}

#[test]
fn urls_are_judged_before_resolving() {
    let guard = Guard::new(true, &[]);
    for url in [
        "file:///etc/passwd",
        "unix:/var/run/docker.sock",
        "http://user@host/",
        "http://:pw@host/",
        "data:text/plain,x",
        "//host/",
        "http:///",
    ] {
        assert_eq!(guard.url(url).map(|_| ()).map_err(|failure| failure.kind), Err(ErrorKind::Refused), "{url}");
    }
    assert!(guard.url("http://host/a?b").is_ok());
}

fn card(url: &str) -> Arc<Card> {
    let interfaces = vec![Interface { url: url.to_owned(), dialect: Dialect::Plain, tenant: None }];
    Arc::new(Card { name: "a".to_owned(), interfaces, ..Card::default() })
}

async fn call(client: &Client, url: &str) -> Result<crate::agent::Reply, crate::agent::Error> {
    let call = Call {
        card: card(url),
        skill: "s".to_owned(),
        inputs: Arc::new(serde_json::json!({})),
        message_id: "m".to_owned(),
        timeout: Duration::from_secs(5),
        metadata: None,
        resume: None,
    };
    client.call(call, CancellationToken::new(), |_| {}).await
}

/// A listener that counts whoever connects.
async fn counting() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            drop(stream);
        }
    });
    (port, seen)
}

/// A resolver that answers every name the same, in turns.
fn answers(turns: &[&[&str]]) -> Arc<Lookup> {
    let turns: Vec<Vec<IpAddr>> = turns.iter().map(|turn| turn.iter().map(|address| address.parse().unwrap()).collect()).collect();
    let count = AtomicUsize::new(0);
    Arc::new(move |_| {
        let turn = turns[count.fetch_add(1, Ordering::SeqCst) % turns.len()].clone();
        Box::pin(async move { Ok(turn) })
    })
}

/// Every spelling of the list, on the listener's own port, with a resolver that knows every name as loopback.
#[tokio::test]
async fn no_spelling_of_an_internal_address_is_dialled() {
    let list = include_str!("../../../tests/fixtures/registry/ssrf-hosts.txt");
    let (port, seen) = counting().await;
    let client = Client::with_lookup(Options::default(), answers(&[&["127.0.0.1", "::1"]]));
    let mut checked = 0;
    for line in list.lines().filter(|line| !line.trim().is_empty()) {
        let mut spellings = vec![line.to_owned()];
        if let Ok(mut url) = url::Url::parse(line)
            && url.set_port(Some(port)).is_ok()
        {
            spellings.push(url.to_string());
        }
        for spelling in spellings {
            let error = call(&client, &spelling).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Refused, "{spelling}: {error}");
            let error = client.fetch_card(&spelling).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Refused, "{spelling}: {error}");
        }
        checked += 1;
    }
    assert!(checked >= 80, "{checked}");
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_is_rebound_is_never_dialled_where_it_was_not_checked() {
    let (port, seen) = counting().await;
    // An address that may be dialled at one look-up (nobody listens there), one that may not at the next.
    let options = Options { allow: vec!["127.99.0.0/16".parse().unwrap()], ..Options::default() };
    let client = Client::with_lookup(options, answers(&[&["127.99.0.1"], &["127.0.0.1"]]));
    let mut kinds = std::collections::BTreeMap::new();
    for _ in 0..1_000 {
        let error = call(&client, &format!("http://rebound.example:{port}/")).await.unwrap_err();
        *kinds.entry(error.kind).or_insert(0) += 1;
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [(ErrorKind::Unavailable, 500), (ErrorKind::Refused, 500)]);
    assert_eq!(seen.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn only_the_allowed_addresses_of_a_name_are_dialled() {
    let (port, seen) = counting().await;
    let allow = vec!["127.0.0.0/8".parse().unwrap()];
    let client = Client::with_lookup(Options { allow, ..Options::default() }, answers(&[&["10.0.0.1", "127.0.0.1"]]));
    let error = call(&client, &format!("http://local.example:{port}/")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(seen.load(Ordering::SeqCst) > 0);
    let error = call(&client, "http://10.0.0.1/").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Refused);
    assert!(error.to_string().contains("10.0.0.1"), "{error}");
}
