//! The scripts: bootstrap starts, says so when called again, and kill stops exactly that.

use std::path::Path;
use std::process::Command;

use super::{Machine, Ran};

fn script(machine: &Machine, name: &str, arguments: &[&str]) -> Ran {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
    let mut command = Command::new("bash");
    command.arg(path).args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    command.env("HOME", machine.directory.path()).env("GANTRY_BIN", env!("CARGO_BIN_EXE_gantry"));
    command.env("GANTRY_STATE_DIR", machine.path("state"));
    Ran::from(command.output().unwrap())
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
