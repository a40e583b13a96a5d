//! YAML in, workflow and diagnostics out. A case is a file: see `tests/fixtures/workflow/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use gantry::workflow::{self, CODES, Parsed, Severity, parse, parse_bytes, render_short};

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/workflow").join(kind);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no fixtures", folder.display());
    files
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

fn short(name: &str, parsed: &Parsed) -> String {
    render_short(name, &parsed.diagnostics)
}

#[test]
fn valid_workflows_parse_without_errors() {
    for path in fixtures("valid") {
        let parsed = parse_bytes(&fs::read(&path).unwrap());
        assert!(parsed.workflow.is_some(), "{}", short(&name(&path), &parsed));
        assert_eq!(parsed.errors().count(), 0);
        // What is valid is also free of warnings, but for the one whose subject the warning is.
        let expected = if name(&path) == "empty.yaml" { 1 } else { 0 };
        assert_eq!(parsed.diagnostics.len(), expected, "{}", short(&name(&path), &parsed));
    }
}

/// Each file of `invalid/` has a `.expected` beside it. `GANTRY_UPDATE_FIXTURES=1` writes them anew.
#[test]
fn invalid_workflows_report_everything_that_is_wrong() {
    let mut differing = Vec::new();
    for path in fixtures("invalid") {
        let parsed = parse_bytes(&fs::read(&path).unwrap());
        let found = short(&name(&path), &parsed);
        let expected_path = path.with_extension("expected");
        if std::env::var_os("GANTRY_UPDATE_FIXTURES").is_some() {
            fs::write(&expected_path, &found).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if found != expected || parsed.diagnostics.is_empty() {
            differing.push(format!("{}\n--- expected\n{expected}--- found\n{found}", name(&path)));
        }
        assert_eq!(parsed.workflow.is_some(), parsed.errors().count() == 0, "{}", name(&path));
    }
    assert!(differing.is_empty(), "run again with GANTRY_UPDATE_FIXTURES=1 if this is meant:\n{}", differing.join("\n"));
}

#[test]
fn every_code_has_a_fixture() {
    let mut seen = BTreeSet::new();
    for path in fixtures("invalid").into_iter().chain(fixtures("valid")) {
        seen.extend(parse_bytes(&fs::read(&path).unwrap()).diagnostics.into_iter().map(|one| one.code));
    }
    let missing: Vec<_> = CODES.iter().map(|code| code.name).filter(|code| !seen.contains(code) && !GENERATED.contains(code)).collect();
    assert!(missing.is_empty(), "codes without a fixture: {missing:?}");
}

/// Codes whose cases are too big or too odd for a file; `hostile` makes them.
const GENERATED: &[&str] = &["too-large"];

#[test]
fn one_file_with_many_mistakes_reports_them_all_at_once() {
    let path = fixtures("invalid").into_iter().find(|path| name(path) == "many-mistakes.yaml").unwrap();
    let parsed = parse(&fs::read_to_string(path).unwrap());
    let codes: BTreeSet<_> = parsed.errors().map(|one| one.code).collect();
    assert!(codes.len() >= 10, "{codes:?}");
    assert!(parsed.diagnostics.is_sorted_by_key(|one| one.span.start));
    assert!(parsed.errors().all(|one| one.hint.is_some()), "{:#?}", parsed.diagnostics);
}

#[test]
fn severities_and_the_workflow_agree() {
    let warned = parse("metadata: {id: a, name: A, version: 1.0.0}\nsteps:\n");
    assert_eq!(warned.diagnostics.iter().map(|one| one.severity).collect::<Vec<_>>(), [Severity::Warning]);
    assert!(warned.workflow.is_some());
    let refused = workflow::parse("metadata: {id: a, name: A, version: 1.0.0}\nsteps:\n- {}\n");
    assert!(refused.workflow.is_none());
}
