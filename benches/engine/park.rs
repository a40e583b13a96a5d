//! What a run in flight takes: ten thousand that wait for an agent, beside bare loops that make the same calls.
//!
//! Each side is a process of its own, so that what it takes is its own.

use std::process::Command;
use std::sync::Arc;

use gantry::a2a::Card;
use gantry::agent;
use gantry::discovery::{self, Discovery};
use gantry::engine::embedded::{Embedded, Options};
use gantry::journal::Memory;
use gantry::registry::Layout;
use serde_json::{Value, json};

use super::start::{bar, memory};
use super::{Failure, bare_run, engine_run, load, report};

const RUNS: usize = 10_000;
const RUNS_QUICK: usize = 100;
/// Three calls, each with the reply of the one before.
const WORKFLOW: &str = "metadata: {id: park, name: Park, version: 1.0.0}\nsteps:\n  \
    - {id: s0, skill: echo, inputs: {pause_ms: 2000, value: \"{{ workflow.input.value }}\"}}\n  \
    - {id: s1, skill: echo, inputs: {pause_ms: 2000, value: \"{{ steps.s0.outputs.value }}\"}}\n  \
    - {id: s2, skill: echo, inputs: {pause_ms: 2000, value: \"{{ steps.s1.outputs.value }}\"}}\n";

/// The parts that are processes of their own. False when the arguments name none.
pub(super) async fn part(arguments: &[String]) -> Result<bool, Failure> {
    let Some(at) = arguments.iter().position(|argument| argument == "--park") else { return Ok(false) };
    let [side, url, quick] = arguments.get(at + 1..at + 4).ok_or("--park SIDE URL QUICK")? else { unreachable!() };
    let runs = if quick == "quick" { RUNS_QUICK } else { RUNS };
    let before = memory("VmRSS")?;
    if side == "bare" {
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
        load(runs, runs, |_| bare_run(client.clone(), format!("{url}/execute"), vec![1; 3], 2_000)).await?;
    } else {
        let discovery = Arc::new(Discovery::new(Arc::new(Layout::ephemeral()?), discovery::Options::default()));
        let card = json!({"name": "stub", "url": url, "skills": [{"id": "echo", "description": "gives back its value"}]});
        discovery.add_card(Card::parse(&serde_json::to_vec(&card)?)?);
        let plan = discovery.plan_from_text("park", WORKFLOW.as_bytes())?;
        let client = agent::Client::new(agent::Options { allow_private_addresses: true, ..agent::Options::default() });
        let engine = Embedded::new(Options::default(), discovery, client, Arc::new(Memory::default()));
        load(runs, runs, |_| engine_run(engine.clone(), Arc::clone(&plan))).await?;
    }
    report(&json!({"kb_per_run": (memory("VmHWM")? - before) * 1000.0 / runs as f64}).to_string());
    Ok(true)
}

pub(super) fn measure(url: &str, quick: bool) -> Result<(), Failure> {
    let side = |name: &str| -> Result<f64, Failure> {
        let quick = if quick { "quick" } else { "full" };
        let output = Command::new(std::env::current_exe()?).args(["--park", name, url, quick]).output()?;
        let figures: Value = serde_json::from_slice(&output.stdout)?;
        figures["kb_per_run"].as_f64().ok_or_else(|| "no figure".into())
    };
    let (bare, engine) = (side("bare")?, side("engine")?);
    report(&format!("  a bare loop {bare:.1} KB, a run {engine:.1} KB"));
    bar("a run, times a bare loop", engine / bare, 2.0, false);
    Ok(())
}
