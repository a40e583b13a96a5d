//! Black-box tests: one binary, a module for each part of gantry.

mod agent;
mod cli;
mod discovery;
#[cfg(test)]
mod registry;
mod sample_agents;
#[cfg(test)]
mod server;
mod workflow;
