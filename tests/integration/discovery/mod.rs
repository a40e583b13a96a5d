//! Discovery over a real registry on disk, with a store around it that counts, hides, breaks and stalls.

mod agents;
mod bounds;
mod outage;
mod pushing;
mod references;
mod world;
