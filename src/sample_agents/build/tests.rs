//! Plans in, programs out; every program must parse.

use serde_json::{Value, json};

use crate::sample_agents::skill_check::{check, check_refused, run};

#[test]
fn known_tasks_become_complete_programs_that_pass_review() {
    for (request, stem) in [
        ("Create a function to calculate prime numbers", "primes"),
        ("fibonacci numbers", "fibonacci"),
        ("the factorial of a number", "factorial"),
        ("sort a list of numbers", "sorting"),
        ("check whether a word is a palindrome", "palindrome"),
        ("greatest common divisor", "gcd"),
        ("count the words of a text", "word_count"),
        ("binary search in a sorted list", "binary_search"),
        ("fizzbuzz", "fizzbuzz"),
        ("reverse a string", "reverse_string"),
    ] {
        for (language, extension) in [("python", "py"), ("rust", "rs"), ("javascript", "js")] {
            let program = run("generate_code", json!({"requirements": request, "language": language})).unwrap();
            assert_eq!((&program["filename"], &program["complete"]), (&json!(format!("{stem}.{extension}")), &json!(true)), "{request}");
            assert_eq!(program["source"], "offline stand-in");
            assert!(program["note"].as_str().unwrap().contains("offline stand-in"));
            let review = run("review_code", json!({"code": program})).unwrap();
            assert_eq!((&review["verdict"], &review["language"]), (&json!("approved"), &json!(language)), "{request}: {review:#}");
        }
    }
}

#[test]
fn other_requests_become_skeletons_that_parse_and_are_found_out_by_the_review() {
    // Whatever a request holds, it stays inside comments and strings.
    for request in
        ["Fetch invoices from an API", "\"\"\" */ `${x}` \\ \" ' \n end #{", "import os; os.system('rm -rf /')", "日本語 の 要求"]
    {
        for language in ["python", "rust", "javascript", "bash"] {
            let program = run("generate_code", json!({"requirements": request, "language": language})).unwrap();
            assert_eq!((&program["complete"], &program["language"]), (&json!(false), &json!(language)));
            let review = run("review_code", json!({"code": program})).unwrap();
            assert_eq!(review["syntax_ok"], true, "{language} {request}: {review:#}\n{}", program["code"].as_str().unwrap());
            if matches!(language, "python" | "javascript") {
                let rules: Vec<&Value> = review["issues"].as_array().unwrap().iter().map(|issue| &issue["rule"]).collect();
                assert!(rules.contains(&&json!("not-implemented")), "{rules:?}");
            }
        }
    }
}

#[test]
fn the_language_is_chosen() {
    for (params, language) in [
        (json!({"requirements": "fizzbuzz"}), "python"),
        (json!({"requirements": "fizzbuzz in JavaScript"}), "javascript"),
        (json!({"requirements": "fizzbuzz", "plan": {"language": "rust"}}), "rust"),
        (json!({"requirements": "fizzbuzz", "plan": {"language": "rust"}, "language": "python"}), "python"),
        (json!({"requirements": "fizzbuzz in Java"}), "python"),
        (json!({"requirements": "fizzbuzz in bash"}), "python"),
        (json!({"requirements": "tidy a folder in bash"}), "bash"),
        (json!({"requirements": "fizzbuzz", "language": "klingon"}), "python"),
    ] {
        check("generate_code", params, "/language", json!(language));
    }
    let note = |params| run("generate_code", params).unwrap()["note"].as_str().unwrap().to_owned();
    assert!(note(json!({"requirements": "fizzbuzz in Java"})).contains("cannot write this in java"));
    assert!(note(json!({"requirements": "fizzbuzz", "language": "klingon"})).contains("`klingon` is not a language it knows"));
}

#[test]
fn a_plan_is_enough() {
    let plan = run("create_plan", json!({"requirements": "Collect the invoices of a year in Rust"})).unwrap();
    let program = run("generate_code", json!({"plan": plan, "requirements": null})).unwrap();
    assert_eq!((&program["language"], &program["filename"]), (&json!("rust"), &json!("collect_invoices_year.rs")));
    // The acceptance criteria of the plan stand in the skeleton.
    assert!(program["code"].as_str().unwrap().contains("It does what was asked"));
    check("generate_code", json!({"plan": "Write fizzbuzz"}), "/filename", json!("fizzbuzz.py"));
}

#[test]
fn nothing_to_build_is_refused() {
    check_refused("generate_code", json!({}), "one of `plan`, `requirements`");
    check_refused("generate_code", json!({"plan": ""}), "say what is wanted");
}
