"""Greatest common divisor. Run `python gcd.py` for an example, `python gcd.py test` for the tests."""

import sys
import unittest


def gcd(left: int, right: int) -> int:
    """Return the greatest common divisor of two integers (Euclid's algorithm); never negative."""
    left, right = abs(left), abs(right)
    while right:
        left, right = right, left % right
    return left


def lcm(left: int, right: int) -> int:
    """Return the least common multiple of two integers; 0 if one of them is 0."""
    if left == 0 or right == 0:
        return 0
    return abs(left // gcd(left, right) * right)


class GcdTest(unittest.TestCase):
    """What must hold."""

    def test_gcd(self) -> None:
        """Signs and order do not matter."""
        self.assertEqual(gcd(48, 18), 6)
        self.assertEqual(gcd(-18, 48), 6)
        self.assertEqual(gcd(7, 0), 7)
        self.assertEqual(gcd(0, 0), 0)

    def test_lcm(self) -> None:
        """The multiple of a number and 0 is 0."""
        self.assertEqual(lcm(4, 6), 12)
        self.assertEqual(lcm(0, 5), 0)


def main() -> None:
    """Show an example."""
    print(f"gcd(48, 18) = {gcd(48, 18)}, lcm(4, 6) = {lcm(4, 6)}")


if __name__ == "__main__":
    if sys.argv[1:] == ["test"]:
        unittest.main(argv=sys.argv[:1])
    else:
        main()
