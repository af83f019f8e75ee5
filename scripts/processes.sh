# shellcheck shell=bash
# Starts processes in the background and ends them by their ids, the last one first. To be sourced.

started=()

# start COMMAND…: runs it in a process group of its own, so that Ctrl-C reaches the script alone, which
# then ends things in order; nor does it ignore SIGINT, as a script's children otherwise do.
start() {
  set -m
  "$@" </dev/null &
  set +m
  started+=($!)
}

is_alive() { kill -0 "$1" 2>/dev/null; }

# end PID: asks it to end, insists after ten seconds.
end() {
  local limit=$((SECONDS + 10))
  kill -TERM "$1" 2>/dev/null || true
  while is_alive "$1" && [ "$SECONDS" -lt "$limit" ]; do sleep 0.05; done
  kill -KILL "$1" 2>/dev/null || true
  wait "$1" 2>/dev/null || true
}

end_started() {
  local at
  for ((at = ${#started[@]} - 1; at >= 0; at--)); do end "${started[at]}"; done
  started=()
}
