//! Word counts.
//!
//! `rustc word_count.rs && ./word_count` runs an example, `rustc --test word_count.rs && ./word_count` the tests.

use std::collections::BTreeMap;

/// How often each word occurs, most frequent first, ties in alphabetical order; case is ignored.
fn word_count(text: &str) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::new();
    for word in text.split(|character: char| !character.is_alphanumeric() && character != '\'') {
        let word = word.trim_matches('\'').to_lowercase();
        if !word.is_empty() {
            *counts.entry(word).or_insert(0) += 1;
        }
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts
}

fn main() {
    for (word, count) in word_count("to be or not to be") {
        println!("{count:5} {word}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, usize)]) {
        let counts = word_count(text);
        let counts: Vec<_> = counts.iter().map(|(word, count)| (word.as_str(), *count)).collect();
        assert_eq!(counts, expected);
    }

    #[test]
    fn words_are_counted() {
        check("The cat, the DOG and the cat.", &[("the", 3), ("cat", 2), ("and", 1), ("dog", 1)]);
        check("don't - don't", &[("don't", 2)]);
        check(" - ", &[]);
    }
}
