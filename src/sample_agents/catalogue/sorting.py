"""Merge sort. Run `python sorting.py` for an example, `python sorting.py test` for the tests."""

import sys
import unittest


def merge_sort(values: list) -> list:
    """Return a new list with `values` in ascending order. Stable; takes O(n log n) comparisons."""
    if len(values) < 2:
        return list(values)
    middle = len(values) // 2
    return merge(merge_sort(values[:middle]), merge_sort(values[middle:]))


def merge(left: list, right: list) -> list:
    """Return one sorted list of two sorted lists."""
    merged = []
    left_index = right_index = 0
    while left_index < len(left) and right_index < len(right):
        if right[right_index] < left[left_index]:
            merged.append(right[right_index])
            right_index += 1
        else:
            merged.append(left[left_index])
            left_index += 1
    return merged + left[left_index:] + right[right_index:]


class SortingTest(unittest.TestCase):
    """What must hold."""

    def test_order(self) -> None:
        """Numbers and texts come out in order."""
        self.assertEqual(merge_sort([5, -1, 3, 3, 0]), [-1, 0, 3, 3, 5])
        self.assertEqual(merge_sort(["pear", "apple"]), ["apple", "pear"])

    def test_edges(self) -> None:
        """Empty lists and single values stay as they are."""
        self.assertEqual(merge_sort([]), [])
        self.assertEqual(merge_sort([1]), [1])

    def test_input_is_unchanged(self) -> None:
        """The input keeps its order."""
        values = [2, 1]
        merge_sort(values)
        self.assertEqual(values, [2, 1])


def main() -> None:
    """Sort an example."""
    print(merge_sort([38, 27, 43, 3, 9, 82, 10]))


if __name__ == "__main__":
    if sys.argv[1:] == ["test"]:
        unittest.main(argv=sys.argv[:1])
    else:
        main()
