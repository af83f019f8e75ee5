# shellcheck shell=bash
# A display, a runtime folder and a session bus for a machine without a screen. To be sourced after
# lib.sh and processes.sh; whoever sources it calls end_display at its end.

display_folder=

# start_display SIZE: sets DISPLAY to a new virtual one; XDG_RUNTIME_DIR and the bus, where they are unset.
start_display() {
  remove_old_displays
  display_folder=$(mktemp -d "${TMPDIR:-/tmp}/nod-display.XXXXXX")
  echo $$ >"$display_folder/owner"
  if [ -z "${XDG_RUNTIME_DIR:-}" ]; then
    export XDG_RUNTIME_DIR=$display_folder/run
    mkdir -m 0700 "$XDG_RUNTIME_DIR"
  fi
  # -displayfd lets the server itself take a free number, and tell it once it serves.
  start_announced Xvfb -displayfd 3 -screen 0 "${1}x24" -nolisten tcp
  export DISPLAY=":$announced"
  unset WAYLAND_DISPLAY
  # There is no graphics card behind it: without this the first picture comes later and costs 70 MB.
  export WEBKIT_DISABLE_DMABUF_RENDERER=1
  if [ -z "${DBUS_SESSION_BUS_ADDRESS:-}" ]; then
    start_announced dbus-daemon "${bus_config:---session}" --nofork --nopidfile --print-address=3
    export DBUS_SESSION_BUS_ADDRESS=$announced
  fi
}

# remove_old_displays: removes the folders of scripts that are gone, once nobody serves in them.
remove_old_displays() {
  local folder
  for folder in "${TMPDIR:-/tmp}"/nod-display.*; do
    if [ -f "$folder/owner" ] && ! is_alive "$(cat "$folder/owner")" && ! is_served "$folder"; then
      rm -rf "$folder"
    fi
  done
}

# is_served FOLDER: whether a host of Nod listens below it.
is_served() { grep -qsF "$1/run/nod-" /proc/net/unix; }

# start_announced COMMAND…: starts it and sets `announced` to the first line it writes to descriptor 3.
start_announced() {
  local pipe=$display_folder/announced log=$display_folder/$1.log
  mkfifo "$pipe"
  start with_pipe "$pipe" "$log" "$@"
  read -r -t 30 announced <>"$pipe" || fail "$1 did not start:" "$(cat "$log")"
  rm "$pipe"
}

with_pipe() {
  exec 3<>"$1" >"$2" 2>&1
  shift 2
  exec "$@"
}

# end_display: ends all that was started. A host that went on without a window keeps its sockets.
end_display() {
  end_started
  [ -n "$display_folder" ] || return 0
  if is_served "$display_folder"; then
    say "tasks or a host go on; their sockets are in $display_folder/run"
  else
    rm -rf "$display_folder"
  fi
}

# wait_for_window PID: waits until process PID has drawn a window on this display; sets `window` to its X id.
# Returns 1 where the app ended in order before: another window of it is open, which it has said.
wait_for_window() {
  local limit=$((SECONDS + 60)) before='' now='' drawn=''
  window=
  while :; do
    if ! is_alive "$1"; then
      if wait "$1"; then return 1; fi
      fail "the app ended before its window was drawn"
    fi
    [ "$SECONDS" -lt "$limit" ] || fail "no window was drawn within a minute"
    # The display is ours alone: the one top window that is shown is the app's.
    window=$(xdotool search --onlyvisible --maxdepth 1 --name . 2>/dev/null | head -n 1) || true
    if [ -n "$window" ]; then
      now=$(import -window "$window" png:- 2>/dev/null | identify -format '%k %#' - 2>/dev/null) || now=''
      # One colour is a window that has not painted. Two pictures alike are one that has finished;
      # one that shows running tasks may move for ever, and has had its time after three seconds.
      if [ -n "$now" ] && [ "${now%% *}" != 1 ]; then
        : "${drawn:=$SECONDS}"
        if [ "$now" = "$before" ] || [ $((SECONDS - drawn)) -ge 3 ]; then return 0; fi
      fi
      before=$now
    fi
    sleep 0.1
  done
}
