//! Gantry's own extensions that are not about skills; those are in `skill`.

/// The runs above a call, against loops: `message.metadata[RUN] = {"depth": n, "ancestry": [{"digest", "workflow"}]}`. In an
/// artifact: `artifact.metadata[RUN] = {"artifact": "step" | "output", "form"?: "text" | "files"}`.
pub const RUN: &str = "urn:gantry:a2a:run:v1";

/// The same of a call over the plain protocol, as JSON in an HTTP header: its parameters are the skill's inputs and nothing else.
pub const RUN_HEADER: &str = "gantry-run";

/// The artifact that holds a run's output; the others are those of its steps.
pub const OUTPUT: &str = "output";
/// The form of an output that is a bare text: its parts alone would be read as `{"text": …}`.
pub const FORM_TEXT: &str = "text";
/// The form of an output that is a list of files: its parts alone would be read as an object by the files' names.
pub const FORM_FILES: &str = "files";
