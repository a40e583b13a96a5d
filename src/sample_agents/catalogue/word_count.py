"""Word counts. Run `python word_count.py` for an example, `python word_count.py test` for the tests."""

import sys
import unittest


def word_count(text: str) -> dict[str, int]:
    """Return how often each word occurs, most frequent first, ties in alphabetical order; case is ignored."""
    counts: dict[str, int] = {}
    for word in split_words(text):
        counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def split_words(text: str) -> list[str]:
    """Return the words of `text` in lower case, without punctuation around them."""
    words = (word.strip(".,;:!?()[]{}\"'`-").casefold() for word in text.split())
    return [word for word in words if word]


class WordCountTest(unittest.TestCase):
    """What must hold."""

    def test_counts(self) -> None:
        """Case and punctuation do not matter."""
        self.assertEqual(word_count("The cat, the DOG and the cat."), {"the": 3, "cat": 2, "and": 1, "dog": 1})

    def test_order(self) -> None:
        """The most frequent word comes first."""
        self.assertEqual(list(word_count("b a b c a b")), ["b", "a", "c"])

    def test_empty_text(self) -> None:
        """No words, no counts."""
        self.assertEqual(word_count(" - "), {})


def main() -> None:
    """Count the words of standard input, or of an example."""
    text = "to be or not to be" if sys.stdin.isatty() else sys.stdin.read()
    for word, count in word_count(text).items():
        print(f"{count:5} {word}")


if __name__ == "__main__":
    if sys.argv[1:] == ["test"]:
        unittest.main(argv=sys.argv[:1])
    else:
        main()
