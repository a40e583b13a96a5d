//! The scripts: bootstrap starts, says so when called again, and kill stops exactly that; the conformance agent stays in the
//! foreground and ends with its script.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Machine, Ran, Running};

fn script(machine: &Machine, name: &str, arguments: &[&str]) -> Ran {
    Ran::from(command(machine, name, arguments).output().unwrap())
}

fn command(machine: &Machine, name: &str, arguments: &[&str]) -> Command {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
    let mut command = Command::new("bash");
    command.arg(path).args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", machine.directory.path()).env("GANTRY_BIN", env!("CARGO_BIN_EXE_gantry"));
    command.env("GANTRY_STATE_DIR", machine.path("state"));
    command
}

/// Stops what bootstrap started, also when a test fails before it does.
struct Stopped<'a>(&'a Machine);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        script(self.0, "kill.sh", &[]);
    }
}

#[test]
fn bootstrap_push_and_kill() {
    let machine = Machine::new();
    let guard = Stopped(&machine);
    let arguments = ["--port", "0", "--registry-port", "0", "--agent-ports", "0", "--ephemeral"];
    let first = script(&machine, "bootstrap.sh", &arguments).expect(0);
    assert!(first.stdout.contains("gantry is up (pid ") && first.stdout.contains("code-generation-v1"), "{}", first.stdout);
    let pid = machine.json("state/ready.json")["pid"].clone();
    let registry = machine.json("state/ready.json")["registry"].as_str().unwrap().to_owned();

    let again = script(&machine, "bootstrap.sh", &arguments).expect(0);
    assert!(again.stdout.contains(&format!("already up (pid {pid})")), "{}", again.stdout);

    let pushed = script(&machine, "push_workflows.sh", &[&registry]).expect(0);
    assert!(pushed.stdout.contains("smart-router-v1"), "{}", pushed.stdout);

    let down = script(&machine, "kill.sh", &[]).expect(0);
    assert!(down.stdout.contains(&format!("gantry is down (was pid {pid})")), "{}", down.stdout);
    let down = script(&machine, "kill.sh", &[]).expect(0);
    assert!(down.stdout.contains("not up"), "{}", down.stdout);
    drop(guard);
}

#[test]
fn kill_leaves_other_processes_alone() {
    let machine = Machine::new();
    let mut other = Command::new("sleep").arg("60").spawn().unwrap();
    machine.write("state/gantry.pid", &format!("{}\nMon Jan  1 00:00:00 2001\n", other.id()));
    let ran = script(&machine, "kill.sh", &[]).expect(0);
    assert!(ran.stdout.contains("is gone"), "{}", ran.stdout);
    assert!(other.try_wait().unwrap().is_none(), "it still runs");
    other.kill().unwrap();
    other.wait().unwrap();

    machine.write("state/gantry.pid", "all\n");
    script(&machine, "kill.sh", &[]).expect(1);
}

#[test]
fn a_start_that_fails_is_said() {
    let machine = Machine::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = script(&machine, "bootstrap.sh", &["--port", "0", "--registry-port", &port, "--agent-ports", "0", "--ephemeral"]).expect(1);
    assert!(ran.stderr.contains(&format!("port {port}")), "{}", ran.stderr);
    assert!(!machine.path("state/gantry.pid").exists());
}

/// What a process says first, up to the end of its line and no further: the rest is read at its end.
fn first_line(running: &mut Running) -> String {
    let mut line = String::new();
    BufReader::with_capacity(1, running.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

#[tokio::test]
async fn the_conformance_agent_serves_its_profile_until_it_is_told_to_stop() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
    for (flags, signal, expected) in [
        (&[][..], "TERM", [true, true, false, false]),
        (&["--no-push"], "INT", [true, false, false, false]),
        (&["--no-streaming", "--extended-card", "--required-extension", "urn:test:needed"], "TERM", [false, true, true, true]),
    ] {
        let machine = Machine::new();
        let mut arguments = vec!["0"];
        arguments.extend(flags);
        let mut agent = Running::spawn(command(&machine, "conformance_agent.sh", &arguments));
        let line = first_line(&mut agent);
        let url = line.split_whitespace().find(|word| word.starts_with("http://localhost:")).map(|word| word.trim_end_matches(','));
        let url = url.unwrap_or_else(|| panic!("it says where it is: {line}")).to_owned();
        let read = http.get(format!("{url}/.well-known/agent-card.json")).send().await.unwrap();
        let card: serde_json::Value = read.json().await.unwrap();
        assert_eq!(card["supportedInterfaces"][0]["url"], url);
        let capabilities = &card["capabilities"];
        let on = |name: &str| capabilities[name].as_bool().unwrap_or(false);
        let required = capabilities["extensions"].as_array().unwrap().iter().any(|extension| extension["required"] == true);
        assert_eq!([on("streaming"), on("pushNotifications"), on("extendedAgentCard"), required], expected, "{flags:?}");
        // To the process that was started: a script that merely waits for gantry would leave it behind.
        agent.signal(signal);
        let ended = agent.end().expect(0);
        assert!(!ended.stderr.contains("DEBUG"), "quiet unless asked: {}", ended.stderr);
        assert!(http.get(format!("{url}/readyz")).send().await.is_err(), "nothing is left at {url}");
    }
}

#[test]
fn the_conformance_agent_says_what_is_wrong_with_how_it_is_called() {
    let machine = Machine::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = script(&machine, "conformance_agent.sh", &[&port]).expect(3);
    assert!(ran.stderr.contains(&format!("port {port}")) && ran.stderr.contains("hint:"), "{}", ran.stderr);
    for arguments in [&[][..], &["port"], &["0", "--no-such-flag"], &["0", "--required-extension"]] {
        let ran = script(&machine, "conformance_agent.sh", arguments).expect(2);
        assert!(ran.stderr.contains("conformance_agent.sh PORT"), "{arguments:?}: {}", ran.stderr);
    }
}
