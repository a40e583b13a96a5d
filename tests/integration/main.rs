//! Black-box tests: one binary, a module for each part of gantry.

mod agent;
mod discovery;
mod engine;
mod sample_agents;
mod workflow;
