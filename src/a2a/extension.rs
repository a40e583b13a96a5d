//! URIs of the extensions that gantry speaks.

/// Names the skill of a message: `message.metadata[SKILL] = {"skill": …}`.
pub const SKILL: &str = "urn:gantry:a2a:skill:v1";
/// Schemas of a card's skills: `params = {"<skill>": {"input": {…}, "output": {…}}}`.
pub const SKILL_SCHEMAS: &str = "urn:gantry:a2a:skill-schemas:v1";
/// The runs above a call, against loops: `message.metadata[RUN] = {"depth": n, "ancestry": [{"digest", "workflow"}]}`.
pub const RUN: &str = "urn:gantry:a2a:run:v1";
