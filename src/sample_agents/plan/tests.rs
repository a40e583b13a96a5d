//! Requirements in, plan out.

use serde_json::json;

use crate::sample_agents::skill_check::{check, check_refused, run};

#[test]
fn requirements_become_a_plan() {
    for (params, pointer, expected) in [
        (
            json!({"requirements": "Create a function to calculate prime numbers"}),
            "/title",
            json!("Create a function to calculate prime numbers"),
        ),
        (json!({"request": "prime numbers"}), "/language", json!("python")),
        (json!({"text": "prime numbers in Rust"}), "/language", json!("rust")),
        (json!({"requirements": "prime numbers", "language": "JS"}), "/language", json!("javascript")),
        (json!({"requirements": "prime numbers"}), "/assumptions/0", json!("No language is named, so python is used")),
        (
            json!({"requirements": "prime numbers", "language": "klingon"}),
            "/assumptions/0",
            json!("`klingon` is not a language known here, so python is used"),
        ),
        (
            json!({"requirements": "prime numbers"}),
            "/acceptance_criteria/0",
            json!("2 is the smallest prime; 0, 1 and negative numbers are none"),
        ),
        (json!({"requirements": {"request": "sort a list"}}), "/function", json!("merge_sort")),
        (json!({"requirements": "Read invoices and then add them up"}), "/steps/2/title", json!("Implement: Read invoices")),
        (json!({"requirements": "Read invoices and then add them up"}), "/steps/3/title", json!("Implement: add them up")),
        (
            json!({"requirements": "Do:\n- load a file\n- count lines"}),
            "/acceptance_criteria/2",
            json!("It does what was asked: count lines"),
        ),
        (json!({"requirements": "x", "constraints": "no dependencies"}), "/assumptions/1", json!("Constraint: no dependencies")),
        (json!({"requirements": 42}), "/requirements", json!("42")),
    ] {
        check("create_plan", params, pointer, expected);
    }
}

#[test]
fn a_plan_says_that_it_comes_from_the_stand_in() {
    let plan = run("create_plan", json!({"requirements": "x"})).unwrap();
    assert_eq!(plan["source"], "offline stand-in");
    assert!(plan["note"].as_str().unwrap().contains("offline stand-in"));
    let numbers: Vec<_> = plan["steps"].as_array().unwrap().iter().map(|step| step["number"].as_u64().unwrap()).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64));
}

#[test]
fn long_texts_stay_within_bounds() {
    let plan = run("create_plan", json!({"requirements": "Do one more thing. ".repeat(10_000)})).unwrap();
    assert!(plan["steps"].as_array().unwrap().len() <= 210 && plan.to_string().len() < 200_000);
}

#[test]
fn nothing_to_plan_is_refused() {
    check_refused("create_plan", json!({}), "one of `requirements`, `request`, `text` is needed");
    check_refused("create_plan", json!({"requirements": "  \n"}), "`requirements` is empty");
    check_refused("create_plan", json!({"requirements": null}), "`requirements` is empty");
    check_refused("create_plan", json!({"requirements": "x", "language": 1}), "`language`");
}
