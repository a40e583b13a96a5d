//! YAML in, workflow and diagnostics out. A case is a file: see `tests/fixtures/workflow/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use std::num::NonZeroU32;
use std::time::Duration;

use gantry::expression::Tree;
use gantry::workflow::{
    self, CODES, LoopTest, NoMatch, OnError, OnFailure, Parallel, Parsed, Race, Reduce, ReduceBy, RetryOn, Severity, Step, StepKind,
    Tolerance, Wait, WaitUntil, Workflow, parse, parse_bytes, render_short,
};
use serde_json::json;

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/workflow").join(kind);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> =
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.extension().is_some_and(|e| e == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{} has no fixtures", folder.display());
    files
}

/// What a schema can tell, of what diagnostics tell.
const SHAPE: &[&str] = &[
    "unknown-key",
    "misplaced-key",
    "missing-key",
    "wrong-type",
    "invalid-value",
    "invalid-id",
    "invalid-version",
    "invalid-duration",
    "invalid-size",
    "unknown-step-type",
];

#[test]
fn the_json_schema_agrees_with_the_parser() {
    let schema = workflow::json_schema();
    jsonschema::meta::validate(&schema).expect("a valid schema");
    let validator = jsonschema::validator_for(&schema).expect("a schema that compiles");
    for path in fixtures("valid") {
        let document = workflow::read_yaml(&fs::read_to_string(&path).expect("text")).expect("YAML").to_json();
        let errors: Vec<_> = validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", name(&path));
    }
    let mut rejected = 0;
    for path in fixtures("invalid") {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let Ok(document) = workflow::read_yaml(&text) else { continue };
        let found = parse(&text).diagnostics;
        if found.iter().any(|one| SHAPE.contains(&one.code)) {
            assert!(!validator.is_valid(&document.to_json()), "{} is valid by the schema", name(&path));
            rejected += 1;
        } else {
            assert!(validator.is_valid(&document.to_json()), "{} has only mistakes that a schema cannot tell", name(&path));
        }
    }
    assert!(rejected >= 10, "{rejected}");
}

#[test]
fn the_shipped_schema_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/workflow.schema.json");
    let generated = serde_json::to_string_pretty(&workflow::json_schema()).expect("JSON") + "\n";
    if std::env::var_os("GANTRY_UPDATE_FIXTURES").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        fs::write(&path, &generated).expect("the file");
    }
    let shipped = fs::read_to_string(&path).unwrap_or_default();
    assert!(shipped == generated, "docs/workflow.schema.json is out of date: run this test again with GANTRY_UPDATE_FIXTURES=1");
}

fn name(path: &Path) -> String {
    path.file_name().expect("a file").to_string_lossy().into_owned()
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
        for one in &parsed.diagnostics {
            assert!(one.hint.is_some(), "{}: what is to be done about this? {one:?}", name(&path));
            assert!(one.line > 0 && one.column > 0, "{one:?}");
        }
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

/// Codes whose cases are too big or too odd for a file: `hostile` makes them; or that take several files: see `gantry workflow validate`.
const GENERATED: &[&str] = &["too-large", "too-many-steps", "workflow-cycle", "nested-too-deep"];

#[test]
fn one_file_with_many_mistakes_reports_them_all_at_once() {
    let path = fixtures("invalid").into_iter().find(|path| name(path) == "many-mistakes.yaml").unwrap();
    let parsed = parse(&fs::read_to_string(path).unwrap());
    let codes: BTreeSet<_> = parsed.errors().map(|one| one.code).collect();
    assert!(codes.len() >= 10, "{codes:?}");
    assert!(parsed.diagnostics.is_sorted_by_key(|one| one.span.start));
}

#[test]
fn severities_and_the_workflow_agree() {
    let warned = parse("metadata: {id: a, name: A, version: 1.0.0}\nsteps:\n");
    assert_eq!(warned.diagnostics.iter().map(|one| one.severity).collect::<Vec<_>>(), [Severity::Warning]);
    assert!(warned.workflow.is_some());
    let refused = workflow::parse("metadata: {id: a, name: A, version: 1.0.0}\nsteps:\n- {}\n");
    assert!(refused.workflow.is_none());
}

#[test]
fn the_examples_of_the_reference_are_valid_and_show_every_step_type() {
    const REFERENCE: &str = include_str!("../../docs/WORKFLOW_ENGINE.md");
    let blocks = REFERENCE.split("```yaml\n").skip(1).filter_map(|rest| rest.split_once("\n```")).map(|(block, _)| block);
    let mut shown = BTreeSet::new();
    for text in blocks {
        let parsed = parse(text);
        assert!(parsed.workflow.is_some() && parsed.diagnostics.is_empty(), "{text}\n{}", short("example.yaml", &parsed));
        let input = text.lines().nth(1).and_then(|line| line.strip_prefix("# input: ")).unwrap_or_else(|| panic!("no input: {text}"));
        serde_json::from_str::<serde_json::Value>(input).unwrap_or_else(|error| panic!("{input}: {error}"));
        shown.extend(text.split("step_type: ").skip(1).filter_map(|rest| rest.split([',', '\n', '}']).next()).map(str::to_owned));
    }
    let others = ["parallel", "conditional", "switch", "map", "loop", "race", "workflow", "wait", "input", "set", "fail"];
    assert_eq!(shown.iter().map(String::as_str).collect::<Vec<_>>(), BTreeSet::from(others).into_iter().collect::<Vec<_>>());
}

/// Finds a step anywhere among steps and the steps in them.
fn step<'w>(steps: &'w [Step], id: &str) -> Option<&'w Step> {
    steps.iter().find_map(|one| {
        if one.id.as_str() == id {
            return Some(one);
        }
        let inner: Vec<&[Step]> = match &one.kind {
            StepKind::Call(_) | StepKind::Workflow(_) | StepKind::Wait(_) | StepKind::Input(_) | StepKind::Set(_) | StepKind::Fail(_) => {
                vec![]
            }
            StepKind::Parallel(Parallel { branches, .. }) | StepKind::Race(Race { branches }) => {
                branches.iter().map(|branch| branch.steps.as_slice()).collect()
            }
            StepKind::Map(map) => {
                let reduced = match &map.reduce {
                    Some(Reduce { by: ReduceBy::Steps(steps), .. }) => Some(steps.as_slice()),
                    _ => None,
                };
                [map.body.as_slice()].into_iter().chain(reduced).collect()
            }
            StepKind::Loop(repeated) => vec![&repeated.body],
            StepKind::Conditional(conditional) => vec![&conditional.if_true, &conditional.if_false],
            StepKind::Switch(switch) => {
                let cases = switch.cases.iter().map(|branch| branch.steps.as_slice());
                cases.chain(switch.default.as_deref()).collect()
            }
        };
        let caught = match &one.on_error {
            Some(OnError::Catch(steps)) => Some(steps.as_slice()),
            _ => None,
        };
        inner.into_iter().chain(caught).find_map(|steps| step(steps, id))
    })
}

fn valid(name: &str) -> Workflow {
    let path = fixtures("valid").into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == name)).expect(name);
    parse_bytes(&fs::read(path).expect("a file")).workflow.expect(name)
}

#[test]
fn the_model_holds_what_the_author_wrote() {
    let workflow = valid("everything");
    assert_eq!(workflow.metadata.id.as_str(), "everything_2");
    assert_eq!(workflow.metadata.version.to_string(), "2.1.0-rc.1+build.5");
    assert_eq!(workflow.metadata.description.as_deref(), Some("All keys\nat once."));
    assert_eq!(workflow.metadata.examples.len(), 3);
    assert_eq!(workflow.input.as_ref().and_then(|input| input.pointer("/properties/count/type")), Some(&json!("integer")));
    assert!(matches!(&workflow.output, Some(Tree::Object(fields)) if fields.len() == 3 && matches!(fields[2].1, Tree::Literal(_))));
    assert_eq!(workflow.limits.max_duration, Some(Duration::from_secs(1800)));
    assert_eq!((workflow.limits.max_agent_calls, workflow.limits.max_payload_bytes), (Some(500), Some(1 << 20)));
    assert_eq!(workflow.error_handling.on_failure, OnFailure::Continue);
    assert_eq!(workflow.error_handling.retry.as_ref().map(|retry| (retry.max_attempts.get(), retry.factor)), Some((2, 2.0)));
    let handlers = &workflow.error_handling;
    let counts = [&handlers.on_success, &handlers.on_error, &handlers.on_cancel, &handlers.always].map(Vec::len);
    assert_eq!(counts, [1, 1, 0, 1]);

    let find = |id: &str| step(&workflow.steps, id).unwrap_or_else(|| panic!("{id}"));
    let start = find("start");
    assert_eq!((start.line, start.timeout), (25, Some(Duration::from_secs(5400))));
    assert!(matches!(start.on_error, Some(OnError::Continue)));
    let retry = start.retry.as_ref().expect("retry");
    assert_eq!((retry.initial, retry.max, retry.jitter), (Duration::from_millis(250), Duration::from_secs(60), false));
    assert_eq!(retry.on, [RetryOn::Timeout, RetryOn::RateLimited]);
    let StepKind::Call(call) = &start.kind else { panic!("{:?}", start.kind) };
    assert_eq!(call.skill.as_str(), "start here");
    assert!(call.agent.as_deref().is_some_and(|agent| agent.starts_with("starter@sha256:")));
    assert!(matches!(&call.inputs, Tree::Literal(value) if **value == json!({})));
    let guarded = find("guarded");
    assert_eq!(guarded.timeout, Some(Duration::from_millis(500)));
    assert!(guarded.when.is_some());
    assert!(matches!(&guarded.kind, StepKind::Call(call) if matches!(call.inputs, Tree::Template(_))));
    assert!(matches!(&guarded.on_error, Some(OnError::Catch(steps)) if steps[0].id.as_str() == "excuse"));
    let StepKind::Parallel(named) = &find("named").kind else { panic!("parallel") };
    assert_eq!(
        named.branches.iter().map(|branch| (branch.name.as_str(), branch.steps.len())).collect::<Vec<_>>(),
        [("left", 2), ("right", 0)]
    );
    assert_eq!((named.fail_fast, named.max_concurrency.map(NonZeroU32::get)), (false, Some(2)));
    let StepKind::Switch(deep) = &find("deep").kind else { panic!("switch") };
    assert_eq!(deep.cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["1", "true", "null", "on"]);
    assert_eq!((deep.on_no_match, deep.default.is_none()), (NoMatch::Skip, true));

    let StepKind::Parallel(listed) = &valid("parallel-analysis").steps[0].kind.clone() else { panic!("parallel") };
    let branches: Vec<_> = listed.branches.iter().map(|branch| (branch.name.as_str(), branch.steps.len())).collect();
    assert_eq!(branches, [("sentiment", 1), ("entities", 1), ("topics", 1)]);
    assert!(listed.fail_fast);
    let StepKind::Switch(route) = &valid("smart-router").steps[1].kind.clone() else { panic!("switch") };
    assert_eq!((route.cases.len(), route.default.as_ref().map(Vec::len), route.on_no_match), (3, Some(1), NoMatch::Fail));
    assert!(step(&valid("deeply-nested").steps, "innermost").is_some());
}

#[test]
fn the_model_holds_every_kind_of_step() {
    let workflow = valid("step-kinds");
    let find = |id: &str| step(&workflow.steps, id).unwrap_or_else(|| panic!("{id}"));

    let StepKind::Map(words) = &find("words").kind else { panic!("map") };
    assert_eq!((words.binding.as_deref(), words.max_concurrency.map(NonZeroU32::get)), (Some("file"), Some(4)));
    assert_eq!((words.tolerate_failures, words.body.len()), (Tolerance::Percent(12.5), 3));
    assert!(matches!(&words.items, Tree::Template(_)));
    let Some(Reduce { initial: Tree::Literal(initial), by: ReduceBy::Steps(steps) }) = &words.reduce else { panic!("reduce") };
    assert_eq!((&**initial, steps.len()), (&json!(0), 2));
    let StepKind::Map(lines) = &find("lines").kind else { panic!("map") };
    assert_eq!((lines.tolerate_failures, lines.reduce.is_none(), lines.max_concurrency), (Tolerance::Count(0), true, None));

    let short = find("short");
    let StepKind::Map(map) = &short.kind else { panic!("map") };
    let [call] = map.body.as_slice() else { panic!("one call") };
    assert_eq!((call.id.as_str(), call.line), ("short_item", short.line));
    assert!(
        call.retry.is_none()
            && call.timeout.is_none()
            && matches!(call.on_error, Some(OnError::Fail))
            && call.when.is_none()
            && call.outputs.is_none()
    );
    let StepKind::Call(inner) = &call.kind else { panic!("call") };
    assert_eq!((inner.skill.as_str(), inner.agent.as_deref()), ("read", Some("reader:1.0.0")));
    assert!(matches!(&inner.inputs, Tree::Object(fields) if fields.len() == 1));
    assert_eq!((map.tolerate_failures, map.binding.as_deref()), (Tolerance::Count(3), Some("item")));
    let StepKind::Map(sum) = &find("sum").kind else { panic!("map") };
    assert!(matches!(&sum.reduce, Some(Reduce { by: ReduceBy::Expression(Tree::Object(_)), .. })));
    assert!(matches!(&sum.items, Tree::Literal(items) if **items == json!([])));

    let polish = find("polish");
    let StepKind::Loop(until) = &polish.kind else { panic!("loop") };
    assert!(matches!(&until.test, LoopTest::Until(test) if test.source().contains("steps.check.outputs.ok")));
    assert_eq!((until.max_iterations.get(), until.body.len(), polish.timeout), (5, 4, Some(Duration::from_secs(3600))));
    assert!(matches!(&find("pages").kind, StepKind::Loop(pages) if matches!(pages.test, LoopTest::While(_))));

    let StepKind::Race(race) = &find("fastest").kind else { panic!("race") };
    let branches: Vec<_> = race.branches.iter().map(|branch| (branch.name.as_str(), branch.steps.len())).collect();
    assert_eq!(branches, [("cheap", 2), ("dear", 1)]);
    let StepKind::Race(race) = &find("listed").kind else { panic!("race") };
    assert_eq!(race.branches.iter().map(|branch| branch.name.as_str()).collect::<Vec<_>>(), ["r1", "r2"]);

    let sub = find("sub");
    let StepKind::Workflow(called) = &sub.kind else { panic!("workflow") };
    assert_eq!((called.reference.as_str(), sub.retry.as_ref().map(|retry| retry.max_attempts.get())), ("other-workflow:1.2.0", Some(3)));
    assert!(matches!(&find("pinned").kind, StepKind::Workflow(called) if matches!(&called.inputs, Tree::Literal(v) if **v == json!({}))));

    assert!(matches!(&find("pause").kind, StepKind::Wait(Wait { until: WaitUntil::For(time) }) if time.as_secs() == 90));
    assert!(matches!(&find("moment").kind, StepKind::Wait(Wait { until: WaitUntil::Until(Tree::Template(_)) })));
    assert!(matches!(&find("date").kind, StepKind::Wait(Wait { until: WaitUntil::Until(Tree::Literal(_)) })));

    let StepKind::Input(approve) = &find("approve").kind else { panic!("input") };
    assert!(approve.schema.as_ref().is_some_and(|schema| schema["required"] == json!(["ok"])));
    assert!(matches!(&approve.default, Some(Tree::Literal(value)) if **value == json!({"ok": false})));
    assert!(matches!(&find("anything").kind, StepKind::Input(any) if any.schema.is_none() && matches!(any.prompt, Tree::Literal(_))));
    assert!(matches!(&find("total").kind, StepKind::Set(set) if matches!(set.value, Tree::Object(_))));
    assert!(matches!(&find("refused").kind, StepKind::Fail(fail) if matches!(&fail.error, Tree::Object(fields) if fields.len() == 2)));
    assert!(matches!(&find("again_refused").kind, StepKind::Fail(fail) if matches!(fail.error, Tree::Template(_))));
}

#[test]
fn merge_keys_give_what_the_map_does_not_have() {
    let workflow = valid("anchors");
    let timeouts: Vec<_> = workflow.steps.iter().map(|step| step.timeout.map(|timeout| timeout.as_secs())).collect();
    assert_eq!(timeouts, [Some(30), Some(60), None]);
    assert!(workflow.steps.iter().all(|step| step.retry.as_ref().is_some_and(|retry| retry.max_attempts.get() == 2)));
}

#[test]
fn rendering_shows_the_place_the_text_and_what_to_do() {
    let path = fixtures("invalid").into_iter().find(|path| name(path) == "many-mistakes.yaml").expect("the fixture");
    let text = fs::read_to_string(&path).expect("text");
    let parsed = parse(&text);
    let rendered = workflow::render("many-mistakes.yaml", &text, &parsed.diagnostics, false);
    let expected_path = path.with_extension("rendered");
    if std::env::var_os("GANTRY_UPDATE_FIXTURES").is_some() {
        fs::write(&expected_path, &rendered).expect("the file");
    }
    assert_eq!(
        rendered,
        fs::read_to_string(&expected_path).unwrap_or_default(),
        "run again with GANTRY_UPDATE_FIXTURES=1 if this is meant"
    );
    for one in &parsed.diagnostics {
        assert!(rendered.contains(&format!("many-mistakes.yaml:{}:{}]", one.line, one.column)), "{one:?}");
    }
    assert!(!rendered.contains('\x1b'));
    assert!(workflow::render("many-mistakes.yaml", &text, &parsed.diagnostics, true).contains('\x1b'));
}

#[test]
fn texts_of_an_author_cannot_steer_a_terminal() {
    let parsed = parse("metadata: {id: a, name: A, version: 1.0.0, \"\\e[2Jx\\ny\": 1}\nsteps: []\n");
    let shown = short("w.yaml", &parsed);
    assert!(shown.contains("unknown key") && !shown.contains('\x1b'), "{shown:?}");
    assert_eq!(shown.lines().count(), parsed.diagnostics.len());
    // What YAML refuses is drawn all the same, in the snippet.
    for raw in ["\x1b[2J", "\u{9b}2J", "\u{202e}", "\u{2066}", "\x07", "\0", "\u{200f}", "\r"] {
        let text = format!("# {raw}\nmetadata: {{id: a, name: A, version: 1.0.0, x: \"{raw}\"}} # {raw} here\nsteps: []\n");
        let parsed = parse(&text);
        assert!(!parsed.diagnostics.is_empty(), "{raw:?}");
        let shown = workflow::render("w.yaml", &text, &parsed.diagnostics, false);
        assert!(shown.contains(" here") && !shown.contains(raw), "{shown:?}");
    }
    // Tabs and the line ends of other systems are no harm.
    let text = "metadata: {id: a, name: A, version: 1.0.0}\r\nsteps: 5 #\té\r\n";
    let shown = workflow::render("w.yaml", text, &parse(text).diagnostics, false);
    assert!(shown.contains("steps: 5 #") && shown.contains('é') && !shown.contains('?'), "{shown:?}");
}

#[test]
fn mistakes_in_a_long_line_are_quoted_instead_of_drawn_whole() {
    let steps: Vec<String> = (0..5_000).map(|number| format!("{{id: é{number}, skil: x}}")).collect();
    let text = format!("metadata: {{id: m, name: M, version: 1.0.0}}\nsteps: [{}]\n", steps.join(", "));
    let parsed = parse(&text);
    let shown = workflow::render("w.yaml", &text, &parsed.diagnostics, false);
    assert!(parsed.diagnostics.len() > 50 && shown.len() < 1_000 * parsed.diagnostics.len(), "{} bytes", shown.len());
    for one in &parsed.diagnostics {
        assert!(shown.contains(&format!("w.yaml:{}:{}, in the", one.line, one.column)), "{one:?}");
    }
    assert!(shown.contains("skil: x}") && shown.contains("help: "), "{shown}");
}

mod hostile {
    use gantry::workflow::{Entry, Kind, Node};
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "metadata: {id: a, name: A, version: 1.0.0}\n";

    fn refused(what: &str, text: &str, code: &str) {
        let parsed = parse(text);
        assert!(parsed.workflow.is_none(), "{what}");
        let first = parsed.diagnostics.first().unwrap_or_else(|| panic!("{what}: no diagnostic"));
        assert_eq!(first.code, code, "{what}: {first:?}");
        assert!(first.line >= 1 && first.column >= 1, "{what}: {first:?}");
    }

    /// Nine lists of nine aliases each: 9^9 values if they were ever expanded.
    fn billion_laughs(level: impl Fn(usize) -> String) -> String {
        (0..9).fold(format!("{HEAD}x-l: &l lol\n"), |text, at| text + &level(at))
    }

    #[test]
    fn bombs_are_refused_with_a_place() {
        let lists = billion_laughs(|at| {
            let before = if at == 0 { "l".to_owned() } else { format!("l{}", at - 1) };
            format!("x-l{at}: &l{at} [{}]\n", vec![format!("*{before}"); 9].join(", "))
        });
        refused("billion laughs", &lists, "too-complex");
        let maps = billion_laughs(|at| {
            let before = if at == 0 { "l".to_owned() } else { format!("l{}", at - 1) };
            let keys: Vec<_> = (0..9).map(|key| format!("k{key}: *{before}")).collect();
            format!("x-l{at}: &l{at} {{{}}}\n", keys.join(", "))
        });
        refused("billion laughs of maps", &maps, "too-complex");
        let mut merges = format!("{HEAD}x-m: &m {{{}}}\n", (0..100).map(|key| format!("k{key}: 1")).collect::<Vec<_>>().join(", "));
        for at in 0..9 {
            let before = if at == 0 { "m".to_owned() } else { format!("m{}", at - 1) };
            merges += &format!("x-m{at}: &m{at} {{ <<: [{}], n{at}: 1 }}\n", vec![format!("*{before}"); 9].join(", "));
        }
        // Merged maps have each key once, so they do not grow: this is only a workflow without steps.
        refused("merge keys", &merges, "missing-key");
        let aliases = format!("{HEAD}x-a: &a 1\nx-b: [{}]\n", vec!["*a"; 60_000].join(","));
        refused("aliases", &aliases, "too-complex");
        refused("more aliases", &format!("x-a: &a 1\nx-b: [{}]\n", vec!["*a"; 100_000].join(",")), "too-large");
        let repeated = format!("{HEAD}x-a: &a '{}'\nx-b: [{}]\n", "z".repeat(100_000), vec!["*a"; 900].join(","));
        refused("one long text, often", &repeated, "too-complex");
        refused("self reference", &format!("{HEAD}x-a: &a [*a]\n"), "invalid-yaml");
        refused("self reference through a map", &format!("{HEAD}x-a: &a {{ b: {{ c: *a }} }}\n"), "invalid-yaml");
        refused("merge of itself", &format!("{HEAD}x-a: &a {{ <<: *a }}\n"), "invalid-yaml");
    }

    #[test]
    fn deep_and_wide_texts_are_refused() {
        refused("200 KB of [", &"[".repeat(200_000), "too-complex");
        refused("200 KB of {", &"{".repeat(200_000), "too-complex");
        refused("200 KB of [ as a value", &format!("{HEAD}steps: {}", "[".repeat(200_000)), "too-complex");
        refused("200 KB of - ", &"- ".repeat(100_000), "too-complex");
        refused("200 KB of ? ", &"? ".repeat(100_000), "too-complex");
        refused(
            "200 KB of a: on ever deeper lines",
            &(0..600).map(|at| format!("{}a:\n", " ".repeat(at))).collect::<String>(),
            "too-complex",
        );
        refused("65 deep", &format!("{HEAD}steps: []\nx-d: {}{}\n", "[".repeat(64), "]".repeat(64)), "too-complex");
        refused("many values", &format!("x-v: [{}]", vec!["a"; 120_000].join(",")), "too-complex");
        refused("10 MB scalar", &format!("{HEAD}x-big: {}\n", "a".repeat(10_000_000)), "too-large");
        let fits = format!("{HEAD}steps: []\nx-d: {}{}\n", "[".repeat(62), "]".repeat(62));
        assert!(parse(&fits).workflow.is_some(), "{}", short("fits", &parse(&fits)));
    }

    /// Each at about the most that is allowed, and above it.
    #[test]
    fn values_texts_and_aliases_are_allowed_up_to_their_bounds() {
        use gantry::limits::{WORKFLOW_ALIASES_MAX, WORKFLOW_NODES_MAX, WORKFLOW_TEXT_BYTES_MAX};
        const WHOLE: &str = "metadata: {id: a, name: A, version: 1.0.0}\nsteps: []\n";
        let values = |count: usize| format!("{WHOLE}x-v: [{}]\n", vec!["a"; count].join(","));
        let bytes = 2_000;
        let texts = |count: usize| format!("{WHOLE}x-a: &a '{}'\nx-b: [{}]\n", "z".repeat(bytes), vec!["*a"; count - 1].join(","));
        let aliases = |count: usize| format!("{WHOLE}x-a: &a 1\nx-b: [{}]\n", vec!["*a"; count].join(","));
        let fit = WORKFLOW_TEXT_BYTES_MAX / bytes;
        for (what, most, over, message) in [
            ("values", values(WORKFLOW_NODES_MAX - 20), values(WORKFLOW_NODES_MAX), "there are more than 100000 values"),
            ("texts", texts(fit - 2), texts(fit + 1), "the texts have more than 1048576 bytes"),
            ("aliases", aliases(WORKFLOW_ALIASES_MAX), aliases(WORKFLOW_ALIASES_MAX + 1), "there are more than 1000 aliases"),
        ] {
            assert!(parse(&most).workflow.is_some(), "{what}: {}", short(what, &parse(&most)));
            refused(what, &over, "too-complex");
            let parsed = parse(&over);
            assert!(parsed.diagnostics[0].message.starts_with(message), "{what}: {}", short(what, &parsed));
        }
    }

    #[test]
    fn too_many_steps_are_refused_once_and_as_many_as_allowed_are_not() {
        let most = gantry::limits::WORKFLOW_STEPS_MAX;
        let text = |count: usize| (0..count).fold(format!("{HEAD}steps:\n"), |text, at| text + &format!("- {{id: s{at}, skill: x}}\n"));
        let parsed = parse(&text(most));
        assert_eq!(parsed.workflow.map(|workflow| workflow.steps.len()), Some(most));
        let parsed = parse(&text(most + 20));
        assert_eq!(parsed.diagnostics.iter().map(|one| one.code).collect::<Vec<_>>(), ["too-many-steps"]);
        // The call that a map makes is a step as well.
        let maps = |count: usize| {
            (0..count).fold(format!("{HEAD}steps:\n"), |text, at| text + &format!("- {{id: s{at}, step_type: map, items: [], skill: x}}\n"))
        };
        assert!(parse(&maps(most / 2)).workflow.is_some());
        assert!(parse(&maps(most / 2 + 1)).diagnostics.iter().any(|one| one.code == "too-many-steps"));
    }

    /// YAML cannot nest steps so deep within its own bound; a tree from elsewhere can.
    #[test]
    fn steps_deeper_than_allowed_are_refused() {
        let nested = |depth: usize, leaf: &serde_json::Value| {
            let steps = (1..depth).fold(json!([leaf]), |inner, at| {
                json!([{ "id": format!("s{at}"), "step_type": "conditional", "condition": true, "branches": { "if_true": inner } }])
            });
            node(&json!({ "metadata": { "id": "a", "name": "A", "version": "1.0.0" }, "steps": steps }))
        };
        let most = gantry::limits::STEP_DEPTH_MAX;
        assert!(workflow::check("", &nested(most, &json!({ "id": "leaf", "skill": "s" }))).workflow.is_some());
        let too_deep = [
            (most + 1, json!({ "id": "leaf", "skill": "s" })),
            (most, json!({ "id": "leaf", "step_type": "map", "items": [], "skill": "s" })),
            (
                most,
                json!({ "id": "leaf", "step_type": "loop", "until": true, "max_iterations": 1, "steps": [{ "id": "x", "skill": "s" }] }),
            ),
        ];
        for (depth, leaf) in too_deep {
            let refused = workflow::check("", &nested(depth, &leaf));
            assert_eq!(refused.diagnostics.iter().map(|one| one.code).collect::<Vec<_>>(), ["too-many-steps"], "{leaf}");
            assert!(refused.workflow.is_none());
        }
    }

    /// A schema costs more than other values: as many as fit into a file must still be compiled in no time.
    #[test]
    fn a_file_full_of_schemas_is_read() {
        let step = |at: usize| format!("{{id: s{at}, step_type: input, prompt: x, schema: {{type: string}}}},\n");
        let text = (0..3500).fold(format!("{HEAD}steps: [\n"), |text, at| text + &step(at)) + "]\n";
        let parsed = parse(&text);
        assert_eq!(parsed.workflow.map(|workflow| workflow.steps.len()), Some(3500), "{:?}", parsed.diagnostics.first());
    }

    fn node(value: &serde_json::Value) -> Node {
        let kind = match value {
            serde_json::Value::Null => Kind::Null,
            serde_json::Value::Bool(value) => Kind::Bool(*value),
            serde_json::Value::Number(value) => Kind::Number(value.clone()),
            serde_json::Value::String(value) => Kind::Text(value.clone()),
            serde_json::Value::Array(items) => Kind::List(items.iter().map(node).collect()),
            serde_json::Value::Object(fields) => {
                let entry = |(key, value): (&String, &serde_json::Value)| Entry { key: key.clone(), key_span: 0..0, value: node(value) };
                Kind::Map(fields.iter().map(entry).collect())
            }
        };
        Node { kind, span: 0..0 }
    }

    #[test]
    fn a_thousand_mistakes_are_cut_and_counted() {
        let text = (0..3000).fold(format!("{HEAD}steps:\n"), |text, at| text + &format!("- {{id: s{at}, skil: x}}\n"));
        let parsed = parse(&text);
        assert_eq!(parsed.diagnostics.len(), gantry::limits::DIAGNOSTICS_MAX);
        assert_eq!(parsed.omitted, 6000 - gantry::limits::DIAGNOSTICS_MAX);
    }

    /// The worst of a file is not its size alone: many mistakes must not cost their square.
    #[test]
    fn many_names_that_nobody_knows_are_not_all_compared() {
        let steps = |inner: &str| (0..4000).fold(format!("{HEAD}steps: ["), |text, at| text + &inner.replace('#', &at.to_string())) + "]\n";
        let undefined = steps("{id: step_#, skill: s, when: \"steps.stop_#\"},");
        assert_eq!(parse(&undefined).omitted, 4000 - gantry::limits::DIAGNOSTICS_MAX);
        let twice = steps("{id: same, skill: s, when: \"steps.same.status\"},");
        assert!(parse(&twice).omitted > 3000);
    }

    #[test]
    fn any_file_of_the_hostile_collections_is_read_without_a_panic() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let mut files: Vec<PathBuf> = ["server/json-parsing", "naughty-strings"]
            .iter()
            .flat_map(|name| fs::read_dir(folder.join(name)).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .collect();
        files.sort();
        assert!(files.len() >= 50, "only {} files", files.len());
        for path in files {
            let bytes = fs::read(&path).unwrap();
            let parsed = parse_bytes(&bytes);
            assert!(parsed.workflow.is_none(), "{}", path.display());
            assert!(!parsed.diagnostics.is_empty(), "{}", path.display());
            workflow::render(&name(&path), &String::from_utf8_lossy(&bytes[..bytes.len().min(10_000)]), &parsed.diagnostics, true);
            for line in String::from_utf8_lossy(&bytes).lines().take(1000) {
                parse(line);
                parse(&format!("{HEAD}steps:\n  - id: a\n    skill: {line}\n    inputs: {{ a: \"{line}\" }}\n"));
            }
        }
    }

    /// Texts that look like workflows: keys, values and punctuation of the language in any order.
    fn workflow_like() -> impl Strategy<Value = String> {
        const WORDS: &[&str] = &[
            "metadata",
            "steps",
            "id",
            "skill",
            "inputs",
            "outputs",
            "branches",
            "condition",
            "step_type",
            "parallel",
            "switch",
            "default",
            "when",
            "retry",
            "on_error",
            "timeout",
            ": ",
            ":\n",
            "\n",
            "\n  ",
            "\n    ",
            "- ",
            "{",
            "}",
            "[",
            "]",
            ", ",
            "\"",
            "'",
            "|\n",
            ">-\n",
            "&a ",
            "*a",
            "<<: ",
            "{{ ",
            " }}",
            "steps.a.outputs",
            "é",
            "1",
            "true",
            "~",
            "#",
            "---\n",
            "\t",
            "!!str ",
            "? ",
            "\u{feff}",
            "\r\n",
        ];
        proptest::collection::vec(proptest::sample::select(WORDS), 0..60).prop_map(|words| words.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let parsed = parse_bytes(&bytes);
            prop_assert!(parsed.workflow.is_some() || parsed.errors().count() > 0);
        }

        #[test]
        fn texts_never_panic_and_places_are_in_the_text(text in prop_oneof![workflow_like(), "\\PC{0,200}"]) {
            let parsed = parse(&text);
            prop_assert!(parsed.workflow.is_some() || parsed.errors().count() > 0);
            for one in &parsed.diagnostics {
                prop_assert!(text.get(one.span.clone()).is_some(), "{one:?}");
                prop_assert!(one.line >= 1 && one.column >= 1);
            }
            let rendered = workflow::render("w.yaml", &text, &parsed.diagnostics, false);
            prop_assert_eq!(rendered.matches("help: ").count() > 0, parsed.diagnostics.iter().any(|one| one.hint.is_some()));
        }
    }
}
