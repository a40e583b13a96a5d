//! Clients and servers that others wrote. A test whose tool is missing says so and proves nothing.
//!
//! `scripts/test.sh` installs them: skopeo, docker-registry and htpasswd from Debian, `oras` from PyPI into the
//! environment whose interpreter `GANTRY_TEST_PYTHON` names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use bytes::Bytes;
use gantry::registry::{At, Credential, Error, Kind, Layout, Remote, RemoteOptions, Secret, Store, digest};
use tokio::process::{Child, Command};

use super::server::{Served, quick, remote};

const YAML: &str = "metadata:\n  id: plan-v1\n";

fn tool(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file());
    if found.is_none() {
        skip(name);
    }
    found
}

fn python() -> Option<PathBuf> {
    let named = std::env::var_os("GANTRY_TEST_PYTHON").map(PathBuf::from).filter(|path| path.is_file());
    if named.is_none() {
        skip("python with the package oras (GANTRY_TEST_PYTHON)");
    }
    named
}

#[expect(clippy::print_stderr, reason = "the reader of a test run must see what was not tested")]
fn skip(what: &str) {
    eprintln!("skipped: {what} is not installed here; scripts/test.sh installs it");
}

async fn run(command: &mut Command) -> Output {
    let output = tokio::time::timeout(Duration::from_secs(60), command.kill_on_drop(true).output()).await.expect("the tool hangs").unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}\n{out}\n{err}", command.as_std());
    output
}

#[tokio::test]
async fn python_oras_pushes_and_pulls() {
    let Some(python) = python() else { return };
    let served = Served::start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("workflow.yaml"), YAML).unwrap();
    let script = r#"
import sys, oras.client
client = oras.client.OrasClient(hostname=sys.argv[1], insecure=True)
target = sys.argv[1] + "/workflows/plan:v1"
client.push(target=target, files=["workflow.yaml:application/yaml"], manifest_annotations={"dev.gantry.id": "plan-v1"})
client.push(target=sys.argv[1] + "/workflows/plan:v2", files=["workflow.yaml"])
print(client.pull(target=target, outdir="back"))
print(client.get_tags(sys.argv[1] + "/workflows/plan"))
"#;
    let host = format!("localhost:{}", served.address.port());
    let output = run(Command::new(python).args(["-c", script, &host]).current_dir(folder.path())).await;
    assert!(String::from_utf8_lossy(&output.stdout).contains("['v1', 'v2']"), "{output:?}");
    assert_eq!(std::fs::read_to_string(folder.path().join("back/workflow.yaml")).unwrap(), YAML);
    for tag in ["v1", "v2"] {
        let manifest = served.layout.manifest("workflows/plan", &At::Tag(tag.to_owned())).await.unwrap();
        let artifact = served.layout.artifact("workflows/plan", &manifest, Kind::Workflow).await.unwrap();
        assert_eq!(artifact.content, YAML);
        if tag == "v1" {
            assert_eq!(artifact.annotations["dev.gantry.id"], "plan-v1");
        }
    }
}

#[tokio::test]
async fn skopeo_inspects_copies_and_deletes() {
    let Some(skopeo) = tool("skopeo") else { return };
    let served = Served::start().await;
    let content = Bytes::from_static(YAML.as_bytes());
    let pushed = served.layout.push("workflows/plan", Kind::Workflow, content, BTreeMap::new(), &["v1".to_owned()]).await.unwrap();
    let stored = served.layout.manifest("workflows/plan", &At::Tag("v1".to_owned())).await.unwrap();
    let host = format!("docker://localhost:{}", served.address.port());
    let raw = run(Command::new(&skopeo).args(["inspect", "--raw", "--tls-verify=false", &format!("{host}/workflows/plan:v1")])).await;
    assert_eq!(raw.stdout, stored.bytes, "byte for byte");
    let tags = run(Command::new(&skopeo).args(["list-tags", "--tls-verify=false", &format!("{host}/workflows/plan")])).await;
    assert!(String::from_utf8_lossy(&tags.stdout).contains("\"v1\""));
    // An image with layers of megabytes, into the registry and from one repository to another. skopeo's own policy file
    // may be missing on a machine that only tests with it.
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image");
    write_image(&image);
    let copy = |from: String, to: String| {
        let mut command = Command::new(&skopeo);
        command.args(["--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", &from, &to]);
        command
    };
    run(&mut copy(format!("oci:{}:v1", image.display()), format!("{host}/library/image:v1"))).await;
    run(&mut copy(format!("{host}/library/image:v1"), format!("{host}/library/copy:v2"))).await;
    assert_eq!(served.layout.resolve("library/copy", "v2").await.unwrap(), served.layout.resolve("library/image", "v1").await.unwrap());
    run(Command::new(&skopeo).args(["delete", "--tls-verify=false", &format!("{host}/library/copy:v2")])).await;
    assert!(matches!(served.layout.resolve("library/copy", "v2").await, Err(Error::NotFound(_))));
    // The directory itself is an image layout.
    let layout = format!("oci:{}:v1", served.layout.root().join("workflows/plan").display());
    let raw = run(Command::new(&skopeo).args(["inspect", "--raw", &layout])).await;
    assert_eq!(digest::sha256(&raw.stdout), pushed.digest);
}

/// A small image whose one layer has 3 MB.
fn write_image(folder: &Path) {
    let blobs = folder.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8]| {
        let digest = digest::sha256(bytes);
        std::fs::write(blobs.join(digest.hex()), bytes).unwrap();
        serde_json::json!({"digest": digest, "size": bytes.len()})
    };
    let with = |mut descriptor: serde_json::Value, media_type: &str| {
        descriptor["mediaType"] = media_type.into();
        descriptor
    };
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let layer = with(put(&bytes), "application/vnd.oci.image.layer.v1.tar");
    let config = serde_json::json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]}});
    let config = with(put(config.to_string().as_bytes()), "application/vnd.oci.image.config.v1+json");
    let manifest = serde_json::json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": [layer]});
    let mut manifest = with(put(manifest.to_string().as_bytes()), "application/vnd.oci.image.manifest.v1+json");
    manifest["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": "v1"});
    let index = serde_json::json!({"schemaVersion": 2, "manifests": [manifest]});
    std::fs::write(folder.join("index.json"), index.to_string()).unwrap();
    std::fs::write(folder.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
}

#[tokio::test]
async fn a_layout_that_skopeo_wrote_is_served() {
    let Some(skopeo) = tool("skopeo") else { return };
    let root = tempfile::tempdir().unwrap();
    let image = root.path().join("elsewhere");
    write_image(&image);
    let target = format!("oci:{}:copied", root.path().join("registry/library/image").display());
    std::fs::create_dir_all(root.path().join("registry/library")).unwrap();
    run(Command::new(&skopeo).args(["--insecure-policy", "copy", &format!("oci:{}:v1", image.display()), &target])).await;
    let layout = Layout::open(root.path().join("registry")).unwrap();
    assert_eq!(layout.repositories("").await.unwrap(), ["library/image"]);
    assert_eq!(layout.tags("library/image").await.unwrap(), ["copied"]);
    layout.manifest("library/image", &At::Tag("copied".to_owned())).await.unwrap();
}

/// Another registry, until it is dropped.
struct Other {
    _child: Child,
    host: String,
    _folder: tempfile::TempDir,
}

async fn docker_registry(program: &Path, auth: &str) -> Other {
    let folder = tempfile::tempdir().unwrap();
    // The program cannot be told to choose a port: one that was free a moment ago is as near as one gets.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = free.local_addr().unwrap().to_string();
    drop(free);
    let data = folder.path().join("data");
    let auth = auth.replace("FOLDER", &folder.path().display().to_string());
    let config = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {host}\n{auth}",
        data.display()
    );
    std::fs::write(folder.path().join("config.yml"), config).unwrap();
    if !auth.is_empty() {
        let lines = run(Command::new("htpasswd").args(["-Bbn", "ann", "hunter2"])).await.stdout;
        std::fs::write(folder.path().join("htpasswd"), lines).unwrap();
    }
    let mut command = Command::new(program);
    command.arg("serve").arg(folder.path().join("config.yml")).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let child = command.spawn().unwrap();
    let ready = remote(&host);
    let up = async {
        while ready.ping().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), up).await.expect("docker-registry does not start");
    Other { _child: child, host, _folder: folder }
}

#[tokio::test]
async fn docker_registry_takes_and_gives_what_we_push() {
    let Some(program) = tool("docker-registry") else { return };
    let other = docker_registry(&program, "").await;
    let remote = remote(&other.host);
    assert!(remote.repositories("").await.unwrap().is_empty());
    assert!(matches!(remote.tags("workflows/plan").await, Err(Error::NotFound(_))));
    let content = Bytes::from_static(YAML.as_bytes());
    let annotations = BTreeMap::from([("dev.gantry.id".to_owned(), "plan <&> v1".to_owned())]);
    let tags = ["1.0.0".to_owned(), "latest".to_owned()];
    let pushed = remote.push("workflows/plan", Kind::Workflow, content.clone(), annotations.clone(), &tags).await.unwrap();
    assert_eq!(remote.push("workflows/plan", Kind::Workflow, content.clone(), annotations.clone(), &tags).await.unwrap(), pushed);
    assert_eq!(remote.tags("workflows/plan").await.unwrap(), tags);
    assert_eq!(remote.repositories("workflows/").await.unwrap(), ["workflows/plan"]);
    assert_eq!(remote.resolve("workflows/plan", "latest").await.unwrap(), pushed.digest);
    let manifest = remote.manifest("workflows/plan", &At::Digest(pushed.digest.clone())).await.unwrap();
    let artifact = remote.artifact("workflows/plan", &manifest, Kind::Workflow).await.unwrap();
    assert_eq!((artifact.content, artifact.annotations), (content, annotations));
    let untagged = remote.push("agents/plan", Kind::AgentCard, Bytes::from_static(b"{}"), BTreeMap::new(), &[]).await.unwrap();
    remote.manifest("agents/plan", &At::Digest(untagged.digest)).await.unwrap();
}

#[tokio::test]
async fn docker_registry_with_a_password() {
    let (Some(program), Some(_)) = (tool("docker-registry"), tool("htpasswd")) else { return };
    let auth = "auth:\n  htpasswd:\n    realm: test\n    path: FOLDER/htpasswd\n";
    let other = docker_registry(&program, auth).await;
    let with = |password: &str| {
        let credential = Credential::Password { user: "ann".to_owned(), password: Secret::new(password) };
        Remote::new(&other.host, RemoteOptions { credential, ..quick() }).unwrap()
    };
    let push = |remote: Remote| async move {
        let content = Bytes::from_static(YAML.as_bytes());
        remote.push("workflows/plan", Kind::Workflow, content, BTreeMap::new(), &["v1".to_owned()]).await
    };
    for denied in [remote(&other.host), with("wrong")] {
        let error = push(denied).await.unwrap_err();
        assert!(matches!(error, Error::Unauthorized { .. }) && !error.to_string().contains("wrong"), "{error}");
    }
    let pushed = push(with("hunter2")).await.unwrap();
    assert_eq!(with("hunter2").resolve("workflows/plan", "v1").await.unwrap(), pushed.digest);
    assert_eq!(with("hunter2").repositories("").await.unwrap(), ["workflows/plan"]);
}
