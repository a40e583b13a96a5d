#!/usr/bin/env bash
# Stops exactly what scripts/bootstrap.sh started: the process in its pid file, if it still is that process.
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
# shellcheck source=scripts/gantry.sh
source "$here/gantry.sh"
state="${GANTRY_STATE_DIR:-$(gantry_root)/.gantry}"
pid_file="$state/gantry.pid"
# gantry itself drains for at most 10 seconds.
wait_seconds=15

if [[ ! -f "$pid_file" ]]; then
  echo "gantry is not up: there is no $pid_file"
  exit 0
fi
if ! { read -r pid && read -r started; } <"$pid_file" || ! [[ "$pid" =~ ^[0-9]+$ ]]; then
  echo "error: $pid_file does not hold what bootstrap writes there; nothing was stopped" >&2
  exit 1
fi

alive() {
  [[ "$(started_at "$pid")" == "$started" ]]
}

if ! alive; then
  echo "gantry is not up: the process that bootstrap started ($pid) is gone"
  rm -f "$pid_file"
  exit 0
fi

kill -TERM "$pid"
for ((tenths = 0; tenths < wait_seconds * 10; tenths++)); do
  if ! alive; then
    rm -f "$pid_file"
    echo "gantry is down (was pid $pid)"
    exit 0
  fi
  sleep 0.1
done
echo "gantry (pid $pid) did not stop within $wait_seconds seconds and is killed" >&2
kill -KILL "$pid"
rm -f "$pid_file" "$state/ready.json"
