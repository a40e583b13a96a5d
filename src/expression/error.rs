//! Why a string is not a template, and why an expression has no value. Used by the whole module; holds no data of agents but names of keys.

use std::ops::Range;

/// Longest piece of an expression or of a key that an error quotes.
const QUOTE_CHARS_MAX: usize = 120;
/// Most names an error lists.
const NAMES_MAX: usize = 8;

/// Why a string is not a template. `span` is in bytes of the string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Where.
    pub span: Range<usize>,
}

/// Why an expression has no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What is wrong; names the path that is missing.
    pub message: String,
    /// "did you mean …", the keys that exist.
    pub hint: Option<String>,
    /// The expression, shortened.
    pub expression: String,
}

impl SyntaxError {
    pub(super) fn new(message: impl Into<String>, span: Range<usize>) -> Self {
        Self { message: message.into(), hint: None, span }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Error {
    pub(super) fn new(message: impl Into<String>, expression: &str) -> Self {
        Self { message: message.into(), hint: None, expression: shorten(expression.trim()) }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// The text, cut to what an error may quote.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(QUOTE_CHARS_MAX) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// The name among `known` that `wanted` was probably meant to be.
pub(super) fn closest<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // Names longer than this are not typed by hand, and the comparison takes time in the product of both lengths.
    const NAME_BYTES_MAX: usize = 64;
    // Of names this short, any two are alike.
    let tolerated = wanted.chars().count() / 3;
    known
        .take(1_000)
        .filter(|name| name.len() <= NAME_BYTES_MAX && wanted.len() <= NAME_BYTES_MAX)
        .map(|name| (strsim::osa_distance(&wanted.to_lowercase(), &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= tolerated)
        .min()
        .map(|(_, name)| name)
}

/// A hint: the name that was probably meant, or else the first few there are.
pub(super) fn suggest<'a>(wanted: &str, known: impl Iterator<Item = &'a str> + Clone, listed_as: &str) -> Option<String> {
    if let Some(name) = closest(wanted, known.clone()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let total = known.clone().count();
    let names: Vec<String> = known.take(NAMES_MAX).map(|name| format!("`{}`", shorten(name))).collect();
    match total - names.len() {
        0 if total == 0 => None,
        0 => Some(format!("{listed_as}: {}", names.join(", "))),
        more => Some(format!("{listed_as}: {} and {more} more", names.join(", "))),
    }
}
