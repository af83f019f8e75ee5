#!/usr/bin/env bash
# Copies a program over another by rename, so that one that is running keeps its own file: replace.sh FROM TO.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cp -p "$1" "$2.new"
mv "$2.new" "$2"
