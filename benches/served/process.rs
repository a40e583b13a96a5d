//! The programs that are measured, each a process of its own, and what the system says of them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Failure;

/// Longer than any of them takes to start.
const START_TIMEOUT: Duration = Duration::from_secs(20);
/// Between two looks at a file that another process writes.
const LOOK_AGAIN: Duration = Duration::from_micros(500);

/// Ends with its owner.
pub(super) struct Process {
    child: Child,
    pub(super) url: String,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// This program again, in another part, which says its URL in its first line.
    pub(super) fn own(arguments: &[&str]) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?).args(arguments).stdout(Stdio::piped()).spawn()?;
        let mut url = String::new();
        BufReader::new(child.stdout.take().ok_or("no output")?).read_line(&mut url)?;
        Ok(Self { child, url: url.trim().to_owned() })
    }

    /// gantry, with what it writes to its ready file under `member` as its URL.
    pub(super) fn gantry(home: &Path, arguments: &[&str], member: &str) -> Result<Self, Failure> {
        let ready = home.join(format!("ready-{}.json", fastrand::u64(..)));
        let child = gantry(home).args(arguments).arg("--ready-file").arg(&ready).spawn()?;
        let mut process = Self { child, url: String::new() };
        let start = Instant::now();
        while start.elapsed() < START_TIMEOUT {
            if let Some(url) = std::fs::read(&ready).ok().and_then(|text| url_in(&text, member)) {
                process.url = url;
                return Ok(process);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Err(format!("gantry {arguments:?} did not start").into())
    }

    /// Processor time so far, of all its threads.
    pub(super) fn cpu(&self) -> Result<Duration, Failure> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold spaces; the fields that count come after it.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = fields.get(11).ok_or("no utime")?.parse::<u64>()? + fields.get(12).ok_or("no stime")?.parse::<u64>()?;
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Resident memory in bytes: now (`VmRSS`) or at its peak (`VmHWM`).
    pub(super) fn memory(&self, which: &str) -> Result<u64, Failure> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(which)).ok_or("no such line")?;
        let kilobytes: u64 = line.trim_start_matches(':').trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes * 1024)
    }
}

/// The binary of this build, away from whatever configuration and registry this machine has.
pub(super) fn gantry(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    command.env_clear().env("HOME", home).current_dir(home).stdout(Stdio::null()).stderr(Stdio::inherit());
    command
}

fn url_in(text: &[u8], member: &str) -> Option<String> {
    serde_json::from_slice::<Value>(text).ok()?[member].as_str().map(str::to_owned)
}
