//! Fibonacci numbers.
//!
//! `rustc fibonacci.rs && ./fibonacci` runs an example, `rustc --test fibonacci.rs && ./fibonacci` the tests.

/// The Fibonacci number at `index`, where index 0 is 0 and index 1 is 1; `None` if it does not fit into 128 bits.
fn fibonacci(index: u32) -> Option<u128> {
    let (mut previous, mut current) = (1_u128, 0_u128);
    for _ in 0..index {
        (previous, current) = (current, previous.checked_add(current)?);
    }
    Some(current)
}

fn main() {
    let numbers: Vec<u128> = (0..20).filter_map(fibonacci).collect();
    println!("{numbers:?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_starts_with_0_and_1() {
        let numbers: Vec<u128> = (0..10).filter_map(fibonacci).collect();
        assert_eq!(numbers, [0, 1, 1, 2, 3, 5, 8, 13, 21, 34]);
    }

    #[test]
    fn large_numbers_are_exact_or_refused() {
        assert_eq!(fibonacci(100), Some(354_224_848_179_261_915_075));
        assert_eq!(fibonacci(1_000), None);
    }
}
