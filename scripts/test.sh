#!/usr/bin/env bash
# Runs every test. Installs what the tests use and is missing, where that is possible: Python environments and Node.js modules
# under the target directory, and Debian packages when run as root or with passwordless sudo. What cannot be installed is said,
# and the tests that need it skip themselves.
#
# Arguments go to the test runner.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/.."
target="${CARGO_TARGET_DIR:-target}"
mkdir -p "$target"
absolute_target="$(cd "$target" && pwd)"
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
  for program in skopeo docker-registry shellcheck strace; do
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

# python_environment NAME REQUIREMENTS: a virtual environment under the target directory, made again when the list has changed.
python_environment() {
  local venv="$target/$1" requirements="$2" stamp="$target/$1/requirements.installed"
  cmp --silent "$requirements" "$stamp" && return
  rm -rf "$venv"
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" &&
    cp "$requirements" "$stamp"; }; then
    rm -rf "$venv"
    missing+=("python3 with $(grep --invert-match '^#' "$requirements" | paste --serial --delimiters=' ')")
    return 1
  fi
}

# The registry's independent clients, and the protocol's Python SDK: the current one, and the one that speaks the older dialect.
install_python() {
  if python_environment test-venv tests/requirements.txt; then
    GANTRY_TEST_PYTHON="$absolute_target/test-venv/bin/python"
    export GANTRY_TEST_PYTHON
  fi
  if python_environment test-venv-a2a-1 tests/sdk/requirements-1.txt; then
    GANTRY_TEST_PYTHON_A2A_1="$absolute_target/test-venv-a2a-1/bin/python"
    export GANTRY_TEST_PYTHON_A2A_1
  fi
  if python_environment test-venv-a2a-0.3 tests/sdk/requirements-0.3.txt; then
    GANTRY_TEST_PYTHON_A2A_03="$absolute_target/test-venv-a2a-0.3/bin/python"
    export GANTRY_TEST_PYTHON_A2A_03
  fi
}

# The protocol's JavaScript SDK.
install_node() {
  local folder="$target/test-node"
  if ! cmp --silent tests/sdk/package-lock.json "$folder/package-lock.installed"; then
    rm -rf "$folder"
    mkdir -p "$folder"
    cp tests/sdk/package.json tests/sdk/package-lock.json "$folder"
    if ! { npm ci --prefix "$folder" --ignore-scripts --no-audit --no-fund --silent &&
      cp tests/sdk/package-lock.json "$folder/package-lock.installed"; }; then
      rm -rf "$folder"
      missing+=("node with @a2a-js/sdk")
      return
    fi
  fi
  GANTRY_TEST_NODE_MODULES="$absolute_target/test-node/node_modules"
  export GANTRY_TEST_NODE_MODULES
}

install_packages
install_python
install_node
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
