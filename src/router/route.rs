//! The decision: rules, then words, then a question.

use serde::Deserialize;
use serde_json::Value;

use super::lexical;
use super::rule::{Action, Compiled, Error, Rule, RunRule};
use super::script::Act;

/// How requests are routed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The first that matches wins.
    pub rules: Vec<Rule>,
    /// Share of the request that the best workflow must cover, 0 to 1. Below it the caller is asked.
    pub threshold: f64,
    /// How much better than the second the best must score. Below it the caller is asked.
    pub margin: f64,
    /// Candidates named in a question.
    pub candidates_max: usize,
    /// The workflow for requests that match nothing, instead of a question.
    pub fallback: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { rules: Vec::new(), threshold: 0.25, margin: 1.1, candidates_max: 5, fallback: None }
    }
}

/// What is to be routed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// All text.
    pub text: &'a str,
    /// The message as A2A 1.0 JSON, for rules on its fields.
    pub message: &'a Value,
}

/// What a workflow says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What it is for.
    pub description: &'a str,
    /// Words to find it by.
    pub tags: &'a [String],
    /// Requests it is for.
    pub examples: &'a [String],
}

/// A workflow that could be meant.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Share of the request it covers, 0 to 1.
    pub confidence: f64,
}

/// What to do with a request, and why.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Run this.
    Run {
        /// The workflow, and what the rule says about its input.
        run: RunRule,
        /// Why.
        reason: String,
    },
    /// Answer by script.
    Respond {
        /// The script.
        acts: Vec<Act>,
        /// Why.
        reason: String,
    },
    /// Refuse.
    Reject {
        /// For the caller.
        message: String,
        /// Why.
        reason: String,
    },
    /// Ask the caller.
    Ask {
        /// What could be meant, best first.
        candidates: Vec<Candidate>,
        /// Why it is not clear.
        reason: String,
    },
}

/// Cheap to share: put it in an `Arc`.
#[derive(Debug)]
pub struct Router {
    options: Options,
    rules: Vec<Compiled>,
}

impl Router {
    /// Checks the rules.
    pub fn new(options: Options) -> Result<Self, Error> {
        // Not a number is in no range.
        if !(0.0..=1.0).contains(&options.threshold) {
            return Err(Error::Threshold(options.threshold));
        }
        if !(1.0..=f64::MAX).contains(&options.margin) {
            return Err(Error::Margin(options.margin));
        }
        let rules = options.rules.iter().map(Compiled::new).collect::<Result<_, _>>()?;
        Ok(Self { options, rules })
    }

    /// Whether a rule answers this request by itself, so that the list of workflows is not needed.
    pub fn by_rule(&self, request: &Request<'_>) -> Option<Decision> {
        let rule = self.rules.iter().find(|rule| rule.matches(request))?;
        let reason = format!("rule `{}`", rule.name);
        Some(match &rule.action {
            Action::Run(run) => Decision::Run { run: run.clone(), reason },
            Action::Respond(acts) => Decision::Respond { acts: acts.clone(), reason },
            Action::Reject(message) => Decision::Reject { message: message.clone(), reason },
        })
    }

    /// Decides by words.
    pub fn by_words(&self, request: &Request<'_>, entries: &[Entry<'_>]) -> Decision {
        let matches = lexical::rank(request.text, entries);
        let Some(best) = matches.first() else {
            let all = entries.iter().take(self.options.candidates_max).map(|entry| candidate(entry, 0.0)).collect();
            return self.unsure(all, "no workflow shares a word with the request".to_owned());
        };
        let found = &entries[best.entry];
        let candidates = || matches.iter().take(self.options.candidates_max).map(|m| candidate(&entries[m.entry], m.coverage)).collect();
        if best.coverage < self.options.threshold {
            let reason = format!("`{}` fits best, but covers only {:.0} % of the request", found.id, best.coverage * 100.0);
            return self.unsure(candidates(), reason);
        }
        if let Some(second) = matches.get(1)
            && best.score < second.score * self.options.margin
        {
            let reason = format!("`{}` and `{}` fit about equally", found.id, entries[second.entry].id);
            return self.unsure(candidates(), reason);
        }
        let reason = format!("words {} ({:.0} % of the request)", best.words.join(", "), best.coverage * 100.0);
        Decision::Run { run: RunRule { workflow: found.id.to_owned(), input: serde_json::Map::new(), text_as: None }, reason }
    }

    fn unsure(&self, candidates: Vec<Candidate>, reason: String) -> Decision {
        match &self.options.fallback {
            Some(workflow) => Decision::Run {
                run: RunRule { workflow: workflow.clone(), input: serde_json::Map::new(), text_as: None },
                reason: format!("fallback: {reason}"),
            },
            None => Decision::Ask { candidates, reason },
        }
    }
}

fn candidate(entry: &Entry<'_>, confidence: f64) -> Candidate {
    Candidate { id: entry.id.to_owned(), name: entry.name.to_owned(), description: entry.description.to_owned(), confidence }
}

#[cfg(test)]
mod tests;
