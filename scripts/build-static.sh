#!/usr/bin/env bash
# Release builds that start fast: build-static.sh PACKAGE… links them statically, non-PIE, and prints
# the folder they lie in. They have a target folder of their own, since GTK cannot be linked that way.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

packages=()
for package in "$@"; do packages+=(-p "$package"); done

options=() folder=target
if [ "$(uname -s)" = Linux ]; then
  # Named even though it is this machine's own: the flags then leave procedural macros alone, which
  # are loaded by the compiler and cannot be static.
  triple=$(rustc -vV | sed -n 's/^host: //p')
  export RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static"
  options=(--target "$triple")
  folder=target-static
fi
cargo build --release "${packages[@]}" --target-dir "$folder" ${options[@]+"${options[@]}"} >&2
echo "$folder${triple:+/$triple}/release"
