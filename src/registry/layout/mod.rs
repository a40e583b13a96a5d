//! The registry on disk: one OCI image layout for each repository, in folders under one root.
//!
//! ```text
//! <root>/.lock                                   who writes here
//! <root>/.scratch/                               files that are not complete yet
//! <root>/workflows/plan/{oci-layout,index.json,blobs/sha256/…}
//! ```
//!
//! Each repository can be read directly by whatever reads image layouts. Invariants: one process writes to a root; a file
//! appears complete under its name or not at all; `index.json` names a manifest only after its bytes are on the disk.

mod files;
mod index;
mod lock;
mod repository;
mod root;
mod store;
mod uploads;

pub use root::{Layout, LayoutOptions};

#[cfg(test)]
mod tests;
