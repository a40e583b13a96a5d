"""Palindromes. Run `python palindrome.py` for an example, `python palindrome.py test` for the tests."""

import sys
import unittest


def is_palindrome(text: str) -> bool:
    """Return whether `text` reads the same backwards, ignoring case, blanks and punctuation."""
    letters = [character for character in text.casefold() if character.isalnum()]
    return letters == letters[::-1]


class PalindromeTest(unittest.TestCase):
    """What must hold."""

    def test_palindromes(self) -> None:
        """Case, blanks and punctuation do not matter."""
        for text in ["level", "A man, a plan, a canal: Panama", "x", "", "No lemon, no melon"]:
            self.assertTrue(is_palindrome(text), text)

    def test_other_texts(self) -> None:
        """Everything else is none."""
        for text in ["python", "ab", "12 13"]:
            self.assertFalse(is_palindrome(text), text)


def main() -> None:
    """Check two examples."""
    for text in ["A man, a plan, a canal: Panama", "Hello, world"]:
        print(f"{text!r}: {is_palindrome(text)}")


if __name__ == "__main__":
    if sys.argv[1:] == ["test"]:
        unittest.main(argv=sys.argv[:1])
    else:
        main()
