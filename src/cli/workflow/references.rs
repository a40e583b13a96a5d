//! Circles and chains that are too deep among workflow files, and between files and a registry, told as diagnostics of the file.
//!
//! Used by `validate`, which looks at the files alone, and by `push`, which also asks the registry they go to.

use std::sync::Arc;

use crate::discovery::{self, Discovery};
use crate::limits;
use crate::plan::{Bounds, OWN_NAME, Plan, Reference, Refused, Walk};
use crate::registry::digest;
use crate::workflow::{Diagnostic, NESTED_TOO_DEEP, WORKFLOW_CYCLE, Workflow};

const BOUNDS: Bounds = Bounds { depth_max: limits::RUN_DEPTH_MAX as usize, lookups_max: limits::REFERENCES_FOLLOWED_MAX };

/// The valid workflows among the files that were given.
#[derive(Debug, Default)]
pub(super) struct Files(Vec<Arc<Plan>>);

impl Files {
    /// Adds a valid workflow and its text. Returns what [`Self::check`] wants.
    pub(super) fn add(&mut self, workflow: Workflow, text: &str) -> Arc<Plan> {
        let plan = Arc::new(Plan::new(workflow, text, digest::sha256(text.as_bytes())));
        self.0.push(Arc::clone(&plan));
        plan
    }

    /// What is wrong with what a workflow refers to, as far as the files tell.
    pub(super) fn check(&self, plan: &Arc<Plan>) -> Option<Diagnostic> {
        let mut walk = Walk::new(Arc::clone(plan), Vec::new(), BOUNDS);
        let mut go = || -> Result<(), Refused> {
            while let Some(reference) = walk.next_reference()? {
                let found = self.find(&reference);
                walk.found(reference, found)?;
            }
            Ok(())
        };
        go().err().map(|refused| diagnostic(plan, &refused))
    }

    /// The same once the files are in a registry. What it does not know, or cannot say now, is passed over.
    pub(super) async fn check_with(&self, plan: &Arc<Plan>, registry: &Discovery) -> Option<Diagnostic> {
        let mut walk = Walk::new(Arc::clone(plan), Vec::new(), BOUNDS);
        let go = async {
            while let Some(reference) = walk.next_reference()? {
                match self.find_with(&reference, registry).await {
                    Ok(found) => walk.found(reference, found)?,
                    Err(error) if error.is_transient() => return Ok(()),
                    Err(_) => walk.found(reference, None)?,
                }
            }
            Ok::<_, Refused>(())
        };
        go.await.err().map(|refused| diagnostic(plan, &refused))
    }

    /// The file that a reference means: of several with the id, the highest version, unless the reference has a tag.
    fn find(&self, reference: &Reference) -> Option<Arc<Plan>> {
        if !runs_here(reference) || reference.target.contains('@') {
            return None;
        }
        let (id, tag) = reference.target.split_once(':').map_or((&*reference.target, None), |(id, tag)| (id, Some(tag)));
        let of_id = self.0.iter().filter(|plan| plan.workflow().metadata.id.as_str() == id);
        let plan = match tag {
            None | Some("latest") => of_id.max_by(|a, b| version(a).cmp(version(b))),
            Some(tag) => of_id.into_iter().find(|plan| version(plan).to_string() == tag),
        };
        plan.cloned()
    }

    async fn find_with(&self, reference: &Reference, registry: &Discovery) -> Result<Option<Arc<Plan>>, discovery::Error> {
        if !runs_here(reference) {
            return Ok(None);
        }
        let file = self.find(reference);
        if file.is_some() && reference.target.contains(':') {
            return Ok(file);
        }
        match (registry.workflow(&reference.target).await, file) {
            (Ok(found), Some(file)) if version(&found.plan) <= version(&file) => Ok(Some(file)),
            (Err(_), Some(file)) => Ok(Some(file)),
            (found, _) => found.map(|found| Some(found.plan)),
        }
    }
}

/// A call that is meant for another agent runs what that agent knows.
fn runs_here(reference: &Reference) -> bool {
    let agent = reference.call.as_ref().and_then(|asked| asked.agent.as_deref());
    agent.is_none_or(|agent| agent == OWN_NAME)
}

fn version(plan: &Plan) -> &semver::Version {
    &plan.workflow().metadata.version
}

/// At the step of the file where the way begins.
fn diagnostic(plan: &Plan, refused: &Refused) -> Diagnostic {
    let code = match refused {
        Refused::Cycle { .. } => &WORKFLOW_CYCLE,
        Refused::TooDeep { .. } | Refused::TooMany { .. } => &NESTED_TOO_DEEP,
    };
    let (line, column, span) = refused.first_hop().map_or((1, 1, 0..0), |hop| (hop.line, hop.column, hop.span.clone()));
    // A step may have many lines; its first says which it is.
    let end = plan.source().get(span.clone()).and_then(|step| step.find('\n')).map_or(span.end, |end| span.start + end);
    let (message, hint) = (refused.finding(), Some(refused.hint().to_owned()));
    Diagnostic { code: code.name, severity: code.severity, message, hint, span: span.start..end, line, column }
}
