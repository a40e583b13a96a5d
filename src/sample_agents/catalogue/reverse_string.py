"""Reversing text. Run `python reverse_string.py` for an example, `python reverse_string.py test` for the tests."""

import sys
import unittest


def reverse_string(text: str) -> str:
    """Return `text` with its characters in reverse order."""
    return text[::-1]


def reverse_words(text: str) -> str:
    """Return `text` with its words in reverse order, separated by single blanks."""
    return " ".join(reversed(text.split()))


class ReverseStringTest(unittest.TestCase):
    """What must hold."""

    def test_characters(self) -> None:
        """The last character comes first; twice is the same as never."""
        self.assertEqual(reverse_string("abc"), "cba")
        self.assertEqual(reverse_string(""), "")
        self.assertEqual(reverse_string(reverse_string("größe")), "größe")

    def test_words(self) -> None:
        """Words keep their letters."""
        self.assertEqual(reverse_words("one  two three"), "three two one")


def main() -> None:
    """Reverse an example."""
    print(reverse_string("Hello, world"))


if __name__ == "__main__":
    if sys.argv[1:] == ["test"]:
        unittest.main(argv=sys.argv[:1])
    else:
        main()
