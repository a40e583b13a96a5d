//! The embedded engine driven from outside: workflows go in, and what counts is what the agents saw and what the run came to.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod agent;
mod task;
mod world;

mod attempts;
mod budgets;
mod canceling;
mod control;
mod data;
mod disk;
mod durable;
mod early;
mod edge_cases;
mod failing;
mod full;
mod load;
mod long;
mod many_agents;
mod outages;
mod parallel;
mod payloads;
mod places;
mod prototype;
mod questions;
mod references;
mod rest;
mod starting;
mod stopping;
mod trees;
mod updates;
mod upgrade;
