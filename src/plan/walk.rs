//! Follows the fixed references of a plan from workflow to workflow, and finds circles and chains that are too deep before anything runs.
//!
//! Pure: whoever walks looks the references up, among files or in a registry, and says what was found. What cannot be found is
//! passed over, for the run says it when it gets there.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::{Asked, Plan, Reference};
use crate::ids::Digest;

/// How far a walk goes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Runs that may stand in one chain, the first included.
    pub depth_max: usize,
    /// References that are looked up.
    pub lookups_max: usize,
}

/// One step on the way from a workflow to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Whose step it is: `id:version`.
    pub workflow: String,
    /// The step.
    pub step: String,
    /// Line of the step in that workflow's text, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The step, in bytes of that text.
    pub span: Range<usize>,
}

/// Why a workflow cannot run, whatever its input is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}; {}", self.finding(), self.hint())]
pub enum Refused {
    /// It comes back to where it was.
    Cycle {
        /// `a:1.0.0`, `b:1.0.0`, `a:1.0.0`.
        chain: Vec<String>,
        /// From the first workflow on, those before the circle included.
        hops: Vec<Hop>,
    },
    /// Its sub-workflows have sub-workflows, and so on.
    TooDeep {
        /// The first of the chain that are one too many.
        chain: Vec<String>,
        /// The way as far as it is known.
        hops: Vec<Hop>,
        /// How many are allowed.
        depth_max: usize,
    },
    /// It refers to more workflows than are looked at.
    TooMany {
        /// Where it began.
        workflow: String,
        /// The limit.
        lookups_max: usize,
    },
}

impl Refused {
    /// The step of the workflow where the walk began.
    pub fn first_hop(&self) -> Option<&Hop> {
        match self {
            Self::Cycle { hops, .. } | Self::TooDeep { hops, .. } => hops.first(),
            Self::TooMany { .. } => None,
        }
    }

    /// What is wrong, and where.
    pub fn finding(&self) -> String {
        match self {
            Self::Cycle { chain, hops } => format!("workflow cycle: {} ({})", chain.join(" → "), Hops(hops)),
            Self::TooDeep { chain, hops, depth_max } => {
                format!("runs nest deeper than {depth_max}: {} ({})", chain.join(" → "), Hops(&hops[..hops.len().min(1)]))
            }
            Self::TooMany { workflow, lookups_max } => {
                format!("`{workflow}` leads to more than {lookups_max} references to workflows, which is the most that are followed")
            }
        }
    }

    /// What to do next.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Cycle { .. } => "leave one of these steps out, or repeat steps with a `loop` step",
            Self::TooDeep { .. } => "call some of them one after the other instead of each from the one above it",
            Self::TooMany { .. } => "split it into workflows that are started on their own",
        }
    }
}

/// The walk. Ask for the next reference, look it up, say what was found, until there is none left.
#[derive(Debug)]
pub struct Walk {
    bounds: Bounds,
    /// Runs that stand above the first workflow.
    above: Vec<String>,
    /// From the first workflow down to where the walk is.
    open: Vec<Place>,
    /// Workflows whose references were followed, and the longest chain below each, itself included.
    done: BTreeMap<Digest, Vec<String>>,
    known: BTreeMap<Asking, Option<Arc<Plan>>>,
    lookups: usize,
    longest: usize,
}

/// What is looked up once: a target, and who is asked to run it.
type Asking = (Arc<str>, Option<Asked>);

/// A workflow on the way.
#[derive(Debug)]
struct Place {
    plan: Arc<Plan>,
    /// The reference that is looked at next.
    next: usize,
    /// The longest chain below.
    below: Vec<String>,
}

impl Walk {
    /// A walk that begins at a plan, below these runs.
    pub fn new(plan: Arc<Plan>, above: Vec<String>, bounds: Bounds) -> Self {
        let open = vec![Place { plan, next: 0, below: Vec::new() }];
        Self { bounds, above, open, done: BTreeMap::new(), known: BTreeMap::new(), lookups: 0, longest: 0 }
    }

    /// The next reference to be looked up; answer with [`Self::found`]. None when all were followed.
    pub fn next_reference(&mut self) -> Result<Option<Reference>, Refused> {
        while let Some(place) = self.open.last_mut() {
            let Some(reference) = place.plan.references().get(place.next).cloned() else {
                self.leave();
                continue;
            };
            place.next += 1;
            match self.known.get(&(Arc::clone(&reference.target), reference.call.clone())) {
                Some(known) => {
                    if let Some(plan) = known.clone() {
                        self.enter(plan)?;
                    }
                }
                None if self.lookups == self.bounds.lookups_max => {
                    return Err(Refused::TooMany { workflow: name(&self.open[0].plan), lookups_max: self.bounds.lookups_max });
                }
                None => {
                    self.lookups += 1;
                    return Ok(Some(reference));
                }
            }
        }
        Ok(None)
    }

    /// What a reference means; none when that cannot be told now.
    pub fn found(&mut self, reference: Reference, plan: Option<Arc<Plan>>) -> Result<(), Refused> {
        self.known.insert((reference.target, reference.call), plan.clone());
        plan.map_or(Ok(()), |plan| self.enter(plan))
    }

    /// Runs in the longest chain, the first included, once the walk is over.
    pub fn depth(&self) -> usize {
        self.longest
    }

    fn enter(&mut self, plan: Arc<Plan>) -> Result<(), Refused> {
        // A file and what was pushed of it have different digests and are the same workflow.
        let is_it = |place: &Place| place.plan.digest() == plan.digest() || place.plan.source() == plan.source();
        if let Some(at) = self.open.iter().position(is_it) {
            let chain = self.open[at..].iter().map(|place| name(&place.plan)).chain([name(&plan)]).collect();
            return Err(Refused::Cycle { chain, hops: self.hops() });
        }
        let below = match self.done.get(plan.digest()) {
            Some(chain) => chain.clone(),
            None => vec![name(&plan)],
        };
        if self.above.len() + self.open.len() + below.len() > self.bounds.depth_max {
            let way = self.open.iter().map(|place| name(&place.plan));
            let chain = self.above.iter().cloned().chain(way).chain(below).take(self.bounds.depth_max + 1).collect();
            return Err(Refused::TooDeep { chain, hops: self.hops(), depth_max: self.bounds.depth_max });
        }
        if self.done.contains_key(plan.digest()) {
            self.reaches(below);
        } else {
            self.open.push(Place { plan, next: 0, below: Vec::new() });
        }
        Ok(())
    }

    /// Everything that the innermost workflow refers to was followed.
    fn leave(&mut self) {
        let Some(Place { plan, below, .. }) = self.open.pop() else { return };
        let chain: Vec<_> = std::iter::once(name(&plan)).chain(below).collect();
        if self.open.is_empty() {
            self.longest = chain.len();
        } else {
            self.done.insert(plan.digest().clone(), chain.clone());
            self.reaches(chain);
        }
    }

    fn reaches(&mut self, chain: Vec<String>) {
        if let Some(place) = self.open.last_mut()
            && place.below.len() < chain.len()
        {
            place.below = chain;
        }
    }

    /// The way down to where the walk is, and on from there.
    fn hops(&self) -> Vec<Hop> {
        let hop = |place: &Place| {
            let reference = &place.plan.references()[place.next - 1];
            let (line, column) = place.plan.position(reference);
            Hop {
                workflow: name(&place.plan),
                step: place.plan.node(reference.node).id.to_string(),
                line,
                column,
                span: reference.span.clone(),
            }
        };
        self.open.iter().map(hop).collect()
    }
}

/// As people name a version of a workflow.
fn name(plan: &Plan) -> String {
    let metadata = &plan.workflow().metadata;
    format!("{}:{}", metadata.id, metadata.version)
}

/// "step `x` of a:1.0.0, line 3, column 5".
struct Hops<'a>(&'a [Hop]);

impl fmt::Display for Hops<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Hop { workflow, step, line, column, .. }) in self.0.iter().enumerate() {
            let between = if index == 0 { "" } else { "; " };
            write!(f, "{between}step `{step}` of {workflow}, line {line}, column {column}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
