//! `extract_entities`: patterns for what has a form, capital letters for names.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use serde::Serialize;

use super::super::SOURCE;
use super::super::words::{is_stop_word, shorten};
use crate::limits;

/// Places listed for one entity.
const PLACES_MAX: usize = 20;

/// What a text names.
#[derive(Serialize, JsonSchema)]
pub(super) struct Entities {
    /// The entities in the order of their first place.
    pub(super) entities: Vec<Entity>,
    /// How many different entities there are, also those not listed.
    pub(super) count: usize,
    /// How many there are of each type.
    pub(super) by_type: BTreeMap<String, usize>,
    /// Who made this analysis.
    pub(super) source: String,
}

/// Something a text names.
#[derive(Serialize, JsonSchema)]
pub(super) struct Entity {
    /// `email`, `url`, `mention`, `hashtag`, `date`, `time`, `money`, `percent`, `number`, `name` or `acronym`.
    #[serde(rename = "type")]
    pub(super) kind: String,
    /// As written.
    pub(super) text: String,
    /// How often it occurs.
    pub(super) count: usize,
    /// Where it occurs first.
    pub(super) offsets: Vec<Offsets>,
}

/// A place in a text, in characters from 0; the end is exclusive.
#[derive(Serialize, JsonSchema)]
pub(super) struct Offsets {
    /// First character.
    pub(super) start: usize,
    /// After the last character.
    pub(super) end: usize,
}

const MONTH: &str = "(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)";

/// Types with their patterns. What an earlier one has taken, a later one leaves alone.
static PATTERNS: LazyLock<Vec<(&'static str, Regex)>> = LazyLock::new(|| {
    let date = format!(
        r"\b(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}[./]\d{{2,4}}|\d{{1,2}}\.? {MONTH}\.?(?: \d{{4}})?|{MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?(?:,? \d{{4}})?|{MONTH} \d{{4}}|Q[1-4] \d{{4}})\b"
    );
    [
        ("email", r"[\w.%+-]+@[\w-]+(?:\.[\w-]+)+"),
        ("url", r"(?:https?://|www\.)[^\s<>\x22'()]+[^\s<>\x22'().,;:!?]"),
        ("mention", r"\B@\w{2,}"),
        ("hashtag", r"\B#[\p{L}_]\w*"),
        ("date", date.as_str()),
        ("time", r"(?i)\b\d{1,2}:\d{2}(?::\d{2})?(?:\s?[ap]m)?\b|\b\d{1,2}\s?[ap]m\b"),
        (
            "money",
            r"(?i)(?:[$€£¥]|\b(?:USD|EUR|GBP|CHF)\s)\s?\d+(?:[.,]\d+)*(?:\s?(?:k|m|bn|thousand|million|billion)\b)?|\b\d+(?:[.,]\d+)*(?:\s?(?:thousand|million|billion))?\s?(?:[€£]|(?:USD|EUR|GBP|CHF|dollars?|euros?|pounds?)\b)",
        ),
        ("percent", r"(?i)\b\d+(?:[.,]\d+)*\s?(?:%|percent\b)"),
        ("name", r"\b\p{Lu}[\p{L}’'-]*\p{Ll}[\p{L}’'-]*(?:[ \t]+(?:(?:of|the|de|van|von|da|del|la)[ \t]+){0,2}\p{Lu}[\p{L}’'&.-]*[\p{L}])*"),
        ("acronym", r"\b\p{Lu}{2,}[\p{Lu}\d]*s?\b"),
        ("number", r"\b\d+(?:[.,]\d+)*\b"),
    ]
    .into_iter()
    .map(|(kind, pattern)| (kind, Regex::new(pattern).expect("the patterns are constant and tested")))
    .collect()
});

/// Finds the entities of a text.
pub(super) fn extract(text: &str) -> Entities {
    let mut taken = vec![false; text.len()];
    let mut found: Vec<(Range<usize>, &'static str)> = Vec::new();
    for (kind, pattern) in PATTERNS.iter() {
        for matched in pattern.find_iter(text) {
            let range = if *kind == "name" { name_range(text, matched.range()) } else { Some(matched.range()) };
            let Some(range) = range.filter(|range| !taken[range.clone()].contains(&true)) else { continue };
            taken[range.clone()].fill(true);
            found.push((range, kind));
        }
    }
    found.sort_by_key(|(range, _)| range.start);
    collect(text, &found)
}

/// The part of a run of capitalised words that is a name: without leading words such as "The", and no single word that only
/// starts a sentence.
fn name_range(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let mut start = range.start;
    let end = range.end;
    loop {
        let rest = &text[start..end];
        let first = rest.split([' ', '\t']).next().unwrap_or(rest);
        if !is_stop_word(&first.to_lowercase()) {
            break;
        }
        let after = &rest[first.len()..];
        start = end - after.trim_start().len();
        if start >= end {
            return None;
        }
    }
    let name = &text[start..end];
    let alone = !name.contains([' ', '\t']);
    let stripped = start > range.start;
    (!alone
        || (!stripped && !starts_sentence(text, start))
        || (stripped && name.starts_with(char::is_uppercase) && !starts_sentence(text, start)))
    .then_some(start..end)
}

fn starts_sentence(text: &str, at: usize) -> bool {
    let before = text[..at].trim_end_matches(['"', '“', '‘', '\'', '(', '[', '*', '-', '•', ' ', '\t']);
    before.is_empty() || before.ends_with(['.', '!', '?', ':', '\n', '…', '#'])
}

fn collect(text: &str, found: &[(Range<usize>, &'static str)]) -> Entities {
    let mut places: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut entities: Vec<Entity> = Vec::new();
    let mut by_type: BTreeMap<String, usize> = BTreeMap::new();
    let (mut byte, mut character) = (0, 0);
    for (range, kind) in found {
        character += text[byte..range.start].chars().count();
        byte = range.start;
        let word = &text[range.clone()];
        let next = entities.len();
        let index = *places.entry((*kind, word)).or_insert(next);
        if index == next {
            *by_type.entry((*kind).to_owned()).or_default() += 1;
            entities.push(Entity { kind: (*kind).to_owned(), text: shorten(word, 200), count: 0, offsets: Vec::new() });
        }
        let entity = &mut entities[index];
        entity.count += 1;
        if entity.offsets.len() < PLACES_MAX {
            entity.offsets.push(Offsets { start: character, end: character + word.chars().count() });
        }
    }
    let count = entities.len();
    entities.truncate(limits::SAMPLE_LIST_MAX);
    Entities { entities, count, by_type, source: SOURCE.to_owned() }
}
