#!/usr/bin/env bash
# Everything that can fail: the checks, the tests of ui/, and every test of the workspace with the real
# window among them. The programs are built once, in the variants that the tests need.

# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=steps.sh
. scripts/steps.sh

needed "setup" scripts/setup.sh ui build check display test
needed "ui build" scripts/build-ui.sh
check_ui
step "vitest" npm --prefix ui run test

# The window that a test can drive. Only the desktop package differs: see build-debug.sh for `--workspace`.
needed "build for the window tests" cargo build --workspace --bin nod-desktop --features nod-desktop/automation
needed "keep it aside" scripts/replace.sh target/debug/nod-desktop target/debug/nod-desktop-automation
# All that is shipped, and the tests themselves; nextest finds everything made.
needed "build" cargo build --workspace --all-targets
check_rust
check_python
step "doc tests" cargo test --workspace --doc --quiet
# The last one, so that its count stands at the end.
step "tests" scripts/plain-account.sh cargo nextest run --workspace --no-tests fail
exit "$failed"
