"""FizzBuzz. Run `python fizzbuzz.py` for an example, `python fizzbuzz.py test` for the tests."""

import sys
import unittest


def fizzbuzz(limit: int) -> list[str]:
    """Return FizzBuzz from 1 to `limit`."""
    return [fizzbuzz_word(number) for number in range(1, limit + 1)]


def fizzbuzz_word(number: int) -> str:
    """Return `Fizz` for multiples of 3, `Buzz` for 5, `FizzBuzz` for both, otherwise the number."""
    word = ("Fizz" if number % 3 == 0 else "") + ("Buzz" if number % 5 == 0 else "")
    return word or str(number)


class FizzbuzzTest(unittest.TestCase):
    """What must hold."""

    def test_first_fifteen(self) -> None:
        """One whole round."""
        expected = "1 2 Fizz 4 Buzz Fizz 7 8 Fizz Buzz 11 Fizz 13 14 FizzBuzz".split()
        self.assertEqual(fizzbuzz(15), expected)

    def test_nothing(self) -> None:
        """A limit of 0 gives an empty list."""
        self.assertEqual(fizzbuzz(0), [])


def main() -> None:
    """Print FizzBuzz up to 30."""
    print("\n".join(fizzbuzz(30)))


if __name__ == "__main__":
    if sys.argv[1:] == ["test"]:
        unittest.main(argv=sys.argv[:1])
    else:
        main()
