#![doc = include_str!("README.md")]

pub mod ids;
pub mod limits;
pub mod time;

pub mod expression;
pub mod workflow;

pub mod plan;

pub mod interpreter;

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
