//! References to workflows: every form, every choice, what is refused, what a list costs.

use std::sync::Arc;
use std::time::Duration;

use gantry::discovery::{Discovery, Error, Options};
use gantry::registry::{Kind, Store};

use super::world::{Count, NEVER_STALE, Spy, oras_push, workflow};

const YAML: &str = "application/yaml";

#[tokio::test]
async fn every_form_of_reference_finds_its_workflow() {
    let root = tempfile::tempdir().unwrap();
    let generation = |n: u32| workflow(&format!("code-generation-v{n}"), "1.0.0", "create_plan");
    let pushed = oras_push(root.path(), "workflows/code-generation", "v1", "workflows/code-generation.yaml", YAML, &generation(1));
    let newer = oras_push(root.path(), "workflows/code-generation", "v2", "code-generation.yaml", YAML, &generation(2));
    let spy = Spy::over(root.path());
    for version in ["1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1"] {
        spy.put("workflows/flow", Kind::Workflow, &workflow("flow", version, "x"), &[version]).await;
    }
    spy.put("workflows/flow", Kind::Workflow, &workflow("flow", "1.9.1", "x"), &["stable", "latest"]).await;
    spy.put("workflows/team/deep", Kind::Workflow, &workflow("deep", "1.0.0+build.7", "x"), &["1.0.0_build.7"]).await;
    spy.put("elsewhere/flow", Kind::Workflow, &workflow("elsewhere", "0.1.0", "x"), &["main"]).await;
    let discovery = spy.discovery(NEVER_STALE);
    let of_id = |choice: &str, id: &str| format!("{choice}, with the id `{id}` in `workflows/code-generation`");

    let cases = [
        // The prototype's file stem and its id.
        ("code-generation:v1".to_owned(), "code-generation-v1", "v1", "tag `v1` as asked".to_owned()),
        ("code-generation".to_owned(), "code-generation-v2", "v2", "highest of 2 versions".to_owned()),
        ("code-generation-v1".to_owned(), "code-generation-v1", "v1", of_id("only tag", "code-generation-v1")),
        ("code-generation-v2".to_owned(), "code-generation-v2", "v2", of_id("only tag", "code-generation-v2")),
        ("code-generation-v1:v1".to_owned(), "code-generation-v1", "v1", of_id("tag `v1` as asked", "code-generation-v1")),
        (
            "code-generation-v1:1.0.0".to_owned(),
            "code-generation-v1",
            "v1",
            of_id("tag `v1`, whose content is version 1.0.0", "code-generation-v1"),
        ),
        (format!("code-generation@{pushed}"), "code-generation-v1", "", "digest as asked".to_owned()),
        (format!("code-generation:v1@{newer}"), "code-generation-v2", "", "digest as asked".to_owned()),
        (format!("code-generation-v1@{pushed}"), "code-generation-v1", "", of_id("digest as asked", "code-generation-v1")),
        // Versions.
        ("flow".to_owned(), "flow", "1.10.0", "highest of 3 versions".to_owned()),
        ("flow:1.9.0".to_owned(), "flow", "1.9.0", "tag `1.9.0` as asked".to_owned()),
        ("flow:2.0.0-rc.1".to_owned(), "flow", "2.0.0-rc.1", "tag `2.0.0-rc.1` as asked".to_owned()),
        ("flow:stable".to_owned(), "flow", "stable", "tag `stable` as asked".to_owned()),
        ("flow:1.9.1".to_owned(), "flow", "latest", "tag `latest`, whose content is version 1.9.1".to_owned()),
        ("flow:v1.9.1".to_owned(), "flow", "latest", "tag `latest`, whose content is version 1.9.1".to_owned()),
        ("team/deep".to_owned(), "deep", "1.0.0_build.7", "only tag".to_owned()),
        // Whole names.
        ("workflows/flow:1.0.0".to_owned(), "flow", "1.0.0", "tag `1.0.0` as asked".to_owned()),
        ("localhost:5000/workflows/flow:1.0.0".to_owned(), "flow", "1.0.0", "tag `1.0.0` as asked".to_owned()),
        ("127.0.0.1:5000/flow:1.0.0".to_owned(), "flow", "1.0.0", "tag `1.0.0` as asked".to_owned()),
        ("localhost:5000/elsewhere/flow:main".to_owned(), "elsewhere", "main", "tag `main` as asked".to_owned()),
        ("elsewhere/flow".to_owned(), "elsewhere", "main", "only tag".to_owned()),
    ];
    for (reference, id, tag, choice) in cases {
        let found = discovery.workflow(&reference).await.unwrap_or_else(|error| panic!("{reference}: {error}"));
        assert_eq!(found.plan.workflow().metadata.id.as_str(), id, "{reference}");
        assert_eq!(found.tag.as_deref().unwrap_or_default(), tag, "{reference}");
        assert_eq!(found.choice, choice, "{reference}");
    }
    assert_eq!(*discovery.workflow("code-generation:v1").await.unwrap().plan.digest(), pushed);
}

#[tokio::test]
async fn what_is_not_there_is_said_with_what_is() {
    let spy = Spy::embedded();
    spy.put("workflows/flow", Kind::Workflow, &workflow("flow", "1.0.0", "x"), &["1.0.0", "main"]).await;
    let other = spy.put("workflows/other", Kind::Workflow, &workflow("other-v1", "1.0.0", "x"), &["v1"]).await;
    let discovery = spy.discovery(NEVER_STALE);
    let cases = [
        ("flwo".to_owned(), "no workflow `flwo` in http://localhost:5000: did you mean `flow`? there are `flow`, `other-v1`"),
        ("zebra".to_owned(), "no workflow `zebra` in http://localhost:5000: there are `flow`, `other-v1`"),
        ("flow:3.0.0".to_owned(), "no workflow `flow:3.0.0` in http://localhost:5000: the tags of `workflows/flow` are `1.0.0`, `main`"),
        (
            "flow:nightly".to_owned(),
            "no workflow `flow:nightly` in http://localhost:5000: the tags of `workflows/flow` are `1.0.0`, `main`",
        ),
        // A digest of another repository is not in this one.
        (format!("flow@{other}"), "the tags of `workflows/flow` are"),
        ("other-v1:v2".to_owned(), "no workflow `other-v1:v2`"),
        ("evil.example/workflows/flow:1.0.0".to_owned(), "the registry `evil.example` is another one"),
    ];
    for (reference, expected) in cases {
        let error = discovery.workflow(&reference).await.unwrap_err();
        assert!(matches!(error, Error::NoWorkflow { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "`{error}` has no `{expected}`");
        assert!(error.to_string().len() < 1_000, "too long to read: {error}");
        assert!(error.hint().is_some());
        assert!(!error.is_transient());
    }
    let no_references = [
        (String::new(), "a reference cannot be empty: write "),
        ("a b".to_owned(), "`a b` is not a valid repository name: "),
        ("../../etc/passwd".to_owned(), "`..` is not a valid registry: "),
        ("flow:a%b".to_owned(), "`a%b` is not a valid tag: "),
        ("x".repeat(100_000), " is longer than "),
    ];
    spy.count();
    for (reference, expected) in no_references {
        let error = discovery.workflow(&reference).await.unwrap_err();
        assert!(matches!(error, Error::BadName(_)), "{error:?}");
        assert!(error.to_string().contains(expected), "`{error}` has no `{expected}`");
        assert!(error.to_string().len() < 1_000, "too long to read: {error}");
        assert!(!error.is_transient());
    }
    assert_eq!(spy.count(), Count::default(), "nobody is asked for what nothing can be called");
    let empty = Spy::embedded().discovery(NEVER_STALE).workflow("flow").await.unwrap_err();
    assert_eq!(empty.to_string(), "no workflow `flow` in http://localhost:5000: it has no workflows");
}

#[tokio::test]
async fn other_registries_are_opened_only_when_allowed() {
    let (home, away) = (Spy::embedded(), Spy::embedded());
    away.put("workflows/flow", Kind::Workflow, &workflow("flow", "1.0.0", "x"), &["v1"]).await;
    let opened = Arc::clone(&away);
    let options = Options {
        hosts: vec!["registry.local".to_owned()],
        open: Some(Arc::new(move |host| {
            assert_eq!(host, "away.example:443");
            let store: Arc<dyn Store> = opened.clone();
            Ok(store)
        })),
        ..Options::default()
    };
    let discovery = Discovery::new(home.clone(), options);
    let found = discovery.workflow("away.example:443/workflows/flow").await.unwrap();
    assert_eq!((found.repository.as_str(), found.tag.as_deref()), ("workflows/flow", Some("v1")));
    assert_eq!(home.count(), Count::default());
    away.count();
    // Remembered as the home's are: nothing is asked again.
    discovery.workflow("away.example:443/workflows/flow").await.unwrap();
    assert_eq!(away.count(), Count::default());
    assert!(discovery.workflow("registry.local/workflows/flow").await.is_err());
    assert_ne!(home.count(), Count::default());
}

#[tokio::test]
async fn a_list_reads_manifests_only() {
    let spy = Spy::remote();
    let discovery = spy.discovery(Duration::ZERO);
    for id in ["beta", "alpha"] {
        for version in ["1.0.0", "1.1.0"] {
            discovery.push_workflow("file.yaml", workflow(id, version, "do_it").into(), None, &[]).await.unwrap();
        }
    }
    spy.count();
    let list = discovery.workflows().await.unwrap();
    assert_eq!(spy.count(), Count { repositories: 1, tags: 2, manifest: 2, resolve: 0, artifact: 0 });
    assert_eq!(list.iter().map(|line| line.id.as_str()).collect::<Vec<_>>(), ["alpha", "beta"]);
    let line = &list[0];
    assert_eq!((line.name.as_str(), line.version.as_str(), line.tag.as_str()), ("The alpha", "1.1.0", "1.1.0"));
    assert_eq!((line.description.as_str(), line.repository.as_str()), ("Does it", "workflows/alpha"));
    assert_eq!(line.versions, ["1.1.0", "1.0.0", "latest"]);
    assert_eq!(
        (&line.tags[..], &line.examples[..], &line.skills[..]),
        (&["one".into(), "two".into()][..], &["Do it".into()][..], &["do_it".into()][..])
    );
    assert_eq!(*discovery.workflow("alpha").await.unwrap().plan.digest(), line.digest);
    spy.count();
    // Once more, with names that are stale at once: names are asked for, content never again.
    assert_eq!(discovery.workflows().await.unwrap(), list);
    assert_eq!(spy.count(), Count { repositories: 1, tags: 2, resolve: 2, manifest: 0, artifact: 0 });
}

#[tokio::test]
async fn a_bare_push_is_read_once() {
    let root = tempfile::tempdir().unwrap();
    oras_push(root.path(), "workflows/bare", "v1", "bare.yaml", YAML, &workflow("bare-v1", "1.2.3", "do_it"));
    oras_push(
        root.path(),
        "workflows/typeless",
        "v1",
        "typeless.yaml",
        "application/vnd.oci.image.layer.v1.tar",
        &workflow("typeless", "0.1.0", "x"),
    );
    oras_push(root.path(), "workflows/broken", "v1", "broken.yaml", YAML, "steps: 7");
    oras_push(root.path(), "workflows/binary", "v1", "x.bin", "application/octet-stream", "\u{0}");
    let spy = Spy::over(root.path());
    let discovery = spy.discovery(Duration::ZERO);
    let list = discovery.workflows().await.unwrap();
    let ids: Vec<_> = list.iter().map(|line| (line.id.as_str(), line.version.as_str(), line.skills.len())).collect();
    assert_eq!(ids, [("bare-v1", "1.2.3", 1), ("typeless", "0.1.0", 1)], "what cannot be used is left out");
    spy.count();
    assert_eq!(discovery.workflows().await.unwrap(), list);
    assert_eq!(discovery.workflow("bare-v1").await.unwrap().repository, "workflows/bare");
    let count = spy.count();
    // Only the one that has no layer that fits is tried again: its manifest says so without a transfer.
    assert_eq!(count.manifest, 0, "{count:?}");
    let error = discovery.workflow("broken").await.unwrap_err();
    let Error::Invalid { text, diagnostics, .. } = &error else { panic!("{error:?}") };
    assert_eq!(&**text, "steps: 7");
    assert!(diagnostics.len() > 1 && error.to_string().contains("in line 1"), "{error}");
}

#[tokio::test]
async fn claims_that_contradict_the_content_are_refused() {
    let spy = Spy::embedded();
    let good = [("dev.gantry.id", "flow"), ("org.opencontainers.image.version", "1.0.0"), ("dev.gantry.skills", r#"["do_it"]"#)];
    let cases = [
        ("agrees", good, ""),
        ("id", [("dev.gantry.id", "wolf"), good[1], good[2]], "the annotation `dev.gantry.id` says `wolf`, the content's id `flow`"),
        ("version", [good[0], ("org.opencontainers.image.version", "9.0.0"), good[2]], "says `9.0.0`, the content's version `1.0.0`"),
        ("skills", [good[0], good[1], ("dev.gantry.skills", r#"["other"]"#)], r#"says `["other"]`, the content's skills `["do_it"]`"#),
        // A claim that cannot be read is none.
        ("garbage", [good[0], good[1], ("dev.gantry.skills", "not json")], ""),
    ];
    let discovery = spy.discovery(NEVER_STALE);
    for (name, claims, expected) in cases {
        spy.put_claiming(&format!("workflows/{name}"), Kind::Workflow, &workflow("flow", "1.0.0", "do_it"), &["v1"], &claims).await;
        match discovery.workflow(name).await {
            Ok(_) => assert_eq!(expected, "", "{name} was believed"),
            Err(error) => {
                assert!(matches!(error, Error::Contradiction(_)), "{error:?}");
                assert!(!expected.is_empty() && error.to_string().contains(expected), "{name}: {error}");
                assert!(error.to_string().contains(&format!("workflows/{name}@sha256:")), "{error}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_tag_that_moves_is_seen_when_it_is_stale_and_never_by_digest() {
    let spy = Spy::remote();
    let first = spy.put("workflows/flow", Kind::Workflow, &workflow("flow", "1.0.0", "a"), &["v1"]).await;
    let discovery = spy.discovery(Duration::from_secs(5));
    let digest = async |reference: &str| discovery.workflow(reference).await.unwrap().plan.digest().clone();
    assert_eq!(digest("flow:v1").await, first);
    let second = spy.put("workflows/flow", Kind::Workflow, &workflow("flow", "1.0.0", "b"), &["v1"]).await;
    assert_eq!(digest("flow:v1").await, first, "still trusted");
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(digest("flow:v1").await, second);
    assert_eq!(digest(&format!("flow@{first}")).await, first, "what is pinned stays");
}

#[tokio::test]
async fn a_store_that_counts_its_changes_needs_no_time_to_live() {
    let spy = Spy::embedded();
    let first = spy.put("workflows/flow", Kind::Workflow, &workflow("flow", "1.0.0", "a"), &["v1"]).await;
    let discovery = spy.discovery(Duration::ZERO);
    assert_eq!(*discovery.workflow("flow").await.unwrap().plan.digest(), first);
    spy.count();
    for _ in 0..10 {
        discovery.workflow("flow").await.unwrap();
    }
    assert_eq!(spy.count(), Count::default(), "nothing changed, nothing is asked");
    let second = spy.put("workflows/flow", Kind::Workflow, &workflow("flow", "1.1.0", "b"), &["v1.1"]).await;
    let found = discovery.workflow("flow").await.unwrap();
    assert_eq!((found.plan.digest(), found.choice.as_str()), (&second, "highest of 2 versions"));
}

#[tokio::test]
async fn a_plan_from_text_is_pinned_by_its_text() {
    let discovery = Spy::embedded().discovery(NEVER_STALE);
    let text = workflow("flow", "1.0.0", "a");
    let plan = discovery.plan_from_text("flow.yaml", text.as_bytes()).unwrap();
    assert_eq!(*plan.digest(), gantry::registry::digest::sha256(text.as_bytes()));
    let cases: [(&[u8], &str); 4] = [
        (b"steps: 7", "workflow `flow.yaml` has "),
        (b"\xff\xfe", "workflow `flow.yaml` has a problem in line 1: byte 0 is not UTF-8 text"),
        (b"", "workflow `flow.yaml` has "),
        (&[b'a'; gantry::limits::WORKFLOW_BYTES_MAX + 1], "more than the 262144 allowed"),
    ];
    for (text, expected) in cases {
        let error = discovery.plan_from_text("flow.yaml", text).unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }) && error.to_string().contains(expected), "{error}");
    }
}
