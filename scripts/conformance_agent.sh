#!/usr/bin/env bash
# Runs gantry as the agent that the protocol's public conformance kit talks to, in the foreground on localhost:PORT.
#
#   scripts/conformance_agent.sh PORT [--no-push] [--no-streaming] [--extended-card] [--required-extension URI]
#
# What it does is in tests/fixtures/conformance/gantry.toml. GANTRY names another binary than the one cargo builds.
set -euo pipefail

usage() {
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

[[ $# -ge 1 && "$1" =~ ^[0-9]+$ ]] || usage
port=$1
shift
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

flags=()
while [[ $# -gt 0 ]]; do
    case $1 in
        --no-push | --no-streaming | --extended-card) flags+=("$1") && shift ;;
        --required-extension)
            [[ $# -ge 2 ]] || usage
            flags+=("$1" "$2") && shift 2
            ;;
        *) usage ;;
    esac
done

if [[ -z ${GANTRY:-} ]]; then
    cargo build --quiet --release --manifest-path "$root/Cargo.toml"
    GANTRY=${CARGO_TARGET_DIR:-$root/target}/release/gantry
fi
exec "$GANTRY" --config "$root/tests/fixtures/conformance/gantry.toml" serve \
    --port "$port" --embedded --ephemeral --no-publish ${flags[@]+"${flags[@]}"}
