#!/usr/bin/env bash
# Builds Nod and opens its window; without a screen on a virtual display, and says how to look at it.
# SCREENSHOT_ONLY=1: always on a virtual display, and ends after the picture.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=processes.sh
. scripts/processes.sh
# shellcheck source=virtual-display.sh
. scripts/virtual-display.sh

picture=screenshots/window.png
app=target/debug/nod-desktop

# What make adds to its children is none of the app's, nor of the tasks that it runs.
only_picture=${SCREENSHOT_ONLY:-}
unset SCREENSHOT_ONLY MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES MAKE_TERMOUT MAKE_TERMERR

headless=
if [ "$(uname -s)" = Linux ] && [ -z "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; then headless=1; fi
if [ "$only_picture" = 1 ]; then headless=1; fi

scripts/setup.sh ui build ${headless:+display}
scripts/build-ui.sh
scripts/build-debug.sh

if [ -z "$headless" ]; then
  say "submit a task from another terminal: target/debug/nod submit -- sleep 30"
  exec "$app"
fi

trap end_display EXIT
trap 'exit 0' INT TERM HUP
runtime_before=${XDG_RUNTIME_DIR:-}
start_display 1280x800
start "$app"
pid=${started[-1]}
wait_for_window "$pid" || exit 0
mkdir -p "$(dirname "$picture")"
import -window "$window" "$picture"
say "a picture of the window: $picture"
[ "$only_picture" != 1 ] || exit 0
say "there is no screen here: the window is open on the virtual display $DISPLAY"

# The command line finds the host by the same variables.
variables=()
[ -n "$runtime_before" ] || variables+=("XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR")
[ -z "${NOD_HOME:-}" ] || variables+=("NOD_HOME=$NOD_HOME")
say "submit a task from another terminal, in this folder:"
say "  ${variables[*]+"${variables[*]} "}target/debug/nod submit -- sleep 30"
say "take another picture: DISPLAY=$DISPLAY import -window root $picture"
say "Ctrl-C ends it"
wait "$pid" || fail "the app ended with exit code $?; tasks go on, and the next start finds them"
