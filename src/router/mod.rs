//! Requests to workflows, with reasons: rules first, then a lexical match on what workflows say of themselves.
//!
//! Used by `server`. Decides only: it starts nothing and reads nothing but what it is given. When it is not sure it says so
//! and names the candidates, so that the caller can be asked.

mod lexical;
mod route;
mod rule;
mod script;

pub use route::{Candidate, Decision, Entry, Options, Request, Router};
pub use rule::{Error, Rule, RunRule};
pub use script::{Act, ArtifactAct, Said, ScriptState};
