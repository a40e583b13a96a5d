//! Collects diagnostics: bounded, each once, sorted by place at the end.

use std::collections::BTreeSet;
use std::ops::Range;

use super::codes::Code;
use super::source::Source;
use super::{Diagnostic, Severity};
use crate::limits;

/// What is kept while collecting. More than is shown, because sorting comes last; bounded, because texts are hostile.
const KEPT_MAX: usize = 10 * limits::DIAGNOSTICS_MAX;

/// How many names are compared with an unknown one. A workflow has ten thousand steps at most, and may have as many mistakes.
const CANDIDATES_MAX: usize = 1_000;
/// How many unknown names are compared at all, for the same reason.
const SUGGESTIONS_MAX: usize = 2 * limits::DIAGNOSTICS_MAX;

/// The findings of one text so far.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    source: Source<'a>,
    found: Vec<Diagnostic>,
    /// An alias brings the same text, and so the same mistake, to many places. It is reported once.
    seen: BTreeSet<(usize, &'static str, String)>,
    omitted: usize,
    has_errors: bool,
    suggestions: usize,
}

impl<'a> Report<'a> {
    /// An empty report on a text.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { source: Source::new(text), found: Vec::new(), seen: BTreeSet::new(), omitted: 0, has_errors: false, suggestions: 0 }
    }

    /// The text.
    pub(crate) fn source(&self) -> &Source<'a> {
        &self.source
    }

    /// Whether the workflow cannot run.
    pub(crate) fn has_errors(&self) -> bool {
        self.has_errors
    }

    /// Adds a finding. An empty hint is none.
    pub(crate) fn add(&mut self, code: &'static Code, span: Range<usize>, message: String, hint: impl Into<String>) {
        self.has_errors |= code.severity == Severity::Error;
        if self.found.len() == KEPT_MAX {
            self.omitted += 1;
            return;
        }
        let span = self.source.clamp(span);
        if !self.seen.insert((span.start, code.name, message.clone())) {
            return;
        }
        let hint = Some(hint.into()).filter(|hint: &String| !hint.is_empty());
        // Line and column follow in `finish`, for those that are shown.
        self.found.push(Diagnostic { code: code.name, severity: code.severity, message, hint, span, line: 0, column: 0 });
    }

    /// "did you mean `plan`?", when one of the names is close enough; empty otherwise.
    pub(crate) fn did_you_mean<'n>(&mut self, name: &str, known: impl IntoIterator<Item = &'n str>) -> String {
        self.suggestions += 1;
        if self.suggestions > SUGGESTIONS_MAX {
            return String::new();
        }
        closest(name, known).map_or_else(String::new, |best| format!("did you mean `{best}`?"))
    }

    /// The findings in the order of the text, and how many were left out. Errors are kept before warnings.
    pub(crate) fn finish(self) -> (Vec<Diagnostic>, usize) {
        let mut found = self.found;
        let place = |one: &Diagnostic| (one.span.start, one.span.end, one.code);
        found.sort_by(|a, b| (a.severity, place(a)).cmp(&(b.severity, place(b))));
        let omitted = self.omitted + found.len().saturating_sub(limits::DIAGNOSTICS_MAX);
        found.truncate(limits::DIAGNOSTICS_MAX);
        found.sort_by(|a, b| place(a).cmp(&place(b)));
        for one in &mut found {
            (one.line, one.column) = self.source.position(one.span.start);
        }
        (found, omitted)
    }
}

/// The name that was most likely meant.
pub(crate) fn closest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // Names are short; a long one is hostile, and comparing it with all others would be slow.
    if name.len() > limits::ID_BYTES_MAX {
        return None;
    }
    let folded = |text: &str| text.to_lowercase().replace(['-', ' '], "_");
    let name = folded(name);
    let length = name.chars().count();
    let allowed = if length <= 3 { 1 } else { 2.max(length / 3) };
    known
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= 4 * allowed)
        .take(CANDIDATES_MAX)
        .map(|candidate| (strsim::osa_distance(&name, &folded(candidate)), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count().max(2))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The name that was meant for certain: it differs in case and in what joins its words, or by a slip or two.
///
/// For who refuses what is mistyped: `session` is closest to `version`, and another name all the same.
pub(crate) fn mistyped<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    if name.len() > limits::ID_BYTES_MAX {
        return None;
    }
    let letters = |text: &str| text.to_lowercase().replace(['-', '_', ' '], "");
    let name = letters(name);
    let slips_max = if name.len() >= 12 { 2 } else { 1 };
    let slips = |candidate: &'n str| {
        let meant = letters(candidate);
        // Comparing takes long, and there may be many names.
        (meant.len().abs_diff(name.len()) <= slips_max).then(|| (strsim::osa_distance(&name, &meant), candidate))
    };
    let found = known.into_iter().filter_map(slips).filter(|(slips, _)| *slips <= slips_max);
    found.min_by_key(|(slips, _)| *slips).map(|(_, candidate)| candidate)
}

/// `a`, `b` and `c`, at most a dozen.
pub(crate) fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.into_iter().take(13).map(|name| format!("`{name}`")).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        [one] => one.clone(),
        many if many.len() > 12 => format!("{}, …", many[..12].join(", ")),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_not() {
        for (name, expected) in [
            ("skil", "did you mean `skill`?"),
            ("Skill", "did you mean `skill`?"),
            ("on-error", "did you mean `on_error`?"),
            ("tiemout", "did you mean `timeout`?"),
            ("banana", ""),
            ("x", ""),
        ] {
            assert_eq!(Report::new("").did_you_mean(name, ["skill", "on_error", "timeout", "id"]), expected, "{name}");
        }
        assert_eq!(Report::new("").did_you_mean(&"a".repeat(100_000), ["a"]), "");
    }

    #[test]
    fn what_is_mistyped_is_told_from_another_name() {
        let known = ["workflow_id", "version", "input", "idempotency_key"];
        for (name, expected) in [
            ("idempotencyKey", Some("idempotency_key")),
            ("Idempotency-Key", Some("idempotency_key")),
            ("idempotenci_keys", Some("idempotency_key")),
            ("workflowID", Some("workflow_id")),
            ("inputs", Some("input")),
            ("inptu", Some("input")),
            // Closest all the same, but somebody else's.
            ("session", None),
            ("workflow_name", None),
            ("version_id", None),
            ("output", None),
            ("metadata", None),
            ("id", None),
        ] {
            assert_eq!(mistyped(name, known), expected, "{name}");
        }
        assert_eq!(mistyped(&"a".repeat(100_000), ["a"]), None);
    }

    #[test]
    fn the_rest_is_counted_and_errors_come_before_warnings() {
        use crate::workflow::codes;
        let text = "x".repeat(5000);
        let mut report = Report::new(&text);
        for at in 0..1500 {
            report.add(&codes::EMPTY_STEPS, at..at + 1, "warning".to_owned(), "");
        }
        assert!(!report.has_errors());
        let mut report = Report::new(&text);
        for at in 0..150 {
            report.add(&codes::EMPTY_STEPS, at..at + 1, "warning".to_owned(), "");
        }
        report.add(&codes::UNKNOWN_KEY, 4000..4001, "error".to_owned(), "");
        report.add(&codes::UNKNOWN_KEY, 4000..4001, "error".to_owned(), "");
        assert!(report.has_errors());
        let (found, omitted) = report.finish();
        assert_eq!((found.len(), omitted), (limits::DIAGNOSTICS_MAX, 51));
        assert_eq!(found.last().map(|one| one.code), Some("unknown-key"));
    }
}
