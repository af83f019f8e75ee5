#!/usr/bin/env bash
# Measures Nod's release builds against limits and peers: bench.sh [ARGUMENTS of nod-bench].

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

scripts/setup.sh build
folder=$(scripts/build-static.sh nod-cli nod-shim nod-bench)
exec "$folder/nod-bench" "$@"
