#!/usr/bin/env bash
# Starts gantry (orchestrator, registry, sample agents) in the background, waits until everything answers, pushes cards and workflows, and
# says what is up. Called again while it runs, it only says so. Stop it with scripts/kill.sh.
#
# Arguments go to `gantry up` (for example --port 0 --registry-port 0 --agent-ports 0). GANTRY_STATE_DIR says where the pid file and
# the log are kept (default: .gantry in the project).
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/gantry.sh
source "$here/gantry.sh"
root="$(gantry_root)"
state="${GANTRY_STATE_DIR:-$root/.gantry}"
pid_file="$state/gantry.pid"
ready_file="$state/ready.json"
log_file="$state/gantry.log"
wait_seconds=60

# True when the process in the pid file is still the one that was started: process ids are used again.
running() {
  [[ -f "$pid_file" ]] || return 1
  local pid started
  { read -r pid && read -r started; } <"$pid_file" || return 1
  [[ "$pid" =~ ^[0-9]+$ && "$(started_at "$pid")" == "$started" ]]
}

# Prints one value of the ready file: the text behind "KEY": .
address() {
  sed -n "s/^ *\"$1\": \"\\(http[^\"]*\\)\",\\{0,1\\}$/\\1/p" "$ready_file" | head -n 1
}

fetch() {
  if command -v curl >/dev/null; then
    curl --silent --fail --max-time 5 --output /dev/null "$1"
  elif command -v wget >/dev/null; then
    wget --quiet --timeout=5 --tries=1 --output-document=/dev/null "$1"
  else
    # Neither is there: the ready file says that everything answered.
    return 0
  fi
}

# True when the orchestrator, the registry and every agent answer.
healthy() {
  [[ -f "$ready_file" ]] || return 1
  local registry name
  registry="$(address registry)"
  [[ -n "$registry" ]] && fetch "$registry/v2/" && fetch "$(address gantry)/readyz" || return 1
  for name in plan-agent build-agent test-agent analysis-agent content-agent data-agent; do
    fetch "$(address "$name")/agent-card" || return 1
  done
}

report() {
  echo "gantry          $(address gantry)"
  echo "registry        $(address registry)"
  local name
  for name in plan-agent build-agent test-agent analysis-agent content-agent data-agent; do
    printf '%-15s %s\n' "$name" "$(address "$name")"
  done
  echo
  "$gantry" workflow list --registry "$(address registry)"
  echo "log: $log_file"
  echo "stop it with: scripts/kill.sh"
}

gantry="$(gantry_bin)"
mkdir -p "$state"

if running; then
  if healthy; then
    echo "gantry is already up (pid $(head -n 1 "$pid_file"))"
    report
    exit 0
  fi
  echo "error: gantry runs (pid $(head -n 1 "$pid_file")) but does not answer; see $log_file, or stop it with scripts/kill.sh" >&2
  exit 1
fi

rm -f "$ready_file"
cd "$root"
nohup "$gantry" up --ready-file "$ready_file" "$@" >"$log_file" 2>&1 </dev/null &
pid=$!
printf '%s\n%s\n' "$pid" "$(started_at "$pid")" >"$pid_file"

for ((tenths = 0; tenths < wait_seconds * 10; tenths++)); do
  if ! kill -0 "$pid" 2>/dev/null; then
    echo "error: gantry did not start; it said:" >&2
    cat "$log_file" >&2
    rm -f "$pid_file"
    exit 1
  fi
  if healthy; then
    echo "gantry is up (pid $pid)"
    report
    exit 0
  fi
  sleep 0.1
done

echo "error: gantry did not answer within $wait_seconds seconds; see $log_file" >&2
kill "$pid" 2>/dev/null || true
rm -f "$pid_file"
exit 1
