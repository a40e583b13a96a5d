//! Prime numbers.
//!
//! `rustc primes.rs && ./primes` runs an example, `rustc --test primes.rs && ./primes` the tests.

/// Every prime number up to and including `limit`, in order (sieve of Eratosthenes).
fn primes_up_to(limit: usize) -> Vec<usize> {
    let mut is_composite = vec![false; limit + 1];
    let mut primes = Vec::new();
    for number in 2..=limit {
        if is_composite[number] {
            continue;
        }
        primes.push(number);
        for multiple in (number.saturating_mul(number)..=limit).step_by(number) {
            is_composite[multiple] = true;
        }
    }
    primes
}

/// Whether `number` is prime, by trial division up to its square root.
fn is_prime(number: usize) -> bool {
    number >= 2 && (2..).take_while(|factor| factor * factor <= number).all(|factor| !number.is_multiple_of(factor))
}

fn main() {
    println!("{:?}", primes_up_to(100));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_limits() {
        assert!(primes_up_to(1).is_empty());
        assert_eq!(primes_up_to(29), [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
    }

    #[test]
    fn both_ways_agree() {
        assert_eq!(primes_up_to(500), (0..=500).filter(|&number| is_prime(number)).collect::<Vec<_>>());
    }
}
