//! Code in, review out.

use serde_json::{Value, json};

use crate::sample_agents::skill_check::{check, check_refused, run};

/// Language, code, rules with their lines.
type Case = (&'static str, &'static str, &'static [(&'static str, u64)]);

/// The rules that fire, with their lines.
fn issues(language: &str, code: &str) -> Vec<(String, u64)> {
    let review = run("review_code", json!({"code": code, "language": language})).unwrap();
    let issue = |issue: &Value| (issue["rule"].as_str().unwrap().to_owned(), issue["line"].as_u64().unwrap());
    review["issues"].as_array().unwrap().iter().map(issue).collect()
}

#[test]
fn rules_fire_where_they_should_and_nowhere_else() {
    let cases: &[Case] = &[
        ("python", "def f():\n    \"\"\"Say one.\"\"\"\n    return 1\n", &[]),
        ("python", "def f(:\n    pass\n", &[("syntax-error", 1)]),
        ("python", "def f():\n    return 1\n", &[("missing-docstring", 1)]),
        ("python", "def _f():\n    return 1\n", &[]),
        ("python", "try:\n    f()\nexcept:\n    pass\n", &[("bare-except", 3)]),
        ("python", "try:\n    f()\nexcept ValueError:\n    pass\n", &[]),
        ("python", "x = eval(input())\n", &[("dynamic-code", 1)]),
        ("python", "x = my.eval(y)\n", &[]),
        ("python", "import os\nimport sys\nprint(sys.argv)\n", &[("unused-import", 1)]),
        ("python", "from a import b as c, d\nd()\n", &[("unused-import", 1)]),
        ("python", "import os.path\nos.path.join()\n", &[]),
        ("python", "def _f(x=[]):\n    return x\n", &[("mutable-default", 1)]),
        ("python", "x = y == None\n", &[("none-comparison", 1)]),
        ("python", "# TODO: more\nx = 1\n", &[("open-marker", 1)]),
        ("python", "# a TODOLIST app\nx = 1\n", &[]),
        ("rust", "fn f() -> i32 { 1 }\n", &[]),
        ("rust", "fn f() -> i32 { g().unwrap() }\n", &[("unwrap", 1)]),
        ("rust", "#[cfg(test)]\nmod tests {\n    fn f() { g().unwrap(); }\n}\n", &[]),
        ("rust", "pub fn f() {}\n", &[("missing-doc", 1)]),
        ("rust", "/// Does it.\npub fn f() { todo!() }\n", &[("not-implemented", 2)]),
        ("rust", "fn f() { unsafe { g() } }\n", &[("unsafe", 1)]),
        ("rust", "fn f( {\n", &[("syntax-error", 1)]),
        ("javascript", "const a = b === c;\n", &[]),
        ("javascript", "const a = b == c;\n", &[("loose-equality", 1)]),
        ("javascript", "const a = b == null;\n", &[]),
        ("javascript", "var a = eval(b);\n", &[("var", 1), ("dynamic-code", 1)]),
        ("javascript", "try { f(); } catch (e) {}\n", &[("empty-catch", 1)]),
        ("bash", "set -euo pipefail\necho \"$1\"\n", &[]),
        ("bash", "set -e\neval \"$1\"\n", &[("dynamic-code", 2)]),
        ("bash", "set -e\nrm -rf $1\n", &[("unquoted-rm", 2)]),
        ("bash", "set -e\nx=`date`\necho \"$x\"\n", &[("backticks", 2)]),
        ("bash", "a=1\nb=2\nc=3\necho $a\n", &[("no-errexit", 1)]),
        ("bash", "if true; then echo x\n", &[("syntax-error", 1)]),
    ];
    for (language, code, expected) in cases {
        let found = issues(language, code);
        let rules: Vec<(&str, u64)> = found.iter().map(|(rule, line)| (rule.as_str(), *line)).collect();
        // A broken text may be reported in more than one place; the first is what counts.
        if expected.first().is_some_and(|(rule, _)| *rule == "syntax-error") {
            assert!(rules.first().is_some_and(|(rule, _)| *rule == "syntax-error"), "{language}: {code}: {rules:?}");
        } else {
            assert_eq!(&rules, expected, "{language}: {code}");
        }
    }
}

#[test]
fn sizes_are_measured() {
    let nested = "def f(x):\n    \"\"\"Nest.\"\"\"\n    if x:\n        for y in x:\n            while y:\n                if y:\n                    with y:\n                        y()\n";
    check("review_code", json!({"code": nested}), "/metrics/max_nesting", json!(5));
    assert_eq!(issues("python", nested), [("deep-nesting".to_owned(), 7)]);
    let chain = "fn f(x: i32) { if x == 1 {} else if x == 2 {} else if x == 3 {} else if x == 4 {} else if x == 5 {} }";
    check("review_code", json!({"code": chain, "language": "rust"}), "/metrics/max_nesting", json!(1));
    let long = format!("def f():\n    \"\"\"Long.\"\"\"\n{}", "    x = 1\n".repeat(80));
    check("review_code", json!({"code": long}), "/metrics/longest_function_lines", json!(82));
    assert_eq!(issues("python", &long), [("long-function".to_owned(), 1)]);
    assert_eq!(issues("python", &format!("x = \"{}\"\n", "y".repeat(200))), [("long-line".to_owned(), 1)]);
}

#[test]
fn verdict_and_score_follow_the_findings() {
    for (code, verdict, score) in [
        ("x = 1\n", "approved", 100),
        ("x = y == None\n", "approved", 98),
        ("try:\n    f()\nexcept:\n    pass\n", "approved_with_suggestions", 92),
        ("x = eval(y)\n", "changes_requested", 75),
        ("def f(:\n", "changes_requested", 75),
        ("x = eval(y)\neval(x)\neval(x)\neval(x)\neval(x)\n", "changes_requested", 0),
    ] {
        check("review_code", json!({"code": code, "language": "python"}), "/verdict", json!(verdict));
        if !code.contains("(:") {
            check("review_code", json!({"code": code, "language": "python"}), "/score", json!(score));
        }
    }
}

#[test]
fn the_language_is_found_out() {
    for (code, language) in [
        ("def f():\n    return 1\n", "python"),
        ("fn main() {\n    println!(\"x\");\n}\n", "rust"),
        ("function f() {\n  return 1;\n}\n", "javascript"),
        ("#!/usr/bin/env bash\nls\n", "bash"),
        ("#!/usr/bin/python3\nls\n", "python"),
        ("echo hello\nexport X=1\n", "bash"),
        ("Here it is:\n```rust\nfn f() {}\n```\nDone.", "rust"),
        ("```\nlet x = 1;\nconst y = x;\n```", "javascript"),
    ] {
        check("review_code", json!({"code": code}), "/language", json!(language));
    }
    check("review_code", json!({"code": {"code": "x", "filename": "a.sh"}}), "/language", json!("bash"));
    check("review_code", json!({"code": {"code": "x = 1", "language": "Python3"}}), "/language", json!("python"));
}

#[test]
fn what_cannot_be_reviewed_is_refused() {
    check_refused("review_code", json!({}), "one of `code`, `text`");
    check_refused("review_code", json!({"code": " "}), "`code` is empty");
    check_refused("review_code", json!({"code": "x", "language": "cobol"}), "python, rust, javascript, bash");
    check_refused("review_code", json!({"code": "x".repeat(600_000)}), "at most 524288");
}

#[test]
fn hostile_code_is_reviewed_within_bounds() {
    for code in
        ["(".repeat(100_000), "if x:\n".repeat(5_000), "{[(".repeat(50_000), "\u{0}\u{feff}'\"".repeat(1_000), "eval(x)\n".repeat(5_000)]
    {
        for language in ["python", "rust", "javascript", "bash"] {
            let started = std::time::Instant::now();
            let result = run("review_code", json!({"code": code, "language": language}));
            if let Ok(review) = result {
                assert!(review["issues"].as_array().unwrap().len() <= 200);
            }
            assert!(started.elapsed().as_secs() < 25, "{language}");
        }
    }
}
