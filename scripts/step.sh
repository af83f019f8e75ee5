#!/usr/bin/env bash
# Runs one step and keeps its time: step.sh NAME COMMAND…, or step.sh --summary for the table.
# One line a step (seconds, exit code, name) goes to the file that $NOD_STEPS names.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

: "${NOD_STEPS:?names the file that the times go to}"

if [ "$1" = --summary ]; then
  awk -F '\t' '
    NR == 1 { printf "\n%-34s %8s\n", "step", "seconds" }
    { printf "%-34s %8.1f%s\n", $3, $1, $2 == 0 ? "" : "  FAILED (exit " $2 ")"; total += $1 }
    END { if (NR) printf "%-34s %8.1f\n", "all", total }' "$NOD_STEPS"
  exit 0
fi

name=$1
shift
printf '\n=== %s\n' "$name"
# Microseconds, in the shell itself: macOS has neither `date +%N` nor this variable, and gets seconds.
now() { local t=${EPOCHREALTIME:-$(date +%s).000000}; printf '%s' "${t/[.,]/}"; }
started=$(now)
code=0
"$@" || code=$?
spent=$((($(now) - started) / 1000))
printf '%d.%03d\t%d\t%s\n' $((spent / 1000)) $((spent % 1000)) "$code" "$name" >>"$NOD_STEPS"
exit "$code"
