//! Refuses a run whose workflows can only end in a circle, or nest too deep, before anything of it begins.
//!
//! Only what workflows name once and for all is looked at; what a template names is checked by the ancestry of each run when it starts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use tracing::debug;

use super::Embedded;
use crate::a2a::Card;
use crate::discovery;
use crate::engine::{Error, Start};
use crate::ids::Digest;
use crate::limits;
use crate::plan::{Asked, Bounds, OWN_NAME, Plan, Reference, Walk};

/// Plans that were looked at a moment ago: when, and how many runs stand in the longest chain that begins with one of theirs.
#[derive(Debug, Default)]
pub(super) struct Followed {
    plans: Mutex<HashMap<Digest, (Instant, usize)>>,
}

impl Followed {
    fn depth(&self, plan: &Plan) -> Option<usize> {
        let plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, depth) = plans.get(plan.digest())?;
        (at.elapsed() < limits::REFERENCES_TRUSTED).then_some(*depth)
    }

    fn remember(&self, plan: &Plan, depth: usize) {
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if plans.len() >= limits::REFERENCES_REMEMBERED_MAX {
            plans.retain(|_, (at, _)| at.elapsed() < limits::REFERENCES_TRUSTED);
        }
        if plans.len() < limits::REFERENCES_REMEMBERED_MAX {
            plans.insert(plan.digest().clone(), (Instant::now(), depth));
        }
    }
}

impl Embedded {
    /// Follows the fixed references of a plan that is to start. What cannot be looked up now does not hinder it.
    pub(super) async fn follow_references(&self, start: &Start) -> Result<(), Error> {
        let depth_max = self.inner.options.depth_max as usize;
        let plan = &start.plan;
        if self.inner.followed.depth(plan).is_some_and(|depth| start.ancestry.len() + depth <= depth_max) {
            return Ok(());
        }
        let above = start.ancestry.iter().map(|above| above.workflow.clone()).collect();
        let mut walk = Walk::new(Arc::clone(plan), above, Bounds { depth_max, lookups_max: limits::REFERENCES_FOLLOWED_MAX });
        let walking = async {
            while let Some(reference) = walk.next_reference()? {
                let found = match self.look_up(&reference).await {
                    Ok(found) => found,
                    Err(error) if error.is_transient() => {
                        debug!(%error, "references are not followed while the registry is away");
                        return Ok(());
                    }
                    Err(_) => None,
                };
                walk.found(reference, found)?;
            }
            Ok(())
        };
        match tokio::time::timeout(limits::REFERENCES_PATIENCE, walking).await {
            Ok(followed) => followed.map_err(Error::References)?,
            Err(_) => debug!("references are not followed: the registry is slow"),
        }
        self.inner.followed.remember(plan, walk.depth());
        Ok(())
    }

    /// The workflow that a step would run in this process; none when it would not, or nobody knows such a workflow.
    async fn look_up(&self, reference: &Reference) -> Result<Option<Arc<Plan>>, discovery::Error> {
        if let Some(asked) = &reference.call
            && !self.is_asked(asked).await?
        {
            return Ok(None);
        }
        Ok(Some(self.inner.discovery.workflow(&reference.target).await?.plan))
    }

    /// Whether such a call comes to this engine, and to nobody else.
    async fn is_asked(&self, Asked { skill, agent }: &Asked) -> Result<bool, discovery::Error> {
        let is_own = |card: &Card| self.own_skills(card).is_some();
        let offered = match agent {
            Some(agent) => self.inner.discovery.agent(skill.as_str(), Some(agent)).await.map(|found| is_own(&found.card)),
            None => {
                let offers = self.inner.discovery.offers(skill.as_str()).await;
                offers.map(|offers| (0..offers.len().min(limits::CHOICE_AGENTS_MAX)).all(|place| is_own(offers.card(place))))
            }
        };
        match offered {
            Err(discovery::Error::NoAgent { .. }) => Ok(agent.as_deref().is_none_or(|agent| agent == OWN_NAME)),
            offered => offered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nth(n: usize) -> Plan {
        let text = "metadata: {id: w, name: W, version: 1.0.0}\nsteps: []";
        let workflow = crate::workflow::parse(text).workflow.unwrap();
        Plan::new(workflow, text, Digest::parse(&format!("sha256:{n:064x}")).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_plans_are_remembered_and_make_room_when_they_are_no_longer_trusted() {
        let followed = Followed::default();
        let (first, last, over) = (0, limits::REFERENCES_REMEMBERED_MAX - 1, limits::REFERENCES_REMEMBERED_MAX);
        (first..=over).for_each(|n| followed.remember(&nth(n), 1));
        let is_known = |n: usize| followed.depth(&nth(n)) == Some(1);
        let len = || followed.plans.lock().unwrap().len();
        assert!(is_known(first) && is_known(last) && !is_known(over), "there was no room");
        assert_eq!(len(), limits::REFERENCES_REMEMBERED_MAX);
        tokio::time::sleep(limits::REFERENCES_TRUSTED).await;
        followed.remember(&nth(over), 1);
        assert!(is_known(over) && !is_known(first));
        assert_eq!(len(), 1);
    }
}
