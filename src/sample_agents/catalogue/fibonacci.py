"""Fibonacci numbers. Run `python fibonacci.py` for an example, `python fibonacci.py test` for the tests."""

import sys
import unittest


def fibonacci(index: int) -> int:
    """Return the Fibonacci number at `index`, where `fibonacci(0)` is 0 and `fibonacci(1)` is 1."""
    if index < 0:
        raise ValueError("index must not be negative")
    current, following = 0, 1
    for _ in range(index):
        current, following = following, current + following
    return current


def fibonacci_sequence(count: int) -> list[int]:
    """Return the first `count` Fibonacci numbers."""
    return [fibonacci(index) for index in range(count)]


class FibonacciTest(unittest.TestCase):
    """What must hold."""

    def test_sequence(self) -> None:
        """The sequence starts with 0 and 1."""
        self.assertEqual(fibonacci_sequence(10), [0, 1, 1, 2, 3, 5, 8, 13, 21, 34])

    def test_large_index(self) -> None:
        """Python integers do not overflow."""
        self.assertEqual(fibonacci(100), 354224848179261915075)

    def test_negative_index(self) -> None:
        """A negative index is refused."""
        with self.assertRaises(ValueError):
            fibonacci(-1)


def main() -> None:
    """Print the first 20 Fibonacci numbers."""
    print(fibonacci_sequence(20))


if __name__ == "__main__":
    if sys.argv[1:] == ["test"]:
        unittest.main(argv=sys.argv[:1])
    else:
        main()
