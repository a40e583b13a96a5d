//! Our client and our HTTP face.

use std::collections::BTreeMap;

use bytes::Bytes;
use gantry::registry::{At, Error, Kind, Layout, Store};
use tokio::task::JoinSet;

use super::server::Served;

fn annotations() -> BTreeMap<String, String> {
    BTreeMap::from([("dev.gantry.id".to_owned(), "x & <y>".to_owned())])
}

#[tokio::test]
async fn what_goes_in_comes_out() {
    let served = Served::start().await;
    let remote = served.remote();
    remote.ping().await.unwrap();
    assert!(matches!(remote.tags("workflows/x").await, Err(Error::NotFound(_))));
    assert!(remote.repositories("").await.unwrap().is_empty());
    let tags = ["1.0.0".to_owned(), "latest".to_owned()];
    let content = Bytes::from_static(b"id: x\n");
    let pushed = remote.push("workflows/x", Kind::Workflow, content.clone(), annotations(), &tags).await.unwrap();
    assert_eq!(pushed.tags, tags);
    let again = served.layout.push("workflows/x", Kind::Workflow, content.clone(), annotations(), &tags).await.unwrap();
    assert_eq!(again, pushed, "the same whether over HTTP or not");
    assert_eq!(remote.tags("workflows/x").await.unwrap(), tags);
    assert_eq!(remote.repositories("workflows/").await.unwrap(), ["workflows/x"]);
    assert_eq!(remote.resolve("workflows/x", "latest").await.unwrap(), pushed.digest);
    for at in [At::Tag("1.0.0".to_owned()), At::Digest(pushed.digest.clone())] {
        let manifest = remote.manifest("workflows/x", &at).await.unwrap();
        let artifact = remote.artifact("workflows/x", &manifest, Kind::Workflow).await.unwrap();
        assert_eq!((artifact.content, artifact.annotations, artifact.digest), (content.clone(), annotations(), pushed.digest.clone()));
        assert!(matches!(remote.artifact("workflows/x", &manifest, Kind::AgentCard).await, Err(Error::Invalid { .. })));
    }
    let untagged = remote.push("agents/y", Kind::AgentCard, Bytes::from_static(b"{}"), BTreeMap::new(), &[]).await.unwrap();
    assert!(remote.tags("agents/y").await.unwrap().is_empty());
    remote.manifest("agents/y", &At::Digest(untagged.digest)).await.unwrap();
}

#[tokio::test]
async fn thirty_pushes_at_once_lose_no_tag() {
    let served = Served::start().await;
    let remote = served.remote();
    let mut set = JoinSet::new();
    for at in 0..30 {
        let remote = remote.clone();
        set.spawn(async move {
            let content = Bytes::from(format!("id: x{}\n", at % 10));
            let tags = [format!("t{at:02}"), "latest".to_owned()];
            remote.push("workflows/x", Kind::Workflow, content, BTreeMap::new(), &tags).await.unwrap()
        });
    }
    let pushed = set.join_all().await;
    let tags = remote.tags("workflows/x").await.unwrap();
    assert_eq!(tags.len(), 31, "{tags:?}");
    for pushed in pushed {
        let tag = pushed.tags.iter().find(|tag| *tag != "latest").unwrap();
        assert_eq!(served.layout.resolve("workflows/x", tag).await.unwrap(), pushed.digest);
    }
}

#[tokio::test]
async fn an_outage_ends_when_the_registry_is_back() {
    let served = Served::start().await;
    let remote = served.remote();
    served.layout.push("workflows/x", Kind::Workflow, Bytes::from_static(b"id: x"), BTreeMap::new(), &["v1".to_owned()]).await.unwrap();
    let digest = remote.resolve("workflows/x", "v1").await.unwrap();
    // The layout outlives its server.
    let layout = served.layout.clone();
    let address = served.address;
    served.stop.cancel();
    drop(served);
    let error = loop {
        match remote.resolve("workflows/x", "v1").await {
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(error.is_transient(), "{error}");
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let stop = tokio_util::sync::CancellationToken::new();
    let options = gantry::registry::http::Options::default();
    let ended = tokio::spawn(gantry::registry::http::serve(listener, std::sync::Arc::new(layout), options, stop.clone()));
    assert_eq!(remote.resolve("workflows/x", "v1").await.unwrap(), digest);
    stop.cancel();
    ended.await.unwrap().unwrap();
}

#[test]
fn a_second_process_is_refused_and_told_who_is_first() {
    let root = tempfile::tempdir().unwrap();
    let first = Layout::open(root.path()).unwrap();
    let error = Layout::open(root.path()).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }));
    let text = error.to_string();
    assert!(text.contains(&format!("process {}", std::process::id())) && text.contains("choose another directory"), "{text}");
    drop(first);
}
