//! Point 4: every bound, and how fast it holds.

use std::time::{Duration, Instant};

use serde_json::json;

use super::World;
use crate::expression::{Template, Tree};
use crate::limits::{
    EXPRESSION_BRACKETS_MAX, EXPRESSION_FUEL, EXPRESSION_OUTPUT_BYTES_MAX, EXPRESSION_RECURSION_MAX, EXPRESSION_TOKENS_MAX,
    TEMPLATE_BYTES_MAX, TEMPLATE_EXPRESSIONS_MAX, TEMPLATE_TEXT_BYTES_MAX, VALUE_DEPTH_MAX,
};

/// A bomb must be refused within this time. Debug builds on a busy machine get the benefit of the best of several tries.
const REFUSED_WITHIN: Duration = Duration::from_millis(20);

/// Refused, quickly: the best of several tries, because the machine is shared.
fn refused_quickly(name: &str, attempt: impl Fn() -> bool) {
    let mut best = Duration::MAX;
    for _ in 0..5 {
        let started = Instant::now();
        assert!(attempt(), "{name} was not refused");
        best = best.min(started.elapsed());
        if best < REFUSED_WITHIN {
            return;
        }
    }
    panic!("{name} took {best:?}");
}

#[test]
fn point_4_bombs() {
    let mut world = World::new();
    world.value("long", json!(vec![7; 100_000]));
    let nested = |open: &str, close: &str, count: usize| format!("{{{{ {}1{} }}}}", open.repeat(count), close.repeat(count));
    let mut bombs = vec![
        "{{ 'x' * 10**9 }}".to_owned(),
        "{{ 'x' * 99999999 }}".to_owned(),
        "{{ ('x' * 1000000) * 1000000 }}".to_owned(),
        "{{ [1] * 99999999 }}".to_owned(),
        "{{ [[1] * 15000] * 15000 }}".to_owned(),
        "{{ ([1] * 99999999) | last }}".to_owned(),
        "{{ ([1] * 99999999) | sum }}".to_owned(),
        "{{ ([1] * 99999999) | join('') }}".to_owned(),
        "{{ ([1] * 99999999) | sort | length }}".to_owned(),
        "{{ ([1] * 99999999) | map('string') | length }}".to_owned(),
        "{{ ([1] * 99999999) | unique }}".to_owned(),
        "{{ 2 in ([1] * 99999999) }}".to_owned(),
        "{{ ([1] * 99999999) == ([1] * 99999999) }}".to_owned(),
        "{{ ([1] * 99999999)[::-1] | length }}".to_owned(),
        "{{ ([1] * 99999999) | string }}".to_owned(),
        "{{ ([1] * 99999999) ~ '' }}".to_owned(),
        "{{ ('x' * 100000) | replace('x', 'y' * 100000) }}".to_owned(),
        "{{ ('x' * 100000) | replace('', 'y' * 100000) }}".to_owned(),
        "{{ (['x'] * 10000) | join('y' * 100000) }}".to_owned(),
        "{{ ('x' * 1000000) | split('') | join('yyyyyyyy') | replace('y', 'zzzzzzzz') }}".to_owned(),
        format!("{{{{ 'x' {} }}}}", "| replace('x', 'xxxxxxxxxx')".repeat(20)),
        format!("{{{{ [1] {} }}}}", "* 10 ".repeat(20)),
        format!("{{{{ 9 {} }}}}", "** 9 ".repeat(20)),
        nested("(", ")", 4000),
        nested("[", "]", 4000),
        nested("[", "]", 100),
        nested("{'a':", "}", 1000),
        format!("{{{{ {}1 }}}}", "not ".repeat(2000)),
        format!("{{{{ {}1 }}}}", "-".repeat(8000)),
        format!("{{{{ 1{} }}}}", "+1".repeat(4000)),
        format!("{{{{ x{} }}}}", "[0]".repeat(2600)),
        format!("{{{{ (x){} }}}}", ".a".repeat(4000)),
        format!("{{{{ x{} }}}}", "|first".repeat(1000)),
        format!("{{{{ x{} }}}}", " if x else x".repeat(600)),
        format!("{{{{ {} }}}}", "x".repeat(TEMPLATE_BYTES_MAX + 1)),
        format!("{{{{ x }}}}{}", "y".repeat(TEMPLATE_TEXT_BYTES_MAX)),
        "{{ 1 }}".repeat(TEMPLATE_EXPRESSIONS_MAX + 1),
        "{{ ".repeat(300_000),
        "{{ '".repeat(300_000),
        format!("{{{{ {} }}}}", "{".repeat(1_000_000)),
    ];
    bombs.push(format!("{{{{ [{}] }}}}", "'x' * 1000000,".repeat(500)));
    bombs.push(format!("{{{{ [{}] | tojson }}}}", "steps.plan.outputs,".repeat(400) + &"'x' * 40000,".repeat(30)));
    // An agent's long list helps no author to more than the fuel pays for.
    let long = format!("({})", vec!["long"; 140].join(" + "));
    bombs.extend([format!("{{{{ {long} }}}}"), format!("{{{{ [{long}] == [{long}] }}}}"), format!("{{{{ {long} ~ '' }}}}")]);
    bombs.extend(["{{ long | sort }}", "{{ long | unique }}", "{{ long | map('string') }}", "{{ long | join }}"].map(str::to_owned));
    for bomb in &bombs {
        let name = &bomb[..bomb.len().min(60)];
        refused_quickly(name, || Template::parse(bomb).map_or(true, |template| template.evaluate(&world.scope()).is_err()));
    }
}

#[test]
fn point_4_a_long_chain_within_the_limits_fits_the_stack() {
    let world = World::new();
    let sum = format!("{{{{ {} }}}}", vec!["workflow.input.n"; 100].join(" + "));
    assert_eq!(world.template(&sum).expect("a sum"), json!(300));
    let chain = format!("{{{{ 1{} }}}}", "+1".repeat(299));
    assert_eq!(world.template(&chain).expect("a chain"), json!(300));
    let nested = format!("{{{{ {}1{} }}}}", "[".repeat(32), "]".repeat(32));
    assert!(world.template(&nested).is_ok());
}

#[test]
fn point_4_an_expression_has_a_most_of_words_and_signs() {
    let world = World::new();
    // A sign before the first of the numbers makes it an even count.
    let sum = |tokens: usize| {
        let sign = if tokens.is_multiple_of(2) { "-" } else { "" };
        format!("{{{{ {sign}1{} }}}}", "+1".repeat((tokens - 1) / 2))
    };
    for tokens in [EXPRESSION_TOKENS_MAX - 1, EXPRESSION_TOKENS_MAX] {
        assert!(world.template(&sum(tokens)).is_ok(), "{tokens}");
    }
    let error = Template::parse(&sum(EXPRESSION_TOKENS_MAX + 1)).expect_err("one more");
    assert_eq!(error.message, "an expression may have 600 words and signs, this one has more");
}

/// A filter costs an instruction for each of some items; a list in its whole length what is made of it.
#[test]
fn point_4_work_is_bounded_and_the_bound_is_told() {
    let mut world = World::new();
    for (items, fits) in [(EXPRESSION_FUEL / 40, true), (EXPRESSION_FUEL * 2, false)] {
        world.value("list", json!(vec![7; items as usize]));
        for source in ["{{ list | sort | length }}", "{{ list | map('string') | length }}"] {
            match (world.template(source), fits) {
                (Ok(length), true) => assert_eq!(length, json!(items), "{source}"),
                (Err(error), false) => {
                    assert_eq!(error.message, "takes more than 20000 steps of work", "{source}");
                    assert!(error.hint.is_some(), "{source}");
                }
                (got, _) => panic!("{source} of {items}: {got:?}"),
            }
        }
    }
}

/// An author meets the bound on brackets, whose message says what to change; the engine's own bound on recursion stands behind it.
#[test]
fn point_4_brackets_are_refused_before_the_engine_recurses_too_deep() {
    let world = World::new();
    assert_eq!(crate::expression::filters::ENVIRONMENT.recursion_limit(), EXPRESSION_RECURSION_MAX);
    for (open, close) in [("(", ")"), ("[", "]"), ("{'a': ", "}")] {
        let nested = |depth: usize| format!("{{{{ {}1{} }}}}", open.repeat(depth), close.repeat(depth));
        assert!(world.template(&nested(EXPRESSION_BRACKETS_MAX)).is_ok(), "{open}");
        for depth in [EXPRESSION_BRACKETS_MAX + 1, EXPRESSION_RECURSION_MAX, EXPRESSION_RECURSION_MAX + 1] {
            let error = Template::parse(&nested(depth)).expect_err(open);
            assert_eq!(error.message, "brackets are nested more than 32 deep", "{open} {depth} deep");
        }
    }
}

#[test]
fn point_4_sizes_of_what_comes_out() {
    let mut world = World::new();
    let almost = "x".repeat(EXPRESSION_OUTPUT_BYTES_MAX);
    world.value("long", json!(almost));
    let mut deep = json!(1);
    for _ in 0..VALUE_DEPTH_MAX {
        deep = json!([deep]);
    }
    world.value("deep", deep);
    world.value("reply", json!(vec!["y".repeat(1000); 3000]));

    assert!(world.template("{{ long }}").is_ok());
    assert!(world.template("{{ deep }}").is_ok());
    assert!(world.template("{{ [reply, reply] }}").is_ok(), "6 MB");
    for (source, message) in [
        ("{{ long }}!", "1048576"),
        ("{{ long ~ '!' }}", ""),
        ("{{ [long] | tojson }}", "1048576"),
        ("{{ [deep] }}", "deep"),
        ("{{ [reply, reply, reply, reply, reply, reply] }}", "16777216"),
    ] {
        let error = world.template(source).expect_err(source);
        assert!(error.message.contains(message), "{source}: {error:?}");
    }
    let item = Tree::Template(Template::parse("{{ reply }}").expect("a path"));
    let error = Tree::List(vec![item; 6]).evaluate(&world.scope()).expect_err("18 MB");
    assert!(error.message.contains("16777216"), "{error:?}");
    let mut tree = Tree::Template(Template::parse("{{ workflow.input.n }}").expect("a path"));
    for _ in 0..=VALUE_DEPTH_MAX {
        tree = Tree::List(vec![tree]);
    }
    assert!(tree.evaluate(&world.scope()).expect_err("too deep").message.contains("deep"));
}
