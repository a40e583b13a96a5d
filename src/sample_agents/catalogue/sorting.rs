//! Merge sort.
//!
//! `rustc sorting.rs && ./sorting` runs an example, `rustc --test sorting.rs && ./sorting` the tests.

/// The values in ascending order, as a new list. Stable; takes O(n log n) comparisons.
fn merge_sort<T: Ord + Clone>(values: &[T]) -> Vec<T> {
    if values.len() < 2 {
        return values.to_vec();
    }
    let (left, right) = values.split_at(values.len() / 2);
    merge(&merge_sort(left), &merge_sort(right))
}

/// One sorted list of two sorted lists.
fn merge<T: Ord + Clone>(mut left: &[T], mut right: &[T]) -> Vec<T> {
    let mut merged = Vec::with_capacity(left.len() + right.len());
    while let (Some(first), Some(second)) = (left.first(), right.first()) {
        if second < first {
            merged.push(second.clone());
            right = &right[1..];
        } else {
            merged.push(first.clone());
            left = &left[1..];
        }
    }
    merged.extend_from_slice(left);
    merged.extend_from_slice(right);
    merged
}

fn main() {
    println!("{:?}", merge_sort(&[38, 27, 43, 3, 9, 82, 10]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_in_order() {
        assert_eq!(merge_sort(&[5, -1, 3, 3, 0]), [-1, 0, 3, 3, 5]);
        assert_eq!(merge_sort(&["pear", "apple"]), ["apple", "pear"]);
    }

    #[test]
    fn edges_stay_as_they_are() {
        assert!(merge_sort::<i32>(&[]).is_empty());
        assert_eq!(merge_sort(&[1]), [1]);
    }
}
