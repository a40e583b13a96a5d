//! Which webs of workflows are refused, with what words, and that a walk ends.

use super::*;
use crate::workflow::parse;

const BOUNDS: Bounds = Bounds { depth_max: 16, lookups_max: 1_000 };

fn plan(id: &str, steps: &[String]) -> Arc<Plan> {
    let steps: String = steps
        .iter()
        .map(|to| format!("  - {{id: \"to_{}\", step_type: workflow, workflow: \"{to}\"}}\n", to.replace([':', '.'], "_")))
        .collect();
    let steps = if steps.is_empty() { "  []\n".to_owned() } else { steps };
    let text = format!("metadata: {{id: {id}, name: W, version: 1.0.0}}\nsteps:\n{steps}");
    let parsed = parse(&text);
    let workflow = parsed.workflow.unwrap_or_else(|| panic!("{:#?}", parsed.diagnostics));
    let digest = Digest::parse(&format!("sha256:{:0>64}", hex(id))).unwrap();
    Arc::new(Plan::new(workflow, text, digest))
}

fn hex(id: &str) -> String {
    id.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// `a>b c`: the workflow `a` refers to `b` and `c`. The walk begins at the first. Returns how often something was looked up, too.
fn walk(web: &[String], bounds: Bounds, above: usize) -> (Result<usize, Refused>, usize) {
    let workflows: Vec<(String, Arc<Plan>)> = web
        .iter()
        .map(|line| {
            let (id, to) = line.split_once('>').unwrap();
            (id.to_owned(), plan(id, &to.split_whitespace().map(str::to_owned).collect::<Vec<_>>()))
        })
        .collect();
    let above = (0..above).map(|n| format!("above{n}:1.0.0")).collect();
    let mut walk = Walk::new(Arc::clone(&workflows[0].1), above, bounds);
    let mut lookups = 0;
    let mut go = || {
        while let Some(reference) = walk.next_reference()? {
            lookups += 1;
            let id = reference.target.split([':', '@']).next().unwrap();
            let found = workflows.iter().find(|(known, _)| known == id).map(|(_, plan)| Arc::clone(plan));
            walk.found(reference, found)?;
        }
        Ok(walk.depth())
    };
    (go(), lookups)
}

fn web(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

fn chain(length: usize) -> Vec<String> {
    (1..=length).map(|n| if n == length { format!("w{n}>") } else { format!("w{n}>w{}", n + 1) }).collect()
}

#[test]
fn webs_without_circles_are_walked_to_their_end() {
    for (lines, depth) in [
        (&["a>"][..], 1),
        (&["a>b", "b>"], 2),
        (&["a>b c", "b>d", "c>d", "d>"], 3),
        // The same workflow, twice, at different depths.
        (&["a>d b", "b>c", "c>d", "d>e", "e>"], 5),
        (&["a>nowhere b", "b>nowhere"], 2),
        (&["a>b b:1.0.0 b:latest", "b>"], 2),
    ] {
        assert_eq!(walk(&web(lines), BOUNDS, 0).0, Ok(depth), "{lines:?}");
    }
}

#[test]
fn circles_are_named_whole_with_the_steps_that_make_them() {
    for (lines, expected, steps) in [
        (&["a>b", "b>a"][..], &["a", "b", "a"][..], &["to_b", "to_a"][..]),
        (&["a>b", "b>c", "c>a"], &["a", "b", "c", "a"], &["to_b", "to_c", "to_a"]),
        (&["a>x b", "b>x a:1.0.0", "x>"], &["a", "b", "a"], &["to_b", "to_a_1_0_0"]),
        (&["start>a", "a>b", "b>a:latest"], &["a", "b", "a"], &["to_a", "to_b", "to_a_latest"]),
        (&["start>a x", "x>", "a>b", "b>b:stable"], &["b", "b"], &["to_a", "to_b", "to_b_stable"]),
    ] {
        let Err(Refused::Cycle { chain, hops }) = walk(&web(lines), BOUNDS, 0).0 else { panic!("{lines:?}") };
        let expected: Vec<_> = expected.iter().map(|id| format!("{id}:1.0.0")).collect();
        assert_eq!(chain, expected, "{lines:?}");
        assert_eq!(hops.iter().map(|hop| hop.step.as_str()).collect::<Vec<_>>(), steps, "{lines:?}");
    }
    let refused = walk(&web(&["a>x b", "b>a", "x>"]), BOUNDS, 0).0.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "workflow cycle: a:1.0.0 → b:1.0.0 → a:1.0.0 (step `to_b` of a:1.0.0, line 4, column 5; \
         step `to_a` of b:1.0.0, line 3, column 5); leave one of these steps out, or repeat steps with a `loop` step"
    );
    assert_eq!(refused.first_hop().map(|hop| (hop.line, hop.column)), Some((4, 5)));
}

#[test]
fn a_file_and_what_was_pushed_of_it_are_one_workflow() {
    let (file, other) = (plan("a", &["b".to_owned()]), plan("b", &["a".to_owned()]));
    let pushed = Plan::new(
        parse(file.source()).workflow.unwrap(),
        Arc::clone(file.source()),
        Digest::parse(&format!("sha256:{}", "f".repeat(64))).unwrap(),
    );
    let mut walk = Walk::new(file, Vec::new(), BOUNDS);
    let to_b = walk.next_reference().unwrap().unwrap();
    walk.found(to_b, Some(other)).unwrap();
    let to_a = walk.next_reference().unwrap().unwrap();
    let refused = walk.found(to_a, Some(Arc::new(pushed))).unwrap_err();
    assert!(matches!(&refused, Refused::Cycle { chain, .. } if chain.len() == 3), "{refused}");
}

#[test]
fn chains_end_at_the_depth_that_runs_may_have() {
    for (length, above, fits) in [(16, 0, true), (17, 0, false), (1_000, 0, false), (6, 10, true), (7, 10, false)] {
        let (walked, lookups) = walk(&chain(length), BOUNDS, above);
        if fits {
            assert_eq!(walked, Ok(length), "{length}");
            continue;
        }
        let refused = walked.unwrap_err();
        let Refused::TooDeep { chain, depth_max: 16, .. } = &refused else { panic!("{refused}") };
        assert_eq!(chain.len(), 17, "{refused}");
        assert_eq!(lookups, 16 - above, "nothing is looked up beyond the first that is too deep");
        assert!(refused.to_string().contains("deeper than 16") && refused.to_string().contains("step `to_w2` of w1:1.0.0"), "{refused}");
    }
    // A workflow that was followed already, from higher up.
    let mut lines = chain(16);
    lines.push("from>w1 w5".to_owned());
    lines.rotate_right(1);
    assert!(matches!(walk(&lines, BOUNDS, 0).0, Err(Refused::TooDeep { .. })));
    let lines = web(&["a>c b", "b>c", "c>d", "d>"]);
    assert!(matches!(walk(&lines, Bounds { depth_max: 3, ..BOUNDS }, 0).0, Err(Refused::TooDeep { .. })), "a → b → c → d");
    assert_eq!(walk(&lines, Bounds { depth_max: 4, ..BOUNDS }, 0).0, Ok(4));
}

#[test]
fn what_is_referred_to_often_is_looked_up_once_and_all_is_bounded() {
    // Ten layers of ten, each of which refers to all of the next: ten thousand million ways.
    let layer = |n: usize| (0..10).map(|m| format!("l{n}x{m}")).collect::<Vec<_>>();
    let mut lines = vec![format!("top>{}", layer(0).join(" "))];
    for n in 0..10 {
        let below = if n == 9 { String::new() } else { layer(n + 1).join(" ") };
        lines.extend(layer(n).into_iter().map(|id| format!("{id}>{below}")));
    }
    assert_eq!(walk(&lines, BOUNDS, 0), (Ok(11), 100));
    let wide = vec![format!("top>{}", (0..1_001).map(|n| format!("n{n}")).collect::<Vec<_>>().join(" "))];
    let (walked, lookups) = walk(&wide, BOUNDS, 0);
    assert_eq!((walked, lookups), (Err(Refused::TooMany { workflow: "top:1.0.0".to_owned(), lookups_max: 1_000 }), 1_000));
}
