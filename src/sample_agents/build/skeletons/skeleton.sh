#!/usr/bin/env bash
# __WHAT__
#
# A skeleton: __FUNCTION__ has its place, its work is still to be written.
__CRITERIA__set -euo pipefail

# Says that the work is not written yet.
__FUNCTION__() {
  echo "__FUNCTION__ is not written yet; it got $# arguments" >&2
}

__FUNCTION__ "$@"
