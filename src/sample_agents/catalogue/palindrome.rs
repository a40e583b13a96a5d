//! Palindromes.
//!
//! `rustc palindrome.rs && ./palindrome` runs an example, `rustc --test palindrome.rs && ./palindrome` the tests.

/// Whether the text reads the same backwards, ignoring case, blanks and punctuation.
fn is_palindrome(text: &str) -> bool {
    let letters: Vec<char> = text.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    letters.iter().eq(letters.iter().rev())
}

fn main() {
    for text in ["A man, a plan, a canal: Panama", "Hello, world"] {
        println!("{text:?}: {}", is_palindrome(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn palindromes_are_told() {
        for text in ["level", "A man, a plan, a canal: Panama", "x", ""] {
            assert!(is_palindrome(text), "{text}");
        }
        for text in ["rust", "ab", "12 13"] {
            assert!(!is_palindrome(text), "{text}");
        }
    }
}
