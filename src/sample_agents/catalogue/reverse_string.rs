//! Reversing text.
//!
//! `rustc reverse_string.rs && ./reverse_string` runs an example, `rustc --test reverse_string.rs && ./reverse_string` the tests.

/// The text with its characters in reverse order.
fn reverse_string(text: &str) -> String {
    text.chars().rev().collect()
}

/// The text with its words in reverse order, separated by single blanks.
fn reverse_words(text: &str) -> String {
    text.split_whitespace().rev().collect::<Vec<_>>().join(" ")
}

fn main() {
    println!("{}", reverse_string("Hello, world"));
    println!("{}", reverse_words("one two three"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_reversed() {
        assert_eq!(reverse_string("abc"), "cba");
        assert_eq!(reverse_string(""), "");
        assert_eq!(reverse_string("größe"), "eßörg");
    }

    #[test]
    fn words_are_reversed() {
        assert_eq!(reverse_words("one  two three"), "three two one");
    }
}
