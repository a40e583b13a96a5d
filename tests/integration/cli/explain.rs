//! What is told of a run afterwards, whole: `runs show` in both forms and `runs export`. What differs from run to run is replaced by a
//! word; everything else stands in `tests/fixtures/runs`.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Machine;
use super::runs::{Counting, World};

/// The second step fails once; a value is made of what it said.
const STEPS: &str = "steps:
- {id: a, skill: one, inputs: {n: \"{{ workflow.input.n }}\"}}
- {id: b, skill: two, inputs: {before: \"{{ steps.a.outputs.said }}\"}, retry: {max_attempts: 2, initial: 1ms, jitter: false}}
- {id: v, step_type: set, value: \"{{ steps.b.outputs.said }}!\"}
- {id: none, skill: three, when: \"{{ false }}\"}
output: {said: \"{{ steps.v.outputs }}\"}
";

fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/runs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn digest(text: &str) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(text.as_bytes())))
}

fn world() -> World {
    World::new(
        STEPS,
        Counting::start(|call, before| {
            let said = format!("{} was called", call.skill);
            (Duration::ZERO, if call.skill == "two" && before == 0 { Err("not yet".to_owned()) } else { Ok(json!({ "said": said })) })
        }),
    )
}

/// Replaces times and random numbers, which must be there.
fn without_times(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if name == "at" || name.ends_with("_at") {
                    assert!(member.is_string(), "{name}: {member}");
                    *member = json!("2026-01-01T00:00:00.000Z");
                } else if name == "entropy" {
                    *member = json!(0);
                } else {
                    without_times(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_times),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Replaces the bars, and how long things took, which must be there.
fn without_durations(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.starts_with("started ") {
            assert!(line.contains(", lasted "), "{line}");
            lines.push("started …".to_owned());
            continue;
        }
        let words = line.split_whitespace().map(|word| {
            let is_duration = word.starts_with(|first: char| first.is_ascii_digit()) && word.ends_with('s') && !word.contains('_');
            match word.trim_matches(['█', '▒', '·', '░']) {
                "|" => "BAR",
                _ if is_duration => "TOOK",
                word => word,
            }
        });
        lines.push(words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "));
    }
    lines.join("\n") + "\n"
}

#[test]
fn a_run_is_told_whole_with_digests_hashes_sizes_and_reasons() {
    let world = world();
    let gantry = world.serve(&[]);
    let run = world.start(&gantry, 7).unwrap();
    world.until(&run, "completed");
    let shown = world.runs(&["show", &run, "--json"]).expect(0).json();
    let told = world.runs(&["show", &run]).expect(0).stdout;
    let export = world.runs(&["export", &run]).expect(0).json();

    // Where each digest comes from, so that the words in the fixtures stand for the right thing.
    let registry = |what: &str| {
        let listed = world.machine.run(&[what, "list", "--json", "--registry", &world.registry]).expect(0).json();
        listed[0]["digest"].as_str().unwrap_or_else(|| panic!("{listed:#}")).to_owned()
    };
    let (workflow, card) = (registry("workflow"), registry("agent"));
    assert_eq!((&shown["digest"], &export["header"]["digest"]), (&json!(workflow), &json!(workflow)));
    assert_eq!(shown["input"]["digest"], digest("{\"n\":7}"));
    let entry = |index: usize| &shown["entries"][index];
    let payload = |text: &str| json!({ "digest": digest(text), "bytes": text.len() });
    assert_eq!((&entry(0)["inputs"], &entry(0)["value"]), (&payload("{\"n\":7}"), &payload("{\"said\":\"one was called\"}")));
    for index in [1, 2] {
        assert_eq!(entry(index)["inputs"], payload("{\"before\":\"one was called\"}"), "of both attempts");
    }
    assert_eq!((entry(0)["agent"]["card"].as_str(), export["events"][1]["by"]["card"].as_str()), (Some(&*card), Some(&*card)));
    assert_eq!(export["events"][1]["inputs"], entry(0)["inputs"], "the hash is the recorded one");

    let context = shown["labels"]["a2a.context"].as_str().unwrap_or_default().to_owned();
    let short = |digest: &str| digest["sha256:".len()..][..12].to_owned();
    let named = |text: String| {
        let words =
            [(&*run, "RUN"), (&*workflow, "WORKFLOW"), (&*card, "CARD"), (env!("CARGO_PKG_VERSION"), "VERSION"), (&*context, "CONTEXT")];
        let text = words.iter().filter(|(found, _)| !found.is_empty()).fold(text, |text, (found, word)| text.replace(found, word));
        text.replace(&short(&workflow), "WORKFLOW").replace(&short(&card), "CARD")
    };
    let json = |mut value: Value| {
        without_times(&mut value);
        named(serde_json::to_string_pretty(&value).unwrap()) + "\n"
    };
    for (name, found) in [("show.json", json(shown)), ("export.json", json(export)), ("show.txt", named(without_durations(&told)))] {
        let expected = fixture(name);
        assert!(found == expected, "{name} is now\n{found}");
    }
    gantry.running.signal("TERM");
    gantry.running.end().expect(0);
}

#[test]
fn a_card_given_by_hand_is_known_by_the_digest_of_its_bytes() {
    let world = world();
    let skills = ["one", "two", "three"].map(|id| json!({ "id": id, "name": id, "description": id }));
    let card = json!({ "name": "by-hand", "url": world.agent.url, "skills": skills }).to_string() + " \n";
    world.machine.write("hand.json", &card);
    let data = world.data_dir();
    let run =
        ["run", "--workflow", "w.yaml", "--agent-card", "hand.json", "--registry", &world.registry, "--data-dir", data.to_str().unwrap()];
    world.machine.run(&[&run[..], &["--input", "n=7"]].concat()).expect(0);
    let listed = world.list();
    let shown = world.runs(&["show", listed[0]["run"].as_str().unwrap(), "--json"]).expect(0).json();
    let agent = &shown["entries"][0]["agent"];
    assert_eq!(agent, &json!({ "name": "by-hand", "card": digest(&card), "reason": "its card was given by hand" }));
}

/// The record of an older gantry, which knew no hashes of inputs, and one whose hashes are others than those of today.
#[test]
fn a_record_replays_with_the_hashes_it_has() {
    let machine = Machine::new();
    let export = fixture("export.json").replace("RUN", "r").replace("VERSION", "0.0.1");
    let export = export.replace("WORKFLOW", &digest("workflow")).replace("CARD", &digest("card"));
    machine.write("run.json", &export);
    let replayed = machine.run(&["replay", "run.json"]).expect(0);
    assert!(replayed.stderr.contains("goes the same way: 5 events, completed"), "{}", replayed.stderr);

    let mut older: Value = serde_json::from_str(&export).unwrap();
    older["format"] = Value::from(1);
    for event in older["events"].as_array_mut().unwrap() {
        event.as_object_mut().unwrap().remove("inputs");
    }
    assert_ne!(older.to_string(), serde_json::from_str::<Value>(&export).unwrap().to_string());
    machine.write("older.json", &older.to_string());
    machine.run(&["replay", "older.json"]).expect(0);

    let other = export.replacen(&digest("{\"n\":7}"), &digest("{\"n\":\"7\"}"), 1);
    machine.write("other.json", &other);
    let diverged = machine.run(&["replay", "other.json"]).expect(1);
    for part in ["step `a`", "the start (event 1)", &digest("{\"n\":\"7\"}"), &digest("{\"n\":7}"), "{\"n\":7}"] {
        assert!(diverged.stdout.contains(part), "{part} in {}", diverged.stdout);
    }
}

#[test]
fn a_record_of_a_newer_gantry_and_what_is_no_record_are_refused_in_their_words() {
    const KNOWN: u32 = gantry::engine::Export::FORMAT;
    let machine = Machine::new();
    let export = fixture("export.json").replace("RUN", "r").replace("VERSION", "0.0.1");
    let export = export.replace("WORKFLOW", &digest("workflow")).replace("CARD", &digest("card"));
    let export: Value = serde_json::from_str(&export).unwrap();
    let make_one = "make one with `gantry runs export`";
    for (format, said, hint) in [
        (Some(json!(KNOWN + 1)), format!("it has format {}, and this gantry knows {KNOWN}", KNOWN + 1), "use a newer gantry"),
        (Some(json!(u64::MAX)), format!("it has format {}, and this gantry knows {KNOWN}", u64::MAX), "use a newer gantry"),
        (Some(json!(KNOWN.to_string())), "it has no `format`".to_owned(), make_one),
        (None, "it has no `format`".to_owned(), make_one),
    ] {
        let mut export = export.clone();
        match &format {
            Some(format) => export["format"] = format.clone(),
            None => _ = export.as_object_mut().unwrap().remove("format"),
        }
        machine.write("run.json", &export.to_string());
        let refused = machine.run(&["replay", "run.json"]).expect(2);
        assert_eq!(refused.stderr, format!("error: `run.json` is no exported run: {said}\n  hint: {hint}\n"), "{format:?}");
        assert_eq!(refused.stdout, "", "{format:?}");
    }
}
