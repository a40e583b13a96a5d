#!/usr/bin/env bash
# Runs the tests whose counts are moderate by default at the scale that is promised, with an optimised gantry, and prints their figures:
# kills, torn writes, failing writes, ten thousand runs at once, a hundred thousand that wait, a million items, overload, cancels.
# Takes about an hour on two cores that have nothing else to do; some of the bounds are times.
#
# Arguments name the parts to run: kills torn faults many waiting canceling loads. Without arguments, all of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

parts=("$@")
((${#parts[@]} > 0)) || parts=(kills torn faults many waiting canceling loads)

cargo build --release
GANTRY_BIN="${CARGO_TARGET_DIR:-$PWD/target}/release/gantry"
export GANTRY_BIN GANTRY_SCALE=full

run() {
  cargo test --test "$1" "$2" -- --nocapture --test-threads=1
}

for part in "${parts[@]}"; do
  echo "== $part"
  case "$part" in
    # Each life has the runs of all those before it: two hundred in four journals.
    kills) for _ in 1 2 3 4; do GANTRY_KILLS=50 run integration runs_of_every_step_kind_survive_kills; done ;;
    torn) GANTRY_CRASH_SEEDS=10000 run simulation a_torn_write ;;
    faults) run integration faults ;;
    many) run integration many:: ;;
    waiting) run integration parked_runs ;;
    canceling) run integration runs_canceled_at_a_random_moment ;;
    loads)
      run integration scale::
      run integration bearing::
      ;;
    *) echo "there is no part $part" >&2 && exit 2 ;;
  esac
done
