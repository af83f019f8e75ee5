# The entry points. What each does is in scripts/.

.DEFAULT_GOAL := help
.PHONY: help run dev test check bench release screenshot clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

run: ## install what is missing, build, and open the window (SCREENSHOT_ONLY=1: only take its picture)
	@SCREENSHOT_ONLY='$(SCREENSHOT_ONLY)' scripts/run.sh

dev: ## open the window from the dev server: edits of ui/ show at once
	@scripts/setup.sh ui build
	@cargo build --workspace --bin nod --bin nod-shim
	@ui/node_modules/.bin/tauri dev

test: ## run every check and every test, the window's included
	@scripts/test.sh

check: ## format, lints, types, licences
	@scripts/check.sh

bench: ## measure release builds against limits and peers (ARGS='...' go to nod-bench)
	@scripts/bench.sh $(ARGS)

release: ## build what is shipped into target/release
	@scripts/release.sh

screenshot: ## make the README's picture, docs/window.png, from the real app
	@scripts/screenshot.sh

clean: ## remove all that was built or installed in this folder
	rm -rf target target-static ui/dist ui/node_modules ui/coverage src-tauri/gen gen .deps screenshots
