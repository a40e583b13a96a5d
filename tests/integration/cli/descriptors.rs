//! A process that has no file descriptors left: it rests, says so, and goes on when there are some again.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::mpsc;

use serde_json::{Value, json};

use super::runs::{Counting, World};
use super::{PATIENCE, Running};

/// Enough to start with, and fewer than the control channel would take.
const DESCRIPTORS: usize = 72;

#[test]
fn the_control_channel_survives_that_there_are_no_descriptors_left() {
    let steps = "metadata: {id: chain, name: Chain, version: 1.0.0}\nsteps: [{id: ask, step_type: input, prompt: well?}]\n";
    let world = World::of(&["one"], &[steps.to_owned()], Counting::start(|_, _| (std::time::Duration::ZERO, Ok(json!(1)))));
    let ready = world.machine.path("serve.json");
    let served = world.command(&["--log", "gantry=warn", "--ready-file", ready.to_str().unwrap()]);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {DESCRIPTORS} && exec \"$0\" \"$@\"")]).arg(served.get_program()).args(served.get_args());
    command.current_dir(served.get_current_dir().unwrap()).env_clear();
    command.envs(served.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let (mut running, _) = Running::ready(command, &ready);
    let (lines, logged) = mpsc::channel();
    let stderr = running.child.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        BufReader::new(stderr).lines().map_while(Result::ok).filter(|line| line.contains("control connection")).for_each(|line| {
            let _ = lines.send(line);
        });
    });
    let announced = gantry::journal::DataDir::announced(&world.data_dir().join("runs")).unwrap();
    let address: SocketAddr = serde_json::from_str::<Value>(&announced).unwrap()["address"].as_str().unwrap().parse().unwrap();
    // Who says nothing holds a connection for a while.
    let silent: Vec<TcpStream> = (0..DESCRIPTORS).map(|_| TcpStream::connect(address).unwrap()).collect();
    let told = logged.recv_timeout(PATIENCE).expect("it says that it cannot accept");
    assert!(told.contains("could not be accepted"), "{told}");
    drop(silent);
    assert!(world.runs(&["cancel", "nothing-like-it"]).expect(3).stderr.contains("there is no run"));
    let data = world.data_dir();
    let asked = world.machine.run(&["runs", "prune", "--keep", "1", "--data-dir", data.to_str().unwrap()]).expect(0);
    assert!(asked.stderr.contains("0 ended runs were forgotten"), "it is served again: {}", asked.stderr);
    running.signal("TERM");
    let status = running.child.wait().unwrap();
    assert!(status.success(), "{status}");
    reading.join().unwrap();
    let again = logged.iter().count();
    assert!(again < 400, "it rests in between: {again} refusals");
}
