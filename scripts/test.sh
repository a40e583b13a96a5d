#!/usr/bin/env bash
# Runs every test. Installs what the tests use and is missing, where that is possible: a Python environment under the target
# directory, and Debian packages when run as root or with passwordless sudo. What cannot be installed is said, and the tests
# that need it skip themselves.
#
# Arguments go to the test runner.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/.."
target="${CARGO_TARGET_DIR:-target}"
missing=()

as_root() {
  if [[ "$(id -u)" == 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo -n "$@"
  else
    return 1
  fi
}

# Packages by the program that each brings.
install_packages() {
  local wanted=() program
  for program in skopeo docker-registry shellcheck; do
    command -v "$program" >/dev/null || wanted+=("$program")
  done
  ((${#wanted[@]} == 0)) && return
  if command -v apt-get >/dev/null && as_root true 2>/dev/null; then
    echo "installing ${wanted[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "${wanted[@]}" >/dev/null 2>&1 ||
      { as_root apt-get update --quiet >/dev/null 2>&1 &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet --no-install-recommends "${wanted[@]}" >/dev/null 2>&1; } ||
      true
  fi
  for program in "${wanted[@]}"; do
    command -v "$program" >/dev/null || missing+=("$program")
  done
}

# A virtual environment, made again when the list of requirements has changed.
install_python() {
  local venv="$target/test-venv" stamp
  stamp="$venv/requirements.installed"
  if ! cmp --silent tests/requirements.txt "$stamp"; then
    rm -rf "$venv"
    mkdir -p "$target"
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/requirements.txt &&
      cp tests/requirements.txt "$stamp"; }; then
      rm -rf "$venv"
      missing+=("python3 with $(grep --invert-match '^#' tests/requirements.txt | paste --serial --delimiters=' ')")
      return
    fi
  fi
  GANTRY_TEST_PYTHON="$(cd "$venv" && pwd)/bin/python"
  export GANTRY_TEST_PYTHON
}

install_packages
install_python
if ((${#missing[@]} > 0)); then
  printf 'not available, so the tests that use it skip themselves: %s\n' "${missing[@]}"
fi

if command -v shellcheck >/dev/null; then
  shellcheck --external-sources scripts/*.sh .ci/run
  echo "shellcheck: ok"
fi
# The simulation goes through more runs here than by default.
export GANTRY_SEEDS="${GANTRY_SEEDS:-100000}"
if cargo nextest --version >/dev/null 2>&1; then
  cargo nextest run "$@"
else
  cargo test --lib --bins --tests "$@"
fi
cargo test --doc
