"""Prime numbers. Run `python primes.py` for an example, `python primes.py test` for the tests."""

import sys
import unittest


def primes_up_to(limit: int) -> list[int]:
    """Return every prime number up to and including `limit`, in order (sieve of Eratosthenes)."""
    if limit < 2:
        return []
    is_candidate = [True] * (limit + 1)
    is_candidate[0] = is_candidate[1] = False
    factor = 2
    while factor * factor <= limit:
        if is_candidate[factor]:
            for multiple in range(factor * factor, limit + 1, factor):
                is_candidate[multiple] = False
        factor += 1
    return [number for number in range(limit + 1) if is_candidate[number]]


def is_prime(number: int) -> bool:
    """Return whether `number` is prime, by trial division up to its square root."""
    if number < 2:
        return False
    factor = 2
    while factor * factor <= number:
        if number % factor == 0:
            return False
        factor += 1
    return True


class PrimesTest(unittest.TestCase):
    """What must hold."""

    def test_small_limits(self) -> None:
        """Below 2 there is no prime."""
        self.assertEqual(primes_up_to(-5), [])
        self.assertEqual(primes_up_to(1), [])
        self.assertEqual(primes_up_to(2), [2])

    def test_primes_up_to_30(self) -> None:
        """The limit is included."""
        self.assertEqual(primes_up_to(29), [2, 3, 5, 7, 11, 13, 17, 19, 23, 29])

    def test_both_ways_agree(self) -> None:
        """The sieve and the single test give the same answer."""
        self.assertEqual(primes_up_to(500), [number for number in range(501) if is_prime(number)])


def main() -> None:
    """Print the primes up to 100."""
    print(primes_up_to(100))


if __name__ == "__main__":
    if sys.argv[1:] == ["test"]:
        unittest.main(argv=sys.argv[:1])
    else:
        main()
