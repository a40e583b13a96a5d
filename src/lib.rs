#![doc = include_str!("README.md")]

pub mod ids;
pub mod limits;
pub mod time;

pub mod expression;
pub mod workflow;

#[cfg(feature = "service")]
pub mod a2a;
#[cfg(feature = "service")]
pub mod agent;
#[cfg(feature = "service")]
pub mod registry;
#[cfg(feature = "service")]
pub mod sample_agents;
