//! `gantry serve` started on a journal with a hundred thousand unfinished runs: how soon it serves, how fast the runs go on, what it takes.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::start::{Parked, WORKFLOW, bar, fill, memory_of, runs};
use super::{Failure, Stub, report};

/// Each of them makes one call; the process ended before the answer.
const CALLING: &str =
    "metadata: {id: call, name: Call, version: 1.0.0}\nsteps:\n  - {id: call, skill: echo, inputs: {value: \"{{ workflow.input.n }}\"}}\n";
/// Between two looks at what another process does.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Longest time for all of it.
const PATIENCE: Duration = Duration::from_secs(120);

/// Ends with its owner.
struct Gantry {
    child: Child,
    url: String,
}

impl Drop for Gantry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gantry {
    /// Returns when it has written its addresses; `member` is the one that is wanted.
    fn start(home: &Path, arguments: &[&str], member: &str) -> Result<Self, Failure> {
        let ready = home.join(format!("ready-{}.json", fastrand::u64(..)));
        let child = command(home).args(arguments).args(["--port", "0", "--ready-file"]).arg(&ready).spawn()?;
        let mut gantry = Self { child, url: String::new() };
        let started = Instant::now();
        while started.elapsed() < PATIENCE {
            if let Ok(text) = std::fs::read(&ready) {
                gantry.url = serde_json::from_slice::<Value>(&text)?[member].as_str().ok_or("no address")?.to_owned();
                return Ok(gantry);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Err(format!("gantry {arguments:?} did not start").into())
    }

    fn memory(&self, which: &str) -> Result<f64, Failure> {
        memory_of(&self.child.id().to_string(), which)
    }
}

/// The binary of this build, away from whatever configuration and registry this machine has.
fn command(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    command.env_clear().env("HOME", home).current_dir(home).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

pub(super) async fn measure(quick: bool) -> Result<(), Failure> {
    // None is there when only this is measured.
    rustls::crypto::ring::default_provider().install_default().ok();
    let http = reqwest::Client::builder().no_proxy().build()?;
    for (parked, workflow) in [(Parked::AtRest, WORKFLOW), (Parked::AtWork, CALLING)] {
        let home = tempfile::tempdir()?;
        let (stub, runs) = (Stub::start()?, runs(quick));
        let registry = Gantry::start(home.path(), &["registry", "serve", "--ephemeral"], "registry")?;
        let card = home.path().join("stub.json");
        let skills = json!([{"id": "echo", "description": "gives back its value"}]);
        std::fs::write(&card, json!({"name": "stub", "url": stub.url, "skills": skills}).to_string())?;
        if !command(home.path()).args(["agent", "push", "--registry", &registry.url]).arg(&card).status()?.success() {
            return Err("the agent's card was not pushed".into());
        }
        let data = home.path().join("data");
        std::fs::create_dir_all(data.join("runs"))?;
        fill(&data.join("runs"), workflow, parked, runs).await?;
        let started = Instant::now();
        let data = data.to_str().ok_or("no text")?;
        let gantry = Gantry::start(home.path(), &["serve", "--no-publish", "--registry", &registry.url, "--data-dir", data], "url")?;
        http.get(format!("{}/readyz", gantry.url)).send().await?.error_for_status()?;
        let served = started.elapsed();
        let what = if parked == Parked::AtRest { "runs that wait for people" } else { "runs whose calls have to be made again" };
        report(&format!("  {runs} {what}"));
        bar("ms until others are served", served.as_secs_f64() * 1000.0, 2_000.0, false);
        if parked == Parked::AtWork {
            while calls(&http, &stub).await? < runs as u64 {
                if started.elapsed() > PATIENCE {
                    return Err(format!("{} of {runs} runs made their call", calls(&http, &stub).await?).into());
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            bar("runs/s that made their call", runs as f64 / started.elapsed().as_secs_f64(), 5_000.0, true);
        }
        bar("MB at the peak", gantry.memory("VmHWM")?, 500.0, false);
    }
    Ok(())
}

/// How many calls the stub has answered.
async fn calls(http: &reqwest::Client, stub: &Stub) -> Result<u64, Failure> {
    Ok(http.get(format!("{}/calls", stub.url)).send().await?.text().await?.parse()?)
}
