//! HTTPS: a caller that trusts the certificate is served, everyone else is turned away, and faults of the files are named.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gantry::agent;
use gantry::discovery::{self, Discovery};
use gantry::engine::embedded::{self, Embedded};
use gantry::journal::Memory;
use gantry::registry::Layout;
use gantry::server::{Options, Server, TlsOptions};
use reqwest::Certificate;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::world::{PATIENCE, World, message};

/// Writes a certificate for the loopback and its key, and gives the certificate's text.
fn certify(dir: &Path) -> (TlsOptions, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let options = TlsOptions { certificate: dir.join("certificate.pem"), key: dir.join("key.pem") };
    std::fs::write(&options.certificate, made.cert.pem()).unwrap();
    std::fs::write(&options.key, made.signing_key.serialize_pem()).unwrap();
    (options, made.cert.pem())
}

#[tokio::test]
async fn who_trusts_the_certificate_is_served_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let (tls, certificate) = certify(dir.path());
    let mut world = World::with(|options| {
        options.tls = Some(tls);
        options.limits.header_timeout = Duration::from_millis(500);
    })
    .await;
    let address = world.url.trim_start_matches("http://").to_owned();
    let (plain, strange) = (world.url.clone(), world.http.clone());
    world.url = format!("https://{address}");
    let trusted = Certificate::from_pem(certificate.as_bytes()).unwrap();
    world.http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).tls_certs_only([trusted]).build().unwrap();

    let served = async |world: &World, time: &str| {
        let card: Value = world.http.get(format!("{}/.well-known/agent-card.json", world.url)).send().await.unwrap().json().await.unwrap();
        let url = card["supportedInterfaces"][0]["url"].as_str().unwrap().to_owned();
        assert!(url.starts_with("https://localhost:"), "{url}");
        assert_eq!(world.say(&format!("done-{time}")).await["task"]["status"]["state"], "TASK_STATE_COMPLETED");
        let events = world.stream("SendStreamingMessage", json!({ "message": message(&format!("chunks-{time}")) })).await.rest().await;
        assert_eq!(events.len(), 5);
    };
    served(&world, "first").await;

    let error = strange.get(format!("{}/healthz", world.url)).send().await.expect_err("the certificate is not trusted");
    assert!(error.is_connect(), "{error:?}");
    let error = strange.get(format!("{plain}/healthz")).send().await.expect_err("this port speaks TLS only");
    assert!(!error.is_timeout(), "{error:?}");
    for (what, said) in [("plain HTTP", &b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"[..]), ("noise", &[0xff; 64]), ("nothing", &[])] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut read = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut read)).await.unwrap_or_else(|_| panic!("{what} is not cut")).ok();
        assert!(!String::from_utf8_lossy(&read).contains("HTTP/"), "{what} is not answered");
    }
    served(&world, "after").await;
    assert_eq!(world.shutdown().await, 0);
}

#[tokio::test]
async fn faults_of_the_files_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (good, _) = certify(dir.path());
    let other = tempfile::tempdir().unwrap();
    let (stranger, _) = certify(other.path());
    let (missing, empty) = (dir.path().join("missing.pem"), dir.path().join("empty.pem"));
    std::fs::write(&empty, "").unwrap();
    let pair = |certificate: &Path, key: &Path| TlsOptions { certificate: certificate.to_owned(), key: key.to_owned() };
    for (tls, named) in [
        (pair(&missing, &good.key), &missing),
        (pair(&good.certificate, &missing), &missing),
        (pair(&empty, &good.key), &empty),
        (pair(&good.certificate, &empty), &empty),
        (pair(&good.certificate, &good.certificate), &good.certificate),
        (pair(&good.certificate, &stranger.key), &good.certificate),
    ] {
        let options = Options { bind: "127.0.0.1:0".parse().unwrap(), tls: Some(tls.clone()), ..Options::default() };
        let discovery = Arc::new(Discovery::new(Arc::new(Layout::ephemeral().unwrap()), discovery::Options::default()));
        let agents = agent::Client::new(agent::Options::default());
        let engine = Embedded::new(embedded::Options::default(), Arc::clone(&discovery), agents, Arc::new(Memory::default()));
        let Err(error) = Server::bind(options, Arc::new(engine), discovery).await else { panic!("{tls:?} was accepted") };
        let error = error.to_string();
        assert!(error.contains(&named.display().to_string()), "{tls:?}: {error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    }
}
