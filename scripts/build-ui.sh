#!/usr/bin/env bash
# Builds ui/dist, which the desktop binary carries inside it, when something it is made of changed.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

stamp=.deps/ui-build

# The built page is part of what is compared: the Rust build leaves a placeholder where there is none.
state() {
  {
    find ui -type d \( -name node_modules -o -name dist -o -name coverage \) -prune -o -type f -exec "${digest[@]}" {} +
    "${digest[@]}" ui/dist/index.html
  } | LC_ALL=C sort | "${digest[@]}"
}

if [ -f ui/dist/index.html ] && [ -f "$stamp" ] && [ "$(state)" = "$(cat "$stamp")" ]; then
  say "ui/dist is up to date"
  exit 0
fi
npm --prefix ui run build
mkdir -p .deps
state >"$stamp"
