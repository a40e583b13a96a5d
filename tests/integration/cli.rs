//! The program itself: what a person at a terminal, a script and a signal see of it.
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

mod built_in;
mod damaged;
mod descriptors;
mod docs;
mod exits;
mod explain;
mod faults;
mod following;
mod interrupts;
mod keys;
mod kills;
mod local;
mod outputs;
mod retention;
mod runs;
mod scripts;
mod send;
mod send_odd;
mod served_faults;
mod starts;
mod up;
mod validate;

/// Anything here takes well under a second; this bounds a test that went wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// A machine that knows nothing of gantry: an empty home, an empty directory to work in, no environment.
struct Machine {
    directory: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(crate::gantries::program());
        command.args(arguments).current_dir(self.directory.path()).env_clear();
        command.env("HOME", self.directory.path()).env("PATH", std::env::var_os("PATH").unwrap());
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().unwrap())
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&std::fs::read(self.path(name)).unwrap()).unwrap()
    }
}

/// What a command left.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        assert!(!self.stderr.contains("panicked"), "{}", self.stderr);
        self
    }

    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in\n{}\nstderr:\n{}", self.stdout, self.stderr))
    }
}

/// A process that goes on until it is told to stop; killed when a test fails.
struct Running {
    child: Child,
}

impl Running {
    fn spawn(mut command: Command) -> Self {
        Self { child: command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap() }
    }

    /// Starts one that writes a ready file, and waits for that.
    fn ready(command: Command, ready_file: &Path) -> (Self, Value) {
        let mut running = Self::spawn(command);
        let text = wait_for("the ready file", || {
            if let Some(status) = running.child.try_wait().unwrap() {
                let mut stderr = String::new();
                running.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
                panic!("ended with {status}: {stderr}");
            }
            std::fs::read(ready_file).ok()
        });
        (running, serde_json::from_slice(&text).unwrap())
    }

    /// Starts one that tells something on its standard output, and waits for the first line.
    fn telling(command: Command, expected: &str) -> Self {
        let mut running = Self::spawn(command);
        let mut line = String::new();
        // What came with it goes with the buffer.
        BufReader::new(running.child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains(expected), "{line}");
        running
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success(), "kill -{name}");
    }

    /// Waits for its end.
    fn end(mut self) -> Ran {
        wait_for("the end of the process", || self.child.try_wait().unwrap());
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = self.child.wait().unwrap().code();
        Ran { code, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Looks every few milliseconds: another process can only be watched from outside.
#[track_caller]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// An agent that takes calls and never answers; tells how many it has taken.
struct Silent {
    address: std::net::SocketAddr,
    taken: std::sync::Arc<std::sync::atomic::AtomicUsize>,
}

impl Silent {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let taken = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = taken.clone();
        // Ends with the test's process; it only holds connections open.
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 64];
                if stream.read(&mut request).is_ok_and(|read| read > 0) {
                    count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                }
                held.push(stream);
            }
        });
        Self { address, taken }
    }

    fn card(&self, skill: &str) -> String {
        serde_json::json!({
            "name": "silent-agent", "description": "never answers", "version": "1.0.0", "url": format!("http://{}", self.address),
            "skills": [{"id": skill, "name": skill, "description": "never answers"}]
        })
        .to_string()
    }

    fn wait_for_call(&self) {
        wait_for("the call", || (self.taken.load(std::sync::atomic::Ordering::SeqCst) > 0).then_some(()));
    }
}

/// A workflow of one step.
fn one_step(skill: &str) -> String {
    format!("metadata: {{id: one-step, name: One step, version: 1.0.0}}\nsteps:\n  - id: only\n    skill: {skill}\n    outputs: result\n")
}
