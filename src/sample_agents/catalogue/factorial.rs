//! Factorials.
//!
//! `rustc factorial.rs && ./factorial` runs an example, `rustc --test factorial.rs && ./factorial` the tests.

/// The product of all integers from 1 to `number`, 1 for 0; `None` if it does not fit into 128 bits.
fn factorial(number: u32) -> Option<u128> {
    (1..=u128::from(number)).try_fold(1_u128, u128::checked_mul)
}

fn main() {
    for number in 0..=10 {
        println!("{number}! = {:?}", factorial(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let values: Vec<u128> = (0..7).filter_map(factorial).collect();
        assert_eq!(values, [1, 1, 2, 6, 24, 120, 720]);
    }

    #[test]
    fn overflow_is_refused() {
        assert_eq!(factorial(20), Some(2_432_902_008_176_640_000));
        assert_eq!(factorial(35), None);
    }
}
