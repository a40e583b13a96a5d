//! Simulation: generated workflows, random worlds, crashes at every event, and journals that must replay for ever.
//!
//! A binary of its own, beside the black-box tests: here the same few properties are asked of very many runs.
//!
//! - `seeds` drives the pure core through generated runs in a virtual world and checks every transition (`ledger`).
//! - `engine` drives the real engine through generated lives: the same workflows, a clock that is turned on, a journal that fails.
//! - `crashes` runs the corpus in the real engine over SQLite and ends the process at every event.
//! - `journals` replays recorded runs and compares what follows from each event with what followed then.
//! - `torn` ends the machine at any sector of any write to the journal.
//! - `sizes` counts what a step costs in long sequences and large maps.

#![expect(clippy::print_stderr, reason = "figures, and the events of a single seed, are for whoever runs the simulation")]

#[cfg(test)]
mod agent;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod faulty;
#[cfg(test)]
mod generate;
#[cfg(test)]
mod journals;
#[cfg(test)]
mod ledger;
#[cfg(test)]
mod process;
#[cfg(test)]
mod random;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod sizes;
#[cfg(test)]
#[path = "../agents/tasks.rs"]
mod tasks;
#[cfg(test)]
mod torn;
#[cfg(test)]
mod world;
#[cfg(test)]
mod yaml;
