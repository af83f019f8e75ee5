# shellcheck shell=bash
# What every script here shares: strict mode, the repository's root as working directory, where cargo
# lies, and the two ways to speak. To be sourced.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# rustup puts cargo here; a shell that was open before does not know yet.
if [ -d "${HOME:-/}/.cargo/bin" ]; then PATH="$PATH:$HOME/.cargo/bin"; fi

say() { printf 'nod: %s\n' "$*"; }

fail() {
  printf 'nod: %s\n' "$@" >&2
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# at_least WANTED FOUND: whether version FOUND is WANTED or newer.
at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# The program that prints a file's digest.
# shellcheck disable=SC2034 # used by those that source this
if has sha256sum; then digest=(sha256sum); else digest=(shasum -a 256); fi
