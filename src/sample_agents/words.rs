//! Sentences, words and numbers of a text, as the stand-ins see them. Pure.

/// Words that carry no topic.
const STOP_WORDS: &[&str] = &[
    "a",
    "about",
    "above",
    "after",
    "again",
    "against",
    "all",
    "also",
    "although",
    "always",
    "am",
    "among",
    "an",
    "and",
    "any",
    "are",
    "as",
    "at",
    "back",
    "be",
    "because",
    "been",
    "before",
    "being",
    "below",
    "between",
    "both",
    "but",
    "by",
    "came",
    "can",
    "come",
    "could",
    "did",
    "do",
    "does",
    "doing",
    "done",
    "down",
    "during",
    "each",
    "either",
    "else",
    "even",
    "ever",
    "every",
    "few",
    "first",
    "for",
    "from",
    "further",
    "get",
    "gets",
    "getting",
    "give",
    "given",
    "go",
    "goes",
    "going",
    "gone",
    "got",
    "had",
    "has",
    "have",
    "having",
    "he",
    "her",
    "here",
    "hers",
    "him",
    "himself",
    "his",
    "how",
    "however",
    "i",
    "if",
    "in",
    "into",
    "is",
    "it",
    "its",
    "itself",
    "just",
    "know",
    "last",
    "least",
    "less",
    "let",
    "like",
    "made",
    "make",
    "makes",
    "making",
    "many",
    "may",
    "me",
    "might",
    "more",
    "most",
    "much",
    "must",
    "my",
    "myself",
    "need",
    "needs",
    "neither",
    "never",
    "new",
    "next",
    "no",
    "none",
    "nor",
    "not",
    "nothing",
    "now",
    "of",
    "off",
    "often",
    "on",
    "once",
    "one",
    "only",
    "onto",
    "or",
    "other",
    "others",
    "our",
    "ours",
    "out",
    "over",
    "own",
    "per",
    "perhaps",
    "please",
    "put",
    "quite",
    "rather",
    "really",
    "said",
    "same",
    "say",
    "says",
    "see",
    "seen",
    "several",
    "shall",
    "she",
    "should",
    "since",
    "so",
    "some",
    "something",
    "still",
    "such",
    "take",
    "taken",
    "than",
    "that",
    "the",
    "their",
    "theirs",
    "them",
    "themselves",
    "then",
    "there",
    "these",
    "they",
    "thing",
    "things",
    "this",
    "those",
    "though",
    "through",
    "thus",
    "to",
    "today",
    "together",
    "too",
    "toward",
    "two",
    "under",
    "until",
    "up",
    "upon",
    "us",
    "use",
    "used",
    "uses",
    "using",
    "very",
    "via",
    "want",
    "wants",
    "was",
    "way",
    "we",
    "well",
    "went",
    "were",
    "what",
    "when",
    "where",
    "whether",
    "which",
    "while",
    "who",
    "whole",
    "whom",
    "whose",
    "why",
    "will",
    "with",
    "within",
    "without",
    "would",
    "yes",
    "yet",
    "you",
    "your",
    "yours",
    "yourself",
];

/// Abbreviations whose full stop ends no sentence.
const ABBREVIATIONS: &[&str] =
    &["mr", "mrs", "ms", "dr", "prof", "st", "vs", "etc", "e.g", "i.e", "inc", "ltd", "co", "corp", "no", "approx", "fig", "u.s", "u.k"];

/// Whether the word (in lower case) carries no topic.
pub(super) fn is_stop_word(word: &str) -> bool {
    STOP_WORDS.binary_search(&word).is_ok()
}

/// The words in lower case: letters and digits, with `'`, `-`, `+`, `#` inside or after (so that `c++` and `don't` stay whole).
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '’' | '-' | '+' | '#')))
        .map(|word| word.trim_matches(['\'', '’', '-']).trim_start_matches(['+', '#']))
        .filter(|word| !word.is_empty())
        .map(|word| word.to_lowercase().replace('’', "'"))
        .collect()
}

/// A crude stem, enough to put `payments` and `payment` together.
pub(super) fn stem(word: &str) -> &str {
    let long = |rest: &str| rest.chars().count() >= 3;
    for suffix in ["'s", "ies", "ing", "ed", "es", "s", "y"] {
        if let Some(rest) = word.strip_suffix(suffix)
            && long(rest)
            && !(suffix == "s" && rest.ends_with(['s', 'u', 'i']))
        {
            return rest.strip_suffix('e').unwrap_or(rest);
        }
    }
    word.strip_suffix('e').filter(|rest| long(rest)).unwrap_or(word)
}

/// The sentences, trimmed, in order. Line breaks before an empty line or a list item end a sentence too.
pub(super) fn sentences(text: &str) -> Vec<&str> {
    let (mut found, mut start) = (Vec::new(), 0);
    let mut rest = text.char_indices().peekable();
    while let Some((at, character)) = rest.next() {
        let end = at + character.len_utf8();
        let ends = match character {
            '!' | '?' | '…' | '。' => rest.peek().is_none_or(|&(_, next)| next.is_whitespace()),
            '.' => rest.peek().is_none_or(|&(_, next)| next.is_whitespace()) && !ends_with_abbreviation(&text[start..at]),
            '\n' => starts_block(&text[end..]),
            _ => false,
        };
        if ends {
            found.push(&text[start..end]);
            start = end;
        }
    }
    found.push(&text[start..]);
    found.into_iter().map(str::trim).filter(|sentence| sentence.contains(char::is_alphanumeric)).collect()
}

fn ends_with_abbreviation(before: &str) -> bool {
    let word = before.rsplit(char::is_whitespace).next().unwrap_or("").trim_start_matches(['(', '"']);
    ABBREVIATIONS.iter().any(|abbreviation| word.eq_ignore_ascii_case(abbreviation))
}

fn starts_block(rest: &str) -> bool {
    let line = rest.trim_start_matches([' ', '\t', '\r']);
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    line.starts_with(['\n', '-', '*', '•', '#']) || (digits > 0 && line[digits..].starts_with(['.', ')']))
}

/// At most `chars_max` characters, with an ellipsis where text was cut.
pub(super) fn shorten(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((cut, _)) => format!("{}…", text[..cut].trim_end()),
        None => text.to_owned(),
    }
}

/// Rounded for people: four decimals, no negative zero.
pub(super) fn rounded(number: f64) -> f64 {
    (number * 10_000.0).round() / 10_000.0 + 0.0
}

/// `1 step`, `2 steps`.
pub(super) fn count_of(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stop_words_are_sorted_so_that_the_search_finds_them() {
        assert!(STOP_WORDS.is_sorted());
        assert!(is_stop_word("the") && is_stop_word("a") && is_stop_word("yourself") && !is_stop_word("rust"));
    }

    #[test]
    fn text_falls_into_words() {
        for (text, expected) in [
            ("Don't panic, C++ & C# -- ok?", vec!["don't", "panic", "c++", "c#", "ok"]),
            ("", vec![]),
            ("Größe 10-fold", vec!["größe", "10-fold"]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }

    #[test]
    fn text_falls_into_sentences() {
        for (text, expected) in [
            ("One. Two! Three?", vec!["One.", "Two!", "Three?"]),
            ("Dr. Who paid 3.50 today. Fine", vec!["Dr. Who paid 3.50 today.", "Fine"]),
            ("Do:\n- a\n- b\n\nEnd", vec!["Do:", "- a", "- b", "End"]),
            ("a\nb", vec!["a\nb"]),
            (" ... ", vec![]),
            ("é.", vec!["é."]),
        ] {
            assert_eq!(sentences(text), expected, "{text}");
        }
    }

    #[test]
    fn stems_join_forms() {
        for (left, right) in [("payments", "payment"), ("analyzing", "analyze"), ("cities", "city"), ("boxes", "box")] {
            assert_eq!(stem(left), stem(right));
        }
        assert_eq!(stem("gas"), "gas");
    }

    #[test]
    fn texts_are_cut_at_characters() {
        assert_eq!(shorten("äöü", 2), "äö…");
        assert_eq!(shorten("äö", 2), "äö");
    }
}
