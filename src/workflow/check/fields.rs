//! Reads typed values out of nodes. Each reader reports what it found and what it wanted, and yields nothing then.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::Value;

use super::Checker;
use crate::time;
use crate::workflow::codes;
use crate::workflow::node::{Entry, Kind, Node};
use crate::workflow::report::listed;

/// The value of a key among the entries of a map.
pub(super) fn find<'n>(entries: &'n [Entry], key: &str) -> Option<&'n Node> {
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}

/// Keys that start so are anybody's, everywhere in the language: notes for other tools.
pub(super) fn is_extension(key: &str) -> bool {
    key.starts_with("x-")
}

impl Checker<'_, '_> {
    /// The entries of a map.
    pub(super) fn map<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n [Entry]> {
        match &node.kind {
            Kind::Map(entries) => Some(entries),
            _ => self.wrong(node, what, "a map", ""),
        }
    }

    /// The entries of a map of the language, whose keys are all known.
    pub(super) fn known_map<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<&'n [Entry]> {
        let entries = self.map(node, what)?;
        for entry in entries.iter().filter(|entry| !known.contains(&entry.key.as_str()) && !is_extension(&entry.key)) {
            let mut hint = self.report.did_you_mean(&entry.key, known.iter().copied());
            if hint.is_empty() {
                hint = format!("{what} may have {}; keys of other tools start with `x-`", listed(known.iter().copied()));
            }
            self.add(&codes::UNKNOWN_KEY, &entry.key_span, format!("unknown key `{}` in {what}", entry.key), hint);
        }
        Some(entries)
    }

    /// The items of a list. Nothing (`steps:`) is an empty list.
    pub(super) fn list<'n>(&mut self, node: &'n Node, what: &str, hint: &str) -> Option<&'n [Node]> {
        match &node.kind {
            Kind::List(items) => Some(items),
            Kind::Null => Some(&[]),
            _ => self.wrong(node, what, "a list", hint),
        }
    }

    /// A text. Numbers and booleans are not taken for texts: `1.10` would become `1.1`.
    pub(super) fn text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        match &node.kind {
            Kind::Text(text) => Some(text),
            Kind::Number(_) | Kind::Bool(_) => {
                let hint = format!("put it in quotes: \"{}\"", self.report.source().slice(&node.span));
                self.wrong(node, what, "a text", &hint)
            }
            Kind::Null | Kind::List(_) | Kind::Map(_) => self.wrong(node, what, "a text", ""),
        }
    }

    /// A text that is not blank.
    pub(super) fn filled_text<'n>(&mut self, node: &'n Node, what: &str) -> Option<&'n str> {
        let text = self.text(node, what)?;
        if text.trim().is_empty() {
            self.add(&codes::INVALID_VALUE, &node.span, format!("{what} is empty"), "give it a value, or remove the key");
            return None;
        }
        Some(text)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, node: &Node, what: &str) -> Option<Vec<String>> {
        let items = self.list(node, what, "write `[one, two]`")?;
        let texts: Vec<_> = items.iter().map(|item| self.text(item, &format!("an item of {what}")).map(str::to_owned)).collect();
        texts.into_iter().collect()
    }

    /// A boolean.
    pub(super) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match node.kind {
            Kind::Bool(value) => Some(value),
            _ => self.wrong(node, what, "true or false", "YAML 1.2 has only these two: yes, no, on and off are texts"),
        }
    }

    /// A whole number within bounds, both included.
    pub(super) fn integer(&mut self, node: &Node, what: &str, min: u64, max: u64) -> Option<u64> {
        self.integer_or(node, what, (min, max), "leave it out for the default")
    }

    /// A whole number within bounds, with a hint for one that is not.
    pub(super) fn integer_or(&mut self, node: &Node, what: &str, (min, max): (u64, u64), hint: &str) -> Option<u64> {
        let Kind::Number(number) = &node.kind else { return self.wrong(node, what, "a whole number", "") };
        match number.as_u64() {
            Some(value) if (min..=max).contains(&value) => Some(value),
            _ => {
                let message = match max {
                    u64::MAX => format!("{what} must be a whole number from {min}, found {number}"),
                    _ => format!("{what} must be a whole number from {min} to {max}, found {number}"),
                };
                self.add(&codes::INVALID_VALUE, &node.span, message, hint);
                None
            }
        }
    }

    /// How many of something may be under way at once; 0 would be none, ever.
    pub(super) fn max_concurrency(&mut self, node: &Node) -> Option<NonZeroU32> {
        let most = self.integer(node, "`max_concurrency`", 1, u64::from(u32::MAX))?;
        NonZeroU32::new(u32::try_from(most).ok()?)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&mut self, node: &Node, what: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known = || words.iter().map(|(word, _)| *word);
            let mut hint = self.report.did_you_mean(text, known());
            if hint.is_empty() {
                hint = format!("it can be {}", listed(known()));
            }
            self.add(&codes::INVALID_VALUE, &node.span, format!("{what} cannot be `{text}`"), hint);
        }
        found
    }

    /// A duration: seconds, or a text with units.
    pub(super) fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        const RULE: &str = "write seconds (300) or numbers with units (250ms, 30s, 5m, 1h30m, 2d)";
        let read = match &node.kind {
            Kind::Number(number) => time::from_seconds(number.as_f64().unwrap_or(f64::INFINITY)),
            Kind::Text(text) => time::parse_duration(text),
            _ => return self.wrong(node, what, "a duration", RULE),
        };
        match read {
            Ok(duration) => Some(duration),
            Err(rule) => {
                let written = shorten(self.report.source().slice(&node.span));
                let (message, hint) = match rule.starts_with("a duration is") {
                    true => (format!("{what} is not a duration: {written}"), RULE),
                    false => (format!("{what} is out of range ({written}): {rule}"), "write one from 0 to 366 days"),
                };
                self.add(&codes::INVALID_DURATION, &node.span, message, hint);
                None
            }
        }
    }

    /// A duration longer than nothing: a step with a timeout of 0 could never do anything.
    pub(super) fn positive_duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let duration = self.duration(node, what)?;
        if duration.is_zero() {
            self.add(&codes::INVALID_DURATION, &node.span, format!("{what} must be longer than 0"), "leave it out for the default");
            return None;
        }
        Some(duration)
    }

    /// What is read of the one of two keys that is there; reports both and neither. Of both, each is read for its own mistakes.
    pub(super) fn one_of<T>(
        &mut self,
        node: &Node,
        entries: &[Entry],
        keys: (&'static str, &'static str),
        (what, hint): (&str, &str),
        mut read: impl FnMut(&mut Self, &'static str, &Node) -> Option<T>,
    ) -> Option<T> {
        match (find(entries, keys.0), find(entries, keys.1)) {
            (Some(first), None) => read(self, keys.0, first),
            (None, Some(second)) => read(self, keys.1, second),
            (None, None) => {
                self.add(&codes::MISSING_KEY, &node.span, format!("{what} has neither `{}` nor `{}`", keys.0, keys.1), hint);
                None
            }
            (Some(first), Some(second)) => {
                let message = format!("{what} has both `{}` and `{}`", keys.0, keys.1);
                self.add(&codes::MISPLACED_KEY, &second.span, message, "keep one of them");
                for (key, node) in [(keys.0, first), (keys.1, second)] {
                    read(self, key, node);
                    self.shadow(node);
                }
                None
            }
        }
    }

    /// Reports a value of the wrong type.
    pub(super) fn wrong<T>(&mut self, node: &Node, what: &str, wanted: &str, hint: &str) -> Option<T> {
        let hint = match (&node.kind, wanted, hint) {
            (_, _, given) if !given.is_empty() => given,
            (Kind::Null, _, _) => "give it a value, or remove the key",
            (_, "a map", _) => "write `key: value`, one a line, indented below it",
            (_, "a text", _) => "write one text, in quotes if it has `: `, `#`, `{` or `[` in it",
            (Kind::Text(_), _, _) => "write it without quotes and units",
            _ => "see the language reference for what it can be",
        };
        self.add(&codes::WRONG_TYPE, &node.span, format!("{what} must be {wanted}, found {}", node.describe()), hint);
        None
    }

    /// Reports a missing key, at the map that should have it.
    pub(super) fn missing(&mut self, node: &Node, key: &str, what: &str, hint: &str) {
        self.add(&codes::MISSING_KEY, &node.span, format!("{what} has no `{key}`"), hint);
    }
}

/// A text short enough for a message.
pub(super) fn shorten(text: &str) -> String {
    const CHARACTERS_MAX: usize = 60;
    let line = text.lines().next().unwrap_or("");
    match line.char_indices().nth(CHARACTERS_MAX) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

/// A value that JSON has and the language takes as it is.
pub(super) fn constant(node: &Node) -> Option<Value> {
    match node.kind {
        Kind::Bool(_) | Kind::Number(_) => Some(node.to_json()),
        Kind::Null | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => None,
    }
}
