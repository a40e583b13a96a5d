//! URIs of gantry's own extensions that are not about skills; those are in `skill`.

/// The runs above a call, against loops: `message.metadata[RUN] = {"depth": n, "ancestry": [{"digest", "workflow"}]}`.
pub const RUN: &str = "urn:gantry:a2a:run:v1";
