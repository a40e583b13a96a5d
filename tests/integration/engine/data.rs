//! What agents return is data for ever, and what is secret is seen by nobody it was not sent to.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use gantry::agent::{Options as ClientOptions, Secret};
use gantry::engine::Engine;
use gantry::journal::{Journal, Sqlite};
use gantry::registry::Layout;
use serde_json::{Value, json};

use super::agent::{Act, Agent, Speaks};
use super::world::{World, client_options, failure, output, step, updates};

/// Values that mean something elsewhere: templates, paths, YAML, JSON, what breaks out of quotes, numbers at the edge.
fn hostile() -> Vec<Value> {
    let texts = [
        "{{ workflow.input.secret }}",
        "{{ steps.first.outputs }}{% for x in y %}{# note #}",
        "x' != 'y' or 'z",
        "../../etc/passwd",
        "$(rm -rf /); `id`",
        "- id: evil\n  skill: work\n",
        "*anchor &anchor !!python/object",
        "{\"result\": true}",
        "\u{0}\u{7}\u{1b}[31m",
        "\u{202e}rtl \u{1f980}",
        "",
    ];
    let mut values: Vec<_> = texts.iter().map(|text| json!(text)).collect();
    values.push(json!({"{{ key }}": ["{{ steps.nope.outputs }}", null, {"deep": "{{ run.id }}"}], "id": "evil", "skill": "work"}));
    values.push(json!([i64::MAX, u64::MAX, i64::MIN, 0.1, -0.5, 1e300, true, null]));
    values
}

#[tokio::test]
async fn what_an_agent_returns_reaches_the_next_one_untouched() {
    let yaml = "
steps:
  - {id: first, skill: give, outputs: result}
  - {id: second, skill: take, inputs: {whole: \"{{ steps.first.outputs.result }}\", list: [\"{{ steps.first.outputs.result }}\"]}}
output: {again: \"{{ steps.first.outputs.result }}\", taken: \"{{ steps.second.outputs }}\"}
";
    for value in hostile() {
        for speaks in [Speaks::Plain, Speaks::A2a1, Speaks::A2a03] {
            let given = value.clone();
            let gives = Agent::start("gives", &["give"], speaks, move |_| Act::Reply(given.clone())).await;
            let takes = Agent::plain("takes", &["take"], |call| call.inputs.clone()).await;
            let ended = World::knowing(&[&gives, &takes]).run(yaml, json!({"secret": "canary"})).await;
            let expected = json!({"whole": value, "list": [value]});
            // Compared as text, which tells 1 from 1.0 and shows the order of keys.
            let as_text = |value: &Value| value.to_string();
            assert_eq!(as_text(&takes.look(|seen| seen.calls[0].inputs.clone())), as_text(&expected), "{speaks:?}");
            assert_eq!(as_text(output(&ended)), as_text(&json!({"again": value, "taken": expected})), "{speaks:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_cannot_turn_a_condition_or_a_switch() {
    let yaml = "
steps:
  - {id: first, skill: give}
  - id: check
    step_type: conditional
    condition: \"{{ steps.first.outputs.word == 'y' }}\"
    branches: {if_true: [{id: opened, skill: give}], if_false: [{id: shut, set_nothing: 1}]}
";
    let yaml = yaml.replace(", set_nothing: 1", ", skill: give");
    let gives = Agent::plain("gives", &["give"], |_| json!({"word": "x' != 'y' or 'z"})).await;
    let ended = World::knowing(&[&gives]).run(&yaml, json!({})).await;
    assert_eq!(step(&ended, "opened").status.as_str(), "skipped");
    assert_eq!(step(&ended, "shut").status.as_str(), "completed");
}

#[tokio::test]
async fn the_words_of_an_error_are_data_too() {
    let breaks = Agent::start("breaks", &["break"], Speaks::Plain, |_| Act::Fail("{{ workflow.input.secret }}".to_owned())).await;
    let takes = Agent::plain("takes", &["take"], |call| call.inputs.clone()).await;
    let yaml = "
steps:
  - {id: first, skill: break, on_error: continue}
  - {id: second, skill: take, inputs: {said: \"{{ steps.first.error.message }}\"}}
";
    let ended = World::knowing(&[&breaks, &takes]).run(yaml, json!({"secret": "canary"})).await;
    let said = output(&ended)["said"].as_str().unwrap();
    assert!(said.contains("{{ workflow.input.secret }}") && !said.contains("canary"), "{said}");
}

/// Collects whatever is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One runtime on one thread: everything that the engine and the client log is logged here.
#[tokio::test]
async fn credentials_are_in_no_snapshot_update_journal_or_log() {
    const CANARY: &str = "canary-7f3a9c51";
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Sqlite::open(dir.path()).unwrap());
    let header = vec![("content-type", "application/json".to_owned()), ("x-session", format!("{CANARY}-header"))];
    let wrong = json!({"error": {"code": -1, "message": format!("I do not like the token {CANARY}")}}).to_string();
    let acts: [Act; 4] = [
        Act::Fail(format!("your token is Bearer {CANARY}, is it not?")),
        Act::Http(500, header.clone(), wrong.clone()),
        Act::Http(
            401,
            vec![("www-authenticate", format!("Bearer realm=\"{CANARY}\"")), ("content-type", "text/plain".to_owned())],
            CANARY.to_owned(),
        ),
        Act::Http(200, header, json!({"result": "fine"}).to_string()),
    ];
    let mut agents = Vec::new();
    let mut credentials = BTreeMap::new();
    let names = ["a", "b", "c", "d"];
    for (name, act) in names.into_iter().zip(acts) {
        let agent = Agent::start(name, &[name], Speaks::Plain, move |_| act.clone()).await;
        credentials.insert(agent.url.trim_start_matches("http://").to_owned(), Secret::new(CANARY));
        agents.push(agent);
    }
    let options = ClientOptions { credentials, ..client_options() };
    let world = World::over(Arc::new(Layout::ephemeral().unwrap()), Arc::clone(&journal) as Arc<dyn Journal>, options);
    agents.iter().for_each(|agent| world.meet(&[agent]));
    let steps: String = names.iter().map(|name| format!("  - {{id: s_{name}, skill: {name}, on_error: continue}}\n")).collect();
    let run = world.start(&format!("steps:\n{steps}  - {{id: last, skill: a}}"), json!({})).await;
    let mut watched = world.engine.subscribe(&run).await.unwrap();
    let told = updates(&mut watched).await;
    let snapshot = world.engine.snapshot(&run).await.unwrap();
    assert!(failure(&snapshot).message.contains("***"), "the agent's error is shown without it: {:?}", failure(&snapshot));
    for agent in &agents {
        assert!(agent.look(|seen| seen.credentials.iter().all(|sent| *sent == format!("Bearer {CANARY}")) && !seen.credentials.is_empty()));
    }
    let refuse = |what: &str, text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        if let Some(at) = text.find(CANARY) {
            let from = text.floor_char_boundary(at.saturating_sub(200));
            panic!("{what} holds the canary: …{}", &text[from..at + CANARY.len()]);
        }
    };
    refuse("the snapshot", serde_json::to_string(&snapshot).unwrap().as_bytes());
    refuse("the snapshot's debug form", format!("{snapshot:?}").as_bytes());
    refuse("an update", format!("{told:?}").as_bytes());
    refuse("the engine's debug form", format!("{:?}", world.engine).as_bytes());
    refuse("the journal's events", serde_json::to_string(&journal.events(&run).await.unwrap()).unwrap().as_bytes());
    let mut files = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        refuse("the journal's files", &std::fs::read(entry.unwrap().path()).unwrap());
        files += 1;
    }
    assert!(files > 0);
    let logged = log.0.lock().unwrap().clone();
    let lines = String::from_utf8_lossy(&logged).into_owned();
    let failed: Vec<&str> = lines.lines().filter(|line| line.contains("attempt failed")).collect();
    assert!(!failed.is_empty(), "the log was captured");
    // By the line itself: the span of the run is left out where only warnings are written.
    assert!(failed.iter().all(|line| line.contains(&format!("attempt failed run_id={run} step="))), "{failed:#?}");
    refuse("the log", &logged);
}

/// What an agent says may be anybody's: the log has what kind of failure it was, and the error of the step has the words.
#[tokio::test]
async fn the_words_of_an_agent_that_fails_are_in_no_log() {
    const WORDS: &str = "words-of-the-agent-4b1d";
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false).with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let plain = vec![("content-type", "text/plain".to_owned())];
    let busy = Agent::start("busy", &["work"], Speaks::Plain, move |_| Act::Http(429, plain.clone(), WORDS.to_owned())).await;
    let says = Agent::start("says", &["talk"], Speaks::A2a1, |_| Act::Fail(WORDS.to_owned())).await;
    let yaml = "steps:
  - {id: a, skill: work, on_error: continue, retry: {max_attempts: 6, initial: 1ms, jitter: false}}
  - {id: b, skill: talk}
";
    let ended = World::knowing(&[&busy, &says]).run(yaml, json!({})).await;
    assert!(failure(&ended).message.contains(WORDS), "{:?}", failure(&ended));
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let opened = log.lines().find(|line| line.contains("circuit open")).expect("the circuit opens");
    for part in ["agent=busy", "5 failures in a row", "code=\"rate_limited\"", "http_status=429"] {
        assert!(opened.contains(part), "{part} in {opened}");
    }
    let told: Vec<&str> = log.lines().filter(|line| line.contains(WORDS)).collect();
    assert!(told.is_empty(), "{told:#?}");
}
