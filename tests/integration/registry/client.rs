//! What a client must survive: each test is one hazard.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use gantry::ids::Digest;
use gantry::registry::{Addresses, At, Credential, Error, Kind, Manifest, Remote, RemoteOptions, Scheme, Secret, Store, digest, media};
use wiremock::matchers::{basic_auth, header, method, path, query_param};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::server::{Scripted, answer, quick, remote};

const LAYER: &[u8] = b"id: x\n";

fn tag(tag: &str) -> At {
    At::Tag(tag.to_owned())
}

fn manifest_json() -> String {
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","artifactType":"{}","layers":[{{"mediaType":"{}","digest":"{}","size":{}}}]}}"#,
        media::MANIFEST,
        media::WORKFLOW,
        media::YAML,
        digest::sha256(LAYER),
        LAYER.len()
    )
}

fn manifest() -> Manifest {
    let bytes = Bytes::from(manifest_json());
    Manifest { digest: digest::sha256(&bytes), bytes, media_type: media::MANIFEST.to_owned() }
}

fn manifest_answer() -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_raw(manifest_json(), media::MANIFEST)
}

fn registry(server: &MockServer) -> String {
    server.address().to_string()
}

fn password() -> Credential {
    Credential::Password { user: "ann".to_owned(), password: Secret::new("hunter2") }
}

fn with(server: &MockServer, credential: Credential) -> Remote {
    Remote::new(&registry(server), RemoteOptions { credential, ..quick() }).unwrap()
}

async fn asked(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.unwrap()
}

fn challenge(realm: &str) -> ResponseTemplate {
    let value = format!(r#"Bearer realm="{realm}",service="reg",scope="repository:a/x:pull""#);
    ResponseTemplate::new(401).insert_header("WWW-Authenticate", value)
}

#[tokio::test]
async fn a_token_is_fetched_once_and_again_when_the_registry_forgets_it() {
    let server = MockServer::start().await;
    let token = |token: &str| ResponseTemplate::new(200).set_body_json(serde_json::json!({"token": token, "expires_in": 300}));
    let realm = Mock::given(path("/token")).and(basic_auth("ann", "hunter2")).and(query_param("scope", "repository:a/x:pull"));
    realm.and(query_param("service", "reg")).respond_with(token("one")).up_to_n_times(1).expect(1).mount(&server).await;
    Mock::given(path("/token")).respond_with(token("two")).expect(1).mount(&server).await;
    let manifests = || Mock::given(path("/v2/a/x/manifests/v1"));
    manifests().and(header("Authorization", "Bearer one")).respond_with(manifest_answer()).up_to_n_times(2).mount(&server).await;
    manifests().and(header("Authorization", "Bearer two")).respond_with(manifest_answer()).mount(&server).await;
    manifests().respond_with(challenge(&format!("{}/token", server.uri()))).mount(&server).await;
    let remote = with(&server, password());
    for _ in 0..4 {
        assert_eq!(remote.manifest("a/x", &tag("v1")).await.unwrap().digest, manifest().digest);
    }
    let requests = asked(&server).await;
    // 401, token, again; once with it; 401 again, token, again; once with it.
    assert_eq!(requests.len(), 8);
}

#[tokio::test]
async fn thirty_requests_at_once_fetch_one_token() {
    let server = MockServer::start().await;
    Mock::given(path("/token"))
        .respond_with(ResponseTemplate::new(200).set_body_json(serde_json::json!({"access_token": "one"})))
        .expect(1)
        .mount(&server)
        .await;
    Mock::given(header("Authorization", "Bearer one")).respond_with(manifest_answer()).mount(&server).await;
    Mock::given(path("/v2/a/x/manifests/v1")).respond_with(challenge(&format!("{}/token", server.uri()))).mount(&server).await;
    let remote = with(&server, Credential::Anonymous);
    let mut set = tokio::task::JoinSet::new();
    for _ in 0..30 {
        let remote = remote.clone();
        set.spawn(async move { remote.manifest("a/x", &tag("v1")).await.unwrap() });
    }
    assert_eq!(set.join_all().await.len(), 30);
}

#[tokio::test]
async fn a_password_goes_to_no_other_host_and_nothing_to_a_realm_that_is_not_safe() {
    let (server, thief) = (MockServer::start().await, MockServer::start().await);
    let elsewhere = format!("http://localhost:{}/token", thief.address().port());
    for (realm, reason) in [
        (elsewhere.as_str(), "not HTTPS"),
        ("https://thief.example/token", "another host"),
        ("ftp://127.0.0.1/token", "not HTTPS"),
        ("/token", "not a URL"),
        ("https://u:p@127.0.0.1/token", "user name"),
    ] {
        server.reset().await;
        Mock::given(path("/v2/a/x/manifests/v1")).respond_with(challenge(realm)).mount(&server).await;
        let error = with(&server, password()).manifest("a/x", &tag("v1")).await.unwrap_err();
        assert!(matches!(error, Error::Unauthorized { .. }) && error.to_string().contains(reason), "{realm}: {error}");
        assert!(error.to_string().contains(&registry(&server)) && !error.to_string().contains("hunter2"), "{error}");
        assert_eq!(asked(&server).await.len(), 1, "{realm}");
    }
    assert!(asked(&thief).await.is_empty());
}

#[tokio::test]
async fn basic_is_sent_when_asked_for_and_a_wrong_password_ends_it() {
    let server = MockServer::start().await;
    Mock::given(basic_auth("ann", "hunter2")).respond_with(manifest_answer()).up_to_n_times(2).mount(&server).await;
    let basic = ResponseTemplate::new(401).insert_header("WWW-Authenticate", "Basic realm=\"x\"");
    Mock::given(path("/v2/a/x/manifests/v1")).respond_with(basic).mount(&server).await;
    let remote = with(&server, password());
    for _ in 0..2 {
        remote.manifest("a/x", &tag("v1")).await.unwrap();
    }
    assert_eq!(asked(&server).await.len(), 3, "only the first request went without");
    let error = remote.manifest("a/x", &tag("v1")).await.unwrap_err().to_string();
    assert!(error.contains("refused the user or the password") && !error.contains("hunter2"), "{error}");
    assert_eq!(asked(&server).await.len(), 4);
    let error = with(&server, Credential::Anonymous).manifest("a/x", &tag("v1")).await.unwrap_err().to_string();
    assert!(error.contains("log in"), "{error}");
}

#[tokio::test]
async fn tokens_that_are_none_are_errors() {
    for (body, reason) in [
        (r#"{"token":"a\r\nX-Evil: 1"}"#, "characters that no token has"),
        (r#"{"token":""}"#, "no token"),
        (r#"{}"#, "no token"),
        ("<html>", "no token"),
    ] {
        let server = MockServer::start().await;
        Mock::given(path("/token")).respond_with(ResponseTemplate::new(200).set_body_string(body)).mount(&server).await;
        Mock::given(path("/v2/a/x/manifests/v1")).respond_with(challenge(&format!("{}/token", server.uri()))).mount(&server).await;
        let error = with(&server, Credential::Anonymous).manifest("a/x", &tag("v1")).await.unwrap_err().to_string();
        assert!(error.contains(reason) && !error.contains("Evil"), "{error}");
    }
    let given = RemoteOptions { credential: Credential::Token(Secret::new("a\nb")), ..quick() };
    assert!(matches!(Remote::new("localhost:1", given), Err(Error::Invalid { .. })));
}

#[tokio::test]
async fn the_catalog_asks_for_its_own_scope() {
    let server = MockServer::start().await;
    let token = ResponseTemplate::new(200).set_body_json(serde_json::json!({"token": "one"}));
    Mock::given(path("/token")).and(query_param("scope", "registry:catalog:*")).respond_with(token).expect(1).mount(&server).await;
    let list = ResponseTemplate::new(200).set_body_json(serde_json::json!({"repositories": ["workflows/x", "agents/y"]}));
    Mock::given(path("/v2/_catalog")).and(header("Authorization", "Bearer one")).respond_with(list).mount(&server).await;
    let value = format!(r#"Bearer realm="{}/token",service="reg""#, server.uri());
    Mock::given(path("/v2/_catalog"))
        .respond_with(ResponseTemplate::new(401).insert_header("WWW-Authenticate", value))
        .mount(&server)
        .await;
    assert_eq!(with(&server, Credential::Anonymous).repositories("workflows/").await.unwrap(), ["workflows/x"]);
}

#[tokio::test]
async fn redirects_are_followed_without_the_credential_and_not_for_ever() {
    let (server, storage) = (MockServer::start().await, MockServer::start().await);
    let blob = format!("/v2/a/x/blobs/{}", digest::sha256(LAYER));
    let away = ResponseTemplate::new(307).insert_header("Location", format!("{}/there", storage.uri()));
    Mock::given(path(&blob)).and(header("Authorization", "Bearer mine")).respond_with(away).up_to_n_times(1).mount(&server).await;
    Mock::given(path("/there")).respond_with(ResponseTemplate::new(200).set_body_bytes(LAYER)).mount(&storage).await;
    let remote = with(&server, Credential::Token(Secret::new("mine")));
    let artifact = remote.artifact("a/x", &manifest(), Kind::Workflow).await.unwrap();
    assert_eq!(&artifact.content[..], LAYER);
    let there = asked(&storage).await;
    assert!(there.len() == 1 && !there[0].headers.contains_key("authorization"));
    // In a circle.
    Mock::given(path(&blob)).respond_with(ResponseTemplate::new(302).insert_header("Location", blob.as_str())).mount(&server).await;
    let error = remote.artifact("a/x", &manifest(), Kind::Workflow).await.unwrap_err().to_string();
    assert!(error.contains("redirected more than 5 times"), "{error}");
    assert_eq!(asked(&server).await.len(), 1 + 6);
    // To what is not HTTP.
    server.reset().await;
    Mock::given(path(&blob)).respond_with(ResponseTemplate::new(302).insert_header("Location", "file:///etc/passwd")).mount(&server).await;
    assert!(matches!(remote.artifact("a/x", &manifest(), Kind::Workflow).await, Err(Error::Invalid { .. })));
}

#[tokio::test]
async fn what_is_cut_short_is_asked_again_and_never_used() {
    let cut = answer("200 OK", &[("Content-Length", "1000"), ("Content-Type", media::MANIFEST)], b"{\"schemaVersion\":2");
    let whole = answer("200 OK", &[("Content-Type", media::MANIFEST)], manifest_json().as_bytes());
    let server = Scripted::start(vec![cut.clone(), cut.clone(), whole]).await;
    server.remote().manifest("a/x", &tag("v1")).await.unwrap();
    assert_eq!(server.count(), 3);
    let server = Scripted::start(vec![cut]).await;
    let error = server.remote().manifest("a/x", &tag("v1")).await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains(&server.address.to_string()), "{error}");
    assert_eq!(server.count(), 5, "once and four times again");
    // Ended in the midst of a chunk, and a blob that is whole but too short.
    let server = Scripted::start(vec![answer("200 OK", &[("Transfer-Encoding", "chunked")], b"ff\r\nshort")]).await;
    assert!(server.remote().manifest("a/x", &tag("v1")).await.unwrap_err().is_transient());
    let server = Scripted::start(vec![answer("200 OK", &[], b"id:")]).await;
    let error = server.remote().artifact("a/x", &manifest(), Kind::Workflow).await.unwrap_err().to_string();
    assert!(error.contains("promises 6 bytes, 3 came"), "{error}");
}

#[tokio::test]
async fn what_is_too_large_is_not_read() {
    let large = answer("200 OK", &[("Content-Length", "300000000")], b"{");
    let server = Scripted::start(vec![large]).await;
    assert!(matches!(server.remote().manifest("a/x", &tag("v1")).await, Err(Error::TooLarge { .. })));
    assert!(matches!(server.remote().tags("a/x").await, Err(Error::TooLarge { .. })));
    assert!(matches!(server.remote().artifact("a/x", &manifest(), Kind::Workflow).await, Err(Error::TooLarge { .. })));
    // Without a length: cut at the limit.
    let endless: Vec<u8> = std::iter::repeat_n(format!("{:x}\r\n{}\r\n", 65536, " ".repeat(65536)).into_bytes(), 200).flatten().collect();
    let server = Scripted::start(vec![answer("200 OK", &[("Transfer-Encoding", "chunked")], &endless)]).await;
    assert!(matches!(server.remote().manifest("a/x", &tag("v1")).await, Err(Error::TooLarge { .. })));
    assert_eq!(server.count(), 1, "too large stays too large");
    // A blob that is larger than its descriptor says, and a descriptor that is larger than we read.
    let server = Scripted::start(vec![answer("200 OK", &[("Transfer-Encoding", "chunked")], b"7\r\nid: x\n\n\r\n0\r\n\r\n")]).await;
    assert!(matches!(server.remote().artifact("a/x", &manifest(), Kind::Workflow).await, Err(Error::TooLarge { bytes_max: 6, .. })));
    let mut promised = manifest();
    promised.bytes = Bytes::from(manifest_json().replace("\"size\":6", "\"size\":18000000000"));
    assert!(matches!(server.remote().artifact("a/x", &promised, Kind::Workflow).await, Err(Error::TooLarge { bytes_max: 1_048_576, .. })));
    assert_eq!(server.count(), 1, "the second was not even asked for");
}

#[tokio::test]
async fn wrong_bytes_are_refused() {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .respond_with(manifest_answer().insert_header("Docker-Content-Digest", digest::sha256(b"").as_str()))
        .mount(&server)
        .await;
    let remote = remote(&registry(&server));
    let other = At::Digest(digest::sha256(b"other"));
    assert!(matches!(remote.manifest("a/x", &other).await, Err(Error::DigestMismatch { .. })));
    assert!(matches!(remote.manifest("a/x", &tag("v1")).await, Err(Error::DigestMismatch { .. })), "against the registry's own word");
    let sha512 = At::Digest(digest::sha512(manifest_json().as_bytes()));
    assert_eq!(remote.manifest("a/x", &sha512).await.unwrap().bytes, manifest_json());
    let server = Scripted::start(vec![answer("200 OK", &[], b"id: y\n")]).await;
    let error = server.remote().artifact("a/x", &manifest(), Kind::Workflow).await.unwrap_err();
    assert!(matches!(error, Error::DigestMismatch { .. }) && !error.is_transient(), "{error}");
}

fn tags_page(tags: &[&str], link: Option<&str>) -> ResponseTemplate {
    let page = ResponseTemplate::new(200).set_body_json(serde_json::json!({"name": "a/x", "tags": tags}));
    match link {
        Some(link) => page.insert_header("Link", format!("<{link}>; rel=\"next\"")),
        None => page,
    }
}

#[tokio::test]
async fn pages_are_followed_and_circles_left() {
    let server = MockServer::start().await;
    let list = || Mock::given(path("/v2/a/x/tags/list"));
    list().and(query_param("last", "b")).respond_with(tags_page(&["c"], Some("/v2/a/x/tags/list?last=c&n=2"))).mount(&server).await;
    list().and(query_param("last", "c")).respond_with(tags_page(&[], None)).mount(&server).await;
    list().respond_with(tags_page(&["b", "a", "not a tag", "\u{1b}[2J"], Some("list?n=2&last=b"))).mount(&server).await;
    assert_eq!(remote(&registry(&server)).tags("a/x").await.unwrap(), ["a", "b", "c"]);
    server.reset().await;
    list().and(query_param("last", "b")).respond_with(tags_page(&["b"], Some("/v2/a/x/tags/list?last=b"))).mount(&server).await;
    list().respond_with(tags_page(&["a"], Some("/v2/a/x/tags/list?last=b"))).mount(&server).await;
    assert_eq!(remote(&registry(&server)).tags("a/x").await.unwrap(), ["a", "b"]);
    assert_eq!(asked(&server).await.len(), 2);
    // To another host.
    server.reset().await;
    let elsewhere = MockServer::start().await;
    list().respond_with(tags_page(&["a"], Some(&format!("{}/v2/a/x/tags/list", elsewhere.uri())))).mount(&server).await;
    assert_eq!(remote(&registry(&server)).tags("a/x").await.unwrap(), ["a"]);
    assert!(asked(&elsewhere).await.is_empty());
}

#[tokio::test]
async fn pages_without_end_are_read_up_to_ten_thousand_entries() {
    let server = MockServer::start().await;
    Mock::given(path("/v2/a/x/tags/list"))
        .respond_with(|request: &Request| {
            let at: usize = request.url.query_pairs().find(|(key, _)| key == "last").map_or(0, |(_, last)| last.parse().unwrap());
            let tags: Vec<String> = (at..at + 999).map(|tag| format!("t{tag:06}")).collect();
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            tags_page(&tags, Some(&format!("/v2/a/x/tags/list?last={}", at + 999)))
        })
        .mount(&server)
        .await;
    let tags = remote(&registry(&server)).tags("a/x").await.unwrap();
    assert_eq!(tags.len(), 11 * 999, "the page that passes the limit is the last");
}

#[tokio::test]
async fn lists_that_are_null_are_empty() {
    let server = MockServer::start().await;
    let null = |key: &str| ResponseTemplate::new(200).set_body_string(format!(r#"{{"name":"a/x","{key}":null}}"#));
    Mock::given(path("/v2/a/x/tags/list")).respond_with(null("tags")).mount(&server).await;
    Mock::given(path("/v2/_catalog")).respond_with(null("repositories")).mount(&server).await;
    assert!(remote(&registry(&server)).tags("a/x").await.unwrap().is_empty());
    assert!(remote(&registry(&server)).repositories("").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_busy_registry_is_asked_again_when_it_says() {
    let server = MockServer::start().await;
    let busy = |after: &str| ResponseTemplate::new(429).insert_header("Retry-After", after);
    Mock::given(method("GET")).respond_with(busy("0")).up_to_n_times(1).mount(&server).await;
    Mock::given(method("GET")).respond_with(busy("Wed, 21 Oct 2015 07:28:00 GMT")).up_to_n_times(1).mount(&server).await;
    Mock::given(method("GET")).respond_with(manifest_answer()).mount(&server).await;
    remote(&registry(&server)).manifest("a/x", &tag("v1")).await.unwrap();
    assert_eq!(asked(&server).await.len(), 3);
    // Longer than the deadline: no use in waiting, the caller is told how long.
    server.reset().await;
    Mock::given(method("GET")).respond_with(busy("86400")).mount(&server).await;
    let error = remote(&registry(&server)).manifest("a/x", &tag("v1")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(matches!(error, Error::Unavailable { retry_after: Some(after), .. } if after == Duration::from_secs(60)));
    assert_eq!(asked(&server).await.len(), 1);
}

#[tokio::test]
async fn failures_that_may_pass_are_tried_again_and_others_not() {
    for (status, requests, transient) in
        [(502, 5, true), (503, 5, true), (504, 5, true), (500, 1, true), (404, 1, false), (403, 1, false), (400, 1, false)]
    {
        let server = MockServer::start().await;
        Mock::given(method("GET")).respond_with(ResponseTemplate::new(status)).mount(&server).await;
        let error = remote(&registry(&server)).manifest("a/x", &tag("v1")).await.unwrap_err();
        assert_eq!((error.is_transient(), asked(&server).await.len()), (transient, requests), "{status}: {error}");
        let named = format!("{}/a/x:v1", registry(&server));
        assert!(error.to_string().contains(&named), "{error}");
    }
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(503)).up_to_n_times(2).mount(&server).await;
    Mock::given(method("GET")).respond_with(manifest_answer()).mount(&server).await;
    remote(&registry(&server)).manifest("a/x", &tag("v1")).await.unwrap();
}

#[tokio::test]
async fn a_tag_is_not_put_twice_where_the_first_time_may_have_counted() {
    for (status, puts) in [(502, 1), (503, 5)] {
        let server = MockServer::start().await;
        Mock::given(method("HEAD")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
        Mock::given(method("PUT")).respond_with(ResponseTemplate::new(status)).expect(puts).mount(&server).await;
        push(&remote(&registry(&server)), &["v1"]).await.unwrap_err();
        server.verify().await;
        server.reset().await;
        Mock::given(method("HEAD")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
        Mock::given(method("PUT")).respond_with(ResponseTemplate::new(status)).expect(5).mount(&server).await;
        push(&remote(&registry(&server)), &[]).await.unwrap_err();
    }
}

async fn push(remote: &Remote, tags: &[&str]) -> Result<Digest, Error> {
    let tags: Vec<String> = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let pushed = remote.push("a/x", Kind::Workflow, Bytes::from_static(LAYER), BTreeMap::new(), &tags).await;
    pushed.map(|pushed| pushed.digest)
}

#[tokio::test]
async fn pages_for_people_are_no_answers() {
    let server = MockServer::start().await;
    let html = ResponseTemplate::new(200).set_body_raw("<html>Please log in</html>", "text/html; charset=utf-8");
    Mock::given(method("GET")).respond_with(html).mount(&server).await;
    let remote = remote(&registry(&server));
    let mut errors = vec![remote.manifest("a/x", &tag("v1")).await.unwrap_err(), remote.ping().await.unwrap_err()];
    errors.push(remote.tags("a/x").await.unwrap_err());
    errors.push(remote.repositories("").await.unwrap_err());
    for error in errors {
        assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains("web page"), "{error}");
    }
    // And without saying so.
    server.reset().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200).set_body_raw("<html>", "application/json")).mount(&server).await;
    for error in [remote.manifest("a/x", &tag("v1")).await.unwrap_err(), remote.tags("a/x").await.unwrap_err()] {
        assert!(matches!(error, Error::Invalid { .. }), "{error}");
    }
}

#[tokio::test]
async fn nobody_there_and_nobody_answering() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let impatient = RemoteOptions { timeout: Duration::from_millis(200), ..quick() };
    let silent = Remote::new(&address, impatient).unwrap();
    let started = Instant::now();
    let error = silent.tags("a/x").await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("no answer within 200ms"), "{error}");
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(listener);
    let error = remote(&address).resolve("a/x", "v1").await.unwrap_err();
    assert!(error.is_transient() && error.to_string().contains("refused") && error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn a_body_that_trickles_meets_the_deadline() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{").await.unwrap();
        std::future::pending::<()>().await;
    });
    let impatient = RemoteOptions { timeout: Duration::from_millis(200), ..quick() };
    let error = Remote::new(&address, impatient).unwrap().manifest("a/x", &tag("v1")).await.unwrap_err();
    assert!(error.to_string().contains("no answer within"), "{error}");
    server.abort();
}

#[tokio::test]
async fn a_tag_is_resolved_by_its_headers_or_else_by_its_bytes() {
    let server = MockServer::start().await;
    let expected = manifest().digest;
    let head = ResponseTemplate::new(200).insert_header("Docker-Content-Digest", expected.as_str());
    Mock::given(method("HEAD")).respond_with(head).up_to_n_times(1).mount(&server).await;
    Mock::given(method("HEAD")).respond_with(ResponseTemplate::new(200)).up_to_n_times(1).mount(&server).await;
    Mock::given(method("HEAD")).respond_with(ResponseTemplate::new(404)).mount(&server).await;
    Mock::given(method("GET")).respond_with(manifest_answer()).expect(1).mount(&server).await;
    let remote = remote(&registry(&server));
    for _ in 0..2 {
        assert_eq!(remote.resolve("a/x", "v1").await.unwrap(), expected);
    }
    assert!(matches!(remote.resolve("a/x", "v1").await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn an_upload_elsewhere_goes_without_the_credential() {
    let (server, storage) = (MockServer::start().await, MockServer::start().await);
    let begun = |location: Option<String>| {
        let begun = ResponseTemplate::new(202);
        location.map_or(begun.clone(), |location| begun.insert_header("Location", location))
    };
    Mock::given(method("HEAD")).respond_with(ResponseTemplate::new(404)).mount(&server).await;
    Mock::given(method("POST")).respond_with(begun(Some(format!("{}/up?state=1", storage.uri())))).mount(&server).await;
    Mock::given(method("PUT"))
        .and(path("/up"))
        .and(query_param("state", "1"))
        .respond_with(ResponseTemplate::new(201))
        .mount(&storage)
        .await;
    Mock::given(method("PUT")).respond_with(ResponseTemplate::new(201)).mount(&server).await;
    let remote = with(&server, Credential::Token(Secret::new("mine")));
    push(&remote, &["v1", "latest", "v1"]).await.unwrap();
    let stored = asked(&storage).await;
    assert_eq!(stored.len(), 2, "the layer and the config");
    assert!(stored.iter().all(|request| !request.headers.contains_key("authorization")));
    assert!(stored[0].url.query_pairs().any(|(key, value)| key == "digest" && value == digest::sha256(LAYER).as_str()));
    assert!(asked(&server).await.iter().all(|request| request.headers["authorization"] == "Bearer mine"));
    let puts = asked(&server).await.iter().filter(|request| request.method.as_str() == "PUT").count();
    assert_eq!(puts, 2, "each tag once");
    // No Location at all, and one that leads nowhere good.
    for location in [None, Some("file:///tmp/x".to_owned()), Some("http://u:p@localhost/".to_owned())] {
        server.reset().await;
        Mock::given(method("HEAD")).respond_with(ResponseTemplate::new(404)).mount(&server).await;
        Mock::given(method("POST")).respond_with(begun(location)).mount(&server).await;
        assert!(matches!(push(&remote, &["v1"]).await, Err(Error::Invalid { .. })));
    }
}

#[tokio::test]
async fn a_broken_upload_is_begun_again() {
    let server = MockServer::start().await;
    Mock::given(method("HEAD")).respond_with(ResponseTemplate::new(404)).mount(&server).await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(202).insert_header("Location", "/up")).mount(&server).await;
    Mock::given(method("PUT")).and(path("/up")).respond_with(ResponseTemplate::new(502)).up_to_n_times(2).mount(&server).await;
    Mock::given(method("PUT")).respond_with(ResponseTemplate::new(201)).mount(&server).await;
    push(&remote(&registry(&server)), &["v1"]).await.unwrap();
    let posts = asked(&server).await.iter().filter(|request| request.method.as_str() == "POST").count();
    assert_eq!(posts, 4, "three times the layer, once the config");
}

#[tokio::test]
async fn what_the_registry_says_is_passed_on_without_control_characters() {
    let server = MockServer::start().await;
    let body = serde_json::json!({"errors": [{"code": "DENIED", "message": format!("no\u{1b}[31m {}", "x".repeat(5000))}]});
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(400).set_body_json(&body)).mount(&server).await;
    let error = remote(&registry(&server)).tags("a/x").await.unwrap_err().to_string();
    assert!(!error.contains('\u{1b}') && error.len() < 400, "{error}");
    server.reset().await;
    let body = serde_json::json!({"errors": [{"code": "DENIED", "message": "quota exceeded"}]});
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(403).set_body_json(&body)).mount(&server).await;
    let error = remote(&registry(&server)).tags("a/x").await.unwrap_err().to_string();
    assert!(error.contains("HTTP 403 DENIED: quota exceeded"), "{error}");
}

#[tokio::test]
async fn names_are_checked_before_anything_is_sent() {
    let server = Scripted::start(vec![answer("200 OK", &[], b"{}")]).await;
    let remote = server.remote();
    for name in ["../x", "A", "a/x?y=1", "a/x#y", "a/blobs", ""] {
        assert!(matches!(remote.tags(name).await, Err(Error::BadName { .. })), "{name}");
        assert!(matches!(remote.manifest(name, &tag("v1")).await, Err(Error::BadName { .. })), "{name}");
    }
    assert!(matches!(remote.resolve("a", "v1/../x").await, Err(Error::BadName { .. })));
    assert!(matches!(push(&remote, &["1.0+b"]).await, Err(Error::BadName { .. })));
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn private_addresses_in_all_their_spellings_are_not_dialled_when_strangers_name_them() {
    let listener = Scripted::start(vec![answer("200 OK", &[], b"{}")]).await;
    let port = listener.address.port();
    let public = || RemoteOptions { addresses: Addresses::Public { allowed: Vec::new() }, scheme: Scheme::Http, ..quick() };
    let spellings = include_str!("../../fixtures/registry/ssrf-hosts.txt");
    let mut checked = 0;
    for spelling in spellings.lines().filter(|line| !line.is_empty()) {
        assert!(Remote::new(spelling, public()).is_err(), "a URL is no registry: {spelling}");
        let host = spelling.split_once("//").map_or(spelling, |(_, rest)| rest).split('/').next().unwrap();
        let bare = match host.rsplit_once(':') {
            Some((bare, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(']') => bare,
            _ => host,
        };
        checked += 1;
        // Names of the outside world would ask its name servers; what they resolve to is judged as what stands here.
        let local = matches!(bare.to_ascii_lowercase().as_str(), "localhost" | "ip6-localhost" | "ip6-loopback");
        match Remote::new(&format!("{bare}:{port}"), public()) {
            Err(_) => {}
            Ok(remote) if local => assert!(remote.ping().await.is_err(), "{spelling}"),
            Ok(_) => assert!(bare.bytes().any(|b| b.is_ascii_alphabetic()) && !bare.starts_with("0x"), "{spelling} would be dialled"),
        }
    }
    assert_eq!((checked, listener.count()), (83, 0));
    // Also not by a detour: a redirect, a login address, an upload's location.
    let server = MockServer::start().await;
    let allowed = vec![format!("{}/32", server.address().ip()).parse().unwrap()];
    let options = RemoteOptions { addresses: Addresses::Public { allowed }, ..quick() };
    let remote = Remote::new(&registry(&server), options).unwrap();
    for target in [format!("http://127.0.0.2:{port}/"), format!("http://[::1]:{port}/"), format!("http://0x7f000002:{port}/")] {
        server.reset().await;
        Mock::given(method("GET")).respond_with(ResponseTemplate::new(302).insert_header("Location", target.as_str())).mount(&server).await;
        let error = remote.tags("a/x").await.unwrap_err().to_string();
        assert!(error.contains("public internet"), "{error}");
    }
    assert_eq!(listener.count(), 0);
}

#[test]
fn secrets_are_not_shown() {
    let remote = Remote::new("localhost:1", RemoteOptions { credential: password(), ..quick() }).unwrap();
    assert!(!format!("{remote:?} {:?}", Secret::new("hunter2")).contains("hunter2"));
}
