#!/usr/bin/env bash
# Runs gantry as the agent that the protocol's public conformance kit talks to, in the foreground on localhost:PORT.
#
#   scripts/conformance_agent.sh PORT [--no-push] [--no-streaming] [--extended-card] [--required-extension URI]
#
# What it does is in tests/fixtures/conformance/gantry.toml. GANTRY_BIN names another program than the one cargo builds.
set -euo pipefail

usage() {
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

[[ $# -ge 1 && "$1" =~ ^[0-9]+$ ]] || usage
port=$1
shift
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/gantry.sh
source "$here/gantry.sh"
root="$(gantry_root)"

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

program="$(gantry_bin)"
# In place of this shell, so that signals meant for the script reach gantry.
exec "$program" --config "$root/tests/fixtures/conformance/gantry.toml" serve \
    --port "$port" --embedded --ephemeral --no-publish ${flags[@]+"${flags[@]}"}
