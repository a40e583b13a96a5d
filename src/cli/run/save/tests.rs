use std::sync::Arc;

use serde_json::json;

use super::super::report::WorkflowReport;
use super::*;

fn step(id: &str, outputs: Value) -> StepReport {
    StepReport {
        id: id.to_owned(),
        path: format!("/0:{id}"),
        kind: "sequential",
        skill: Some("s".to_owned()),
        status: StepStatus::Completed,
        outputs: Arc::new(outputs),
        error: None,
        attempts: 1,
        agent: None,
        started_at: None,
        finished_at: None,
        duration_ms: Some(1),
        is_repeated: false,
    }
}

fn report(steps: Vec<StepReport>) -> Report {
    Report {
        run_id: "r".to_owned(),
        status: RunStatus::Completed,
        workflow: WorkflowReport {
            id: "w".to_owned(),
            name: "W".to_owned(),
            version: "1.0.0".to_owned(),
            digest: "sha256:0".to_owned(),
            reference: "w.yaml".to_owned(),
            choice: "the file as given".to_owned(),
        },
        input: Arc::new(json!({"a": 1})),
        output: Some(Arc::new(json!("done"))),
        error: None,
        steps,
        has_more_steps: false,
        started_at: Timestamp::default(),
        finished_at: None,
        duration_ms: None,
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_becomes_files() {
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("app");
    let steps = vec![
        step("plan", json!({"result": "a plan"})),
        step("build", json!({"result": {"code": "x = 1", "filename": "../x.py"}})),
        step("test", json!({"score": 1, "issues": []})),
    ];
    let saved = save(&report(steps), &app).unwrap();
    assert_eq!(saved.files, ["metadata.json", "1-plan.md", "2-build.json", "x.py", "3-test.json", "output.md"]);
    assert_eq!(names(dir.path()), ["app"], "nothing outside");
    assert_eq!(names(&app), ["1-plan.md", "2-build.json", "3-test.json", "metadata.json", "output.md", "x.py"]);
    assert_eq!(std::fs::read_to_string(app.join("x.py")).unwrap(), "x = 1\n");
    let metadata: Value = serde_json::from_slice(&std::fs::read(app.join(METADATA)).unwrap()).unwrap();
    assert_eq!(metadata["workflow_id"], "w");
    assert_eq!(metadata["steps"][1]["file"], "2-build.json");
    assert_eq!(metadata["steps"][1]["code_file"], "x.py");
    assert_eq!(metadata["input"], json!({"a": 1}));
}

#[test]
fn the_next_run_replaces_ours_and_leaves_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("x.py"), "mine").unwrap();
    let code = |id| step(id, json!({"code": "y", "filename": "x.py"}));
    save(&report(vec![code("a"), code("b")]), dir.path()).unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("x.py")).unwrap(), "mine");
    assert_eq!(names(dir.path()), ["1-a.json", "2-b.json", "metadata.json", "output.md", "x-2.py", "x-3.py", "x.py"]);
    save(&report(vec![step("only", json!({"k": [1], "l": 2}))]), dir.path()).unwrap();
    assert_eq!(names(dir.path()), ["1-only.json", "metadata.json", "output.md", "x.py"]);
}

#[test]
fn what_somebody_has_changed_stays_when_the_next_run_has_other_files() {
    let dir = tempfile::tempdir().unwrap();
    save(&report(vec![step("a", json!({"code": "y", "filename": "x.py"})), step("b", json!("text"))]), dir.path()).unwrap();
    let changed = std::fs::File::options().append(true).open(dir.path().join("x.py")).unwrap();
    changed.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(5)).unwrap();
    let saved = save(&report(vec![step("only", json!("text"))]), dir.path()).unwrap();
    assert_eq!(saved.kept, ["x.py"]);
    assert_eq!(names(dir.path()), ["1-only.md", "metadata.json", "output.md", "x.py"]);
    let again = save(&report(vec![step("last", json!("text"))]), dir.path()).unwrap();
    assert!(again.kept.is_empty(), "it is nobody's any more");
    assert_eq!(names(dir.path()), ["1-last.md", "metadata.json", "output.md", "x.py"]);
}

/// Each step in the author's order has one number, however many of its times are told, and those of maps and loops have no file.
#[test]
fn steps_that_repeat_have_one_number_and_no_file() {
    let repeated = |id| StepReport { is_repeated: true, ..step(id, json!("again")) };
    let group = |id| StepReport { skill: None, ..step(id, json!([])) };
    let pending = |id| StepReport { status: StepStatus::Pending, ..step(id, json!(null)) };
    for times in [1, 2, 5] {
        let dir = tempfile::tempdir().unwrap();
        let mut steps = vec![step("a", json!("1")), group("each")];
        steps.extend((0..times).map(|_| repeated("inner")));
        steps.extend((0..times).map(|_| repeated("other")));
        steps.extend([pending("never"), step("b", json!("2"))]);
        let saved = save(&report(steps), dir.path()).unwrap();
        assert_eq!(saved.files, ["metadata.json", "1-a.md", "5-b.md", "output.md"], "{times}");
        assert_eq!(names(dir.path()), ["1-a.md", "5-b.md", "metadata.json", "output.md"], "{times}");
    }
}

#[test]
fn names_that_collide_only_by_case_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let steps = vec![
        step("a", json!({"code": "1", "filename": "X.py"})),
        step("b", json!({"code": "2", "filename": "x.py"})),
        step("c", json!({"code": "3", "filename": "metadata.json"})),
    ];
    save(&report(steps), dir.path()).unwrap();
    let metadata: Value = serde_json::from_slice(&std::fs::read(dir.path().join(METADATA)).unwrap()).unwrap();
    let files: Vec<_> = (0..3).map(|step| metadata["steps"][step]["code_file"].clone()).collect();
    assert_eq!(files, ["X.py", "x-2.py", "metadata-2.json"]);
}

#[test]
fn a_foreign_metadata_file_is_left_alone() {
    for foreign in ["{\"name\": \"another tool\"}", "not json", "[]"] {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(METADATA), foreign).unwrap();
        let error = save(&report(vec![step("a", json!("x"))]), dir.path()).unwrap_err();
        assert!(matches!(error, Error::Foreign(_)), "{error}");
        assert_eq!(std::fs::read_to_string(dir.path().join(METADATA)).unwrap(), foreign);
        assert_eq!(names(dir.path()), [METADATA]);
    }
}

#[test]
fn a_doctored_list_of_files_removes_nothing_outside() {
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("app");
    std::fs::create_dir(&app).unwrap();
    std::fs::write(dir.path().join("precious"), "p").unwrap();
    let list = json!({"workflow_id": "w", "run_id": "r", "files": ["../precious", dir.path().join("precious"), ".", "", "sub/x"]});
    std::fs::write(app.join(METADATA), list.to_string()).unwrap();
    save(&report(vec![step("a", json!("x"))]), &app).unwrap();
    assert_eq!(std::fs::read_to_string(dir.path().join("precious")).unwrap(), "p");
}

#[cfg(unix)]
#[test]
fn links_are_replaced_and_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    let app = dir.path().join("app");
    std::fs::create_dir(&app).unwrap();
    let target = dir.path().join("target");
    std::fs::write(&target, "t").unwrap();
    std::os::unix::fs::symlink(&target, app.join("1-a.md")).unwrap();
    save(&report(vec![step("a", json!("x"))]), &app).unwrap();
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "t");
    std::os::unix::fs::symlink(&target, app.join("link")).unwrap();
    std::fs::remove_file(app.join(METADATA)).unwrap();
    std::os::unix::fs::symlink(&target, app.join(METADATA)).unwrap();
    assert!(matches!(save(&report(vec![step("a", json!("x"))]), &app), Err(Error::Foreign(_))));
    assert_eq!(std::fs::read_to_string(&target).unwrap(), "t");
}
