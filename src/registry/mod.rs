//! OCI registries: the store on disk, the client for remote ones, the embedded registry's HTTP face.
//!
//! Only this module knows OCI. Used by `discovery` and the CLI.

pub mod digest;
pub mod http;
pub mod media;

mod error;
mod layout;
mod manifest;
mod reference;
mod remote;
mod store;

pub use error::Error;
pub use layout::{Layout, LayoutOptions};
use reference::tag_is_version;
pub use reference::{At, Reference, ReferenceError, check_repository, check_tag, tag_of_version};
pub use remote::{Addresses, Credential, Remote, RemoteOptions, Scheme, Secret};
pub use store::{Artifact, Kind, Manifest, Pushed, Store};
