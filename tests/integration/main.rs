//! Black-box tests: one binary, a module for each part of gantry.

mod agent;
mod cli;
mod discovery;
mod sample_agents;
mod server;
mod workflow;
//! Black-box tests: HTTP in and HTTP out, YAML in and results out.

#[cfg(test)]
mod registry;
