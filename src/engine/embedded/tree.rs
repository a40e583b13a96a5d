//! What a run and all runs below it use together: the steps of a whole tree are bounded, and an author's `limits.max_agent_calls`
//! holds for everything that the workflow starts in this process.
//!
//! Each run adds what it does to its own count and to those of the runs above it. The counts live as long as one run of the tree is
//! under way or rests in this process; after a restart they begin with what the journal has.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use super::Embedded;
use crate::ids::RunId;
use crate::journal::{self, Member, PARENT_LABEL, ROOT_LABEL, Record, Used};
use crate::limits;
use crate::plan::Plan;

/// Trees that are remembered before those that are over are forgotten.
const SWEPT_AT: usize = 256;

/// The count of one run and everything below it.
pub(super) struct Usage {
    above: Option<Arc<Usage>>,
    run: RunId,
    plan: Arc<Plan>,
    steps: AtomicU64,
    calls: AtomicU64,
}

/// Why a call is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exceeded {
    max: u64,
    workflow: String,
}

impl Usage {
    /// The count of a run that has done nothing yet.
    pub(super) fn new(run: RunId, plan: Arc<Plan>, above: Option<Arc<Usage>>) -> Arc<Self> {
        Self::with(run, plan, above, Used::default())
    }

    fn with(run: RunId, plan: Arc<Plan>, above: Option<Arc<Usage>>, used: Used) -> Arc<Self> {
        Arc::new(Self { above, run, plan, steps: AtomicU64::new(used.steps), calls: AtomicU64::new(used.calls) })
    }

    /// The run, and those above it.
    fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |usage| usage.above.as_deref())
    }

    fn root(&self) -> &Self {
        self.chain().last().unwrap_or(self)
    }

    /// The run whose step started this one.
    pub(super) fn above(&self) -> Option<&RunId> {
        self.above.as_ref().map(|above| &above.run)
    }

    /// The run that nobody's step started.
    pub(super) fn root_run(&self) -> &RunId {
        &self.root().run
    }

    /// Steps of the whole tree.
    pub(super) fn steps(&self) -> u64 {
        self.root().steps.load(Ordering::Relaxed)
    }

    /// Counts steps.
    pub(super) fn add_steps(&self, steps: u64) {
        self.chain().for_each(|usage| _ = usage.steps.fetch_add(steps, Ordering::Relaxed));
    }

    /// Counts calls. Returns how many of them may be made, and the bound that keeps back the rest.
    pub(super) fn add_calls(&self, calls: u64) -> Result<(), (u64, Exceeded)> {
        let mut kept_back = None;
        for usage in self.chain() {
            // Two runs that count at once get different numbers, so that just as many calls are made as may be.
            let before = usage.calls.fetch_add(calls, Ordering::Relaxed);
            let workflow = usage.plan.workflow();
            let Some(max) = workflow.limits.max_agent_calls else { continue };
            let granted = max.saturating_sub(before).min(calls);
            if granted < kept_back.as_ref().map_or(calls, |(granted, _)| *granted) {
                kept_back = Some((granted, Exceeded { max, workflow: workflow.metadata.id.to_string() }));
            }
        }
        let Some((granted, _)) = &kept_back else { return Ok(()) };
        // What is not made uses up nothing of those above.
        let refused = calls - granted;
        self.chain().for_each(|usage| _ = usage.calls.fetch_sub(refused, Ordering::Relaxed));
        kept_back.map_or(Ok(()), Err)
    }
}

impl fmt::Debug for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Usage").field("run", &self.run).field("steps", &self.steps).field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { max, workflow } = self;
        write!(
            f,
            "the run of `{workflow}` and the runs below it may make at most {max} calls to agents (`limits.max_agent_calls`): raise it, or \
             make fewer"
        )
    }
}

/// What is said when a tree has executed too many steps.
pub(super) fn too_many_steps(steps_max: u64) -> String {
    format!(
        "the run and the runs it belongs to executed {steps_max} steps together, repetitions and sub-workflows included, which is the most \
         they may: split the work into runs that are started on their own"
    )
}

/// What is known of the count of a run that rests.
#[derive(Debug)]
pub(super) enum Tree {
    /// The journal is asked: an earlier process had the run.
    Unknown,
    /// It has no runs above or below it.
    Alone,
    /// It goes on from here; of the run itself so much is in it.
    Kept(Arc<Usage>, Used),
}

/// The counts of runs that are above or below others, by run.
#[derive(Debug, Default)]
pub(super) struct Trees {
    usages: std::sync::Mutex<Usages>,
    /// Held while counts are made from the journal: two of one run would each be wrong.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Usages {
    by_run: HashMap<RunId, Weak<Usage>>,
    sweep_at: usize,
}

impl Trees {
    fn get(&self, run: &RunId) -> Option<Arc<Usage>> {
        self.usages.lock().unwrap_or_else(PoisonError::into_inner).by_run.get(run).and_then(Weak::upgrade)
    }

    fn insert(&self, usage: &Arc<Usage>) {
        let mut usages = self.usages.lock().unwrap_or_else(PoisonError::into_inner);
        if usages.by_run.len() >= usages.sweep_at.max(SWEPT_AT) {
            usages.by_run.retain(|_, usage| usage.strong_count() > 0);
            usages.sweep_at = usages.by_run.len() * 2;
        }
        usages.by_run.insert(usage.run.clone(), Arc::downgrade(usage));
    }

    /// What is kept of a count while its run rests.
    pub(super) fn kept(&self, usage: Arc<Usage>, counted: Used) -> Tree {
        let is_alone = usage.above.is_none() && self.get(&usage.run).is_none();
        if is_alone { Tree::Alone } else { Tree::Kept(usage, counted) }
    }

    /// The count of a new run, below another if a step of that started it.
    pub(super) fn begin(&self, run: &RunId, plan: &Arc<Plan>, above: Option<&Arc<Usage>>) -> Arc<Usage> {
        let usage = Usage::new(run.clone(), Arc::clone(plan), above.cloned());
        if let Some(above) = above {
            if self.get(&above.run).is_none() {
                self.insert(above);
            }
            self.insert(&usage);
        }
        usage
    }
}

impl Embedded {
    /// The count of a run that goes on, and how much of it is the run's own.
    pub(super) async fn resume_count(&self, record: &Record, plan: &Arc<Plan>, tree: Tree) -> Result<(Arc<Usage>, Used), journal::Error> {
        let run = &record.header.run;
        match tree {
            Tree::Kept(usage, counted) => return Ok((usage, counted)),
            Tree::Alone => return Ok((Usage::new(run.clone(), Arc::clone(plan), None), Used::default())),
            Tree::Unknown => {}
        }
        let (trees, journal) = (&self.inner.trees, &self.inner.journal);
        let root = label(record, ROOT_LABEL);
        let is_alone = root.is_none() && !plan.may_start_runs();
        let root = root.as_ref().unwrap_or(run);
        // Almost every run is alone, and waits for nobody here. Nothing can begin below it before it goes on.
        let is_below = root != run;
        if is_alone || (!is_below && journal.members(root).await?.is_empty()) {
            return Ok((Usage::new(run.clone(), Arc::clone(plan), None), Used::default()));
        }
        let _reading = trees.reading.lock().await;
        // Of many runs below one the first finds the count of that one for all, and nothing is below a run that can start none.
        if let (Some(above), false) = (label(record, PARENT_LABEL).and_then(|parent| trees.get(&parent)), plan.may_start_runs())
            && trees.get(run).is_none()
        {
            let own = journal.used(run).await?;
            let usage = Usage::with(run.clone(), Arc::clone(plan), Some(above), own);
            trees.insert(&usage);
            return Ok((usage, own));
        }
        let members = journal.members(root).await?;
        let own = members.iter().find(|member| member.run == *run).map(|member| member.used).unwrap_or_default();
        let mut way = vec![(run.clone(), Arc::clone(plan))];
        let mut above = None;
        // From the run up to the first whose count is there, or to the root.
        while let Some((lowest, _)) = way.last() {
            if let Some(usage) = trees.get(lowest) {
                above = Some(usage);
                way.pop();
                break;
            }
            let Some(parent) = members.iter().find(|member| member.run == *lowest).and_then(|member| member.parent.clone()) else { break };
            if way.len() > limits::RUN_DEPTH_MAX as usize * 4 {
                break;
            }
            let record = match journal.record(&parent).await {
                Ok(record) => record,
                // It was forgotten, which no run that is waited for is.
                Err(journal::Error::NotFound(_)) => break,
                Err(error) => return Err(error),
            };
            let Ok(plan) = self.plan_of(&record) else { break };
            way.push((parent, plan));
        }
        for (run, plan) in way.into_iter().rev() {
            let usage = Usage::with(run.clone(), plan, above, together(&members, &run));
            trees.insert(&usage);
            above = Some(usage);
        }
        Ok((above.unwrap_or_else(|| Usage::new(run.clone(), Arc::clone(plan), None)), own))
    }
}

fn label(record: &Record, name: &str) -> Option<RunId> {
    record.header.labels.get(name).and_then(|run| RunId::parse(run).ok())
}

/// What a run and all below it have used.
fn together(members: &[Member], run: &RunId) -> Used {
    let mut children: HashMap<&RunId, Vec<&Member>> = HashMap::new();
    for member in members {
        if let Some(parent) = &member.parent {
            children.entry(parent).or_default().push(member);
        }
    }
    let mut open: Vec<&Member> = members.iter().filter(|member| member.run == *run).collect();
    let mut used = Used::default();
    while let Some(member) = open.pop() {
        used.steps = used.steps.saturating_add(member.used.steps);
        used.calls = used.calls.saturating_add(member.used.calls);
        // Taken out, so that even a record that makes no sense is gone through once.
        open.extend(children.remove(&member.run).unwrap_or_default());
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Digest;
    use crate::workflow::parse;

    fn run(id: &str) -> RunId {
        RunId::parse(id).unwrap()
    }

    fn plan(calls_max: Option<u64>) -> Arc<Plan> {
        let limits = calls_max.map_or(String::new(), |max| format!("limits: {{max_agent_calls: {max}}}\n"));
        let text = format!("metadata: {{id: w, name: W, version: 1.0.0}}\n{limits}steps: []");
        let digest = Digest::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
        Arc::new(Plan::new(parse(&text).workflow.unwrap(), text, digest))
    }

    #[test]
    fn what_a_run_does_counts_for_all_above_it_and_none_beside_it() {
        let root = Usage::new(run("root"), plan(None), None);
        let [left, right] = ["left", "right"].map(|id| Usage::new(run(id), plan(None), Some(Arc::clone(&root))));
        let deep = Usage::new(run("deep"), plan(None), Some(Arc::clone(&left)));
        for (usage, steps) in [(&root, 1), (&left, 2), (&right, 4), (&deep, 8)] {
            usage.add_steps(steps);
        }
        let steps = |usage: &Usage| usage.steps.load(Ordering::Relaxed);
        assert_eq!((steps(&left), steps(&right), steps(&deep), deep.steps()), (10, 4, 8, 15));
        assert_eq!(deep.root_run(), &run("root"));
    }

    #[test]
    fn calls_are_granted_up_to_the_tightest_bound_above() {
        let root = Usage::new(run("root"), plan(Some(5)), None);
        let child = Usage::new(run("child"), plan(Some(3)), Some(Arc::clone(&root)));
        assert_eq!(root.add_calls(1), Ok(()));
        assert_eq!(child.add_calls(2), Ok(()));
        let (granted, exceeded) = child.add_calls(4).unwrap_err();
        assert_eq!((granted, exceeded.max), (1, 3), "the child's own bound is the tighter one");
        assert_eq!(root.add_calls(1), Ok(()), "what the child was refused uses up nothing here");
        let (granted, exceeded) = root.add_calls(1).unwrap_err();
        assert_eq!((granted, exceeded.max), (0, 5));
        assert!(exceeded.to_string().contains("at most 5 calls to agents (`limits.max_agent_calls`)"), "{exceeded}");
    }

    #[test]
    fn threads_that_count_at_once_are_granted_just_as_many_as_there_are() {
        let root = Usage::new(run("root"), plan(Some(100)), None);
        let granted: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|n| {
                    let child = Usage::new(run(&format!("child{n}")), plan(None), Some(Arc::clone(&root)));
                    scope.spawn(move || (0..50).filter(|_| child.add_calls(1).is_ok()).count())
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(granted, 100);
    }

    #[test]
    fn a_tree_is_summed_from_a_run_downwards_whatever_the_records_say() {
        let member =
            |id: &str, parent: Option<&str>, steps| Member { run: run(id), parent: parent.map(run), used: Used { steps, calls: 1 } };
        let members = [member("a", None, 1), member("b", Some("a"), 2), member("c", Some("b"), 4), member("d", Some("a"), 8)];
        let steps = |id| together(&members, &run(id)).steps;
        assert_eq!((steps("a"), steps("b"), steps("c"), steps("d"), steps("x")), (15, 6, 4, 8, 0));
        let circle = [member("a", Some("b"), 1), member("b", Some("a"), 2)];
        assert_eq!(together(&circle, &run("a")).calls, 3);
    }

    #[test]
    fn counts_of_trees_that_are_over_are_forgotten() {
        let trees = Trees::default();
        for n in 0..SWEPT_AT * 4 {
            let root = trees.begin(&run(&format!("root{n}")), &plan(None), None);
            let child = trees.begin(&run(&format!("child{n}")), &plan(None), Some(&root));
            assert!(trees.get(&root.run).is_some() && trees.get(&child.run).is_some());
            assert!(matches!(trees.kept(child, Used::default()), Tree::Kept(..)));
            assert!(matches!(trees.kept(root, Used::default()), Tree::Kept(..)), "it has a child");
        }
        assert!(trees.usages.lock().unwrap().by_run.len() <= SWEPT_AT + 2);
        let alone = trees.begin(&run("alone"), &plan(None), None);
        assert!(matches!(trees.kept(alone, Used::default()), Tree::Alone));
    }
}
