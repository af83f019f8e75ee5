#!/usr/bin/env bash
# Makes docs/window.png, the README's picture: the real app with a data folder of its own and a handful
# of real tasks, on a virtual display of the window's size.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=processes.sh
. scripts/processes.sh
# shellcheck source=virtual-display.sh
. scripts/virtual-display.sh

picture=docs/window.png
nod=target/debug/nod

scripts/setup.sh ui build display
scripts/build-ui.sh
scripts/build-debug.sh

# Nothing of the person's own Nod: neither its data nor its sockets, nor its session bus.
unset XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS
folder=$(mktemp -d "${TMPDIR:-/tmp}/nod-picture.XXXXXX")
export NOD_HOME=$folder/home XDG_CONFIG_HOME=$folder/config XDG_CACHE_HOME=$folder/cache XDG_DATA_HOME=$folder/data
mkdir -m 0700 "$NOD_HOME"
stop="$folder/stop"
mkfifo "$stop"

clean_up() {
  # After a failure too: the tasks that hold end by themselves when their pipe closes.
  exec 9>&-
  end_display
  rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 130' INT TERM HUP
exec 9<>"$stop"
hold="read -r _ <'$stop'"

# program NAME: makes a program of the lines on standard input, which every task finds.
mkdir "$folder/bin"
program() {
  { echo '#!/bin/bash'; cat; } >"$folder/bin/$1"
  chmod 755 "$folder/bin/$1"
}

# demo LABEL WORD...: a task of these words in a folder that every machine has.
demo() { PATH=$folder/bin:$PATH "$nod" submit --cwd /srv --label "$1" -- "${@:2}" >/dev/null; }

# look LABEL: prints the id and the state of the task with that label.
look() {
  "$nod" list --json | node -e '
    const page = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
    const task = (page.tasks ?? page).find((each) => each.label === process.argv[1]);
    if (task) console.log(task.id, task.state.name);
  ' "$1"
}

# until_reached LABEL STATE: waits, and prints the task's id.
until_reached() {
  local limit=$((SECONDS + 30)) id='' state=''
  until [ "$state" = "$2" ]; do
    [ "$SECONDS" -lt "$limit" ] || fail "the task '$1' did not become $2; it is: ${state:-nowhere}"
    sleep 0.1
    read -r id state < <(look "$1") || true
  done
  echo "$id"
}

# A bus that starts nobody: a notification would lie over the window.
cat >"$folder/bus.conf" <<'XML'
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
XML
# shellcheck disable=SC2034 # read by start_display
bus_config=--config-file=$folder/bus.conf
start_display 1180x760
start target/debug/nod-desktop
pid=${started[-1]}
wait_for_window "$pid"

program unit-tests <<<"echo '214 tests run: 214 passed'"
program lint-firmware <<<"echo 'error: unused variable: retries' >&2; exit 2"
program back-up <<<"nod progress 20 '写真を複製中'; $hold"
program deploy <<<'nod ask "Deploy version 2.4.0 to production?"'
{
  cat <<'LINES'
for name in core shim client engine; do printf '\033[32;1m   Compiling\033[0m nod-%s v0.1.0\n' "$name"; done
nod progress 64 'compiling 412 of 640 crates'
LINES
  echo "$hold"
} | program build-release

demo "Run the unit tests" unit-tests --all
until_reached "Run the unit tests" ended >/dev/null
demo "Lint the firmware" lint-firmware --deny warnings
until_reached "Lint the firmware" ended >/dev/null
demo "Build the release" build-release --target x86_64-unknown-linux-gnu
demo "夜間バックアップ" back-up photos databases
demo "Deploy to production" deploy --to production
open=(
  "$(until_reached "Build the release" running)"
  "$(until_reached "夜間バックアップ" running)"
  "$(until_reached "Deploy to production" waiting)"
)

# The list of tasks, with the build opened: the third from above.
xdotool key --delay 100 2 j j j Return
# What the host holds, the window shows in the next moments: wait until it stands still.
wait_for_window "$pid"
mkdir -p "$(dirname "$picture")"
import -window root "$picture"
say "$picture"

# Nobody answers the one that asks; none may outlive its data folder.
for id in "${open[@]}"; do
  "$nod" cancel "$id" >/dev/null
  "$nod" wait "$id" >/dev/null || true
done
