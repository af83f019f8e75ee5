#!/usr/bin/env bash
# Judges the source without running it.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=steps.sh
. scripts/steps.sh

needed "setup" scripts/setup.sh ui build check
needed "ui build" scripts/build-ui.sh
check_ui
check_rust
check_python
exit "$failed"
