# shellcheck shell=bash
# The steps of `make check` and `make test`: each is timed, a table at the end says what took how long,
# and a failed one does not hide what the next would have found. To be sourced after lib.sh.

NOD_STEPS=$(mktemp "${TMPDIR:-/tmp}/nod-steps.XXXXXX")
export NOD_STEPS
failed=0

# step NAME COMMAND…: runs it, and remembers a failure in `failed`.
# shellcheck disable=SC2034 # those that source this exit with it
step() { scripts/step.sh "$@" || failed=1; }

# needed NAME COMMAND…: the same for a step that all later ones stand on.
needed() { scripts/step.sh "$@" || exit 1; }

end_steps() {
  scripts/step.sh --summary
  rm -f "$NOD_STEPS"
}
trap end_steps EXIT

check_ui() {
  step "svelte-check" npm --prefix ui run check
  step "eslint" npm --prefix ui run lint
  step "prettier" npm --prefix ui run format:check
}

check_python() { step "python" scripts/check-python.sh; }

check_rust() {
  step "rustfmt" cargo fmt --all --check
  step "cargo deny" cargo deny check bans licenses sources
  step "clippy" cargo clippy --workspace --all-targets -- -D warnings
}
