//! YAML text to [`Node`]s, with positions and bounds. The only file that knows the YAML crate.
//!
//! YAML 1.2 core schema: `yes`, `no`, `on` and `010` are texts. Aliases are expanded within a budget, merge keys are applied here.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_yaml::Spanned;
use serde_yaml::options::{DuplicateKeyPolicy, MergeKeyPolicy};

use super::codes::{self, Code};
use super::node::{Entry, Kind, Node};
use super::report::Report;
use crate::limits;

/// Reads one document. Reports what is wrong; `None` when there is no tree at all.
pub(crate) fn read(text: &str, report: &mut Report<'_>) -> Option<Node> {
    if text.len() > limits::WORKFLOW_BYTES_MAX {
        let message = format!("the workflow has {} bytes, more than the {} allowed", text.len(), limits::WORKFLOW_BYTES_MAX);
        report.add(&codes::TOO_LARGE, 0..0, message, "move long texts out of it, or split it into several workflows");
        return None;
    }
    match serde_yaml::from_str_with_options::<Spanned<Raw>>(text, options()) {
        Ok(raw) => Some(finish(raw, report)),
        Err(error) => {
            refuse(&error, report);
            None
        }
    }
}

fn options() -> serde_yaml::Options {
    serde_yaml::options! {
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        // All keys are wanted, to report every duplicate with its place; merges are ours for the same reason.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        with_snippet: false,
        alias_limits: serde_yaml::alias_limits! { max_total_replayed_events: limits::WORKFLOW_NODES_MAX },
        budget: serde_yaml::budget! {
            max_depth: limits::VALUE_DEPTH_MAX,
            flow_nesting_limit: limits::VALUE_DEPTH_MAX,
            max_nodes: limits::WORKFLOW_NODES_MAX,
            max_aliases: limits::WORKFLOW_ALIASES_MAX,
            max_anchors: limits::WORKFLOW_ALIASES_MAX,
            max_total_scalar_bytes: limits::WORKFLOW_BYTES_MAX,
        },
    }
}

/// A value as the parser hands it over: keys may still be anything, and merge keys are still keys.
enum Raw {
    Scalar(Kind),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Number(value.into())))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Raw, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("numbers must be finite"))?;
        Ok(Raw::Scalar(Kind::Number(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Text(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Scalar(Kind::Text(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// Turns keys into text, applies merges and reports duplicates. As deep as the parser's own bound.
fn finish(raw: Spanned<Raw>, report: &mut Report<'_>) -> Node {
    let span = span(&raw.defined, report);
    let kind = match raw.value {
        Raw::Scalar(kind) => {
            check_integer(&kind, &span, report);
            kind
        }
        Raw::List(items) => Kind::List(items.into_iter().map(|item| finish(item, report)).collect()),
        Raw::Map(entries) => Kind::Map(finish_map(entries, report)),
    };
    Node { kind, span }
}

fn finish_map(raw: Vec<(Spanned<Raw>, Spanned<Raw>)>, report: &mut Report<'_>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::with_capacity(raw.len());
    let mut merged: Vec<Entry> = Vec::new();
    let mut seen = std::collections::BTreeMap::new();
    for (key, value) in raw {
        let key = finish(key, report);
        let value = finish(value, report);
        let is_merge = report.source().slice(&key.span) == "<<" && key.kind == Kind::Text("<<".to_owned());
        if is_merge {
            merge(value, &mut merged, report);
            continue;
        }
        let name = match key.kind {
            Kind::Text(text) => text,
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => key.to_json().to_string(),
            Kind::List(_) | Kind::Map(_) => {
                let message = format!("a key cannot be {}", key.describe());
                report.add(
                    &codes::INVALID_KEY,
                    key.span,
                    message,
                    "keys are texts; a template that starts with `{` needs quotes around it",
                );
                continue;
            }
        };
        match seen.get(&name) {
            Some(first) => {
                let (line, _) = report.source().position(*first);
                let message = format!("the key `{name}` is given twice");
                report.add(&codes::DUPLICATE_KEY, key.span, message, &format!("it is first given on line {line}; keep one of them"));
            }
            None => {
                seen.insert(name.clone(), key.span.start);
                entries.push(Entry { key: name, key_span: key.span, value });
            }
        }
    }
    // The map's own keys win, then the earlier of the merged maps (YAML merge key, yaml.org/type/merge.html).
    for entry in merged {
        if !seen.contains_key(&entry.key) {
            seen.insert(entry.key.clone(), entry.key_span.start);
            entries.push(entry);
        }
    }
    entries
}

fn merge(value: Node, merged: &mut Vec<Entry>, report: &mut Report<'_>) {
    match value.kind {
        Kind::Map(entries) => merged.extend(entries),
        Kind::List(items) if items.iter().all(|item| matches!(item.kind, Kind::Map(_))) => {
            for item in items {
                merge(item, merged, report);
            }
        }
        _ => {
            let message = format!("`<<` wants a map to merge, found {}", value.describe());
            report.add(&codes::INVALID_MERGE, value.span, message, "name an anchor of a map: `<<: *defaults`");
        }
    }
}

/// An integer that does not fit 64 bits was read as a float and lost digits, which nobody would notice.
fn check_integer(kind: &Kind, span: &Range<usize>, report: &mut Report<'_>) {
    let Kind::Number(number) = kind else { return };
    let written = report.source().slice(span);
    if number.is_f64() && !written.is_empty() && written.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit()) {
        let message = "the number does not fit 64 bits".to_owned();
        report.add(&codes::INVALID_VALUE, span.clone(), message, "put it in quotes to pass it on as text");
    }
}

fn span(location: &serde_yaml::Location, report: &Report<'_>) -> Range<usize> {
    let (start, length) = match (location.span().byte_offset(), location.span().byte_len()) {
        (Some(start), Some(length)) => (start as usize, length as usize),
        _ => (report.source().offset(location.line() as usize, location.column() as usize), 1),
    };
    report.source().clamp(start..start + length.max(1))
}

fn refuse(error: &serde_yaml::Error, report: &mut Report<'_>) {
    use serde_yaml::Error;
    let span = error.location().map_or(0..0, |location| span(&location, report));
    let (code, hint): (&'static Code, &str) = match error {
        Error::MultipleDocuments { .. } => (&codes::MULTIPLE_DOCUMENTS, "keep one workflow in a file: remove what follows `---`"),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. }
        | Error::AliasReplayCounterOverflow { .. } => (&codes::TOO_COMPLEX, "nest less deeply and use fewer aliases"),
        Error::RecursiveReferencesRequireWeakTypes { .. } => (&codes::INVALID_YAML, "an anchor cannot contain itself"),
        Error::NonFiniteFloat { .. } => (&codes::INVALID_VALUE, "JSON has no such number; put it in quotes to pass it on as text"),
        Error::UnsupportedTag { .. } => (&codes::INVALID_YAML, "remove the tag: workflows have no types of their own"),
        _ => (&codes::INVALID_YAML, syntax_hint(report.source().slice(&span))),
    };
    let message = match error {
        Error::MultipleDocuments { .. } => "the file holds more than one YAML document".to_owned(),
        Error::RecursiveReferencesRequireWeakTypes { .. } => "the anchor contains itself".to_owned(),
        _ => without_place(&error.to_string()),
    };
    report.add(code, span, message, hint);
}

fn syntax_hint(at: &str) -> &'static str {
    match at.chars().next() {
        Some('\t') => "indent with spaces: YAML allows no tabs there",
        Some('@' | '`' | '%' | '*' | '&' | '!') => "put the text in quotes",
        Some(':') => "put a text that contains `: ` in quotes",
        Some('[' | '{') => "close the bracket, or put the text in quotes",
        Some('"' | '\'') => "close the quotes on the same text",
        _ => "check the indentation and quotes of this line and the one above",
    }
}

/// The crate's message without its own "at line …", which the diagnostic says already.
fn without_place(message: &str) -> String {
    let first = message.lines().next().unwrap_or("not YAML");
    let end = first.rfind(" at line ").unwrap_or(first.len());
    first[..end].to_owned()
}
