#!/usr/bin/env bash
# Pushes workflows/ to a registry, with oras when it is there and with gantry otherwise, and lists what the registry then has.
#
# Usage: scripts/push_workflows.sh [REGISTRY]    (default: GANTRY_REGISTRY, else http://localhost:5000)
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/gantry.sh
source "$here/gantry.sh"
root="$(gantry_root)"
registry="${1:-${GANTRY_REGISTRY:-http://localhost:5000}}"
[[ "$registry" == *://* ]] || registry="http://$registry"
gantry="$(gantry_bin)"
cd "$root/workflows"

shopt -s nullglob
files=(*.yaml *.yml)
if ((${#files[@]} == 0)); then
  echo "error: there are no workflow files in $root/workflows" >&2
  exit 1
fi
"$gantry" workflow validate "${files[@]}"

# Prints the value of a key of the file's metadata.
metadata() {
  sed -n "s/^  $2: *[\"']\\{0,1\\}\\([^\"'#]*[^\"'# ]\\)[\"']\\{0,1\\} *\\(#.*\\)\\{0,1\\}$/\\1/p" "$1" | head -n 1
}

if command -v oras >/dev/null; then
  plain=()
  [[ "$registry" == http://* ]] && plain=(--plain-http)
  host="${registry#*://}"
  host="${host%/}"
  for file in "${files[@]}"; do
    id="$(metadata "$file" id)"
    version="$(metadata "$file" version)"
    oras push "${plain[@]}" --artifact-type application/vnd.gantry.workflow.v1 \
      "$host/workflows/$id:${version//+/_},latest" "$file:application/yaml"
  done
else
  "$gantry" workflow push --registry "$registry" --tag latest "${files[@]}"
fi
"$gantry" workflow list --registry "$registry"
