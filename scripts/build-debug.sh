#!/usr/bin/env bash
# Builds the app, the command line and the shim side by side in target/debug, where the host looks for them.
# `--workspace` with `--bin`, not `-p`: cargo then settles features over all members, as the tests' build
# does, and no dependency is compiled twice.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cargo build --workspace --bin nod-desktop --bin nod --bin nod-shim
