//! What is known of a template before it runs: the paths it reads and, point 6, the names that are cut by a `-`.

use super::{fails, yields};
use crate::expression::{Condition, Reference, Template};
use serde_json::json;

#[test]
fn point_6_subtractions_are_found() {
    let check = |source: &str, expected: &[(&str, &str, &str)]| {
        let template = Template::parse(source).expect(source);
        let found: Vec<_> =
            template.subtractions().iter().map(|found| (&*found.name, &*found.instead, &source[found.span.clone()])).collect();
        assert_eq!(found, expected, "{source}");
    };
    check("{{ steps.my-step.x }}", &[("my-step", r#"steps["my-step"].x"#, "steps.my-step.x")]);
    check("a {{ steps.my-step.outputs.x | upper }}", &[("my-step", r#"steps["my-step"].outputs.x"#, "steps.my-step.outputs.x")]);
    check("{{ steps.my-own-step.x + 1 }}", &[("my-own-step", r#"steps["my-own-step"].x"#, "steps.my-own-step.x")]);
    check("{{ workflow.input.my-key }}", &[("my-key", r#"workflow.input["my-key"]"#, "workflow.input.my-key")]);
    check("{{ steps.step-1.outputs.x | upper }}", &[("step-1", r#"steps["step-1"].outputs.x"#, "steps.step-1.outputs.x")]);
    check("{{ steps.step-1 }}", &[("step-1", r#"steps["step-1"]"#, "steps.step-1")]);
    check("{{ steps.a.outputs.x - steps.b.outputs.y }}", &[]);
    check("{{ steps['my-step'].x }}", &[]);
    check("{{ a-b }}", &[]);
}

#[test]
fn point_6_errors_hint_at_the_minus() {
    fails(&[
        (
            "{{ steps.my-step.outputs.x }}",
            "`steps.my` does not exist",
            r#"`-` subtracts; if `my-step` is one name, write `steps["my-step"].outputs.x`"#,
        ),
        ("{{ workflow.input.my-key }}", "does not exist", r#"workflow.input["my-key"]"#),
        ("{{ steps.step-1.outputs }}", "`steps.step` does not exist", r#"steps["step-1"].outputs"#),
    ]);
    yields(&[("{{ steps['my-step'].outputs.x - 1 }}", json!(6)), ("{{ workflow.input[\"my-key\"] }}", json!(5))]);
}

#[test]
fn references_name_path_place_and_guard() {
    let check = |source: &str, references: &[Reference], expected: &[(&str, &str, bool)]| {
        let found: Vec<_> =
            references.iter().map(|found| (found.path.join("/"), source[found.span.clone()].to_owned(), found.optional)).collect();
        let expected: Vec<_> =
            expected.iter().map(|(path, place, optional)| ((*path).to_owned(), (*place).to_owned(), *optional)).collect();
        assert_eq!(found, expected, "{source}");
    };
    for (source, expected) in [
        ("plain", &[][..]),
        ("ü {{ steps.plan.outputs.result }}", &[("steps/plan/outputs/result", "steps.plan.outputs.result", false)]),
        ("{{ a.b }} {{ c['d'] }}", &[("a/b", "a.b", false), ("c/d", "c['d']", false)]),
        ("{{ steps[\"my-step\"].outputs[0].y }}", &[("steps/my-step/outputs/0/y", "steps[\"my-step\"].outputs[0].y", false)]),
        ("{{ a.b | default(c.d) }}", &[("a/b", "a.b", true), ("c/d", "c.d", false)]),
        ("{{ ((a.b)) | default(1) }}", &[("a/b", "a.b", true)]),
        ("{{ a | upper | default(1) }}", &[("a", "a", false)]),
        ("{{ a.b is not defined }}", &[("a/b", "a.b", true)]),
        ("{{ a.b.c if a.b is defined else x }}", &[("a/b/c", "a.b.c", true), ("a/b", "a.b", true), ("x", "x", false)]),
        ("{{ a is string }}", &[("a", "a", false)]),
        ("{{ l | map(attribute='x') | join(s) }}", &[("l", "l", false), ("s", "s", false)]),
        ("{{ l | map(attribute=k) }}", &[("l", "l", false), ("k", "k", false)]),
        ("{{ a[b.c].d }}", &[("a", "a", false), ("b/c", "b.c", false)]),
        ("{{ a.x[1:n] }}", &[("a/x", "a.x", false), ("n", "n", false)]),
        ("{{ {'k': v, \"w\": [u]} }}", &[("v", "v", false), ("u", "u", false)]),
        ("{{ 'steps.a' ~ true and not none or 1 in x }}", &[("x", "x", false)]),
        ("{{ (f | first).g }}", &[("f", "f", false)]),
        ("{{ a . b [ 'c' ] }}", &[("a/b/c", "a . b [ 'c' ]", false)]),
    ] {
        let template = Template::parse(source).expect(source);
        check(source, template.references(), expected);
    }
    for (source, expected) in [
        ("steps.a.outputs.ok == true", &[("steps/a/outputs/ok", "steps.a.outputs.ok", false)][..]),
        ("  {{ steps.a.ok }} ", &[("steps/a/ok", "steps.a.ok", false)]),
        ("{{ a.b }} == 'y' and {{c}}", &[("a/b", "a.b", false), ("c", "c", false)]),
        ("'ü{{ a.b }}-{{ c }}!' == d.e", &[("a/b", "a.b", false), ("c", "c", false), ("d/e", "d.e", false)]),
    ] {
        let condition = Condition::parse(source).expect(source);
        check(source, condition.references(), expected);
    }
}
