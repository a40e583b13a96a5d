#!/usr/bin/env bash
# What the other scripts share: where the project is, the gantry program (GANTRY_BIN, else built by cargo), and what tells a
# process from a later one with the same id. Sourced, not run.

gantry_root() {
  cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd
}

# Prints the path of the program; builds it when there is none yet.
gantry_bin() {
  local root
  root="$(gantry_root)"
  if [[ -n "${GANTRY_BIN:-}" ]]; then
    printf '%s\n' "$GANTRY_BIN"
    return
  fi
  local target="${CARGO_TARGET_DIR:-$root/target}"
  [[ -x "$target/release/gantry" ]] || echo "building gantry; the first time takes some minutes" >&2
  # Cargo decides whether there is anything to do; what was built before is ready in a moment.
  if ! (cd "$root" && cargo build --quiet --release >&2); then
    echo "error: cargo build --release failed" >&2
    return 1
  fi
  printf '%s\n' "$target/release/gantry"
}

# Prints when a process was started and whether it still lives (a zombie does not); nothing when it is gone.
started_at() {
  [[ "$(ps -o stat= -p "$1" 2>/dev/null)" == Z* ]] || ps -o lstart= -p "$1" 2>/dev/null || true
}
