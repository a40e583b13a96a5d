#![doc = include_str!("README.md")]

pub mod ids;
pub mod limits;
pub mod time;

pub mod expression;
pub mod workflow;

pub mod plan;

pub mod interpreter;

#[cfg(feature = "service")]
mod addresses;
#[cfg(test)]
#[cfg(all(unix, feature = "service"))]
mod deaf;
#[cfg(feature = "service")]
mod files;
#[cfg(feature = "service")]
mod http_client;
#[cfg(feature = "service")]
mod json;
#[cfg(feature = "service")]
pub mod threads;

#[cfg(feature = "service")]
pub mod a2a;
#[cfg(feature = "service")]
pub mod agent;
#[cfg(feature = "service")]
pub mod registry;

#[cfg(feature = "service")]
pub mod journal;

#[cfg(feature = "service")]
pub mod discovery;
#[cfg(feature = "service")]
pub mod engine;
#[cfg(feature = "service")]
pub mod router;
#[cfg(feature = "service")]
pub mod server;

#[cfg(feature = "service")]
pub mod sample_agents;

#[cfg(feature = "service")]
pub mod shutdown;
#[cfg(feature = "service")]
pub mod telemetry;

#[cfg(feature = "service")]
pub mod config;

#[cfg(feature = "service")]
pub mod control;

#[cfg(feature = "service")]
pub mod cli;
