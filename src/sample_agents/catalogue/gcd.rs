//! Greatest common divisor and least common multiple.
//!
//! `rustc gcd.rs && ./gcd` runs an example, `rustc --test gcd.rs && ./gcd` the tests.

/// The greatest common divisor (Euclid's algorithm).
fn gcd(mut left: u64, mut right: u64) -> u64 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

/// The least common multiple, 0 if one number is 0; `None` if it does not fit into 64 bits.
fn lcm(left: u64, right: u64) -> Option<u64> {
    if left == 0 || right == 0 {
        return Some(0);
    }
    (left / gcd(left, right)).checked_mul(right)
}

fn main() {
    println!("gcd(48, 18) = {}, lcm(4, 6) = {:?}", gcd(48, 18), lcm(4, 6));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors() {
        assert_eq!(gcd(48, 18), 6);
        assert_eq!(gcd(18, 48), 6);
        assert_eq!(gcd(7, 0), 7);
        assert_eq!(gcd(0, 0), 0);
    }

    #[test]
    fn multiples() {
        assert_eq!(lcm(4, 6), Some(12));
        assert_eq!(lcm(0, 5), Some(0));
        assert_eq!(lcm(u64::MAX, 2), None);
    }
}
