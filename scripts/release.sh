#!/usr/bin/env bash
# Builds what is shipped into target/release: the desktop app, and beside it the static nod and nod-shim.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

scripts/setup.sh ui build
scripts/build-ui.sh
folder=$(scripts/build-static.sh nod-cli nod-shim)
cargo build --release -p nod-desktop --bin nod-desktop
if [ "$folder" != target/release ]; then
  for program in nod nod-shim; do scripts/replace.sh "$folder/$program" "target/release/$program"; done
fi
say "target/release holds nod-desktop, nod and nod-shim"
