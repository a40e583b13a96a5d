//! Black-box tests: one binary, a module for each part of gantry.
//!
//! The modules say `cfg(test)` although all of this is a test: that is where the lints look when they allow `unwrap`.

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod agent;
#[cfg(test)]
mod bearing;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod discovery;
mod engine;
#[cfg(test)]
mod faulty;
#[cfg(test)]
#[cfg(unix)]
mod few_files;
#[cfg(test)]
mod gantries;
#[cfg(test)]
mod journal;
#[cfg(test)]
mod many;
#[cfg(test)]
mod nested;
#[cfg(test)]
mod pruning;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod sample_agents;
#[cfg(test)]
mod sdk;
#[cfg(test)]
mod server;
#[cfg(test)]
#[path = "../agents/tasks.rs"]
mod tasks;
#[cfg(test)]
mod trickle;
#[cfg(test)]
mod unreachable;
mod workflow;
