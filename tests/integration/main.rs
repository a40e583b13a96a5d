//! Black-box tests: one binary, a module for each part of gantry.

mod agent;
mod cli;
mod discovery;
mod registry;
mod sample_agents;
mod server;
mod workflow;
