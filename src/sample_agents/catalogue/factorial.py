"""Factorials. Run `python factorial.py` for an example, `python factorial.py test` for the tests."""

import sys
import unittest


def factorial(number: int) -> int:
    """Return the product of all integers from 1 to `number`; the factorial of 0 is 1."""
    if number < 0:
        raise ValueError("number must not be negative")
    product = 1
    for factor in range(2, number + 1):
        product *= factor
    return product


class FactorialTest(unittest.TestCase):
    """What must hold."""

    def test_values(self) -> None:
        """Known values."""
        self.assertEqual([factorial(number) for number in range(7)], [1, 1, 2, 6, 24, 120, 720])

    def test_large_number(self) -> None:
        """Python integers do not overflow."""
        self.assertEqual(factorial(20), 2432902008176640000)

    def test_negative_number(self) -> None:
        """A negative number is refused."""
        with self.assertRaises(ValueError):
            factorial(-1)


def main() -> None:
    """Print the factorials of 0 to 10."""
    for number in range(11):
        print(f"{number}! = {factorial(number)}")


if __name__ == "__main__":
    if sys.argv[1:] == ["test"]:
        unittest.main(argv=sys.argv[:1])
    else:
        main()
