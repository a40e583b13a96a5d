//! OCI registries: the store on disk, the client for remote ones, the embedded registry's HTTP face.
//!
//! Only this module knows OCI. Used by `discovery` and the CLI.

mod reference;
mod store;

pub use reference::{At, Reference};
pub use store::{Artifact, Error, Kind, Manifest, Pushed, Store};
