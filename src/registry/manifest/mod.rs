//! Manifests as data: what is written, and how what others wrote is read.

mod build;
mod document;
mod layer;

pub(super) use build::build;
pub(super) use document::{Descriptor, Document};
pub(super) use layer::fitting_layer;
