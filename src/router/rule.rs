//! Rules: regular expressions on a message, and what follows when they match.

use std::collections::BTreeMap;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::Value;

use super::route::Request;
use super::script::{self, Act};

/// Largest compiled expression, so that a rule cannot eat memory. The crate matches in linear time.
const REGEX_BYTES_MAX: usize = 1024 * 1024;

/// One rule as it is configured. The first that matches wins.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// For reasons and logs.
    pub name: String,
    /// Regular expressions by what they match: `text`, or a path in the message such as `messageId` or
    /// `metadata.department`. All must match; an absent member never does. Empty: always.
    #[serde(default)]
    pub when: BTreeMap<String, String>,
    /// Runs a workflow.
    #[serde(default)]
    pub run: Option<RunRule>,
    /// Answers by script.
    #[serde(default)]
    pub respond: Option<Vec<Act>>,
    /// Refuses, with this reason.
    #[serde(default)]
    pub reject: Option<String>,
}

/// The workflow that a rule runs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRule {
    /// `id`, `id:tag`, `id@sha256:…`.
    pub workflow: String,
    /// Members of the input.
    #[serde(default)]
    pub input: serde_json::Map<String, Value>,
    /// The member of the input that takes the request's text.
    #[serde(default)]
    pub text_as: Option<String>,
}

/// What is wrong with the rules.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// A share that is none.
    #[error("`router.threshold` is {0}; it is a share of the request, from 0 to 1")]
    Threshold(f64),
    /// The best would have to be worse than the second.
    #[error("`router.margin` is {0}; it says how many times better the best must be, from 1")]
    Margin(f64),
    /// An expression cannot be compiled.
    #[error("rule `{rule}`: `when.{field}` is not a regular expression: {message}")]
    Expression {
        /// The rule.
        rule: String,
        /// The member of `when`.
        field: String,
        /// Why.
        message: String,
    },
    /// It does not do exactly one thing.
    #[error("rule `{rule}` must have exactly one of `run`, `respond` and `reject`")]
    Action {
        /// The rule.
        rule: String,
    },
    /// Its script cannot be played.
    #[error("rule `{rule}`: {fault}")]
    Script {
        /// The rule.
        rule: String,
        /// Why.
        fault: &'static str,
    },
}

/// A rule that was checked.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) name: String,
    when: Vec<(String, Regex)>,
    pub(super) action: Action,
}

#[derive(Debug)]
pub(super) enum Action {
    Run(RunRule),
    Respond(Vec<Act>),
    Reject(String),
}

impl Compiled {
    pub(super) fn new(rule: &Rule) -> Result<Self, Error> {
        let mut when = Vec::with_capacity(rule.when.len());
        for (field, expression) in &rule.when {
            let regex = RegexBuilder::new(expression).size_limit(REGEX_BYTES_MAX).build().map_err(|error| Error::Expression {
                rule: rule.name.clone(),
                field: field.clone(),
                message: error.to_string(),
            })?;
            when.push((field.clone(), regex));
        }
        let action = match (&rule.run, &rule.respond, &rule.reject) {
            (Some(run), None, None) => Action::Run(run.clone()),
            (None, Some(acts), None) => match script::fault(acts) {
                Some(fault) => return Err(Error::Script { rule: rule.name.clone(), fault }),
                None => Action::Respond(acts.clone()),
            },
            (None, None, Some(reason)) => Action::Reject(reason.clone()),
            _ => return Err(Error::Action { rule: rule.name.clone() }),
        };
        Ok(Self { name: rule.name.clone(), when, action })
    }

    pub(super) fn matches(&self, request: &Request<'_>) -> bool {
        self.when.iter().all(|(field, regex)| {
            if field == "text" {
                return regex.is_match(request.text);
            }
            match member(request.message, field) {
                Some(Value::String(text)) => regex.is_match(text),
                Some(Value::Null) | None => false,
                Some(other) => regex.is_match(&other.to_string()),
            }
        })
    }
}

/// The member at a dotted path. A key that itself holds dots (URIs do) is found whole before it is split.
fn member<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    if let Some(found) = value.get(path) {
        return Some(found);
    }
    let (head, rest) = path.split_once('.')?;
    member(value.get(head)?, rest)
}
