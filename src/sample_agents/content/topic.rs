//! What a text is about: the topic without the words that only ask for it, the reader, the points to cover.

use super::super::words::{is_stop_word, shorten, words};

/// Words that ask for a text; what follows them is the topic.
const ASKING: &[&str] = &[
    "write", "create", "draft", "generate", "compose", "produce", "make", "prepare", "please", "can", "could", "would", "you", "me", "us",
    "i", "need", "want", "help",
];
/// Words that describe the text wanted.
const TEXT_WORDS: &[&str] = &[
    "a",
    "an",
    "the",
    "some",
    "short",
    "long",
    "brief",
    "detailed",
    "medium",
    "friendly",
    "formal",
    "enthusiastic",
    "neutral",
    "professional",
    "casual",
    "article",
    "blog",
    "post",
    "email",
    "e-mail",
    "mail",
    "tweet",
    "social",
    "linkedin",
    "report",
    "text",
    "content",
    "essay",
    "story",
    "newsletter",
    "announcement",
    "piece",
    "copy",
    "message",
    "letter",
    "product",
    "description",
    "marketing",
];
/// The first of [`LINKS`] that lead to a topic also where nobody asked for a text.
const SURE_LINKS: usize = 7;
/// Words between the text and its topic.
const LINKS: &[&str] = &["about", "on", "regarding", "concerning", "covering", "describing", "explaining", "for", "that", "which", "to"];

/// What a text is about.
pub(super) struct Topic {
    /// The topic, as part of a sentence.
    pub(super) name: String,
    /// Telling words of it.
    pub(super) keywords: Vec<String>,
    /// Whom it addresses.
    pub(super) audience: Option<String>,
    /// Points to cover.
    pub(super) points: Vec<String>,
}

impl Topic {
    /// Takes the topic out of a request.
    pub(super) fn read(request: &str, audience: Option<&str>, points: Vec<String>) -> Self {
        let line = request.trim().lines().next().unwrap_or_default();
        let name = shorten(named(line).trim_end_matches(['.', '!', '?', ':']), 120);
        let mut keywords: Vec<String> = Vec::new();
        for word in words(&name) {
            if !is_stop_word(&word) && !keywords.contains(&word) {
                keywords.push(word);
            }
        }
        keywords.truncate(6);
        let listed =
            request.lines().skip(1).filter_map(|line| line.trim().strip_prefix(['-', '*', '•'])).map(|point| point.trim().to_owned());
        let points =
            points.into_iter().chain(listed).map(|point| shorten(point.trim(), 200)).filter(|point| !point.is_empty()).take(20).collect();
        Self {
            name,
            keywords,
            audience: audience.map(|audience| shorten(audience.trim(), 80)).filter(|audience| !audience.is_empty()),
            points,
        }
    }

    /// The topic as a title.
    pub(super) fn title(&self) -> String {
        let mut characters = self.name.chars();
        characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
    }
}

/// The line without its asking words: "Write a short email about tea" and "An email about tea" are about "tea".
fn named(line: &str) -> &str {
    let mut rest = line;
    let mut asked = false;
    loop {
        let word = rest.split_whitespace().next().unwrap_or_default();
        let plain = word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        let asks = ASKING.contains(&plain.as_str());
        let describes = TEXT_WORDS.contains(&plain.as_str());
        let after = rest.trim_start().get(word.len()..).unwrap_or_default().trim_start();
        // Without an asking word, only what surely leads to a topic does: "a gift for you" is one as it stands.
        let links: &[&str] = match (asked, rest.len() < line.len()) {
            (true, _) => LINKS,
            (false, true) => &LINKS[..SURE_LINKS],
            (false, false) => &[],
        };
        if links.contains(&plain.as_str()) && !after.is_empty() {
            return after;
        }
        if word.is_empty() || !(asks || describes) || after.is_empty() {
            return if asked { rest.trim() } else { line.trim() };
        }
        asked |= asks;
        rest = after;
    }
}
