//! Binary search.
//!
//! `rustc binary_search.rs && ./binary_search` runs an example, `rustc --test binary_search.rs && ./binary_search` the tests.

/// An index of `wanted` in the sorted slice, or `None` if it is not there.
fn binary_search<T: Ord>(values: &[T], wanted: &T) -> Option<usize> {
    let (mut low, mut high) = (0, values.len());
    while low < high {
        let middle = low + (high - low) / 2;
        match values[middle].cmp(wanted) {
            std::cmp::Ordering::Equal => return Some(middle),
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    None
}

fn main() {
    println!("{:?}", binary_search(&[2, 3, 5, 7, 11, 13], &7));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_found() {
        let values = [1, 3, 5, 7, 9, 11];
        for (index, value) in values.iter().enumerate() {
            assert_eq!(binary_search(&values, value), Some(index));
        }
    }

    #[test]
    fn absent_values_are_not() {
        for wanted in [0, 4, 12] {
            assert_eq!(binary_search(&[1, 3, 5, 7, 9, 11], &wanted), None);
        }
        assert_eq!(binary_search(&[], &1), None);
    }
}
