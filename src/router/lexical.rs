//! A lexical match: which workflow's own words does a request use?
//!
//! BM25 over name, tags, examples and description, with the fields weighted. The confidence is the share of the request's
//! weight that the best workflow covers, so that one rare word in common is not mistaken for a match.

use std::collections::{BTreeMap, BTreeSet};

use super::route::Entry;

const K1: f64 = 1.2;
const B: f64 = 0.5;
/// Words of a request that are looked at: a pasted document must not cost more than a question.
const WORDS_MAX: usize = 512;

/// What each field's words count.
const NAME_WEIGHT: f64 = 3.0;
const TAG_WEIGHT: f64 = 2.5;
const EXAMPLE_WEIGHT: f64 = 1.5;
const DESCRIPTION_WEIGHT: f64 = 1.0;

/// Words that say nothing about what is wanted.
const STOP_WORDS: &[&str] = &[
    "a", "an", "and", "any", "are", "as", "at", "be", "by", "can", "could", "do", "does", "for", "from", "give", "has", "have", "how", "i",
    "in", "into", "is", "it", "its", "let", "like", "make", "me", "my", "need", "of", "on", "or", "our", "please", "should", "so", "some",
    "that", "the", "their", "them", "then", "there", "these", "this", "to", "us", "use", "using", "want", "we", "what", "when", "which",
    "will", "with", "would", "you", "your",
];

/// One workflow's match with a request.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Match {
    /// Index of the entry.
    pub(super) entry: usize,
    /// BM25.
    pub(super) score: f64,
    /// Share of the request that the entry covers, 0 to 1.
    pub(super) coverage: f64,
    /// The words in common.
    pub(super) words: Vec<String>,
}

/// Every entry with at least one word in common, best first; entries of equal score in their order.
pub(super) fn rank(text: &str, entries: &[Entry<'_>]) -> Vec<Match> {
    let query: BTreeSet<String> = words(text).take(WORDS_MAX).collect();
    let documents: Vec<BTreeMap<String, f64>> = entries.iter().map(document).collect();
    let lengths: Vec<f64> = documents.iter().map(|document| document.values().sum()).collect();
    let average = (lengths.iter().sum::<f64>() / lengths.len().max(1) as f64).max(1.0);
    let rarity = |word: &str| {
        let holding = documents.iter().filter(|document| document.contains_key(word)).count() as f64;
        (1.0 + (documents.len() as f64 - holding + 0.5) / (holding + 0.5)).ln()
    };
    let weights: Vec<(&String, f64)> = query.iter().map(|word| (word, rarity(word))).collect();
    // A word that no workflow knows weighs as much as a rare one: it is a sign that the request is about something else.
    let whole: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut matches: Vec<Match> = documents
        .iter()
        .zip(&lengths)
        .enumerate()
        .filter_map(|(entry, (document, length))| {
            let mut found = Match { entry, score: 0.0, coverage: 0.0, words: Vec::new() };
            for (word, weight) in &weights {
                let Some(count) = document.get(*word) else { continue };
                found.score += weight * count * (K1 + 1.0) / (count + K1 * (1.0 - B + B * length / average));
                found.coverage += weight / whole;
                found.words.push((*word).clone());
            }
            (!found.words.is_empty()).then_some(found)
        })
        .collect();
    matches.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.entry.cmp(&b.entry)));
    matches
}

fn document(entry: &Entry<'_>) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    let mut add = |text: &str, weight: f64| {
        for word in words(text) {
            *counts.entry(word).or_insert(0.0) += weight;
        }
    };
    add(entry.id, NAME_WEIGHT);
    add(entry.name, NAME_WEIGHT);
    entry.tags.iter().for_each(|tag| add(tag, TAG_WEIGHT));
    entry.examples.iter().for_each(|example| add(example, EXAMPLE_WEIGHT));
    add(entry.description, DESCRIPTION_WEIGHT);
    counts
}

/// The words of a text: lower case, without stop words, cut back to a stem.
fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().nth(1).is_some() && word.len() <= 64)
        .map(str::to_lowercase)
        .filter(|word| !STOP_WORDS.contains(&word.as_str()))
        .map(|word| stem(&word).to_owned())
}

/// Cuts English endings, roughly: `analysis`, `analyze` and `analyzing` meet at `analy`.
fn stem(word: &str) -> &str {
    const ENDINGS: &[&str] = &[
        "izations", "ization", "ations", "ation", "ating", "ators", "ator", "ings", "ing", "ions", "ion", "sis", "zes", "ses", "ize",
        "ise", "ze", "se", "ate", "ers", "ed", "er", "es", "s", "e",
    ];
    for ending in ENDINGS {
        if let Some(stem) = word.strip_suffix(ending)
            && stem.chars().count() >= 3
        {
            return stem;
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_meet() {
        for (a, b) in
            [("analysis", "analyze"), ("generate", "generation"), ("numbers", "number"), ("creating", "create"), ("tests", "test")]
        {
            assert_eq!(stem(a), stem(b), "{a} {b}");
        }
        assert_eq!(stem("as"), "as");
    }
}
