//! FizzBuzz.
//!
//! `rustc fizzbuzz.rs && ./fizzbuzz` runs an example, `rustc --test fizzbuzz.rs && ./fizzbuzz` the tests.

/// FizzBuzz from 1 to `limit`.
fn fizzbuzz(limit: u32) -> Vec<String> {
    (1..=limit).map(fizzbuzz_word).collect()
}

/// `Fizz` for multiples of 3, `Buzz` for 5, `FizzBuzz` for both, otherwise the number.
fn fizzbuzz_word(number: u32) -> String {
    match (number % 3, number % 5) {
        (0, 0) => "FizzBuzz".to_owned(),
        (0, _) => "Fizz".to_owned(),
        (_, 0) => "Buzz".to_owned(),
        _ => number.to_string(),
    }
}

fn main() {
    println!("{}", fizzbuzz(30).join("\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_whole_round() {
        assert_eq!(fizzbuzz(15).join(" "), "1 2 Fizz 4 Buzz Fizz 7 8 Fizz Buzz 11 Fizz 13 14 FizzBuzz");
        assert!(fizzbuzz(0).is_empty());
    }
}
