//! What a start finds: its directory, who holds that, its runs, and its registry.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use super::faults::is_full;
use super::runs::{Counting, World};
use super::{Machine, Ran, Running, wait_for};

const CHAIN: &str = "metadata: {id: chain, name: Chain, version: 1.0.0}\nsteps: [{id: a, skill: one}, {id: b, skill: two}]";

/// Never answers the first call, and all others at once.
fn slow_at_first() -> Counting {
    Counting::start(|call, before| {
        let delay = if before == 0 && call.skill == "one" { Duration::from_secs(3600) } else { Duration::ZERO };
        (delay, Ok(json!({ "said": call.skill })))
    })
}

/// A world with a run whose first call is under way.
fn world_with_a_run() -> (World, super::runs::Gantry) {
    let world = World::of(&["one", "two"], &[CHAIN.to_owned()], slow_at_first());
    let gantry = world.serve(&[]);
    world.send(&gantry, json!({ "messageId": "m", "parts": [{ "data": { "workflow_id": "chain" } }] })).unwrap();
    wait_for("the call", || (!world.agent.calls().is_empty()).then_some(()));
    (world, gantry)
}

fn kill(gantry: super::runs::Gantry) {
    let mut running = gantry.running;
    running.child.kill().unwrap();
    running.child.wait().unwrap();
}

#[test]
fn a_second_process_and_one_on_a_copy_are_refused_while_the_first_is_there() {
    let (world, gantry) = world_with_a_run();
    let pid = gantry.running.child.id();
    let began = Instant::now();
    let second = Ran::from(world.command(&[]).output().unwrap()).expect(3);
    assert!(second.stderr.contains(&format!("is held by process {pid}")), "{}", second.stderr);
    if is_full() {
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    }
    let copy = |to: &str| {
        let copied = Command::new("cp").arg("-r").arg(world.data_dir()).arg(world.machine.path(to)).status().unwrap();
        assert!(copied.success());
    };
    copy("copy");
    let serve =
        |data: &str| world.machine.command(&["serve", "--port", "0", "--no-publish", "--registry", &world.registry, "--data-dir", data]);
    let refused = Ran::from(serve("copy").output().unwrap()).expect(3);
    let original = world.data_dir().join("runs").canonicalize().unwrap();
    for part in [format!("is a copy of {}, which is held by process {pid}", original.display()), "Stop that one".to_owned()] {
        assert!(refused.stderr.contains(&part), "{}", refused.stderr);
    }
    assert_eq!(world.agent.calls().len(), 1, "the run of the copy has not gone on");
    let listed = world.machine.run(&["runs", "list", "--data-dir", "copy", "--json"]).expect(0).json();
    assert_eq!(listed[0]["status"], "running", "it can be looked at");
    // Whoever controls the copy must not reach the holder of the original.
    let run = listed[0]["run"].as_str().unwrap();
    for command in [&["cancel", run][..], &["follow", run], &["answer", run, "1"], &["retry", run]] {
        let refused = world.machine.run(&[&["runs"], command, &["--data-dir", "copy"]].concat()).expect(3).stderr;
        let original = world.data_dir().canonicalize().unwrap();
        let told =
            format!("error: copy is a copy of {0}, which is held by process {pid}: its runs are under way there\n", original.display());
        assert!(refused.starts_with(&told) && refused.contains("reach that gantry with --data-dir"), "{command:?}: {refused}");
        assert!(!refused.contains("start `gantry"), "{command:?}: {refused}");
    }
    assert_eq!(world.list()[0]["status"], "running");

    kill(gantry);
    let canceled = world.machine.run(&["runs", "cancel", run, "--data-dir", "copy"]).expect(3).stderr;
    assert!(canceled.contains("start `gantry"), "the copy may go on when nobody has the original: {canceled}");
    let ready = world.machine.path("copy.json");
    let mut command = serve("copy");
    command.arg("--ready-file").arg(&ready);
    let (_running, _) = Running::ready(command, &ready);
    wait_for("the run of the copy", || {
        let listed = world.machine.run(&["runs", "list", "--data-dir", "copy", "--json"]).expect(0).json();
        (listed[0]["status"] == "completed").then_some(())
    });
}

#[test]
fn a_run_that_cannot_go_on_at_a_start_is_told() {
    let (world, gantry) = world_with_a_run();
    kill(gantry);
    let run = world.list()[0]["run"].as_str().unwrap().to_owned();
    let journal = rusqlite::Connection::open(world.data_dir().join("runs/journal.sqlite3")).unwrap();
    assert_eq!(journal.execute("UPDATE events SET body = x'00'", []).unwrap(), 1);
    drop(journal);
    let gantry = world.serve(&[]);
    gantry.running.signal("TERM");
    let told = gantry.running.end().expect(0).stderr;
    assert!(told.contains(&format!("run {run} cannot go on; the reason is in the log")), "{told}");
    assert!(told.contains("run cannot be resumed") && told.contains("event 0"), "{told}");
    assert_eq!(world.list()[0]["status"], "running", "it is let be");
}

/// Whoever reads a ready file stands somewhere else.
#[test]
fn a_ready_file_names_the_directory_for_readers_elsewhere() {
    for command in [&["registry", "serve"][..], &["serve", "--embedded"]] {
        let machine = Machine::new();
        let more = ["--port", "0", "--data-dir", "data", "--ready-file", "ready.json"];
        let (running, addresses) = Running::ready(machine.command(&[command, &more].concat()), &machine.path("ready.json"));
        assert_eq!(addresses["data_dir"], machine.directory.path().canonicalize().unwrap().join("data").to_str().unwrap());
        running.signal("TERM");
        running.end().expect(0);
    }
}

/// `gantry up` was here, and what was pushed to its registry is not found: that is said.
#[test]
fn a_registry_in_the_directory_that_is_not_served_is_named() {
    let machine = Machine::new();
    for has_registry in [false, true] {
        if has_registry {
            std::fs::create_dir_all(machine.path("data/registry")).unwrap();
        }
        let serve = machine.command(&["serve", "--embedded", "--port", "0", "--data-dir", "data", "--ready-file", "ready.json"]);
        let (running, addresses) = Running::ready(serve, &machine.path("ready.json"));
        let expected = format!("`gantry up --data-dir {}` does", addresses["data_dir"].as_str().unwrap());
        running.signal("TERM");
        let told = running.end().expect(0).stderr;
        assert_eq!(told.contains(&expected), has_registry, "{told}");
    }
}

#[test]
fn runs_are_kept_where_the_platform_keeps_state_or_where_an_earlier_gantry_kept_them() {
    let places = [(None, ".local/state/gantry"), (Some(".local/share/gantry/runs"), ".local/share/gantry")];
    for (earlier, expected) in places {
        let machine = Machine::new();
        if let Some(earlier) = earlier {
            std::fs::create_dir_all(machine.path(earlier)).unwrap();
        }
        let ready = machine.path("ready.json");
        let serve = machine.command(&["serve", "--port", "0", "--embedded", "--log", "info", "--ready-file", ready.to_str().unwrap()]);
        let (running, addresses) = Running::ready(serve, &ready);
        assert_eq!(addresses["data_dir"], machine.path(expected).to_str().unwrap());
        assert!(machine.path(expected).join("runs/journal.sqlite3").exists());
        running.signal("TERM");
        let told = running.end().expect(0).stderr;
        assert_eq!(told.contains("the data directory of an earlier gantry goes on being used"), earlier.is_some(), "{told}");
        machine.run(&["runs", "list"]).expect(0);
    }
}

/// A way to a registry that can be cut: what connects meanwhile is hung up on.
struct Way {
    url: String,
    open: Arc<AtomicBool>,
}

impl Way {
    fn to(registry: &str, runtime: &tokio::runtime::Runtime) -> Self {
        let (target, open) = (registry.trim_start_matches("http://").to_owned(), Arc::new(AtomicBool::new(false)));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (url, is_open) = (format!("http://{}", listener.local_addr().unwrap()), Arc::clone(&open));
        runtime.spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                if !is_open.load(Ordering::SeqCst) {
                    continue;
                }
                let target = target.clone();
                tokio::spawn(async move {
                    let mut to = TcpStream::connect(target).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
                });
            }
        });
        Self { url, open }
    }

    /// A gantry that has its registry over this way.
    fn serve(&self, world: &World) -> (Running, Value) {
        let (data, ready) = (world.data_dir(), world.machine.path("away.json"));
        let mut serve = world.machine.command(&["serve", "--port", "0", "--registry", &self.url]);
        serve.arg("--data-dir").arg(data).arg("--ready-file").arg(&ready);
        Running::ready(serve, &ready)
    }
}

#[test]
fn a_registry_that_is_away_holds_up_no_start_and_what_needs_it_waits() {
    let (world, gantry) = world_with_a_run();
    kill(gantry);
    let way = Way::to(&world.registry, &world.agent.runtime);
    let began = Instant::now();
    let (running, addresses) = way.serve(&world);
    let took = began.elapsed();
    let url = format!("http://{}", addresses["address"].as_str().unwrap());
    let get = |path: &str| -> Value {
        let request = world.http.get(format!("{url}{path}"));
        let text = world.agent.runtime.block_on(async { request.send().await?.text().await }).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(get("/readyz")["registry"], "away");
    assert_eq!(get("/.well-known/agent-card.json")["name"], "gantry");
    // Time for its call to fail for want of an agent, if it would.
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(world.list()[0]["status"], "running", "it waits");
    assert_eq!(world.agent.calls().len(), 1);

    way.open.store(true, Ordering::SeqCst);
    wait_for("the run", || {
        let line = &world.list()[0];
        assert_ne!(line["status"], "failed", "{line:#}\n{}", world.runs(&["show", line["run"].as_str().unwrap()]).stdout);
        (line["status"] == "completed").then_some(())
    });
    wait_for("the card", || {
        let agents = world.machine.run(&["agent", "list", "--registry", &world.registry, "--json"]).expect(0).json();
        agents.as_array().unwrap().iter().any(|agent| agent["card"]["name"] == "gantry").then_some(())
    });
    assert!(get("/readyz").get("registry").is_none());
    running.signal("TERM");
    let told = running.end().expect(0).stderr;
    assert!(told.contains("no registry answers at") && told.contains("the registry answers"), "{told}");
    if is_full() {
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
}

#[test]
fn a_registry_that_takes_the_connection_and_says_nothing_is_waited_for_a_second() {
    let (machine, silent) = (Machine::new(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let (url, ready) = (format!("http://{}", silent.local_addr().unwrap()), machine.path("silent.json"));
    let mut serve = machine.command(&["serve", "--port", "0", "--ephemeral", "--registry", &url]);
    serve.arg("--ready-file").arg(&ready);
    let began = Instant::now();
    let (running, _) = Running::ready(serve, &ready);
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    running.signal("TERM");
    let told = running.end().expect(0).stderr;
    let expected = format!("no registry answers at {url}: it did not within 1 s; what needs it waits until one does");
    assert!(told.contains(&expected), "{told}");
}

#[test]
fn a_gantry_that_stops_while_the_registry_is_away_parks_what_waits_for_it() {
    let (world, gantry) = world_with_a_run();
    kill(gantry);
    let (running, _) = Way::to(&world.registry, &world.agent.runtime).serve(&world);
    running.signal("TERM");
    let told = running.end().expect(0).stderr;
    assert!(told.contains("parked for the next start"), "{told}");
    assert_eq!(world.list()[0]["status"], "running");
}

#[test]
fn a_registry_that_can_be_none_is_refused_at_once() {
    let machine = Machine::new();
    for url in ["ftp://localhost:1", "http://"] {
        let refused = machine.run(&["serve", "--port", "0", "--registry", url, "--ephemeral"]).expect(2);
        assert!(refused.stderr.contains("is not the address of a registry"), "{}", refused.stderr);
    }
}

/// What was stored last is in the write-ahead file alone, and nobody may lose it.
#[test]
fn a_journal_of_which_a_start_would_lose_runs_is_refused_and_left_as_it_is() {
    let (world, gantry) = world_with_a_run();
    kill(gantry);
    let (path, kept) = (world.data_dir().join("runs/journal.sqlite3"), world.list());
    let log = path.with_file_name("journal.sqlite3-wal");
    let (database, whole) = (std::fs::read(&path).unwrap(), std::fs::read(&log).unwrap());
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    for (name, left, bytes, looks) in
        [("damaged", Some(database.clone()), &damaged, false), ("empty", Some(Vec::new()), &whole, true), ("missing", None, &whole, true)]
    {
        match &left {
            Some(database) => std::fs::write(&path, database).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        std::fs::write(&log, bytes).unwrap();
        let looked = [&["list"][..], &["show", "abcdef"], &["export", "abcdef"], &["prune", "--keep", "0"]];
        let looked = looked.iter().filter(|_| looks).map(|arguments| world.runs(arguments));
        for refused in looked.chain([Ran::from(world.command(&[]).output().unwrap())]) {
            let told = &refused.expect(4).stderr;
            for part in ["cannot open the journal", "journal.sqlite3-wal", "Nothing was changed; move the whole directory"] {
                assert!(told.contains(part), "{name}: no {part:?} in {told}");
            }
        }
        assert_eq!(std::fs::read(&path).ok(), left, "{name}");
        assert!(std::fs::read(&log).unwrap() == *bytes, "{name}");
    }
    std::fs::write(&path, &database).unwrap();
    std::fs::write(&log, &whole).unwrap();
    world.serve(&[]).running.signal("TERM");
    assert_eq!(world.list()[0]["run"], kept[0]["run"], "with its database it is as it was");
}
