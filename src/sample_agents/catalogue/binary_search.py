"""Binary search. Run `python binary_search.py` for an example, `python binary_search.py test` for the tests."""

import sys
import unittest


def binary_search(values: list, wanted) -> int:
    """Return an index of `wanted` in the sorted list `values`, or -1 if it is not there."""
    low, high = 0, len(values) - 1
    while low <= high:
        middle = (low + high) // 2
        if values[middle] == wanted:
            return middle
        if values[middle] < wanted:
            low = middle + 1
        else:
            high = middle - 1
    return -1


class BinarySearchTest(unittest.TestCase):
    """What must hold."""

    def test_every_position(self) -> None:
        """Each value is found where it is."""
        values = [1, 3, 5, 7, 9, 11]
        for index, value in enumerate(values):
            self.assertEqual(binary_search(values, value), index)

    def test_absent_values(self) -> None:
        """What is not there is not found."""
        for wanted in [0, 4, 12]:
            self.assertEqual(binary_search([1, 3, 5, 7, 9, 11], wanted), -1)
        self.assertEqual(binary_search([], 1), -1)


def main() -> None:
    """Search an example."""
    values = [2, 3, 5, 7, 11, 13]
    print(f"7 is at index {binary_search(values, 7)} of {values}")


if __name__ == "__main__":
    if sys.argv[1:] == ["test"]:
        unittest.main(argv=sys.argv[:1])
    else:
        main()
