//! Discovery over a real registry on disk, with a store around it that counts, hides, breaks and stalls.

#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world fails")]

mod agents;
mod outage;
mod pushing;
mod references;
mod world;
