//! Tables in, figures out.

use serde_json::{Value, json};

use crate::sample_agents::skill_check::{check, check_refused, run};

#[test]
fn tables_are_read_in_every_form() {
    for (data, format, rows, columns) in [
        (json!("a,b\n1,2\n3,4\n"), "csv", 2, 2),
        (json!("\u{feff}a;b\r\n1;2\r\n"), "csv", 1, 2),
        (json!("a\tb\n1\t2"), "csv", 1, 2),
        (json!("a|b\n1|2"), "csv", 1, 2),
        (json!("name,note\nx,\"a, b\nc\"\ny,z"), "csv", 2, 2),
        (json!("price\n1\n2\n3"), "csv", 3, 1),
        (json!("Analyze this data:\nmonth,sales\njan,10\nfeb,12\n"), "csv", 2, 2),
        (json!("Analyze this: month,sales\njan,10\nfeb,12\nThanks!"), "csv", 2, 2),
        (json!("What is the mean of 3, 5, 8 and 13?"), "numbers", 4, 1),
        (json!([1, 2, 3]), "json", 3, 1),
        (json!([{"a": 1}, {"a": 2, "b": "x"}]), "json", 2, 2),
        (json!([["a", "b"], [1, 2]]), "json", 1, 2),
        (json!([[1, 2], [3, 4]]), "json", 2, 2),
        (json!({"a": [1, 2], "b": [3, 4]}), "json", 2, 2),
        (json!({"rows": [{"a": 1}]}), "json", 1, 1),
        (json!({"data": "a,b\n1,2"}), "csv", 1, 2),
        (json!({"a": 1, "b": 2}), "json", 1, 2),
        (json!("[{\"a\": 1}, {\"a\": 2}]"), "json", 2, 1),
        (json!("Describe [1, 2, 3] please"), "json", 3, 1),
    ] {
        let result = run("analyze_data", json!({"data": data})).unwrap_or_else(|error| panic!("{data}: {error}"));
        assert_eq!(
            (&result["format"], &result["row_count"], &result["column_count"]),
            (&json!(format), &json!(rows), &json!(columns)),
            "{data}"
        );
    }
    check("analyze_data", json!({"request": "a,b\n1,2"}), "/column_count", json!(2));
}

#[test]
fn figures_are_right() {
    let data = json!({"data": "city,n,x,when,ok,empty\nA,1,2.5,2026-01-01,yes,\nB,2,,2026-01-02,no,\nA,3,\"1,000.5\",2026-01-03,yes,NA\nC,4,$7,2026-01-04,yes,\n"});
    for (pointer, expected) in [
        ("/columns/0/type", json!("text")),
        ("/columns/0/distinct", json!(3)),
        ("/columns/0/top_values/0", json!({"value": "A", "count": 2})),
        ("/columns/0/numbers", Value::Null),
        ("/columns/1/type", json!("integer")),
        (
            "/columns/1/numbers",
            json!({"min": 1.0, "max": 4.0, "sum": 10.0, "mean": 2.5, "median": 2.5, "stddev": 1.291, "q1": 1.75, "q3": 3.25}),
        ),
        ("/columns/2/type", json!("number")),
        ("/columns/2/missing", json!(1)),
        ("/columns/2/numbers/max", json!(1000.5)),
        ("/columns/3/type", json!("date")),
        ("/columns/4/type", json!("boolean")),
        ("/columns/5/type", json!("empty")),
        ("/columns/5/missing", json!(4)),
    ] {
        check("analyze_data", data.clone(), pointer, expected);
    }
}

#[test]
fn correlations_and_outliers_are_found() {
    let rows: Vec<String> = (1..=10).map(|n| format!("{n},{},{}", n * 2, if n == 10 { 900 } else { n % 3 })).collect();
    let data = json!({"data": format!("a,b,c\n{}", rows.join("\n"))});
    check("analyze_data", data.clone(), "/correlations/0", json!({"left": "a", "right": "b", "coefficient": 1.0, "rows": 10}));
    check("analyze_data", data.clone(), "/outliers", json!([{"column": "c", "row": 10, "value": 900.0}]));
    let opposite = run("analyze_data", json!({"data": "a,b\n1,9\n2,8\n3,7"})).unwrap();
    assert_eq!(opposite["correlations"][0]["coefficient"], -1.0);
    // A column that never changes correlates with nothing.
    check("analyze_data", json!({"data": "a,b\n1,5\n2,5\n3,5"}), "/correlations", json!([]));
}

#[test]
fn questions_get_the_figure_they_ask_for() {
    let data = "city,unit price,sold\nRome,10,3\nOslo,20,5\nParis,30,4\n";
    for (question, answer) in [
        ("What is the average unit price?", "The mean of `unit price` is 20"),
        ("total sold", "The sum of `sold` is 12"),
        ("Which has the highest unit price?", "The maximum of `unit price` is 30 (row 3, Paris)"),
        ("lowest of sold?", "The minimum of `sold` is 3 (row 1, Rome)"),
        ("how many rows are there", "There are 3 rows"),
        ("how many different city values", "`city` has 3 different values"),
        ("median of sold", "The median of `sold` is 4"),
    ] {
        check("analyze_data", json!({"data": data, "question": question}), "/answer", json!(answer));
    }
    let answer = run("analyze_data", json!({"data": data, "question": "Why?"})).unwrap()["answer"].as_str().unwrap().to_owned();
    assert!(answer.contains("cannot answer") && answer.contains("`sold`"), "{answer}");
    check("analyze_data", json!({"data": "What is the average of 3, 5 and 10?"}), "/answer", json!("The mean of `value` is 6"));
    check("analyze_data", json!({"data": data}), "/answer", Value::Null);
}

#[test]
fn garbage_is_refused_with_its_place() {
    for (data, says) in [
        (json!(""), "`data` is empty"),
        (json!("hello world"), "no table found"),
        (json!("a,b\n1,2\n3\n4,5"), "row 2"),
        (json!("a,b\n1,2\n3,4,5"), "row 2 (line 3) has 3 cells, the header has 2 columns"),
        (json!("see:\n\na,b\n1,2\n3,4,5"), "row 2 (line 5)"),
        (json!("[{\"a\": 1}, {\"a\": "), "starts like JSON but is not"),
        (json!([]), "empty"),
        (json!([1, {"a": 2}]), "item 2"),
        (json!([[1, 2], [3]]), "row 2 has 1 cells"),
        (json!({"a": [1], "b": [1, 2]}), "column `b` has 2 values"),
        (json!(true), "boolean"),
    ] {
        check_refused("analyze_data", json!({"data": data}), says);
    }
    check_refused("analyze_data", json!({}), "one of `data`, `text`, `request`");
    let wide: Vec<String> = (0..300).map(|n| n.to_string()).collect();
    check_refused("analyze_data", json!({"data": format!("{0}\n{0}", wide.join(","))}), "300 columns");
}

#[test]
fn large_tables_are_read_quickly_and_answers_stay_small() {
    let rows: String = (0..100_000).map(|n| format!("{n},{},x{n}\n", n % 97)).collect();
    let started = std::time::Instant::now();
    let result = run("analyze_data", json!({"data": format!("a,b,c\n{rows}")})).unwrap();
    assert_eq!(result["row_count"], 100_000);
    assert!(result.to_string().len() < 50_000 && started.elapsed().as_secs() < 20);
}

#[test]
fn a_table_has_so_many_columns_at_most() {
    let most = crate::limits::SAMPLE_COLUMNS_MAX;
    let line = |columns: usize| (0..columns).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    let csv = |columns: usize| json!({"data": format!("{}\n{}\n", line(columns), vec!["1"; columns].join(","))});
    let objects = |columns: usize| {
        let fields: serde_json::Map<_, _> = (0..columns).map(|n| (format!("c{n}"), json!(1))).collect();
        json!({"data": [fields]})
    };
    check("analyze_data", csv(most), "/column_count", json!(most));
    check_refused("analyze_data", csv(most + 1), "the table has 201 columns; at most 200 are read");
    check("analyze_data", objects(most), "/column_count", json!(most));
    check_refused("analyze_data", objects(most + 1), "more than 200 different fields");
}
