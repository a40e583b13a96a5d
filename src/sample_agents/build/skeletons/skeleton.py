"""__WHAT__

A skeleton: `__FUNCTION__` has its place, its work is still to be written.
__CRITERIA__"""

import sys


def __FUNCTION__(text: str) -> str:
    """__WHAT__"""
    raise NotImplementedError(f"__FUNCTION__ is not written yet; it got {len(text)} characters")


def main() -> None:
    """Pass the arguments on and print what comes back."""
    try:
        print(__FUNCTION__(" ".join(sys.argv[1:])))
    except NotImplementedError as error:
        print(error, file=sys.stderr)


if __name__ == "__main__":
    main()
